//! What the engine does silently and wrongly when it is asked naively: each point of `docs/olap.md`, "Pitfalls", has a test here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use tusk_tests::http::escape;
use tusk_tests::servers::olap::Olap;
use tusk_tests::{Dir, Process, Signal, free_port, http, wait_for};

/// Rows `(number, 8 bytes of it)` as RowBinary of (UInt64, FixedString(8)): full of NUL bytes.
fn row_binary(rows: u64) -> Vec<u8> {
    (0..rows).flat_map(|row| [row.to_le_bytes(), row.to_be_bytes()].concat()).collect()
}

const BINARY_TABLE: &str =
    "CREATE TABLE t (a UInt64, b FixedString(8)) ENGINE = MergeTree ORDER BY a";

#[test]
fn binary_data_behind_its_statement_is_not_cut_at_its_first_nul() {
    let olap = Olap::start();
    olap.query(BINARY_TABLE);
    let mut body = b"INSERT INTO t FORMAT RowBinary\n".to_vec();
    body.extend(row_binary(1_000_000));
    let answer = olap.send("", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.header("x-clickhouse-summary").unwrap().contains("\"written_rows\":\"1000000\"")
    );
    let sums = "SELECT count(), sum(a), countIf(reinterpretAsUInt64(reverse(b)) = a) FROM t";
    assert_eq!(olap.query(sums), "1000000\t499999500000\t1000000");
}

#[test]
fn an_answer_in_chunks_has_one_head_and_one_tail() {
    let olap = Olap::start();
    // Three chunks of the engine.
    let query = "SELECT number, toString(number) AS text FROM numbers(150000) ORDER BY number";
    let formats = [
        "TSV",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "JSONLines",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
        "LineAsString",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "TSVWithNames",
        "TSVWithNamesAndTypes",
        "CSVWithNames",
        "CSVWithNamesAndTypes",
        "JSON",
        "JSONCompact",
        "JSONColumns",
        "JSONObjectEachRow",
        "JSONCompactEachRowWithNames",
        "XML",
        "Values",
        "SQLInsert",
        "Markdown",
        "Vertical",
        "Pretty",
        "CustomSeparated",
        "MsgPack",
        "Avro",
        "BSONEachRow",
        "Prometheus",
    ];
    for format in formats {
        let query = match format {
            "LineAsString" => {
                query.replace("number, toString(number) AS text", "toString(number) AS text")
            }
            "Prometheus" => "SELECT 'a' AS name, number AS value FROM numbers(150000)".to_owned(),
            _ => query.to_owned(),
        };
        let whole = format!(
            "&output_format_write_statistics=0&default_format={format}&wait_end_of_query=1"
        );
        let chunks = whole.replace("&wait_end_of_query=1", "");
        let (whole, chunks) = (olap.send(&whole, &query), olap.send(&chunks, &query));
        assert_eq!((whole.status, chunks.status), (200, 200), "{format}: {}", whole.text());
        assert!(!whole.body.is_empty() && whole.body.len() == chunks.body.len(), "{format}");
        // Avro has a random mark in each document.
        assert!(format == "Avro" || whole.body == chunks.body, "{format}");
        assert_eq!(chunks.header("x-clickhouse-format"), Some(format));
    }
    // Blocks of these may lie elsewhere: what was written is what is read.
    olap.query("CREATE TABLE t (number UInt64, text String) ENGINE = Memory");
    for format in ["Native", "Parquet", "Arrow", "ArrowStream", "ORC"] {
        let answer = olap.send(&format!("&default_format={format}"), query);
        let stored = olap.insert(&format!("INSERT INTO t FORMAT {format}"), "", &answer.body);
        assert_eq!(stored.status, 200, "{format}: {}", stored.text());
        let sums =
            olap.query("SELECT count(), sum(number), countIf(text = toString(number)) FROM t");
        assert_eq!(sums, "150000\t11249925000\t150000", "{format}");
        olap.query("TRUNCATE TABLE t");
    }
}

