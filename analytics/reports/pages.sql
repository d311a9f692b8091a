-- Pages of the period. How long one was looked at comes from the events that leave it; over a day is an error, left out and counted.
SELECT page, sum(pv) AS pv, sum(uv) AS uv, sum(entries) AS entries, sum(exits) AS exits, sum(bounces) AS bounces, sum(stays) AS stays,
    sum(stay_s) AS stay_s, if(stays = 0, 0, stay_s / stays) AS stay_per_view_s, sum(odd) AS odd
FROM
(
    SELECT if(url_path != '', toString(url_path), toString(screen_name)) AS page,
        countIf(event IN ('$pageview', '$AppViewScreen', '$MPViewScreen')) AS pv,
        uniqExactIf(user_id, event IN ('$pageview', '$AppViewScreen', '$MPViewScreen')) AS uv,
        0 AS entries, 0 AS exits, 0 AS bounces,
        countIf(event LIKE '%PageLeave' AND event_duration <= 86400) AS stays,
        sumIf(event_duration, event LIKE '%PageLeave' AND event_duration <= 86400) AS stay_s,
        countIf(event LIKE '%PageLeave' AND event_duration > 86400) AS odd
    FROM events_v
    WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND @client@ AND @filter@
        AND event IN ('$pageview', '$AppViewScreen', '$MPViewScreen', '$WebPageLeave', '$AppPageLeave', '$MPPageLeave')
    GROUP BY page
    UNION ALL
    SELECT x.1, 0, 0, sum(x.2), sum(x.3), sum(x.2 * (pages = 1)), 0, 0, 0
    FROM
    (
        SELECT arrayJoin(arraySplit((x, cut) -> cut, s, arrayMap((x, at) -> session = 0 AND at > 1 AND x.1 - s[at - 1].1 > {gap_ms:Int64}, s, arrayEnumerate(s)))) AS v,
            v[1].1 AS start, arrayFilter(x -> x.4, v) AS seen, length(seen) AS pages, seen[1].5 AS first_page, seen[-1].5 AS last_page, arrayExists(x -> x.6, v) AS fit
        FROM
        (
            SELECT session, arraySort(x -> (x.1, x.2, x.3), groupArray((ms, lsn, idx, is_page, page, fit))) AS s
            FROM
            (
                SELECT sipHash64(device) AS device, @session@ AS session, toUnixTimestamp64Milli(time) AS ms, lsn, idx,
                    event IN ('$pageview', '$AppViewScreen', '$MPViewScreen') AS is_page, (@filter@) AS fit,
                    if(is_page, if(url_path != '', toString(url_path), toString(screen_name)), '') AS page
                FROM events_v
                WHERE project = {project:String} AND day BETWEEN {from:Date} - 1 AND {to:Date} + 1 AND @client@ AND event != '$AppStartPassively'
            )
            GROUP BY device, session
        )
    )
    ARRAY JOIN [(first_page, 1, 0), (last_page, 0, 1)] AS x
    WHERE fit AND pages > 0 AND toDate(fromUnixTimestamp64Milli(start, {zone:String})) BETWEEN {from:Date} AND {to:Date}
    GROUP BY x.1
)
GROUP BY page
ORDER BY pv DESC, page
LIMIT {limit:UInt64}
