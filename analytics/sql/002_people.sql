-- Who is who. An anonymous id belongs to the login that bound it first: rows of track_signup, and of events that carry both ids.
CREATE TABLE IF NOT EXISTS {db}.id_map{local}{on_cluster}
(
    project    LowCardinality(String),
    anon_id    String,
    login_id   String,
    anon_hash  UInt64 DEFAULT sipHash64(anon_id),
    login_hash UInt64 DEFAULT sipHash64(login_id),
    bound_at   DateTime64(3, '{zone}'),
    ver        Int64 DEFAULT -toUnixTimestamp64Milli(bound_at)
)
ENGINE = {engine Replacing ver}
ORDER BY (project, anon_id)
SETTINGS {windows};

{distributed id_map anon_hash};

-- The same in memory. One id may mean two people in two projects, so the key holds the project.
CREATE DICTIONARY IF NOT EXISTS {db}.id_dict{on_cluster}
(
    key UInt64,
    login_hash UInt64
)
PRIMARY KEY key
SOURCE(CLICKHOUSE({login}QUERY 'SELECT cityHash64(project, anon_hash) AS key, argMin(login_hash, bound_at) AS login_hash FROM {db}.id_map GROUP BY key'))
LAYOUT(HASHED())
LIFETIME(MIN 5 MAX 15);

-- Events with the person behind them. Reports name user_id, never id_hash. FINAL: what came twice in spite of everything counts once.
CREATE VIEW IF NOT EXISTS {db}.events_v{on_cluster} AS
SELECT *, dictGetOrDefault('{db}.id_dict', 'login_hash', cityHash64(project, id_hash), id_hash) AS user_id,
    if(anonymous_id = '', distinct_id, anonymous_id) AS device
FROM {db}.events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Profiles: one row a property an operation names, append only. The state is a replay in the order of time, whatever order they came in.
CREATE TABLE IF NOT EXISTS {db}.profile_ops{local}{on_cluster}
(
    project     LowCardinality(String),
    op          LowCardinality(String),
    key         LowCardinality(String),
    kind        Enum8('none' = 0, 'str' = 1, 'num' = 2, 'arr' = 3, 'both' = 4),
    str         String CODEC(ZSTD(1)),
    num         Float64 CODEC(ZSTD(1)),
    arr         Array(String) CODEC(ZSTD(1)),
    time        DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1)),
    recv_time   DateTime64(3, '{zone}') CODEC(Delta, ZSTD(1)),
    node        LowCardinality(String),
    lsn         UInt64 CODEC(Delta, ZSTD(1)),
    idx         UInt32 CODEC(ZSTD(1)),
    dup_key     UInt64 CODEC(ZSTD(1)),
    track_id    Int64 CODEC(ZSTD(1)),
    id_hash     UInt64 DEFAULT sipHash64(distinct_id) CODEC(ZSTD(1)),
    distinct_id String CODEC(ZSTD(1)),
    login_id    String CODEC(ZSTD(1)),
    lib         LowCardinality(String),
    codes       Array(LowCardinality(String)),
    INDEX by_lsn lsn TYPE minmax GRANULARITY 1
)
ENGINE = {engine Replacing recv_time}
ORDER BY (project, id_hash, key, time, op, dup_key)
SETTINGS {windows};

{distributed profile_ops id_hash};

CREATE VIEW IF NOT EXISTS {db}.profile_ops_v{on_cluster} AS
SELECT *, dictGetOrDefault('{db}.id_dict', 'login_hash', cityHash64(project, id_hash), id_hash) AS user_id,
    (time, lsn, idx) AS at
FROM {db}.profile_ops FINAL;

-- One row a property of a user. set: the newest after the newest unset; set_once: the oldest, where nothing was set; increment adds to
-- that; append joins; a delete ends all that was before it.
CREATE VIEW IF NOT EXISTS {db}.user_keys_v{on_cluster} AS
WITH toDateTime64(0, 3, '{zone}') AS never
SELECT project, user_id, key, max(o.time) AS updated_at, argMax(o.distinct_id, o.time) AS distinct_id,
    countIf(op = 'set' AND at > unset_at) AS sets,
    argMaxIf((toString(kind), str, num, arr), at, op = 'set' AND at > unset_at) AS set_to,
    countIf(op = 'set_once' AND at > unset_at) AS onces,
    argMinIf((toString(kind), str, num, arr), at, op = 'set_once' AND at > unset_at) AS once_to,
    countIf(op = 'increment' AND at > unset_at) AS increments,
    sumIf(num, op = 'increment' AND at > unset_at AND at > set_at) AS added,
    countIf(op = 'append' AND at > unset_at) AS appends,
    arrayDistinct(arrayFlatten(arrayMap(x -> x.2, arraySort(x -> x.1, groupArrayIf((at, arr), op = 'append' AND at > unset_at AND at > set_at))))) AS joined
FROM
(
    SELECT p.*, maxIf(at, op = 'unset') OVER w AS unset_at, maxIf(at, op = 'set') OVER w AS set_at
    FROM {db}.profile_ops_v AS p
    LEFT JOIN
    (
        SELECT project AS d_project, user_id AS d_user_id, max(at) AS gone_at
        FROM {db}.profile_ops_v WHERE op = 'delete' GROUP BY d_project, d_user_id
    ) AS d ON p.project = d.d_project AND p.user_id = d.d_user_id
    WHERE op != 'delete' AND key != '' AND (d.gone_at.1 <= never OR at > d.gone_at)
    WINDOW w AS (PARTITION BY project, user_id, key)
) AS o
GROUP BY project, user_id, key;

CREATE VIEW IF NOT EXISTS {db}.users_v{on_cluster} AS
WITH multiIf(sets > 0, set_to, onces > 0, once_to, ('none', '', 0., []::Array(String))) AS v
SELECT project, user_id, argMax(k.distinct_id, k.updated_at) AS distinct_id,
    mapFromArrays(groupArrayIf(key, v.1 IN ('str', 'both')), groupArrayIf(v.2, v.1 IN ('str', 'both'))) AS str,
    mapFromArrays(groupArrayIf(key, v.1 IN ('num', 'both') OR increments > 0), groupArrayIf(v.3 + added, v.1 IN ('num', 'both') OR increments > 0)) AS num,
    mapFromArrays(groupArrayIf(key, v.1 = 'arr' OR appends > 0), groupArrayIf(arrayDistinct(arrayConcat(v.4, joined)), v.1 = 'arr' OR appends > 0)) AS arr,
    max(k.updated_at) AS updated_at
FROM {db}.user_keys_v AS k
GROUP BY project, user_id;
