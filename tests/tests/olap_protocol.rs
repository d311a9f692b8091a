//! ClickHouse's HTTP interface as `tusk-olap` serves it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tusk_tests::http::{self, Answer, Connection, escape, message};
use tusk_tests::servers::olap::Olap;
use tusk_tests::{Signal, wait_for};

fn get(olap: &Olap, parameters: &str, sql: &str) -> Answer {
    let query = escape(sql.as_bytes());
    http::get(olap.address(), &format!("/?password={}{parameters}&query={query}", olap.key()))
}

fn code(answer: &Answer) -> &str {
    answer.header("x-clickhouse-exception-code").unwrap_or("none")
}

#[test]
fn get_reads_and_post_writes() {
    let olap = Olap::start();
    assert_eq!(http::get(olap.address(), "/").text(), "Ok.\n");
    assert_eq!(get(&olap, "", "SELECT 1").text(), "1\n");
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT 1",
        "DROP TABLE t",
        "CREATE TABLE u (a Int8) ENGINE = Memory",
    ] {
        // As a server: 164, which has no status of its own.
        let answer = get(&olap, "", sql);
        assert_eq!((answer.status, code(&answer)), (500, "164"), "{sql}: {}", answer.text());
    }
    // Settings may be changed for a read.
    assert_eq!(
        get(&olap, "&max_block_size=7", "SELECT getSetting('max_block_size')").text(),
        "7\n"
    );
    assert_eq!(code(&olap.send("&readonly=1", "INSERT INTO t VALUES (1)")), "164");
    assert_eq!(olap.query("SELECT count() FROM t"), "0");
    assert_eq!(http::send(olap.address(), "PUT", "/?query=SELECT+1", &[], b"").status, 405);
    assert_eq!(http::get(olap.address(), "/play").status, 404);
}

#[test]
fn a_query_may_begin_in_the_url_and_go_on_in_the_body() {
    let olap = Olap::start();
    assert_eq!(olap.send("&query=SELECT", "1 + 1").text(), "2\n");
    assert_eq!(olap.send("&query=SELECT+3", "").text(), "3\n");
    olap.query("CREATE TABLE t (a UInt64, b String) ENGINE = Memory");
    for (statement, data) in [
        ("INSERT INTO t VALUES", "(1, 'x'), (2, 'y')"),
        ("INSERT INTO t", "VALUES (3, 'z')"),
        ("INSERT INTO t FORMAT CSV", "4,\"w\"\n"),
        ("INSERT INTO t (b, a) FORMAT JSONEachRow", "{\"a\":5,\"b\":\"v\"}"),
        ("INSERT INTO t VALUES (6, 'u')", ""),
        ("INSERT INTO t SELECT 7, 't'", ""),
        ("", "INSERT INTO t FORMAT TSV\n8\ts\n"),
        ("", "INSERT INTO t VALUES (9, 'r');"),
    ] {
        let answer = olap.insert(statement, "", data);
        assert_eq!(answer.status, 200, "{statement} {data}: {}", answer.text());
    }
    let rows = olap
        .query("SELECT arrayStringConcat(arraySort(groupArray(concat(toString(a), b)))) FROM t");
    assert_eq!(rows, "1x2y3z4w5v6u7t8s9r");
    // An upload of one byte a piece.
    let target = format!("/?password={}&query={}", olap.key(), escape(b"INSERT INTO t FORMAT CSV"));
    let mut connection = Connection::open(olap.address()).unwrap();
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.write(head.as_bytes()).unwrap();
    for byte in "10,q\n".bytes() {
        connection.write(format!("1\r\n{}\r\n", char::from(byte)).as_bytes()).unwrap();
    }
    connection.write(b"0\r\n\r\n").unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200);
    assert_eq!(olap.query("SELECT b FROM t WHERE a = 10"), "q");
}

