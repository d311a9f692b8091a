//! The MySQL debug store: real nginx, real shipper, real MariaDB.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::process::Output;
use std::sync::{Arc, Mutex, Weak};

use tusk_tests::conf;
use tusk_tests::json::Json;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Plan, base64, event};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::random::Random;
use tusk_tests::sdk::Stored;
use tusk_tests::servers::mariadb::Mariadb;
use tusk_tests::{Dir, Nginx, Tusk, files, http, wait_for};

#[path = "sink_mysql/server.rs"]
mod server;

/// One server for all tests that leave it alone; it ends with the last of them.
fn shared() -> Arc<Mariadb> {
    static SERVER: Mutex<Weak<Mariadb>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let new = Arc::new(Mariadb::start());
        *server = Arc::downgrade(&new);
        new
    })
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Sends events as one list and expects 200.
#[track_caller]
fn send(address: SocketAddr, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    assert_eq!(http::post(address, "/sa?project=shop", &[], body.as_bytes()).status, 200);
}

/// The debug store's part of the ledger, once its books are closed.
fn books(tusk: &Tusk) -> Option<Json> {
    let ledger = Ledger::read(tusk)?;
    let Some(Json::List(sinks)) = ledger.0.at("/sinks") else { return None };
    let mysql = sinks.iter().find(|sink| sink.text("/name") == Some("mysql"))?;
    let closed = ledger.gaps().is_empty() && mysql.number("/waiting") == Some("0");
    closed.then(|| mysql.clone())
}

