//! Life around the ring: full and free again, reload, upgrade, killed workers; health and metrics.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use shm_ring::Consumer;
use tusk_tests::conf::Conf;
use tusk_tests::http::{self, Connection, escape};
use tusk_tests::json::Json;
use tusk_tests::load::{Load, Log, Outcome, Plan, base64};
use tusk_tests::ring::{self, Drain, Request};
use tusk_tests::{Dir, Nginx, Signal, is_alive, signal, wait_for};

const PAGES: &str = "location = /metrics { tusk_metrics; } location = /health { tusk_health; }";

fn event(name: &str, bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1700000000000,"properties":{{"p":"{padding}"}}}}"#
    )
}

fn form(json: &str) -> String {
    format!("data={}", escape(base64(json.as_bytes()).as_bytes()))
}

/// A metric's value.
#[track_caller]
fn metric(address: SocketAddr, name: &str) -> u64 {
    let text = http::get(address, "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

/// Compares the client's log with what a reader found: nothing answered 200 is missing, nothing is there twice, nothing
/// that was refused is there.
#[track_caller]
fn nothing_lost(log: &Log, found: &[Request]) {
    let mut stored: HashMap<u64, u32> = HashMap::new();
    for json in found.iter().flat_map(|request| &request.events) {
        let request =
            Json::parse(json).unwrap().number("/properties/request").unwrap().parse().unwrap();
        *stored.entry(request).or_default() += 1;
    }
    for (request, sent) in log {
        let here = stored.remove(request).unwrap_or_default();
        let good = match sent.outcome {
            Outcome::Accepted => here == sent.events,
            Outcome::Unanswered => here == 0 || here == sent.events,
            Outcome::Refused(_) | Outcome::Unsent => here == 0,
        };
        assert!(good, "request {request}: {sent:?}, {here} stored");
    }
    assert!(stored.is_empty(), "stored and never sent: {stored:?}");
}

fn accepted(log: &Log) -> usize {
    log.values().filter(|sent| sent.outcome == Outcome::Accepted).count()
}

const PLAN: Plan = Plan { connections: 6, rate: 600, seed: 7 };

#[test]
fn a_full_ring_answers_503_with_retry_after_and_recovers() {
    let dir = Dir::new("ring-full");
    let conf = Conf { server: PAGES.into(), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let address = nginx.address();
    let mut connection = Connection::open(address).unwrap();
    let body = form(&event("Full", 3_000_000)).into_bytes();
    let mut taken = 0;
    let refused = loop {
        let answer = connection.request("POST", "/sa", &[("Origin", "https://a")], &body).unwrap();
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 30, "64 MiB do not hold 30 times 3 MB");
    };
    assert!(taken >= 15, "{taken}");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://a"));
    assert_ne!(refused.header("connection"), Some("close"));
    assert_eq!(metric(address, "tusk_edge_full_total"), 1);
    let used = metric(address, "tusk_edge_ring_used_bytes");
    assert!(used > 60 << 20 && used <= metric(address, "tusk_edge_ring_capacity_bytes"), "{used}");
    // Requests that hold nothing are answered all the same.
    assert_eq!(http::send(address, "OPTIONS", "/sa", &[], b"").status, 200);

    assert_eq!(ring::drain(&dir.ring()).len(), taken);
    assert_eq!(connection.request("POST", "/sa", &[], &body).unwrap().status, 200);
    assert_eq!(ring::drain(&dir.ring()).len(), 1);
    assert_eq!(metric(address, "tusk_edge_records_total"), taken as u64 + 1);
}

#[test]
fn health_tells_in_one_word_what_is_wrong() {
    let dir = Dir::new("health");
    let conf = Conf { server: PAGES.into(), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let health = || {
        let answer = http::get(nginx.address(), "/health");
        (answer.status, answer.text())
    };
    assert_eq!(health(), (503, "shipper\n".into()), "none has ever run");
    let mut consumer = Consumer::open(&dir.ring()).unwrap();
    consumer.heartbeat();
    assert_eq!(health(), (200, "ok\n".into()));
    consumer.set_full_hint(true);
    assert_eq!(health(), (503, "journal\n".into()));
    assert_eq!(metric(nginx.address(), "tusk_edge_journal_full"), 1);
    consumer.set_full_hint(false);
    assert_eq!(health(), (200, "ok\n".into()));
    let body = form(&event("Fill", 3_000_000));
    while http::post(nginx.address(), "/sa", &[], body.as_bytes()).status == 200 {}
    // What is left is less than one such record; small ones fill it to the last.
    let body = form(&event("Fill", 200_000));
    while http::post(nginx.address(), "/sa", &[], body.as_bytes()).status == 200 {}
    consumer.heartbeat();
    assert_eq!(health(), (503, "full\n".into()));
    let _ = ring::take(&mut consumer);
    consumer.heartbeat();
    assert_eq!(health(), (200, "ok\n".into()));
}

#[test]
fn metrics_have_help_type_and_stable_names() {
    let dir = Dir::new("metrics");
    let conf = Conf { server: PAGES.into(), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    http::post(nginx.address(), "/sa", &[], form(&event("Good", 1)).as_bytes());
    http::post(nginx.address(), "/sa", &[], form("{}").as_bytes());
    http::post(nginx.address(), "/sa", &[("Dry-Run", "true")], form(&event("Dry", 1)).as_bytes());
    let answer = http::get(nginx.address(), "/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for (name, value) in [
        ("tusk_edge_ring_up", "1"),
        ("tusk_edge_requests_total", "3"),
        ("tusk_edge_records_total", "2"),
        ("tusk_edge_kept_total", "1"),
        ("tusk_edge_rejected_total", "1"),
        ("tusk_edge_dry_runs_total", "1"),
        ("tusk_edge_full_total", "0"),
        ("tusk_edge_locked_total", "0"),
        ("tusk_edge_panics_total", "0"),
        ("tusk_edge_ack_timeouts_total", "0"),
        ("tusk_edge_shipper_heartbeat_age_seconds", "-1"),
    ] {
        assert!(text.contains(&format!("\n{name} {value}\n")), "{name} {value} in\n{text}");
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    // Every sample line has its name described once.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split([' ', '{']).next().unwrap();
        assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
    }
}

#[test]
fn reload_and_binary_upgrade_under_load_lose_nothing() {
    let dir = Dir::new("reload");
    let mut nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let drain = Drain::start(&dir.ring());
    let load = Load::start(nginx.address(), PLAN);
    for _ in 0..3 {
        load.wait_accepted(100);
        nginx.reload();
    }
    load.wait_accepted(100);
    nginx.upgrade();
    load.wait_accepted(100);
    let log = load.finish();
    let found = drain.finish();
    nothing_lost(&log, &found);
    assert!(accepted(&log) > 500);
    let refused = log.values().filter(|sent| matches!(sent.outcome, Outcome::Refused(_))).count();
    assert_eq!(refused, 0, "nothing is refused on the way");
}

#[test]
fn an_upgrade_taken_back_loses_nothing() {
    let dir = Dir::new("upgrade-back");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let drain = Drain::start(&dir.ring());
    let load = Load::start(nginx.address(), PLAN);
    load.wait_accepted(100);
    let old = nginx.master();
    let old_workers = nginx.workers();
    signal(old, Signal::USR2);
    wait_for(20, "the new master", || (nginx.master() != old).then_some(()));
    let new = nginx.master();
    wait_for(20, "the new workers", || (!nginx.workers().is_empty()).then_some(()));
    // The old workers go, the old master stays; then it makes workers again and the new master goes.
    signal(old, Signal::WINCH);
    wait_for(20, "the old workers to end", || {
        old_workers.iter().all(|id| !is_alive(*id)).then_some(())
    });
    load.wait_accepted(100);
    signal(old, Signal::HUP);
    load.wait_accepted(50);
    signal(new, Signal::QUIT);
    wait_for(20, "the new master to end", || (!is_alive(new)).then_some(()));
    load.wait_accepted(100);
    let log = load.finish();
    nothing_lost(&log, &drain.finish());
}

#[test]
fn workers_killed_under_load_lose_nothing() {
    let dir = Dir::new("kill");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let drain = Drain::start(&dir.ring());
    let load = Load::start(nginx.address(), PLAN);
    for turn in 0..10 {
        load.wait_accepted(40);
        let workers = nginx.workers();
        let victim = workers[turn % workers.len()];
        signal(victim, Signal::KILL);
        wait_for(20, "the master to replace the worker", || {
            let now = nginx.workers();
            (now.len() == 2 && !now.contains(&victim)).then_some(())
        });
    }
    load.wait_accepted(100);
    let log = load.finish();
    nothing_lost(&log, &drain.finish());
}

fn generations(ring: &Path) -> usize {
    Consumer::open(ring).unwrap().generations().len()
}

#[test]
fn another_size_takes_a_new_ring_and_the_old_one_is_read_to_its_end() {
    let dir = Dir::new("resize");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let send = |name: &str| {
        let body = form(&event(name, 1));
        assert_eq!(http::post(nginx.address(), "/sa", &[], body.as_bytes()).status, 200);
    };
    send("Before");
    assert_eq!(generations(&dir.ring()), 1);
    nginx.reload();
    send("Same");
    assert_eq!(generations(&dir.ring()), 1, "a reload without a change keeps the ring");
    let conf = Conf { ring: "size=80m".into(), ..Conf::default() };
    dir.write("nginx.conf", conf.text(&dir, nginx.address().port()));
    nginx.reload();
    send("After");
    assert_eq!(generations(&dir.ring()), 2);
    let found = ring::drain(&dir.ring());
    let names: Vec<bool> = ["Before", "Same", "After"]
        .iter()
        .zip(&found)
        .map(|(name, request)| request.events[0].contains(name))
        .collect();
    assert_eq!(names, [true, true, true]);
    assert_ne!(found[1].generation, found[2].generation);
}
