-- Visits that begin in the period. A session the SDK names is one visit; else events of a device belong together up to a gap.
SELECT @bucket_of_visit@ AS bucket, countIf(pages > 0) AS visits, count() AS sessions, countIf(pages = 1) AS bounces,
    countIf(events = 1) AS single_event, sumIf(end - start, pages > 0) AS duration_ms, sumIf(pages, pages > 0) AS visit_pages
FROM
(
    SELECT arrayJoin(arraySplit((x, cut) -> cut, s, arrayMap((x, at) -> session = 0 AND at > 1 AND x.1 - s[at - 1].1 > {gap_ms:Int64}, s, arrayEnumerate(s)))) AS v,
        v[1].1 AS start, v[-1].1 AS end, arrayCount(x -> x.2, v) AS pages, length(v) AS events, arrayExists(x -> x.3, v) AS fit
    FROM
    (
        SELECT session, arraySort(groupArray((ms, is_page, fit))) AS s
        FROM (@wide_source@) WHERE NOT passive
        GROUP BY device, session
    )
)
WHERE fit AND toDate(fromUnixTimestamp64Milli(start, {zone:String})) BETWEEN {from:Date} AND {to:Date}
GROUP BY bucket
