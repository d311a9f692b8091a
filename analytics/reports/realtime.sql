-- The last half hour, whole minutes and the one that runs; server events count as events, never as visitors.
SELECT user_id, event, @client@ AS client, client AND event IN ('$pageview', '$AppViewScreen', '$MPViewScreen') AS page,
    toUnixTimestamp64Milli(time) AS ms, lib, province, if(url_path != '', toString(url_path), toString(screen_name)) AS label
FROM events_v
WHERE project = {project:String}
    AND day BETWEEN toDate(fromUnixTimestamp64Milli({start_ms:Int64}, {zone:String})) AND toDate(fromUnixTimestamp64Milli({now_ms:Int64}, {zone:String}))
    AND time >= fromUnixTimestamp64Milli({start_ms:Int64}) AND time <= fromUnixTimestamp64Milli({now_ms:Int64}) AND @filter@
