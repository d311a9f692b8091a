-- What follows what within a visit, by step.
SELECT step, source, target, count() AS times, uniqExact(user) AS users
FROM
(
    SELECT arrayJoin(arraySplit((x, cut) -> cut, s, arrayMap((x, at) -> session = 0 AND at > 1 AND x.1 - s[at - 1].1 > {gap_ms:Int64}, s, arrayEnumerate(s)))) AS v,
        v[1].1 AS start, v[1].4 AS user, arrayMap(x -> x.5, arrayFilter(x -> x.6, v)) AS all_names, @way@ AS way
    FROM
    (
        SELECT session, arraySort(x -> (x.1, x.2, x.3), groupArray((ms, lsn, idx, user_id, name, fit))) AS s
        FROM
        (
            SELECT sipHash64(device) AS device, @session@ AS session, toUnixTimestamp64Milli(time) AS ms, lsn, idx,
                user_id, toString(event) AS name, (@filter@) AND @among@ AS fit
            FROM events_v
            WHERE project = {project:String} AND day BETWEEN {from:Date} - 1 AND {to:Date} + 1 AND @client@ AND event != '$AppStartPassively'
        )
        GROUP BY device, session
    )
)
ARRAY JOIN arrayEnumerate(arrayPopBack(arraySlice(way, 1, {steps:UInt64}))) AS step, @source@(arraySlice(way, 1, {steps:UInt64})) AS source,
    @target@(arraySlice(way, 1, {steps:UInt64})) AS target
WHERE toDate(fromUnixTimestamp64Milli(start, {zone:String})) BETWEEN {from:Date} AND {to:Date}
GROUP BY step, source, target
ORDER BY step, times DESC, source, target
LIMIT {limit:UInt64}