#[test]
fn what_an_answer_has_once_comes_once() {
    let olap = Olap::start();
    let totals =
        "SELECT number, count() FROM numbers(150000) GROUP BY number WITH TOTALS ORDER BY number";
    let text = olap.query(totals);
    assert!(text.ends_with("149999\t1\n\n0\t150000"), "{}", &text[text.len() - 40..]);
    assert_eq!(text.lines().count(), 150_002);
    let extremes = olap.send("&extremes=1", "SELECT number FROM numbers(150000)").text();
    assert!(extremes.ends_with("149999\n\n0\n149999\n"), "{}", &extremes[extremes.len() - 40..]);
    let array = "SELECT number FROM numbers(150000) FORMAT JSONEachRow SETTINGS output_format_json_array_of_rows = 1";
    let text = olap.query(array);
    assert_eq!(text.matches('[').count(), 1);
    // An empty answer still has the head by which clients know its columns.
    let empty = olap.send("&default_format=RowBinaryWithNamesAndTypes", "SELECT 1 AS a WHERE 0");
    assert_eq!(empty.body, b"\x01\x01a\x05UInt8");
    assert_eq!(olap.query("SELECT 1 WHERE 0"), "");
}

#[test]
fn statements_that_cannot_be_streamed_are_answered() {
    let olap = Olap::start();
    olap.query(BINARY_TABLE);
    assert!(olap.query("SHOW TABLES").contains('t'));
    assert!(olap.query("DESCRIBE TABLE t").starts_with("a\tUInt64"));
    assert!(olap.query("EXPLAIN SELECT 1").contains("ReadFrom"));
    assert_eq!(olap.query("EXISTS TABLE t"), "1");
    assert_eq!(olap.query("(SELECT 1)"), "1");
    assert_eq!(olap.query("WITH 1 AS a SELECT a"), "1");
    assert!(olap.query("SHOW CREATE TABLE t").contains("MergeTree"));
    assert_eq!(olap.query("CHECK TABLE t SETTINGS check_query_single_value_result = 1"), "1");
}

#[test]
fn signal_handlers_stay_the_systems() {
    let mut olap = Olap::start();
    olap.query("SELECT 1");
    let status = fs::read_to_string(format!("/proc/{}/status", olap.process().id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    // ILL, TRAP, ABRT, BUS, FPE, SYS, TSTP. SEGV and BUS are Rust's own, which only words stack overflows and then lets die.
    for signal in [4, 5, 6, 8, 20, 31] {
        assert_eq!(caught >> (signal - 1) & 1, 0, "signal {signal} is caught: {caught:x}");
    }
    // A sent one is not repeated as a real one is: Rust's handler puts the system's back, and the next one ends the process.
    let status = wait_for(10, "the end by SIGSEGV", || {
        olap.process().signal(Signal::SEGV);
        olap.process().ended()
    });
    assert_eq!(status.signal(), Some(11), "{status}");
}

/// A statement that runs until it is killed.
const ENDLESS: &str =
    "SELECT sum(sipHash64(number, 1)) FROM numbers_mt(1000000000000) SETTINGS max_threads = 1";

fn running(olap: &Olap, part: &str) -> String {
    olap.query(&format!(
        "SELECT count() FROM system.processes WHERE query LIKE '%{part}%' AND query NOT LIKE '%system.processes%'"
    ))
}

#[test]
fn kill_sync_ends() {
    let olap = Olap::start();
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| olap.send("", ENDLESS));
        wait_for(20, "the statement to run", || (running(&olap, "sipHash64") == "1").then_some(()));
        let start = Instant::now();
        olap.query("KILL QUERY WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%KILL%' AND query NOT LIKE '%processes%' SYNC");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        let answer = killed.join().unwrap();
        assert_eq!(answer.header("x-clickhouse-exception-code"), Some("394"), "{}", answer.text());
    });
}

