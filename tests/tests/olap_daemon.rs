//! The embedded ClickHouse under `tusk run`: started, watched, started again, ended with it; collecting never waits for it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;

use tusk_tests::http::{self, Answer, escape};
use tusk_tests::{
    Dir, Nginx, Signal, Tusk, children, conf, files, free_port, is_alive, libchdb_path, signal,
    wait_for,
};

fn toml(port: u16) -> String {
    format!("[olap]\nlisten = \"127.0.0.1:{port}\"\nlibrary = \"{}\"\n", libchdb_path().display())
}

fn ask(dir: &Dir, port: u16, sql: &str) -> Option<Answer> {
    let key = dir.read("data/olap/key");
    let target = format!("/?password={key}&query={}", escape(sql.as_bytes()));
    http::try_get(SocketAddr::from(([127, 0, 0, 1], port)), &target)
}

#[track_caller]
fn wait_up(dir: &Dir, port: u16) {
    wait_for(60, "the embedded ClickHouse", || {
        ask(dir, port, "SELECT 1").filter(|answer| answer.text() == "1\n")
    });
}

#[test]
fn it_is_started_again_and_ends_with_its_parent() {
    let dir = Dir::new("olap-daemon");
    let port = free_port();
    let tusk = Tusk::start(&dir, &toml(port));
    wait_up(&dir, port);
    let first = children(tusk.id());
    assert_eq!(first.len(), 1, "{first:?}");
    wait_for(20, "the metric", || tusk.metrics().contains("tusk_olap_up 1").then_some(()));
    signal(first[0], Signal::KILL);
    wait_for(20, "another one", || {
        (children(tusk.id()) != first && !children(tusk.id()).is_empty()).then_some(())
    });
    wait_up(&dir, port);
    wait_for(20, "the metric", || {
        let text = tusk.metrics();
        (text.contains("tusk_olap_up 1") && text.contains("tusk_olap_restarts_total 1"))
            .then_some(())
    });
    let log = dir.read("tusk.log");
    assert!(log.contains("embedded ClickHouse ended: signal: 9"), "{log}");
    // A crash of the parent: the pipe ends, and so does the child.
    let second = children(tusk.id());
    tusk.kill();
    wait_for(30, "its end", || (!is_alive(second[0])).then_some(()));
    // A stop in order, from the next start on the same folder.
    let tusk = Tusk::start(&dir, &toml(port));
    wait_up(&dir, port);
    let third = children(tusk.id());
    tusk.stop();
    assert!(!is_alive(third[0]));
}

#[test]
fn collecting_does_not_wait_for_it() {
    let dir = Dir::new("olap-first");
    // Nothing can listen there: it never comes up.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &toml(port));
    wait_for(30, "the reason", || dir.read("tusk.log").contains("cannot listen on").then_some(()));
    let event = "{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"u\",\"time\":1700000000000,\"properties\":{}}";
    let body = format!("data={}", escape(event.as_bytes()));
    assert_eq!(
        http::post(nginx.address(), "/sa?project=default", &[], body.as_bytes()).status,
        200
    );
    wait_for(20, "the event", || (files::lines(&tusk.files()).len() == 1).then_some(()));
    assert!(tusk.metrics().contains("tusk_olap_up 0"));
    // The port is free again: it comes up by itself.
    drop(taken);
    wait_up(&dir, port);
    tusk.stop();
}

#[test]
fn events_are_in_it_once_though_it_is_killed() {
    let dir = Dir::new("olap-events");
    let port = free_port();
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &(toml(port) + "[sink.clickhouse]\nrange_age_ms_max = 100\n"));
    let send = |user: usize| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let event = format!(
            "{{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"u{user}\",\"time\":{},\"properties\":{{\"price\":{user}}}}}",
            now.as_millis()
        );
        let body = format!("data={}", escape(event.as_bytes()));
        assert_eq!(
            http::post(nginx.address(), "/sa?project=default", &[], body.as_bytes()).status,
            200
        );
    };
    let (rounds, each) = (5, 200);
    for round in 0..rounds {
        (0..each).for_each(|number| send(round * each + number));
        if let Some(olap) = children(tusk.id()).first() {
            signal(*olap, Signal::KILL);
        }
    }
    let all = (rounds * each).to_string();
    let sql = "SELECT count(), uniqExact(distinct_id) FROM tusk.events";
    wait_for(60, "all events", || {
        let text = ask(&dir, port, sql)?.text();
        (text == format!("{all}\t{all}\n")).then_some(())
    });
    tusk.stop();
}

#[test]
fn where_the_library_is_missing_one_line_says_so() {
    let dir = Dir::new("olap-none");
    let tusk = Tusk::start(&dir, "[olap]\nlibrary = \"/nowhere/libchdb.so\"\n");
    let log = dir.read("tusk.log");
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("no embedded ClickHouse")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("/nowhere/libchdb.so") && lines[0].contains("make olap"), "{log}");
    assert!(children(tusk.id()).is_empty() && !tusk.metrics().contains("tusk_olap"));
    tusk.stop();
}
