-- People by how much of something they did. Bucket i: bound i <= number < bound i + 1.
SELECT arrayCount(bound -> number >= bound, {bounds:Array(Float64)}) AS bucket,
    if(bucket = 0, NULL, {bounds:Array(Float64)}[bucket]) AS low, if(bucket = length({bounds:Array(Float64)}), NULL, {bounds:Array(Float64)}[bucket + 1]) AS high,
    count() AS users
FROM
(
    SELECT user_id, @number@ AS number
    FROM events_v
    WHERE project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND event = {event:String} AND @filter@
    GROUP BY user_id
)
WHERE isNotNull(number)
GROUP BY bucket
ORDER BY bucket
