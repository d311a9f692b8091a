-- Who began in a unit, who came back in a later one. Units that are not over have no cell; the unit of the start always has.
SELECT toString(@unit_start@) AS start, later, people, back, back / people AS rate
FROM
(
    SELECT began, later, uniqExact(user_id) AS back
    FROM (@starters@) AS s
    INNER JOIN (@returners@) AS r USING (user_id)
    ARRAY JOIN arrayFilter(n -> has(r.units, began + n), range(0, {span:UInt64} + 1)) AS later
    GROUP BY began, later
) AS b
RIGHT JOIN
(
    SELECT began, later, people
    FROM (SELECT began, uniqExact(user_id) AS people FROM (@starters@) GROUP BY began)
    ARRAY JOIN range(0, {span:UInt64} + 1) AS later
    WHERE later = 0 OR began + later < @today@
) AS p USING (began, later)
ORDER BY start, later
