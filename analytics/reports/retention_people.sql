-- The people of a cell: who began in the unit of a day, and came back in the later one, or did not.
SELECT toString(user_id) AS user_id, known_as AS distinct_id, last_time
FROM (SELECT user_id, began FROM (@starters@) WHERE began = @unit_of_cell@) AS s
LEFT JOIN (@returners@) AS r USING (user_id)
LEFT JOIN
(
    SELECT user_id @names@, max(time) AS last_time
    FROM events_v
    WHERE project = {project:String} AND day >= {from:Date} AND user_id IN (SELECT user_id FROM (@starters@) WHERE began = @unit_of_cell@)
    GROUP BY user_id
) AS k USING (user_id)
WHERE has(r.units, began + {later:Int64}) = {came_back:UInt8}
ORDER BY last_time DESC, user_id
LIMIT {limit:UInt64}
