-- Visits of the period by what their first page has.
SELECT label, count() AS visits, sum(pages) AS pv, uniqExact(user) AS uv, countIf(pages = 1) AS bounces, bounces / visits AS bounce_rate,
    sum(end - start) AS duration_ms, duration_ms / 1000 / visits AS duration_per_visit_s
FROM
(
    SELECT arrayJoin(arraySplit((x, cut) -> cut, s, arrayMap((x, at) -> session = 0 AND at > 1 AND x.1 - s[at - 1].1 > {gap_ms:Int64}, s, arrayEnumerate(s)))) AS v,
        v[1].1 AS start, v[-1].1 AS end, v[1].3 AS user, arrayCount(x -> x.2, v) AS pages, arrayExists(x -> x.4, v) AS fit,
        arrayFirst(x -> x.2, v).5 AS label
    FROM
    (
        SELECT session, arraySort(x -> x.1, groupArray((ms, is_page, user_id, fit, label))) AS s
        FROM (@source@) WHERE NOT passive
        GROUP BY device, session
    )
)
WHERE fit AND pages > 0 AND toDate(fromUnixTimestamp64Milli(start, {zone:String})) BETWEEN {from:Date} AND {to:Date}
GROUP BY label
ORDER BY visits DESC, label
LIMIT {limit:UInt64}
