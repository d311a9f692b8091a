-- What one person did, the newest first, each event in its visit: the session an SDK names, else the events of a device up to a gap.
SELECT toUnixTimestamp64Milli(time) AS time_ms, event, platform, if(in_visit, toString(sipHash64(device, session, visit)), '') AS visit,
    if(in_visit, min(ms) OVER (PARTITION BY in_visit, device, session, visit), ms) AS start_ms,
    title, page, event_duration AS stay_s, app_version, ip, place, distinct_id, login_id, device, node, toString(lsn) AS lsn, idx, codes,
    presets, str, num, arr
FROM
(
    SELECT *, sum(cut) OVER (PARTITION BY in_visit, device, session ORDER BY ms, lsn, idx ROWS UNBOUNDED PRECEDING) AS visit
    FROM
    (
        SELECT *, session = 0 AND ms - lagInFrame(ms, 1, ms) OVER (PARTITION BY in_visit, device, session ORDER BY ms, lsn, idx) > {gap_ms:Int64} AS cut
        FROM
        (
            SELECT time, toUnixTimestamp64Milli(time) AS ms, event, toString(lib) AS platform, @client@ AND event != '$AppStartPassively' AS in_visit,
                device, @session@ AS session, title, multiIf(url_path != '', url_path, screen_name) AS page, event_duration, app_version, ip,
                concat(province, if(city IN ('', province), '', concat(' ', city))) AS place, distinct_id, login_id, node, lsn, idx, codes,
                toJSONString(mapFilter((k, v) -> v NOT IN ('', '0'), map(@presets@))) AS presets,
                toJSONString(str) AS str, toJSONString(num) AS num, toJSONString(arr) AS arr
            FROM events_v
            WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND @mine@ AND @filter@
        )
    )
)
ORDER BY ms DESC, lsn DESC, idx DESC
LIMIT {limit:UInt64}