#[test]
fn parameters_settings_database_and_format() {
    let olap = Olap::start();
    let answer = olap.send("&param_a=7&param_b=x%27y", "SELECT {a:UInt8} + 1, {b:String}");
    assert_eq!(answer.text(), "8\tx\\'y\n");
    assert_eq!(code(&olap.send("", "SELECT {a:UInt8}")), "456");
    let form = "--X\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:String}\r\n--X\r\n\
        Content-Disposition: form-data; name=\"param_a\"\r\n\r\n多\r\n--X--\r\n";
    let kind =
        [("Content-Type", "multipart/form-data; boundary=X"), ("X-ClickHouse-Key", &*olap.key())];
    let answer = http::post(olap.address(), "/", &kind, form.as_bytes());
    assert_eq!((answer.status, answer.text()), (200, "多\n".to_owned()));
    let file = form.replace("name=\"param_a\"", "name=\"t\"; filename=\"t\"");
    assert_eq!(http::post(olap.address(), "/", &kind, file.as_bytes()).status, 501);
    let answer = olap.send("&no_such_setting=1", "SELECT 1");
    assert_eq!((answer.status, code(&answer)), (404, "115"), "{}", answer.text());
    assert_eq!(olap.send("&database=system", "SELECT currentDatabase()").text(), "system\n");
    let answer = olap.send("&database=nowhere", "SELECT 1");
    assert_eq!((answer.status, code(&answer)), (404, "81"));
    let headers = [
        ("X-ClickHouse-Database", "system"),
        ("X-ClickHouse-Format", "JSONEachRow"),
        ("X-ClickHouse-Key", &*olap.key()),
    ];
    let answer = http::post(olap.address(), "/", &headers, b"SELECT currentDatabase() AS d");
    assert_eq!(answer.text(), "{\"d\":\"system\"}\n");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson; charset=UTF-8"));
    assert_eq!(answer.header("x-clickhouse-format"), Some("JSONEachRow"));
    // What the statement names counts more.
    assert_eq!(olap.send("&default_format=JSON", "SELECT 1 FORMAT CSV").text(), "1\n");
    let answer = olap.send("&query_id=mine", "SELECT 1");
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("mine"));
    assert!(answer.header("x-clickhouse-timezone").is_some());
    let answer = olap.send("&session_id=s", "SELECT 1");
    assert!(answer.status == 501 && answer.text().contains("session_id"), "{}", answer.text());
}

#[test]
fn errors_have_a_servers_code_status_and_text() {
    let olap = Olap::start();
    for (sql, status, code, name) in [
        ("SELECT", 400, 62, "SYNTAX_ERROR"),
        ("", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT * FROM nowhere", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT nothing", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT no_function(1)", 404, 46, "UNKNOWN_FUNCTION"),
        ("SELECT 1 FORMAT NoFormat", 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT toUInt8('x')", 400, 6, "CANNOT_PARSE_TEXT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        (
            "SELECT sleep(2) SETTINGS max_execution_time = 1, timeout_overflow_mode = 'throw'",
            408,
            159,
            "TIMEOUT_EXCEEDED",
        ),
        ("CREATE USER u", 403, 497, "ACCESS_DENIED"),
    ] {
        let answer = olap.send("", sql);
        let text = answer.text();
        assert_eq!(
            (answer.status, self::code(&answer)),
            (status, &*code.to_string()),
            "{sql}: {text}"
        );
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")) && text.contains(name),
            "{sql}: {text}"
        );
    }
    let long = format!("SELECT '{}'", "x".repeat(17 << 20));
    let answer = olap.send("", long);
    assert!(answer.text().contains("query_bytes_max"), "{}", answer.text());
    // The names behind the numbers are this engine's.
    let names = "SELECT arrayStringConcat(arrayMap(x -> errorCodeToName(x), [36, 44, 53, 69, 117, 376, 427, 441, 675, 676]), ' ')";
    assert_eq!(
        olap.query(names),
        "BAD_ARGUMENTS ILLEGAL_COLUMN TYPE_MISMATCH ARGUMENT_OUT_OF_BOUND INCORRECT_DATA CANNOT_PARSE_UUID \
         CANNOT_COMPILE_REGEXP CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6"
    );
}

#[test]
fn an_error_after_the_first_byte_is_marked_and_breaks_the_connection() {
    let olap = Olap::start();
    let sql = "SELECT number, throwIf(number = 300000) FROM numbers(1000000) FORMAT TSV";
    let target = format!("/?password={}", olap.key());
    let mut stream = TcpStream::connect(olap.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&message("POST", &target, &[], sql.as_bytes())).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 200"), "{}", &text[..100]);
    let (_, rest) = text.split_once("x-clickhouse-exception-tag: ").unwrap();
    let tag = &rest[..16];
    let (_, end) = text.split_once(&format!("\r\n__exception__\r\n{tag}\r\n")).unwrap();
    let (message, size) = end.split_once("(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)\n").unwrap();
    assert!(message.starts_with("Code: 395. DB::Exception: "));
    let length = message.len() + "(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)\n".len();
    assert!(size.starts_with(&format!("{length} {tag}\r\n__exception__\r\n")), "{size}");
    // No last chunk: whoever does not know the mark still sees that the answer is not whole.
    assert!(!text.ends_with("0\r\n\r\n"));
    // Asked to wait, it is an error like any other.
    let answer = olap.send("&wait_end_of_query=1", sql);
    assert_eq!((answer.status, code(&answer)), (500, "395"));
}

fn packed(encoding: &str, data: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "deflate" => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        _ => zstd::bulk::compress(data, 1).unwrap(),
    }
}

