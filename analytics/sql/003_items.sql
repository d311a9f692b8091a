-- Items and details: operations as they came; items_v has what they make.
CREATE TABLE IF NOT EXISTS {db}.items{local}{on_cluster}
(
    project   LowCardinality(String),
    op        LowCardinality(String),
    item_type LowCardinality(String),
    item_id   String CODEC(ZSTD(1)),
    time      DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1)),
    recv_time DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1)),
    node      LowCardinality(String),
    lsn       UInt64 CODEC(Delta, ZSTD(1)),
    idx       UInt32 CODEC(ZSTD(1)),
    dup_key   UInt64 CODEC(ZSTD(1)),
    track_id  Int64 CODEC(ZSTD(1)),
    lib       LowCardinality(String),
    codes     Array(LowCardinality(String)),
    str       Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    num       Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    arr       Map(LowCardinality(String), Array(String)) CODEC(ZSTD(1)),
    INDEX by_lsn lsn TYPE minmax GRANULARITY 1
)
ENGINE = {engine Replacing recv_time}
ORDER BY (project, item_type, item_id, time, dup_key)
SETTINGS {windows};

{distributed items sipHash64(item_id)};

-- item_set overwrites the properties it names, item_delete removes the item.
CREATE VIEW IF NOT EXISTS {db}.items_v{on_cluster} AS
SELECT project, item_type, item_id,
    arrayFold((m, o) -> mapUpdate(m, o.2), arraySort(o -> o.1, groupArray((at, s))), CAST(map(), 'Map(String, String)')) AS str,
    arrayFold((m, o) -> mapUpdate(m, o.2), arraySort(o -> o.1, groupArray((at, n))), CAST(map(), 'Map(String, Float64)')) AS num,
    arrayFold((m, o) -> mapUpdate(m, o.2), arraySort(o -> o.1, groupArray((at, a))), CAST(map(), 'Map(String, Array(String))')) AS arr,
    max(at.1) AS updated_at
FROM
(
    SELECT project, item_type, item_id, op, (time, lsn, idx) AS at,
        CAST(str, 'Map(String, String)') AS s, CAST(num, 'Map(String, Float64)') AS n, CAST(arr, 'Map(String, Array(String))') AS a,
        maxIf((time, lsn, idx), endsWith(op, '_delete')) OVER (PARTITION BY project, item_type, item_id) AS gone_at
    FROM {db}.items FINAL
)
WHERE NOT endsWith(op, '_delete') AND at > gone_at
GROUP BY project, item_type, item_id;

-- Copies of what was rejected, for the page that says why; quarantine is its home. Written where `rejected_too` is set.
CREATE TABLE IF NOT EXISTS {db}.bad_events{local}{on_cluster}
(
    project     LowCardinality(String),
    reason      LowCardinality(String),
    codes       Array(LowCardinality(String)),
    field       String,
    detail      String,
    event       LowCardinality(String),
    lib         LowCardinality(String),
    lib_version LowCardinality(String),
    app_version LowCardinality(String),
    distinct_id String,
    recv_time   DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1)),
    node        LowCardinality(String),
    lsn         UInt64 CODEC(Delta, ZSTD(1)),
    idx         UInt32,
    ip          String,
    user_agent  String CODEC(ZSTD(3)),
    raw         String CODEC(ZSTD(3))
)
ENGINE = {engine Replacing recv_time}
PARTITION BY toYYYYMMDD(recv_time)
ORDER BY (project, reason, recv_time, node, lsn, idx)
SETTINGS {windows};

{distributed bad_events lsn};
