//! The ClickHouse sink with everything real: nginx, `tusk run`, and the embedded engine as the server.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "sink_clickhouse/bad_days.rs"]
mod bad_days;
#[path = "sink_clickhouse/crash.rs"]
mod crash;
#[path = "sink_clickhouse/profiles.rs"]
mod profiles;

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tusk_tests::conf;
use tusk_tests::json::Json;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::base64;
use tusk_tests::servers::olap::Olap;
use tusk_tests::{Dir, Nginx, Tusk, http, wait_for};

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Sends events as one list and expects 200.
#[track_caller]
fn send(address: SocketAddr, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    assert_eq!(http::post(address, "/sa?project=shop", &[], body.as_bytes()).status, 200);
}

/// An event of `user`; `more` follows its other members.
fn event(name: &str, user: &str, properties: &str, more: &str) -> String {
    let time = now_ms();
    format!(
        r#"{{"distinct_id":"{user}","event":"{name}","type":"track","time":{time},"lib":{{"$lib":"iOS","$lib_version":"4.5.0","$app_version":"6.2.0"}},"properties":{{{properties}}}{more}}}"#
    )
}

/// `[sink.clickhouse]` at this server, closing ranges early.
fn settings(olap: &Olap, more: &str) -> String {
    format!(
        "[sink.clickhouse]\nenabled = true\nurl = \"{}\"\npassword = \"{}\"\nmigrate_at_start = true\nrange_age_ms_max = 200\n{more}\n",
        olap.url(),
        olap.key()
    )
}