#[test]
fn an_insert_is_stored_when_it_is_answered() {
    let olap = Olap::start();
    assert_eq!(olap.query("SELECT value FROM system.settings WHERE name = 'async_insert'"), "0");
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for count in 1..=20 {
        assert_eq!(olap.insert("INSERT INTO t FORMAT TSV", "", format!("{count}\n")).status, 200);
        assert_eq!(olap.query("SELECT count() FROM t"), count.to_string());
    }
}

#[test]
fn an_insert_of_millions_is_stored_whole_or_not_at_all() {
    let olap = Olap::start();
    olap.query(BINARY_TABLE);
    let mut data = row_binary(2_000_000);
    data.truncate(data.len() - 3);
    let answer = olap.insert("INSERT INTO t FORMAT RowBinary", "", &data);
    assert_ne!(answer.status, 200);
    assert_eq!(olap.query("SELECT count() FROM t"), "0");
    assert_eq!(
        olap.insert("INSERT INTO t FORMAT RowBinary", "", row_binary(2_000_000)).status,
        200
    );
    let parts = "SELECT count(), sum(rows) FROM system.parts WHERE table = 't' AND active";
    assert_eq!(olap.query(parts), "1\t2000000");
}

#[test]
fn a_resent_insert_counts_once_in_table_and_view_and_nobody_can_change_that() {
    let mut olap = Olap::start();
    for sql in [
        "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100",
        "CREATE TABLE sums (k UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 100",
        "CREATE MATERIALIZED VIEW v TO sums AS SELECT 1 AS k, count() AS n FROM t GROUP BY k",
    ] {
        olap.query(sql);
    }
    let insert = |olap: &Olap, parameters: &str, statement: &str| {
        olap.insert(statement, &format!("&insert_deduplication_token=x{parameters}"), "1\n2\n3\n")
    };
    let statement = "INSERT INTO t FORMAT TSV";
    assert_eq!(insert(&olap, "", statement).status, 200);
    let setting = "deduplicate_blocks_in_dependent_materialized_views";
    // The same value may be named, another one is refused wherever it stands.
    assert_eq!(insert(&olap, &format!("&{setting}=1"), statement).status, 200);
    for answer in [
        insert(&olap, &format!("&{setting}=0"), statement),
        insert(&olap, "", &format!("INSERT INTO t SETTINGS {setting} = 0 FORMAT TSV")),
    ] {
        assert_eq!(answer.header("x-clickhouse-exception-code"), Some("452"), "{}", answer.text());
    }
    olap.kill();
    olap.restart();
    assert_eq!(insert(&olap, "", statement).status, 200);
    assert_eq!(olap.query("SELECT count() FROM t"), "3");
    assert_eq!(olap.query("SELECT sum(n) FROM sums"), "3");
}

#[test]
fn a_token_whose_part_never_came_is_no_duplicate() {
    let mut olap = Olap::start();
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100");
    let insert = |olap: &Olap, token: &str| {
        let parameters = format!("&insert_deduplication_token={token}");
        assert_eq!(olap.insert("INSERT INTO t FORMAT TSV", &parameters, "1\n2\n3\n").status, 200);
    };
    insert(&olap, "first");
    insert(&olap, "second");
    olap.kill();
    // What a kill between the engine's two steps leaves: the token is written down, the part is not in place.
    let parts = olap.data().join("engine/data/default/t");
    fs::remove_dir_all(parts.join("all_2_2_0")).unwrap();
    olap.restart();
    insert(&olap, "first");
    insert(&olap, "second");
    assert_eq!(olap.query("SELECT count() FROM t"), "6");
    insert(&olap, "second");
    assert_eq!(olap.query("SELECT count() FROM t"), "6");
}

#[test]
fn equal_data_without_a_token_is_stored_twice() {
    let olap = Olap::start();
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for _ in 0..2 {
        assert_eq!(olap.insert("INSERT INTO t FORMAT TSV", "", "1\n").status, 200);
    }
    assert_eq!(olap.query("SELECT count() FROM t"), "2");
}

