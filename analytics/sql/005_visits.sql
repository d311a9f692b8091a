-- What visits are made of: each client event as time, device and kind, and of a page what a visit that begins with it is told apart by;
-- a fifth of its bytes, in the order visits are cut in. A copy of events: what comes twice merges away, late events find their place, and
-- filling it again changes nothing. session is the SDK's own; the one Tusk gave on arrival (`<epoch>-…`) knew nothing of what came later,
-- so such events are cut by the gap, in the order of time.
CREATE TABLE IF NOT EXISTS {db}.traffic{local}{on_cluster}
(
    project         LowCardinality(String),
    day             Date,
    device          UInt64 CODEC(ZSTD(1)),
    session         UInt64 CODEC(ZSTD(1)),
    time            DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1)),
    kind            Enum8('other' = 0, 'page' = 1, 'passive' = 2),
    id_hash         UInt64 CODEC(ZSTD(1)),
    page            LowCardinality(String),
    lib             LowCardinality(String),
    os              LowCardinality(String),
    os_version      LowCardinality(String),
    browser         LowCardinality(String),
    browser_version LowCardinality(String),
    manufacturer    LowCardinality(String),
    brand           LowCardinality(String),
    model           LowCardinality(String),
    app_version     LowCardinality(String),
    network_type    LowCardinality(String),
    carrier         LowCardinality(String),
    country         LowCardinality(String),
    province        LowCardinality(String),
    city            LowCardinality(String),
    referrer_host   LowCardinality(String),
    traffic_source  LowCardinality(String),
    utm_source      LowCardinality(String),
    utm_medium      LowCardinality(String),
    utm_campaign    LowCardinality(String),
    utm_content     LowCardinality(String),
    utm_term        LowCardinality(String),
    scene           LowCardinality(String),
    node            LowCardinality(String),
    dup_key         UInt64 CODEC(ZSTD(1)),
    recv_time       DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1))
)
ENGINE = {engine Replacing recv_time}
PARTITION BY day
ORDER BY (project, device, session, time, dup_key)
SETTINGS {windows};

{distributed traffic device};

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.traffic_mv{on_cluster} TO {db}.traffic{local} AS
SELECT project, day, sipHash64(if(anonymous_id = '', distinct_id, anonymous_id)) AS device,
    if(session_id = '' OR startsWith(session_id, concat(splitByChar('-', node)[-1], '-')), 0, sipHash64(session_id)) AS session, time,
    multiIf(event IN ('$pageview', '$AppViewScreen', '$MPViewScreen'), 'page', event = '$AppStartPassively', 'passive', 'other') AS kind,
    id_hash,
    if(kind = 'page', if(url_path = '', screen_name, url_path), '') AS page, if(kind = 'page', e.lib, '') AS lib, if(kind = 'page', e.os, '') AS os,
    if(kind = 'page', e.os_version, '') AS os_version, if(kind = 'page', e.browser, '') AS browser,
    if(kind = 'page', e.browser_version, '') AS browser_version, if(kind = 'page', e.manufacturer, '') AS manufacturer,
    if(kind = 'page', e.brand, '') AS brand, if(kind = 'page', e.model, '') AS model, if(kind = 'page', e.app_version, '') AS app_version,
    if(kind = 'page', e.network_type, '') AS network_type, if(kind = 'page', e.carrier, '') AS carrier, if(kind = 'page', e.country, '') AS country,
    if(kind = 'page', e.province, '') AS province, if(kind = 'page', e.city, '') AS city, if(kind = 'page', e.referrer_host, '') AS referrer_host,
    if(kind = 'page', e.traffic_source, '') AS traffic_source, if(kind = 'page', e.utm_source, '') AS utm_source,
    if(kind = 'page', e.utm_medium, '') AS utm_medium, if(kind = 'page', e.utm_campaign, '') AS utm_campaign,
    if(kind = 'page', e.utm_content, '') AS utm_content, if(kind = 'page', e.utm_term, '') AS utm_term, if(kind = 'page', e.scene, '') AS scene,
    node, dup_key, recv_time
FROM {db}.events{local} AS e
WHERE lower(e.lib) NOT IN ('java', 'python', 'golang', 'node', 'php', 'dotnet', 'ruby') AND lib_method != 'tools';

-- The first client event of an id, over all history: who is new. A late one makes it earlier.
CREATE TABLE IF NOT EXISTS {db}.first_seen{local}{on_cluster}
(
    project LowCardinality(String),
    id_hash UInt64,
    day     SimpleAggregateFunction(min, Date),
    time    SimpleAggregateFunction(min, DateTime64(3, '{zone}'))
)
ENGINE = {engine Aggregating}
ORDER BY (project, id_hash)
SETTINGS {windows};

