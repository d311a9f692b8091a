-- t: a person's step events in order, each with a number of its own: the millisecond, then the place within it by arrival.
-- c: for each first step of the period where the steps after it were reached within the window, as early as can be; 0 = never.
SELECT @groups_out@ count() AS users, @reached@ AS reached,
    countIf(depth < @number@ AND intDiv(best[1], 1048576) + {window_ms:Int64} > {now_ms:Int64}) AS still,
    @times@ AS seconds
FROM
(
    SELECT arrayMax(arrayMap(x -> arrayCount(y -> y > 0, x), c)) AS depth,
        arrayFirst(x -> arrayCount(y -> y > 0, x) = depth, c) AS best,
        arrayMap(y -> intDiv(y, 1048576), best) AS at @groups_of_best@
    FROM
    (
        SELECT *, @chains@ AS c
        FROM
        (
            SELECT user_id, e, arrayMap((x, at) -> x.1 * 1048576 + at, e, arrayEnumerate(e)) AS t, @steps@
            FROM
            (
                SELECT user_id, arraySort(x -> (x.1, x.2, x.3), groupArray((toUnixTimestamp64Milli(time), lsn, idx, @marks@, day <= {to:Date} @group_values@))) AS e
                FROM events_v
                WHERE project = {project:String} AND day >= {from:Date} AND day <= {to:Date} + {window_days:Int64} AND event IN {events:Array(String)} AND @filter@
                GROUP BY user_id
                HAVING @some_first@
            )
        )
        WHERE notEmpty(t1)
    )
)
@group_by@
ORDER BY users DESC
LIMIT {limit:UInt64}
