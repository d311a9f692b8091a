-- Each conversion's touches: the visits of the person that began within the window before it, by the channel of their first page.
-- Weights of one conversion add up to 1.
SELECT share.1 AS channel, sum(share.2) AS conversions, sum(share.2 * value) AS amount
FROM
(
    SELECT c.value AS value, arraySort(arrayFilter(x -> x.1 <= c.ms AND x.1 >= c.ms - {window_ms:Int64}, v.touches)) AS mine,
        arrayMap(x -> if(x.2 = '', {direct:String}, x.2), mine) AS names, length(mine) AS n,
        if(n = 0, [({direct:String}, 1.)], @weights@) AS shares
    FROM
    (
        SELECT user_id, toUnixTimestamp64Milli(time) AS ms, @amount@ AS value
        FROM events_v
        WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND event = {event:String} AND @filter@
    ) AS c
    LEFT JOIN
    (
        SELECT user, groupArray((start, label)) AS touches
        FROM
        (
            SELECT arrayJoin(arraySplit((x, cut) -> cut, s, arrayMap((x, at) -> session = 0 AND at > 1 AND x.1 - s[at - 1].1 > {gap_ms:Int64}, s, arrayEnumerate(s)))) AS v,
                v[1].1 AS start, v[1].3 AS user, arrayFirst(x -> x.2, v).4 AS label
            FROM
            (
                SELECT session, arraySort(x -> x.1, groupArray((ms, kind = 'page', user_id, toString(@label@)))) AS s
                FROM traffic_v
                WHERE project = {project:String} AND day BETWEEN {from:Date} - {window_days:Int64} - 1 AND {to:Date} + 1 AND kind != 'passive'
                    AND device IN
                    (
                        SELECT device FROM traffic_all_v
                        WHERE project = {project:String} AND day BETWEEN {from:Date} - {window_days:Int64} - 1 AND {to:Date} + 1 AND user_id IN
                            (SELECT user_id FROM events_v WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND event = {event:String})
                    )
                GROUP BY device, session
            )
            WHERE arrayExists(x -> x.2, v)
        )
        GROUP BY user
    ) AS v ON c.user_id = v.user
)
ARRAY JOIN shares AS share
GROUP BY channel
ORDER BY conversions DESC, channel
