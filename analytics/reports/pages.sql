-- Pages of the period. How long one was looked at comes from the events that leave it; over a day is an error, left out and counted.
SELECT page, sum(pv) AS pv, sum(uv) AS uv, sum(entries) AS entries, sum(exits) AS exits, sum(bounces) AS bounces, sum(stays) AS stays,
    sum(stay_s) AS stay_s, if(stays = 0, 0, stay_s / stays) AS stay_per_view_s, sum(odd) AS odd
FROM
(
    SELECT label AS page, count() AS pv, uniqExact(user_id) AS uv, 0 AS entries, 0 AS exits, 0 AS bounces, 0 AS stays, 0 AS stay_s, 0 AS odd
    FROM (@source@) WHERE is_page AND fit AND day BETWEEN {from:Date} AND {to:Date}
    GROUP BY label
    UNION ALL
    SELECT if(url_path != '', toString(url_path), toString(screen_name)), 0, 0, 0, 0, 0,
        countIf(event_duration <= 86400), sumIf(event_duration, event_duration <= 86400), countIf(event_duration > 86400)
    FROM events_v
    WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND @client@ AND @filter@
        AND event IN ('$WebPageLeave', '$AppPageLeave', '$MPPageLeave')
    GROUP BY 1
    UNION ALL
    SELECT x.1, 0, 0, sum(x.2), sum(x.3), sum(x.2 * (pages = 1)), 0, 0, 0
    FROM
    (
        SELECT arrayJoin(arraySplit((x, cut) -> cut, s, arrayMap((x, at) -> session = 0 AND at > 1 AND x.1 - s[at - 1].1 > {gap_ms:Int64}, s, arrayEnumerate(s)))) AS v,
            v[1].1 AS start, arrayFilter(x -> x.2, v) AS seen, length(seen) AS pages, seen[1].4 AS first_page, seen[-1].4 AS last_page,
            arrayExists(x -> x.3, v) AS fit
        FROM
        (
            SELECT session, arraySort(x -> x.1, groupArray((ms, is_page, fit, label))) AS s
            FROM (@source@) WHERE NOT passive
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
