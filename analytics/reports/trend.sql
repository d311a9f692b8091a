SELECT toString(b.bucket) AS bucket, u.pv AS pv, u.uv AS uv, u.active AS active, v.visits AS visits, v.sessions AS sessions, v.bounces AS bounces,
    if(v.visits = 0, 0, v.bounces / v.visits) AS bounce_rate,
    v.single_event AS single_event, if(v.sessions = 0, 0, v.single_event / v.sessions) AS single_event_rate,
    v.duration_ms AS duration_ms,
    if(v.visits = 0, 0, v.duration_ms / 1000 / v.visits) AS duration_per_visit_s,
    if(u.uv = 0, 0, v.duration_ms / 1000 / u.uv) AS duration_per_user_s,
    if(v.visits = 0, 0, u.pv / v.visits) AS depth,
    u.new_users AS new_users, u.old_users AS old_users
FROM (@buckets@) AS b
LEFT JOIN (@users@) AS u ON b.bucket = u.bucket
LEFT JOIN (@visits@) AS v ON b.bucket = v.bucket
ORDER BY bucket