fn sum(books: &Json, name: &str) -> u64 {
    books.number(&format!("/sums/{name}")).and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// Waits until the debug store has passed so many kept events, and gives its books.
#[track_caller]
fn passed(tusk: &Tusk, kept: u64) -> Json {
    let start = std::time::Instant::now();
    loop {
        let there = books(tusk).filter(|b| sum(b, "kept") + sum(b, "redriven") == kept);
        if let Some(books) = there {
            return books;
        }
        if start.elapsed().as_secs() > 60 {
            panic!(
                "waited 60 s for {kept} events behind the debug store:\n{}{}",
                text(&tusk.command(&["ledger"])),
                text(&tusk.command(&["check"]))
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// What the daemon says of the debug store, once it says anything wrong.
#[track_caller]
fn complaint(tusk: &Tusk) -> String {
    wait_for(30, "a complaint of the debug store", || {
        let out = text(&tusk.command(&["check"]));
        let line = out.lines().find(|line| line.contains("MySQL 127.0.0.1"))?.to_owned();
        Some(line)
    })
}

#[track_caller]
fn audit(tusk: &Tusk) -> String {
    let out = tusk.command(&["ledger", "--audit"]);
    assert!(out.status.success(), "{}", text(&out));
    text(&out)
}

#[test]
fn a_row_says_what_arrived_why_it_is_wrong_and_where_it_went() {
    let server = shared();
    let dir = Dir::new("mysql-rows");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let table = "rows_events";
    let tusk = Tusk::start(&dir, &server.toml(&format!("table = \"{table}\"\n")));
    let app = r#""lib":{"$lib":"iOS","$lib_version":"4.5.6","$app_version":"6.2.0"}"#;
    let make = |request, name: &str, properties: &str| {
        event(request, 0, 0)
            .replace("\"Load\"", name)
            .replace(r#""lib":{"$lib":"load","$lib_version":"1"}"#, app)
            .replace("\"properties\":{", &format!("\"properties\":{{{properties},"))
    };
    let good = make(1, "\"PayOrder\"", r#""price":12.50,"note":"加急 🚚","big":8999999999999993"#);
    let escaped = make(2, r#""Say""#, r#""note":"a\"b\\c\u8ba2\u5355\nd'""#)
        .replace("user_2", r"\u7528\u6237\ud83d\ude00");
    let problem = make(3, "\"PayOrder\"", r#""order-id":"A1""#);
    let bad = make(4, r#""提交订单""#, r#""price":1"#);
    send(nginx.address(), &[good.clone(), escaped.clone(), problem, bad.clone()]);
    // The SDK sends it again; and somebody sends what cannot be opened at all.
    send(nginx.address(), std::slice::from_ref(&good));
    let answer = http::post(nginx.address(), "/sa?project=shop", &[], b"data=%21%21no-base64");
    assert_eq!(answer.status, 200);
    passed(&tusk, 4);
    wait_for(20, "the rejected rows", || {
        (server.count(&format!("SELECT COUNT(*) FROM {table}")) == 6).then_some(())
    });

    let row = |place: &str, columns: &str| -> Vec<String> {
        let sql = format!("SELECT {columns} FROM {table} WHERE {place}");
        let rows = server.query(&sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].clone()
    };
    let facts = "event,user,platform,sdk_version,version,project,type,result,reason,went";
    assert_eq!(
        row("idx = 0 AND event = 'PayOrder' AND NOT duplicate", facts),
        ["PayOrder", "user_1", "iOS", "4.5.6", "6.2.0", "shop", "track", "kept", "", "file, mysql"]
    );
    assert_eq!(row("event = 'Say'", "user, raw"), ["用户😀", escaped.as_str()]);
    assert_eq!(row("event = 'Say'", "JSON_VALUE(json, '$.properties.note')")[0], "a\"b\\c订单\nd'");
    let sql = "JSON_VALUE(json, '$.properties.note'), JSON_EXTRACT(json, '$.properties.big'), \
               JSON_VALUE(json, '$._server.ip'), raw, ip";
    assert_eq!(
        row("idx = 0 AND event = 'PayOrder' AND NOT duplicate", sql),
        ["加急 🚚", "8999999999999993", "127.0.0.1", good.as_str(), "127.0.0.1"]
    );
    let problem = row("result = 'problems'", "codes, reason");
    assert_eq!(problem[0], "P201");
    assert!(problem[1].starts_with("[P201] 属性名不合法"), "{}", problem[1]);
    for part in ["事件 PayOrder，属性 order-id，iOS 4.5.6，App 6.2.0", "收到 ", "请改名", "已丢弃"]
    {
        assert!(problem[1].contains(part), "{part}: {}", problem[1]);
    }
    let rejected = row("codes = 'N101'", "event, result, went, reason, raw");
    assert_eq!(rejected[..3], ["提交订单", "rejected", "quarantine"]);
    assert!(rejected[3].contains("请改成英文名") && rejected[3].contains("隔离区"), "{rejected:?}");
    assert_eq!(rejected[4], bad);
    let resend = row("duplicate", "result, codes, reason");
    assert_eq!(resend[1], "D001");
    assert!(resend[2].contains("重复上报"), "{resend:?}");
    let unopened = row("codes LIKE 'E1%'", "event, result, json, raw");
    assert_eq!(unopened[..3], ["", "rejected", "NULL"]);
    assert!(unopened[3].contains("no-base64"), "the request itself: {unopened:?}");

    // Times: both on the wall clock of the zone, and near now.
    let ages = row(
        "event = 'Say'",
        "ABS(TIMESTAMPDIFF(SECOND, received, NOW())) < 600, ABS(TIMESTAMPDIFF(SECOND, time, received)) < 600",
    );
    assert_eq!(ages, ["1", "1"], "{:?}", row("event = 'Say'", "received, time, NOW()"));

    the_pages_questions_are_answered(&server, table);
    audit(&tusk);
    tusk.stop();
}

/// The statements of docs/mysql.md run as they stand there.
fn the_pages_questions_are_answered(server: &Mariadb, table: &str) {
    let page = std::fs::read_to_string(tusk_tests::root().join("docs/mysql.md")).unwrap();
    let blocks: Vec<String> = page
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().replace("tusk_events", table))
        .collect();
    assert_eq!(blocks.len(), 3);
    let first = server.query(&blocks[0]);
    assert!(
        first.iter().any(|row| row[0] == "P201" && row[6].contains("属性名不合法")),
        "{first:?}"
    );
    let second = server.query(&blocks[1]);
    assert_eq!(second.len(), 2, "the event and its resend: {second:?}");
    assert_eq!(second[0][3], "12.50");
    let third = wait_for(20, "the file sink's position", || {
        let rows = server.query(&blocks[2]);
        let here = |sink: &str| {
            rows.iter().filter(|row| row[5] == sink).all(|row| row[6] == "yes")
                && rows.iter().any(|row| row[5] == sink)
        };
        (here("file") && here("mysql")).then_some(rows)
    });
    assert_eq!(third.len(), 4, "two rows, two targets each: {third:?}");
}

#[test]
fn kills_of_both_ends_leave_every_event_once() {
    let mut server = Mariadb::start();
    let dir = Dir::new("mysql-kills");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = server.toml("range_bytes_max = 65536\ntimeout_ms = 2000\n");
    let mut tusk = Some(Tusk::start(&dir, &toml));
    let seed = 20_260_202;
    let load = Load::start(nginx.address(), Plan { connections: 4, rate: 300, seed });
    let mut random = Random::new(seed);
    load.wait_accepted(50);
    for round in 0..14 {
        match random.below(4) {
            0 => {
                server.kill();
                std::thread::sleep(std::time::Duration::from_millis(random.below(300)));
                server.restart();
            }
            1 => {
                server.pause();
                std::thread::sleep(std::time::Duration::from_millis(random.below(2500)));
                server.cont();
            }
            _ => {
                tusk.take().unwrap().kill();
                tusk = Some(Tusk::spawn(&dir, &toml));
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(random.below(700)));
        if round % 5 == 4 {
            server.wait_ready();
            load.wait_accepted(20);
        }
    }
    server.wait_ready();
    load.wait_accepted(50);
    let log = load.finish();
    let mut tusk = tusk.unwrap();
    tusk.ready(&dir);
    nginx.quit();
    let ledger =
        wait_for(60, "the file sink to hold all", || Ledger::read(&tusk).filter(Ledger::settled));
    let books = passed(&tusk, ledger.count("/kept"));
    assert_eq!(sum(&books, "delivered"), ledger.count("/kept"));
    let rows = server.query("SELECT json FROM tusk_events");
    let stored: Vec<Stored> = rows.iter().map(|row| Stored::parse(&row[0])).collect();
    let verdict = Verdict::of(&log, &stored, Refusal::NotStored);
    println!(
        "mysql: {} events, lost={} twice={} gap={}",
        verdict.accepted, verdict.lost, verdict.twice, verdict.gap
    );
    assert!(verdict.is_clean() && verdict.accepted > 100, "{}", verdict.report);
    audit(&tusk);
    // What is taken away is found missing, what was never sent surplus.
    server.query("DELETE FROM tusk_events ORDER BY lsn, idx LIMIT 3");
    server.query("INSERT INTO tusk_events SELECT node, lsn + 1, idx, received, time, project, type, event, user, platform, sdk_version, version, ip, result, codes, reason, duplicate, went, json, raw FROM tusk_events ORDER BY lsn DESC, idx DESC LIMIT 1");
    let out = tusk.command(&["ledger", "--audit", "--json"]);
    assert!(!out.status.success());
    let said = Json::parse(text(&out).trim()).unwrap();
    let Some(Json::List(audits)) = said.at("/audit") else { panic!("{}", text(&out)) };
    let mysql = audits.iter().find(|audit| audit.text("/sink") == Some("mysql")).unwrap();
    let count = |list: &str| match mysql.at(list) {
        Some(Json::List(runs)) => {
            runs.iter().map(|run| run.number("/count").unwrap().parse::<u64>().unwrap()).sum()
        }
        _ => 0,
    };
    assert_eq!((count("/missing"), count("/surplus")), (3, 1), "{mysql:?}");
    tusk.stop();
}

#[test]
fn a_row_the_table_refuses_costs_one_row() {
    let server = shared();
    let dir = Dir::new("mysql-poison");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let table = "poison_events";
    let tusk = Tusk::start(&dir, &server.toml(&format!("table = \"{table}\"\n")));
    let count = |place: &str| server.count(&format!("SELECT COUNT(*) FROM {table} WHERE {place}"));
    send(nginx.address(), &[event(0, 0, 10)]);
    passed(&tusk, 1);
    server
        .query(&format!("ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK (event <> 'Poison')"));
    let mut events: Vec<String> = (0..200).map(|index| event(1, index, 10)).collect();
    events[77] = events[77].replace("\"Load\"", "\"Poison\"");
    // Around the edge's limit of 32, where the database's own parser ends too.
    for depth in 28..=40 {
        let deep =
            format!("\"properties\":{{\"deep\":{}1{},", "[".repeat(depth), "]".repeat(depth));
        events[100 + depth] = events[100 + depth].replace("\"properties\":{", &deep);
    }
    send(nginx.address(), &events);
    wait_for(20, "200 rows", || (count("TRUE") == 200).then_some(()));
    let rejected = count("result = 'rejected'");
    assert_eq!((rejected, count("codes LIKE '%J002%'")), (10, 10));
    // The deepest that the edge keeps is one too deep for the database: kept all the same, in `raw`.
    let bare = server.query(&format!(
        "SELECT idx, result FROM {table} WHERE json IS NULL AND raw LIKE '%[[[[1]]]]%' ORDER BY idx"
    ));
    assert_eq!((bare.len(), &bare[0][..]), (11, &["130".into(), "problems".into()][..]));
    let books = passed(&tusk, 191);
    assert_eq!((sum(&books, "delivered"), sum(&books, "refused")), (190, 1));
    wait_for(20, "all in the files", || (files::lines(&tusk.files()).len() == 191).then_some(()));
    let shown = text(&tusk.command(&["quarantine", "show", "--code", "refused:mysql"]));
    assert!(shown.contains("no_poison") && shown.contains("4025"), "{shown}");

    // The table takes it now: it goes to this sink alone.
    server.query(&format!("ALTER TABLE {table} DROP CONSTRAINT no_poison"));
    let out = tusk.command(&["quarantine", "redrive", "--code", "refused:mysql"]);
    assert!(out.status.success(), "{}", text(&out));
    wait_for(20, "the row", || (count("event = 'Poison' AND idx = 77") == 1).then_some(()));
    let books = passed(&tusk, 192);
    assert_eq!((sum(&books, "redriven"), sum(&books, "delivered")), (1, 191));
    assert_eq!(files::lines(&tusk.files()).len(), 191);
    tusk.stop();
}

#[test]
fn what_comes_out_of_quarantine_is_no_longer_rejected() {
    let server = shared();
    let dir = Dir::new("mysql-redrive");
    let tokens = |name: &str, token: &str| {
        let path =
            dir.write(name, format!("[[project]]\nname = \"shop\"\ntokens = [\"{token}\"]\n"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        path.display().to_string()
    };
    let (edge, new) = (tokens("edge.toml", "old"), tokens("new.toml", "new"));
    let conf = conf::Conf {
        location: format!("tusk_project shop; tusk_tokens {edge};"),
        ..conf::Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let toml = server.toml("table = \"redrive_events\"\n");
    let tusk = Tusk::start(&dir, &format!("tokens_file = \"{new}\"\n{toml}"));
    let list = format!("[{},{}]", event(1, 0, 10), event(1, 1, 10));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    let target = "/sa?project=shop&token=new";
    assert_eq!(http::post(nginx.address(), target, &[], body.as_bytes()).status, 200);
    let rows = |result: &str| {
        server.query(&format!(
            "SELECT lsn, idx, codes, went, reason FROM redrive_events WHERE result = '{result}' ORDER BY idx"
        ))
    };
    let rejected = wait_for(20, "two rejected rows", || {
        let known = server.count(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'redrive_events'",
        );
        (known == 1).then(|| rows("rejected")).filter(|rows| rows.len() == 2)
    });
    assert!(rejected.iter().all(|row| row[2] == "A002" && row[3] == "quarantine"), "{rejected:?}");
    let out = tusk.command(&["quarantine", "redrive", "--code", "A002"]);
    assert!(out.status.success(), "{}", text(&out));
    let kept = wait_for(20, "two kept rows", || Some(rows("kept")).filter(|rows| rows.len() == 2));
    for (now, before) in kept.iter().zip(&rejected) {
        assert_eq!(now[..2], before[..2], "the identity stays");
        assert_eq!(now[2..], ["", "file, mysql", ""]);
    }
    assert!(rows("rejected").is_empty());
    audit(&tusk);
    tusk.stop();
}

#[test]
fn old_rows_go_and_a_sample_is_always_of_the_same_users() {
    let server = shared();
    let dir = Dir::new("mysql-sample");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let table = "sample_events";
    let toml = server.toml(&format!(
        "table = \"{table}\"\nsample = 0.25\nkeep_hours = 2\ndelete_rows_max = 300\n"
    ));
    let tusk = Tusk::start(&dir, &toml);
    let users = 400;
    for round in 0..2u32 {
        let mut events: Vec<String> = (0..users).map(|user| event(user, round, 10)).collect();
        // A problem of a user who is left out otherwise, and of one who is not.
        events
            .push(event(1000, round, 10).replace("\"properties\":{", "\"properties\":{\"a-b\":1,"));
        events.push(event(1001, round, 10).replace("\"Load\"", "\"1 bad\""));
        send(nginx.address(), &events);
    }
    let kept = 2 * (users + 1);
    let books = passed(&tusk, kept);
    let (delivered, out) = (sum(&books, "delivered"), sum(&books, "sampled_out"));
    assert_eq!(delivered + out, kept);
    assert!((120..300).contains(&delivered), "a quarter of {kept}: {delivered}");
    wait_for(20, "the rejected rows", || {
        (server.count(&format!("SELECT COUNT(*) FROM {table} WHERE result = 'rejected'")) == 2)
            .then_some(())
    });
    let rows = server
        .query(&format!("SELECT result, COUNT(*) FROM {table} GROUP BY result ORDER BY result"));
    assert_eq!(rows[1..], [["problems", "2"], ["rejected", "2"]]);
    let halves = server.count(&format!(
        "SELECT COUNT(*) FROM (SELECT user FROM {table} WHERE result = 'kept' GROUP BY user HAVING COUNT(*) <> 2) x"
    ));
    assert_eq!(halves, 0, "a user is stored whole or not at all");
    audit(&tusk);
    let shown = text(&tusk.command(&["ledger"]));
    assert!(shown.contains(&out.to_string()), "{shown}");

    // Rows of another time: more than one statement's worth.
    let now = server.count(&format!("SELECT COUNT(*) FROM {table}"));
    server.query(&format!(
        "INSERT INTO {table} SELECT 'old-00000001', seq, 0, NOW() - INTERVAL 3 HOUR, NULL, '', '', '', '', '', '', '', '', 'kept', '', '', 0, '', NULL, '' FROM seq_1_to_1000"
    ));
    tusk.stop();
    let tusk = Tusk::start(&dir, &toml);
    wait_for(30, "the old rows to go", || {
        (server.count(&format!("SELECT COUNT(*) FROM {table}")) == now).then_some(())
    });
    audit(&tusk);
    tusk.stop();
}