/// Waits until the ClickHouse sink has passed everything, and gives its books.
#[track_caller]
fn settled(tusk: &Tusk, kept: u64) -> Books {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(books) = Ledger::read(tusk).and_then(|ledger| books(&ledger, kept)) {
            return books;
        }
        if Instant::now() > end {
            let check = text(&tusk.command(&["check"]));
            panic!("ClickHouse has not got {kept} events within 60 s:\n{check}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn books(ledger: &Ledger, kept: u64) -> Option<Books> {
    let name = |at: &u32| ledger.0.text(&format!("/sinks/{at}/name"));
    let sink = (0..8).find(|at| name(at) == Some("clickhouse"))?;
    let sum = |name: &str| ledger.count(&format!("/sinks/{sink}/sums/{name}"));
    let waiting = ledger.count(&format!("/sinks/{sink}/waiting"));
    let done = ledger.count("/kept") == kept && waiting == 0 && ledger.gaps().is_empty();
    done.then(|| Books {
        delivered: sum("delivered"),
        deduplicated: sum("deduplicated"),
        refused: sum("refused"),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Books {
    delivered: u64,
    deduplicated: u64,
    refused: u64,
}

fn delivered(delivered: u64) -> Books {
    Books { delivered, deduplicated: 0, refused: 0 }
}

#[test]
fn events_profiles_and_items_are_rows_anybody_can_ask_for() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&olap, ""));
    let time = now_ms();
    send(
        nginx.address(),
        &[
            event(
                "Buy",
                "u1",
                r#""price":12.5,"color":"red","tags":["a","b"],"vip":true,"order":1234567890123456789"#,
                "",
            ),
            event("Buy", "u2", r#""price":"7.5","color":3,"$os":"iOS","$screen_width":"1080""#, ""),
            format!(
                r#"{{"type":"profile_set","distinct_id":"u1","time":{time},"properties":{{"city":"上海","age":30}}}}"#
            ),
            format!(
                r#"{{"type":"profile_increment","distinct_id":"u1","time":{},"properties":{{"age":1}}}}"#,
                time + 5
            ),
            format!(
                r#"{{"type":"item_set","item_type":"sku","item_id":"s1","time":{time},"properties":{{"name":"cup"}}}}"#
            ),
            format!(
                r#"{{"type":"track_signup","event":"$SignUp","distinct_id":"u1","original_id":"anon","time":{time},"properties":{{}}}}"#
            ),
        ],
    );
    assert_eq!(settled(&tusk, 6), delivered(6));
    let ask = |sql: &str| olap.query(sql);
    assert_eq!(
        ask("SELECT count(), sum(num['price']) FROM tusk.events WHERE event = 'Buy'"),
        "2\t20"
    );
    assert_eq!(
        ask(
            "SELECT str['color'], num['vip'], str['order'], arr['tags'] FROM tusk.events WHERE distinct_id = 'u1' AND event = 'Buy'"
        ),
        "red\t1\t1234567890123456789\t['a','b']"
    );
    assert_eq!(
        ask(
            "SELECT os, screen_width, codes, conflicts, str['color'] FROM tusk.events WHERE distinct_id = 'u2'"
        ),
        "iOS\t1080\t['P203']\t['price','color','$screen_width']\t3"
    );
    assert_eq!(ask("SELECT sum(events) FROM tusk.by_minute"), "3");
    assert_eq!(ask("SELECT sum(events) FROM tusk.by_hour"), "3");
    assert_eq!(
        ask("SELECT distinct_id, str, num FROM tusk.users_v"),
        "u1\t{'city':'上海'}\t{'age':31}"
    );
    assert_eq!(ask("SELECT item_id, str FROM tusk.items_v"), "s1\t{'name':'cup'}");
    assert_eq!(ask("SELECT anon_id, login_id FROM tusk.id_map"), "anon\tu1");
    audited(&tusk, 6);
    tusk.stop();
}

/// Reads the tables back: nothing is missing, nothing too much.
#[track_caller]
fn audited(tusk: &Tusk, events: u64) {
    let out = text(&tusk.command(&["ledger", "--audit", "--json"]));
    let json = Json::parse(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}"));
    let at = (0..8).find(|at| json.text(&format!("/audit/{at}/sink")) == Some("clickhouse"));
    let of = |name: &str| format!("/audit/{}/{name}", at.unwrap());
    let events = events.to_string();
    assert_eq!(json.number(&of("expected")), Some(events.as_str()), "{out}");
    assert_eq!(json.number(&of("found")), Some(events.as_str()), "{out}");
    for list in ["missing", "surplus"] {
        assert!(matches!(json.at(&of(list)), Some(Json::List(list)) if list.is_empty()), "{out}");
    }
}

#[test]
fn people_are_one_before_and_after_they_log_in() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-people");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&olap, ""));
    let bound = r#","login_id":"u9","anonymous_id":"phone""#;
    send(
        nginx.address(),
        &[
            event("$pageview", "cookie", "", ""),
            event("$SignUp", "u1", "", r#","original_id":"cookie""#)
                .replace("\"track\"", "\"track_signup\""),
            event("$pageview", "u1", "", ""),
            event("$AppStart", "phone", "", ""),
            event("$AppStart", "u9", "", bound),
            event("$AppEnd", "u9", "", bound),
            event("$pageview", "stranger", "", ""),
        ],
    );
    settled(&tusk, 7);
    assert_eq!(olap.query("SELECT count(), uniqExact(anon_id, login_id) FROM tusk.id_map"), "2\t2");
    let people =
        "SELECT uniqExact(id_hash), uniqExact(user_id), uniqExact(device) FROM tusk.events_v";
    wait_for(30, "the dictionary to know", || {
        let found = olap.query(people);
        (found == "5\t3\t4").then_some(())
    });
    tusk.stop();
}

#[test]
fn an_event_sent_late_stands_on_its_own_day() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-late");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let zone = "timezone = \"Asia/Shanghai\"\n";
    let tusk = Tusk::start(&dir, &(zone.to_owned() + &settings(&olap, "keep_days = 30")));
    let (now, day) = (now_ms(), 86_400_000);
    let at = |name: &str, time: u64| {
        format!(
            r#"{{"distinct_id":"u1","event":"{name}","type":"track","time":{time},"_flush_time":{now},"properties":{{}}}}"#
        )
    };
    send(
        nginx.address(),
        &[
            at("Yesterday", now - day),
            at("Ancient", now - 60 * day),
            at("Ahead", now + 2 * day),
            at("Now", now),
        ],
    );
    assert_eq!(settled(&tusk, 4), delivered(4));
    let ask = |name: &str| {
        olap.query(&format!(
            "SELECT day - toDate(recv_time), has(codes, 'T003'), round((toUnixTimestamp64Milli(time) - {now}) / {day}) FROM tusk.events WHERE event = '{name}'"
        ))
    };
    assert_eq!(ask("Now"), "0\t0\t0");
    assert_eq!(ask("Yesterday"), "-1\t0\t-1");
    assert_eq!(ask("Ancient"), "0\t1\t-60");
    assert_eq!(ask("Ahead"), "0\t1\t2");
    let days = "SELECT uniqExact(day), sum(events) FROM tusk.by_hour";
    assert_eq!(olap.query(days), "2\t4");
    tusk.stop();
}

#[test]
fn an_sdks_resend_is_dropped_or_kept_by_setting() {
    for (keep, rows, books) in [
        ("", "1\t0", Books { delivered: 1, deduplicated: 1, refused: 0 }),
        ("duplicates = \"keep\"", "2\t1", delivered(2)),
    ] {
        let olap = Olap::start();
        let dir = Dir::new("clickhouse-resend");
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let tusk = Tusk::start(&dir, &settings(&olap, keep));
        let once = event("Buy", "u1", "", r#","_track_id":77"#);
        send(nginx.address(), std::slice::from_ref(&once));
        send(nginx.address(), &[once]);
        assert_eq!(settled(&tusk, 2), books);
        olap.query("OPTIMIZE TABLE tusk.events FINAL");
        assert_eq!(olap.query("SELECT count(), sum(duplicate) FROM tusk.events"), rows);
        tusk.stop();
    }
}

#[test]
fn what_was_rejected_can_be_asked_for_too() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-bad");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&olap, ""));
    send(nginx.address(), &[event("1 bad", "u1", "", ""), event("Good", "u1", "", "")]);
    assert_eq!(settled(&tusk, 1), delivered(1));
    assert_eq!(
        olap.query("SELECT reason, field, distinct_id, app_version, position(raw, '1 bad') > 0 FROM tusk.bad_events"),
        "N101\t/event\tu1\t6.2.0\t1"
    );
    tusk.stop();
}

/// No cluster runs here; the engine at least reads every statement of that form.
#[test]
fn the_schema_of_a_cluster_is_understood_by_the_engine() {
    let olap = Olap::start();
    let login = Some(("tusk", "it's \\ secret"));
    let form =
        analytics::Form { database: "tusk", zone: "Asia/Shanghai", login, cluster: Some("main") };
    let all = analytics::MIGRATIONS.iter().flat_map(|migration| migration.statements(&form));
    let mut count = 0;
    for statement in analytics::prepare(&form).into_iter().chain(all) {
        let tree = olap.query(&format!("EXPLAIN AST {statement}"));
        let understood = tree.starts_with("CreateQuery") || tree.starts_with("InsertQuery");
        assert!(understood, "{statement}\n{tree}");
        count += 1;
    }
    assert!(count > 20, "only {count} statements");
}

#[test]
fn the_queries_of_the_page_run() {
    let olap = Olap::start();
    let form = analytics::Form { database: "tusk", zone: "UTC", login: None, cluster: None };
    let all = analytics::MIGRATIONS.iter().flat_map(|migration| migration.statements(&form));
    for statement in analytics::prepare(&form).into_iter().chain(all) {
        olap.query(&statement);
    }
    let page = std::fs::read_to_string(tusk_tests::root().join("docs/clickhouse.md")).unwrap();
    let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for statement in blocks.flat_map(|block| block.split(";\n")) {
        if !statement.trim().is_empty() {
            olap.query(statement.trim());
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} statements");
}