fn unpacked(encoding: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => flate2::read::GzDecoder::new(data).read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(data).read_to_end(&mut out),
        _ => zstd::stream::read::Decoder::new(data).unwrap().read_to_end(&mut out),
    }
    .unwrap();
    out
}

#[test]
fn bodies_are_packed_both_ways() {
    let olap = Olap::start();
    let key = olap.key();
    let sql = "SELECT number FROM numbers(200000)";
    let plain = olap.send("", sql).body;
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for encoding in ["gzip", "deflate", "zstd"] {
        let headers = [("X-ClickHouse-Key", &*key), ("Accept-Encoding", encoding)];
        let answer =
            http::post(olap.address(), "/?enable_http_compression=1", &headers, sql.as_bytes());
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        assert!(answer.body.len() < plain.len());
        // One stream, not one a chunk: simple readers stop at the first end.
        assert_eq!(unpacked(encoding, &answer.body), plain, "{encoding}");
        // Only where it is asked for by the setting too, as a server does.
        let answer = http::post(olap.address(), "/", &headers, sql.as_bytes());
        assert!(answer.header("content-encoding").is_none() && answer.body == plain);
        let headers = [("X-ClickHouse-Key", &*key), ("Content-Encoding", encoding)];
        let target = format!("/?query={}", escape(b"INSERT INTO t FORMAT TSV"));
        let answer = http::post(olap.address(), &target, &headers, &packed(encoding, &plain));
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        let answer = http::post(olap.address(), &target, &headers, b"this is not packed");
        assert!(answer.status >= 400, "{encoding}");
        // A body that ends too early stores nothing.
        let packed = packed(encoding, &plain);
        let answer = http::post(olap.address(), &target, &headers, &packed[..packed.len() / 2]);
        assert!(answer.status >= 400, "{encoding}");
        // An error is text.
        let headers = [("X-ClickHouse-Key", &*key), ("Accept-Encoding", encoding)];
        let answer =
            http::post(olap.address(), "/?enable_http_compression=1", &headers, b"SELECT nope");
        assert!(answer.text().starts_with("Code: 47"), "{}", answer.text());
        assert_eq!(olap.query("SELECT count(), sum(a) FROM t"), "200000\t19999900000");
        olap.query("TRUNCATE TABLE t");
    }
    // ClickHouse's own blocks: what one side packs the other reads.
    let blocks = olap.send("&compress=1", sql).body;
    assert!(blocks.len() < plain.len());
    assert_eq!(olap.insert("INSERT INTO t FORMAT TSV", "&decompress=1", &blocks).status, 200);
    assert_eq!(olap.query("SELECT count(), sum(a) FROM t"), "200000\t19999900000");
    let mut damaged = blocks.clone();
    damaged[40] ^= 1;
    let answer = olap.insert("INSERT INTO t FORMAT TSV", "&decompress=1", &damaged);
    assert!(answer.status >= 400 && answer.text().contains("checksum"), "{}", answer.text());
    let headers = [("X-ClickHouse-Key", &*key), ("Content-Encoding", "br")];
    assert!(
        http::post(olap.address(), "/", &headers, b"x")
            .text()
            .contains("gzip, deflate, zstd or lz4")
    );
    assert_eq!(olap.query("SELECT count() FROM t"), "200000");
}