#[test]
fn sql_reaches_no_file_no_program_and_no_address() {
    let olap = Olap::start();
    let dir = Dir::new("olap-secret");
    let secret = dir.write("secret.txt", "s3cret\tvalue\n");
    let secret = secret.display();
    let out = dir.join("out");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let dictionary = |source: &str| {
        format!(
            "CREATE DICTIONARY d (a String, b String) PRIMARY KEY a SOURCE({source}) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
        )
    };
    olap.query("CREATE TABLE t (a String, b String) ENGINE = MergeTree ORDER BY a");
    let statements = [
        format!("SELECT file('{secret}')"),
        format!("SELECT `\\x66ile`('{secret}')"),
        format!("SELECT * FROM file('{secret}', 'TSV', 'a String, b String')"),
        format!("SELECT * FROM url('http://{address}/', 'TSV', 'a String')"),
        format!("SELECT * FROM s3('http://{address}/bucket/x.csv', 'CSV', 'a String')"),
        format!("SELECT * FROM remote('{address}', 'system.one')"),
        format!("SELECT * FROM sqlite('{}', 't')", dir.join("x.db").display()),
        format!("SELECT * FROM executable('cat {secret}', 'TSV', 'a String, b String')"),
        format!(
            "SELECT * FROM eval('SELECT file(\\'{secret}\\')') SETTINGS allow_experimental_eval_table_function = 1"
        ),
        format!("CREATE TABLE f (a String, b String) ENGINE = File(TSV, '{secret}')"),
        format!("CREATE TABLE f (a String, b String) ENGINE = URL('http://{address}/', TSV)"),
        format!("CREATE DATABASE f ENGINE = Filesystem('{}')", dir.path().display()),
        format!("CREATE DATABASE f ENGINE = SQLite('{}')", dir.join("y.db").display()),
        format!(
            "CREATE TABLE f (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '{}/')",
            dir.join("disk").display()
        ),
        format!(
            "CREATE TABLE f (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web, endpoint = 'http://{address}/')"
        ),
        format!("INSERT INTO FUNCTION file('{}', 'TSV', 'a String') SELECT 'x'", out.display()),
        format!("INSERT INTO FUNCTION file('{}', 'TSV', 'a String') VALUES ('x')", out.display()),
        format!(
            "INSERT INTO TABLE FUNCTION file('{}', 'TSV', 'a String') FORMAT TSV\nx\n",
            out.display()
        ),
        format!("SELECT 1 INTO OUTFILE '{}'", out.display()),
        format!("INSERT INTO t FROM INFILE '{secret}' FORMAT TSV"),
        format!(
            "INSERT INTO t SETTINGS log_comment = ‘ ' ’ FROM INFILE '{secret}' FORMAT TSV -- '"
        ),
        format!("BACKUP TABLE t TO File('{}')", out.display()),
        dictionary(&format!("EXECUTABLE(command 'cat {secret}' format 'TSV')")),
        dictionary(&format!("FILE(path '{secret}' format 'TSV')")),
        dictionary(&format!("HTTP(url 'http://{address}/' format 'TSV')")),
        format!("SELECT 1 FORMAT Template SETTINGS format_template_row = '{secret}'"),
        "CREATE USER u".to_owned(),
        "GRANT ALL ON *.* TO default".to_owned(),
        "SYSTEM RELOAD CONFIG".to_owned(),
    ];
    for sql in &statements {
        let answer = olap.send("", sql);
        let text = answer.text();
        assert!(answer.status >= 400, "{sql}: {text}");
        assert!(!text.contains("s3cret"), "{sql}: {text}");
    }
    // Text that becomes a query later gets past every parser: here the kernel says no.
    for source in [
        format!("CLICKHOUSE(QUERY 'SELECT 1 AS a, file(''{secret}'') AS b')"),
        format!(
            "CLICKHOUSE(HOST '127.0.0.1' PORT {} QUERY 'SELECT 1 AS a, 2 AS b')",
            address.port()
        ),
    ] {
        assert_eq!(olap.send("", dictionary(&source)).status, 200);
        let answer = olap.send("", "SELECT * FROM d");
        assert!(answer.status >= 400 && !answer.text().contains("s3cret"), "{}", answer.text());
        olap.query("DROP DICTIONARY d");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was written");
    assert!(listener.accept().is_err(), "somebody connected");
    assert_eq!(olap.query("SELECT count() FROM t"), "0");
}

#[test]
fn shutdown_by_sql_is_refused() {
    let olap = Olap::start();
    for sql in ["SYSTEM SHUTDOWN", "SYSTEM KILL", "/* x */ system shutdown"] {
        let answer = olap.send("", sql);
        assert_eq!(answer.status, 403, "{sql}: {}", answer.text());
    }
    assert_eq!(olap.query("SELECT 1"), "1");
}

#[test]
fn a_key_is_needed_by_default() {
    let olap = Olap::start();
    let file = olap.data().join("key");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |target: &str, headers: &[(&str, &str)]| {
        let answer = http::send(olap.address(), "POST", target, headers, b"SELECT 1");
        (answer.status, answer.text())
    };
    let key = olap.key();
    let (status, text) = ask("/", &[]);
    assert!(
        status == 401 && text.contains("X-ClickHouse-Key") && text.contains("REQUIRED_PASSWORD"),
        "{text}"
    );
    assert_eq!(ask("/", &[("X-ClickHouse-Key", "wrong")]).0, 403);
    assert_eq!(ask("/", &[("X-ClickHouse-Key", &key[1..])]).0, 403);
    assert_eq!(ask("/", &[("X-ClickHouse-User", "admin"), ("X-ClickHouse-Key", &key)]).0, 403);
    assert_eq!(ask("/", &[("X-ClickHouse-Key", &key)]), (200, "1\n".to_owned()));
    assert_eq!(ask("/", &[("X-ClickHouse-User", "default"), ("X-ClickHouse-Key", &key)]).0, 200);
    assert_eq!(ask(&format!("/?user=default&password={key}"), &[]).0, 200);
    let basic = |user: &str| {
        use base64::Engine;
        let code = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{key}"));
        ask("/", &[("Authorization", &format!("Basic {code}"))]).0
    };
    assert_eq!((basic("default"), basic("admin")), (200, 403));
    assert_eq!(http::get(olap.address(), "/ping").text(), "Ok.\n");
}

#[test]
fn a_relative_data_folder_works_with_fsync() {
    let dir = Dir::new("olap-relative");
    let port = free_port();
    let mut command = Command::new(tusk_tests::olap_path());
    command.current_dir(dir.path()).args(["--data", "here", "--fsync", "true", "--library"]);
    command.arg(tusk_tests::libchdb_path()).args(["--listen", &format!("127.0.0.1:{port}")]);
    let _process = Process::start(&mut command, &dir.join("log"));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    wait_for(30, "it to answer", || http::try_get(address, "/ping"));
    let key = dir.read("here/key");
    for sql in ["CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a", "INSERT INTO t VALUES (1)"]
    {
        let target = format!("/?password={key}&query={}", escape(sql.as_bytes()));
        let answer = http::post(address, &target, &[], b"");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }
    assert!(dir.join("here/engine/data/default/t").exists());
}

#[test]
fn settings_of_one_request_reach_no_other() {
    let olap = Olap::start();
    assert_eq!(
        olap.send("&max_block_size=17", "SELECT getSetting('max_block_size')").text(),
        "17\n"
    );
    olap.send("", "SET max_block_size = 17");
    olap.send("", "USE system");
    assert_ne!(olap.query("SELECT getSetting('max_block_size')"), "17");
    assert_eq!(olap.query("SELECT currentDatabase()"), "default");
}
