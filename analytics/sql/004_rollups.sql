-- Counts by minute and hour, made as the events come in. People are counted from events_v, never from here: an id's owner may become
-- known later. A partition is one day of one node, so that a day can be made anew without touching what others write.
CREATE TABLE IF NOT EXISTS {db}.by_minute{local}{on_cluster}
(
    project  LowCardinality(String),
    event    LowCardinality(String),
    lib      LowCardinality(String),
    minute   DateTime('{zone}'),
    day      Date,
    node     LowCardinality(String),
    events   SimpleAggregateFunction(sum, UInt64),
    problems SimpleAggregateFunction(sum, UInt64)
)
ENGINE = {engine Aggregating}
PARTITION BY (day, node)
ORDER BY (project, event, lib, minute)
SETTINGS {windows};

{distributed by_minute rand()};

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.by_minute_mv{on_cluster} TO {db}.by_minute{local} AS
SELECT project, event, lib, toStartOfMinute(toDateTime(if(has(codes, 'T003'), recv_time, time), '{zone}')) AS minute, day, node,
    count() AS events, countIf(notEmpty(codes)) AS problems
FROM {db}.events{local} {where}
GROUP BY project, event, lib, minute, day, node;

CREATE TABLE IF NOT EXISTS {db}.by_hour{local}{on_cluster}
(
    project        LowCardinality(String),
    event          LowCardinality(String),
    lib            LowCardinality(String),
    app_version    LowCardinality(String),
    province       LowCardinality(String),
    utm_source     LowCardinality(String),
    hour           DateTime('{zone}'),
    day            Date,
    node           LowCardinality(String),
    events         SimpleAggregateFunction(sum, UInt64),
    problems       SimpleAggregateFunction(sum, UInt64),
    event_duration SimpleAggregateFunction(sum, Float64)
)
ENGINE = {engine Aggregating}
PARTITION BY (day, node)
ORDER BY (project, event, hour, lib, app_version, province, utm_source)
SETTINGS {windows};

{distributed by_hour rand()};

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.by_hour_mv{on_cluster} TO {db}.by_hour{local} AS
SELECT project, event, lib, app_version, province, utm_source,
    toStartOfHour(toDateTime(if(has(codes, 'T003'), recv_time, time), '{zone}')) AS hour, day, node,
    count() AS events, countIf(notEmpty(codes)) AS problems, sum(event_duration) AS event_duration
FROM {db}.events{local} {where}
GROUP BY project, event, lib, app_version, province, utm_source, hour, day, node;
