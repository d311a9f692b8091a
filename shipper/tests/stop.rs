//! A stop with a sink that hangs in a call to its target, and a sink that stopped by itself.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, event, wait_for};
use shipper::engine::Engine;
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn a_sink_that_hangs_does_not_hold_a_stop_and_the_next_start_goes_on() {
    // Takes connections and says nothing, as a frozen server does.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut line = Line::new();
    let mysql = &mut line.config.sink.mysql;
    mysql.enabled = true;
    mysql.required = false;
    mysql.port = mute.local_addr().unwrap().port();
    mysql.connect_timeout_ms = 60_000;
    mysql.range_age_ms_max = 100;
    let mut producer = line.producer();
    let engine = line.start();
    for n in 0..20 {
        producer.push(&event("hang", n));
    }
    wait_for("the files", || line.lines().len() == 20);
    mute.set_nonblocking(true).unwrap();
    let mut call = None;
    wait_for("the call", || {
        call = mute.accept().ok();
        call.is_some()
    });
    let asked = Instant::now();
    let report = engine.stop(Duration::from_millis(500));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(report.ring_drained && !report.sinks_drained, "{report:?}");
    let warnings = engine.take_warnings();
    assert!(warnings.iter().any(|w| w.starts_with("mysql: did not come back")), "{warnings:?}");
    drop(engine);
    // As long as the call is out the folder is not another's.
    let again = Engine::start(line.config.clone()).map(|_| "started");
    let error = again.unwrap_err().to_string();
    assert!(error.contains("in use by another tusk"), "{error}");
    drop((mute, call));
    line.config.sink.mysql.enabled = false;
    wait_for("the folder", || Engine::start(line.config.clone()).is_ok());
    assert_eq!(line.lines().len(), 20);
}

#[test]
fn a_sink_that_stopped_says_so_and_goes_on_when_a_person_looked() {
    let line = Line::with(|config| config.sink.file.range_bytes_max = 64 << 10);
    let mut producer = line.producer();
    let engine = line.start();
    for n in 0..500 {
        producer.push(&event("first", n));
    }
    wait_for("the files", || line.lines().len() == 500);
    // A file of this node that overlaps what comes next: somebody restored an older state.
    let last = line.files().pop().unwrap();
    let name = last.file_name().unwrap().to_string_lossy().into_owned();
    let to = name.rsplit('-').next().unwrap().split('.').next().unwrap();
    let intruder = last.with_file_name(name.replace(&format!("-{to}."), "-00000000ffffffff."));
    std::fs::write(&intruder, "").unwrap();
    engine.stop(Duration::from_secs(10));
    drop(engine);
    let engine = line.start();
    producer.push(&event("next", 0));
    let file = |engine: &Engine| {
        engine.status().sinks.into_iter().find(|sink| sink.name == "file").unwrap()
    };
    wait_for("the stop", || file(&engine).state == "stopped");
    let status = engine.status();
    assert!(!status.ready, "a required sink is stopped");
    let problem = status.problems.iter().find(|p| p.starts_with("sink file stopped: ")).unwrap();
    assert!(problem.contains("overlaps") && problem.contains("systemctl reload"), "{problem}");
    assert!(!status.problems.iter().any(|p| p.contains("died")), "{:?}", status.problems);

    // Not mended: it stops again for the same reason.
    assert_eq!(engine.resume(), ["file"]);
    wait_for("the try", || engine.status().sinks.iter().any(|s| s.name == "file"));
    std::fs::remove_file(&intruder).unwrap();
    wait_for("the next line", || {
        engine.resume();
        std::thread::sleep(Duration::from_millis(50));
        line.lines().len() == 501
    });
    wait_for("ready", || engine.status().ready && engine.status().problems.is_empty());
    assert_eq!(engine.ledger().gaps, Vec::<String>::new());
    line.assert_identities_unique();
}