const ENDLESS: &str =
    "SELECT sum(sipHash64(number, 1)) FROM numbers_mt(1000000000000) SETTINGS max_threads = 1";

fn running(olap: &Olap) -> String {
    olap.query("SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%'")
}

#[test]
fn a_client_that_leaves_takes_its_statement_with_it() {
    let olap = Olap::start();
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let target = format!("/?password={}", olap.key());
    let streamed = "SELECT number FROM numbers(1000000000000) FORMAT TSV";
    let whole = "SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) = 1 FORMAT JSON";
    let join = "SELECT count() FROM numbers(10000000) AS a, numbers(10000000) AS b SETTINGS log_comment = 'mine'";
    for sql in [ENDLESS, streamed, whole, join] {
        let mut stream = TcpStream::connect(olap.address()).unwrap();
        stream.write_all(&message("POST", &target, &[], sql.as_bytes())).unwrap();
        wait_for(20, "the statement to run", || (running(&olap) == "1").then_some(()));
        drop(stream);
        wait_for(10, "the statement to end", || (running(&olap) == "0").then_some(()));
    }
    // An upload that breaks off stores nothing and holds nothing.
    let insert = format!("{target}&query={}", escape(b"INSERT INTO t FORMAT TSV"));
    let mut stream = TcpStream::connect(olap.address()).unwrap();
    let head = format!("POST {insert} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // More than a piece: the engine has begun.
    stream.write_all("1\n".repeat(2_000_000).as_bytes()).unwrap();
    wait_for(20, "the insert to run", || (running(&olap) == "1").then_some(()));
    drop(stream);
    wait_for(10, "the insert to end", || (running(&olap) == "0").then_some(()));
    assert_eq!(olap.query("SELECT count() FROM t"), "0");
}

#[test]
fn a_client_that_stops_sending_or_reading_is_given_up() {
    let olap = Olap::start_with(&["--client_timeout_s", "1"]);
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let target = format!("/?password={}", olap.key());
    let insert = format!("{target}&query={}", escape(b"INSERT INTO t FORMAT TSV"));
    let mut connection = Connection::open(olap.address()).unwrap();
    let head = format!("POST {insert} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n1\n");
    connection.write(head.as_bytes()).unwrap();
    let answer = connection.answer(false).unwrap();
    assert!(
        answer.status == 503 && answer.text().contains("client_timeout_s"),
        "{}",
        answer.text()
    );
    let mut stream = TcpStream::connect(olap.address()).unwrap();
    let endless = b"SELECT number FROM numbers(1000000000000) FORMAT TSV";
    stream.write_all(&message("POST", &target, &[], endless)).unwrap();
    wait_for(20, "the statement to run", || (running(&olap) == "1").then_some(()));
    wait_for(20, "the statement to end", || (running(&olap) == "0").then_some(()));
    assert_eq!(olap.query("SELECT count() FROM t"), "0");
    drop(stream);
}

#[test]
fn a_statement_over_its_memory_fails_and_the_process_goes_on() {
    let mut olap = Olap::start_with(&["--memory_bytes_max", "1073741824"]);
    let id = olap.process().id();
    let own = olap.send(
        "&max_memory_usage=50000000",
        "SELECT length(groupArray(number)) FROM numbers(100000000)",
    );
    assert_eq!(code(&own), "241", "{}", own.text());
    let all = olap
        .send("&max_memory_usage=0", "SELECT length(groupArray(number)) FROM numbers(400000000)");
    assert!(code(&all) == "241" && all.text().contains("total"), "{}", all.text());
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let data: String = (0..3_000_000).map(|number| format!("{number}\n")).collect();
    let insert = olap.insert("INSERT INTO t FORMAT TSV", "&max_memory_usage=20000000", &data);
    assert_eq!(code(&insert), "241", "{}", insert.text());
    assert_eq!(olap.query("SELECT count() FROM t"), "0");
    assert_eq!(olap.insert("INSERT INTO t FORMAT TSV", "", &data).status, 200);
    assert_eq!(olap.query("SELECT count() FROM t"), "3000000");
    assert!(olap.process().ended().is_none() && olap.process().id() == id);
}

#[test]
fn statements_beyond_the_limit_wait_and_are_refused_in_time() {
    let olap = Olap::start_with(&["--queries_max", "2", "--queue_ms_max", "1500"]);
    let target = format!("/?password={}", olap.key());
    let mut streams: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(olap.address()).unwrap();
            stream.write_all(&message("POST", &target, &[], ENDLESS.as_bytes())).unwrap();
            stream
        })
        .collect();
    // Both places are taken at the latest when another one is refused.
    let refused = wait_for(20, "a refusal", || {
        Some(olap.send("", "SELECT 1")).filter(|answer| answer.status != 200)
    });
    assert_eq!((refused.status, code(&refused)), (503, "202"), "{}", refused.text());
    let start = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| olap.query("SELECT 1"));
        streams.pop();
        assert_eq!(waiting.join().unwrap(), "1");
    });
    assert!(start.elapsed() < Duration::from_millis(1_500), "{:?}", start.elapsed());
}