{distributed first_seen id_hash};

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.first_seen_mv{on_cluster} TO {db}.first_seen{local} AS
SELECT project, id_hash, min(day) AS day, min(time) AS time
FROM {db}.events{local}
WHERE lower(lib) NOT IN ('java', 'python', 'golang', 'node', 'php', 'dotnet', 'ruby') AND lib_method != 'tools'
GROUP BY project, id_hash;

CREATE VIEW IF NOT EXISTS {db}.traffic_v{on_cluster} AS
SELECT *, dictGetOrDefault('{db}.id_dict', 'login_hash', cityHash64(project, id_hash), id_hash) AS user_id,
    toUnixTimestamp64Milli(time) AS ms
FROM {db}.traffic FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The same where it does not matter whether a row is there twice: who was here on which day.
CREATE VIEW IF NOT EXISTS {db}.traffic_all_v{on_cluster} AS
SELECT *, dictGetOrDefault('{db}.id_dict', 'login_hash', cityHash64(project, id_hash), id_hash) AS user_id FROM {db}.traffic;

CREATE VIEW IF NOT EXISTS {db}.first_seen_v{on_cluster} AS
SELECT project, dictGetOrDefault('{db}.id_dict', 'login_hash', cityHash64(project, id_hash), id_hash) AS user_id,
    min(f.day) AS day, min(f.time) AS time
FROM {db}.first_seen AS f
GROUP BY project, user_id;

-- What came before these tables were there; again for a day after a crash that may have lost rows of a view ({and}).
INSERT INTO {db}.traffic{local}
    (project, day, device, session, time, kind, id_hash,
    page, lib, os, os_version, browser, browser_version, manufacturer, brand, model, app_version, network_type, carrier, country, province, city, referrer_host, traffic_source, utm_source, utm_medium, utm_campaign, utm_content, utm_term, scene,
    node, dup_key, recv_time)
SELECT project, day, sipHash64(if(anonymous_id = '', distinct_id, anonymous_id)) AS device,
    if(session_id = '' OR startsWith(session_id, concat(splitByChar('-', node)[-1], '-')), 0, sipHash64(session_id)) AS session, time,
    multiIf(event IN ('$pageview', '$AppViewScreen', '$MPViewScreen'), 'page', event = '$AppStartPassively', 'passive', 'other') AS kind,
    id_hash,
    if(kind = 'page', if(url_path = '', screen_name, url_path), '') AS page, if(kind = 'page', e.lib, '') AS lib, if(kind = 'page', e.os, '') AS os,
    if(kind = 'page', e.os_version, '') AS os_version, if(kind = 'page', e.browser, '') AS browser,
    if(kind = 'page', e.browser_version, '') AS browser_version, if(kind = 'page', e.manufacturer, '') AS manufacturer,
    if(kind = 'page', e.brand, '') AS brand, if(kind = 'page', e.model, '') AS model, if(kind = 'page', e.app_version, '') AS app_version,
    if(kind = 'page', e.network_type, '') AS network_type, if(kind = 'page', e.carrier, '') AS carrier, if(kind = 'page', e.country, '') AS country,
    if(kind = 'page', e.province, '') AS province, if(kind = 'page', e.city, '') AS city, if(kind = 'page', e.referrer_host, '') AS referrer_host,
    if(kind = 'page', e.traffic_source, '') AS traffic_source, if(kind = 'page', e.utm_source, '') AS utm_source,
    if(kind = 'page', e.utm_medium, '') AS utm_medium, if(kind = 'page', e.utm_campaign, '') AS utm_campaign,
    if(kind = 'page', e.utm_content, '') AS utm_content, if(kind = 'page', e.utm_term, '') AS utm_term, if(kind = 'page', e.scene, '') AS scene,
    node, dup_key, recv_time
FROM {db}.events{local} AS e
WHERE lower(e.lib) NOT IN ('java', 'python', 'golang', 'node', 'php', 'dotnet', 'ruby') AND lib_method != 'tools'{and}
SETTINGS max_partitions_per_insert_block = 0;

INSERT INTO {db}.first_seen{local} (project, id_hash, day, time)
SELECT project, id_hash, min(day), min(time)
FROM {db}.events{local}
WHERE lower(lib) NOT IN ('java', 'python', 'golang', 'node', 'php', 'dotnet', 'ruby') AND lib_method != 'tools'{and}
GROUP BY project, id_hash;
