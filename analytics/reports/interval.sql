-- Time from a first event to the second of the same person. A later first takes the place of an earlier one; each is used once.
SELECT count() AS pairs, uniqExact(user_id) AS users, avg(d) / 1000 AS avg_s, min(d) / 1000 AS min_s, max(d) / 1000 AS max_s,
    arrayMap(x -> x / 1000, quantilesExactInclusive(0.25, 0.5, 0.75, 0.9)(d)) AS quartiles_s
FROM
(
    SELECT user_id, arrayJoin(arrayMap(at -> s[at].1 - s[at - 1].1, arrayFilter(at -> at > 1 AND s[at].5 AND s[at - 1].4, arrayEnumerate(s)))) AS d
    FROM
    (
        SELECT user_id, arraySort(x -> (x.1, x.2, x.3), groupArray((toUnixTimestamp64Milli(time), lsn, idx, @first@, @second@))) AS s
        FROM events_v
        WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND (@first@ OR @second@) AND @filter@
        GROUP BY user_id
    )
)