#[test]
fn a_second_process_on_the_folder_is_refused_in_words() {
    let mut olap = Olap::start();
    let id = olap.process().id();
    let arguments: Vec<_> = olap.command().get_args().map(ToOwned::to_owned).collect();
    let mut second = std::process::Command::new(olap.command().get_program());
    for pair in arguments.chunks(2) {
        if pair[0] != "--listen" {
            second.args(pair);
        }
    }
    let output = second.args(["--listen", "127.0.0.1:0"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&format!("in use by another tusk-olap (process {id})")), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(olap.query("SELECT 1"), "1");
}

#[test]
fn a_start_that_cannot_be_says_what_to_change() {
    let olap = Olap::start();
    let program = olap.command().get_program().to_owned();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(&program).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    let dir = tusk_tests::Dir::new("olap-start");
    let data = dir.join("data").display().to_string();
    let text = run(&["--data", &data, "--listen", "127.0.0.1:0", "--library", "/nowhere"]);
    assert!(text.contains("/nowhere") && text.contains("scripts/libchdb.sh"), "{text}");
    let text = run(&["--data", &data, "--listen", &olap.address().to_string()]);
    assert!(text.contains("cannot listen on") && text.contains("--listen"), "{text}");
    let text = run(&["--data", "/proc/nowhere", "--listen", "127.0.0.1:0"]);
    assert!(text.contains("/proc/nowhere"), "{text}");
    assert!(run(&["--dta", "x"]).contains("expected one of `data`"));
}

#[test]
fn a_stop_lets_running_statements_end() {
    let mut olap = Olap::start();
    olap.query("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let target = format!("/?password={}", olap.key());
    let mut slow = Connection::open(olap.address()).unwrap();
    let sql = "SELECT sleepEachRow(1) FROM numbers(2) FORMAT TSV";
    slow.write(&message("POST", &target, &[], sql.as_bytes())).unwrap();
    wait_for(20, "the statement to run", || (running(&olap) == "1").then_some(()));
    let idle = TcpStream::connect(olap.address()).unwrap();
    olap.process().signal(Signal::TERM);
    assert_eq!(slow.answer(false).unwrap().text(), "0\n0\n");
    assert!(olap.process().wait(20).success());
    drop(idle);
    assert!(olap.log().contains("stopped"), "{}", olap.log());
}
