-- t: a person's step events in order, each with a number of its own: the millisecond, then the place within it by arrival.
-- c: for each first step of the period where the steps after it were reached within the window, as early as can be; 0 = never.
-- LIMIT 1 BY: one try a person, the deepest, of equally deep ones the earliest.
SELECT @out@
FROM
(
    SELECT user_id @known_as@, arrayMax(arrayMap(x -> arrayCount(y -> y > 0, x), c)) AS depth,
        arrayFirst(x -> arrayCount(y -> y > 0, x) = depth, c) AS best,
        arrayMap(y -> intDiv(y, 1048576), best) AS at @groups_of_best@
    FROM
    (
        SELECT *, @last@, @chains@ AS c
        FROM
        (
            SELECT user_id @known_as@, e, arrayMap((x, at) -> x.1 * 1048576 + at, e, arrayEnumerate(e)) AS t, @steps@
            FROM
            (
                SELECT user_id @names@, arraySort(x -> (x.1, x.2, x.3), groupArray((toUnixTimestamp64Milli(time), lsn, idx, @marks@, day <= {to:Date} @group_values@))) AS e
                FROM events_v
                WHERE project = {project:String} AND day >= {from:Date} AND day <= {to:Date} + {window_days:Int64} AND event IN {events:Array(String)} AND @filter@
                GROUP BY user_id @same@
                HAVING @some_first@
            )
        )
        WHERE notEmpty(t1)
    )
    @one_each@
)
@tail@
LIMIT {limit:UInt64}
