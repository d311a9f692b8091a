-- Who began in a unit, who came back in a later one. Units that are not over have no cell; the unit of the start always has.
-- within: came back at least once in the units from the first after the start to this one.
SELECT toString(@unit_start@) AS start, later, people, back, back / people AS rate,
    sum(if(later = 0, 0, first)) OVER (PARTITION BY began ORDER BY later ROWS UNBOUNDED PRECEDING) AS within, within / people AS within_rate
FROM
(
    SELECT began, later, count() AS back, countIf(later = arrayMin(arrayFilter(n -> n > 0, hits))) AS first
    FROM
    (
        SELECT began, arrayFilter(n -> has(r.units, began + n), range(0, {span:UInt64} + 1)) AS hits
        FROM (@starters@) AS s
        INNER JOIN (@returners@) AS r USING (user_id)
    )
    ARRAY JOIN hits AS later
    GROUP BY began, later
) AS b
RIGHT JOIN
(
    SELECT began, later, people
    FROM (SELECT began, count() AS people FROM (@starters@) GROUP BY began)
    ARRAY JOIN range(0, {span:UInt64} + 1) AS later
    WHERE later = 0 OR began + later < @today@
) AS p USING (began, later)
ORDER BY start, later
