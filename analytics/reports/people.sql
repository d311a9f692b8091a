-- People with events in the period (or, looked for by an id, of all times), the latest first.
SELECT toString(p.user_id) AS user, known_as, first_time, last_time, events, days, platform, app_version, place@columns@
FROM
(
    SELECT user_id, argMax(if(login_id != '', login_id, distinct_id), (login_id != '', time)) AS known_as,
        toString(min(time)) AS first_time, toString(max(time)) AS last_time, sum(n) AS events, uniqExactIf(day, n = 1) AS days,
        argMaxIf(lib, time, @client@ AND lib != '') AS platform, argMaxIf(app_version, time, app_version != '') AS app_version,
        argMaxIf(concat(province, if(city IN ('', province), '', concat(' ', city))), time, province != '') AS place
    FROM
    (
        SELECT user_id, 1 AS n, time, day, toString(login_id) AS login_id, distinct_id, toString(lib) AS lib, toString(lib_method) AS lib_method,
            toString(app_version) AS app_version, toString(province) AS province, toString(city) AS city
        FROM events_v
        WHERE project = {project:String} AND @period@ AND @filter@@profiles@
    )
    GROUP BY user_id
    ORDER BY @order@ DESC, user_id
    LIMIT {limit:UInt64}
) AS p@profile@
ORDER BY p.@order@ DESC, p.user_id
