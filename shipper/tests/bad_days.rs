//! Bad days: a target that is gone, a journal at its cap, kills at random, resends, two ring generations.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, event, tracked, wait_for};
use shipper::disk::double::Rng;
use shipper::engine::Engine;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn a_target_that_is_gone_fills_journal_then_ring_and_nothing_is_lost() {
    let line = Line::with(|config| {
        config.journal.segment_bytes = 64 << 10;
        config.journal.bytes_max = 512 << 10;
        config.sink.file.root = Some(config.data.join("target/files"));
    });
    // A file where a folder must be: every try fails until somebody removes it.
    std::fs::write(line.dir.join("target"), "in the way").unwrap();
    let mut producer = line.producer();
    let engine = line.start();
    let mut pushed = 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let next = event("held", pushed);
        if producer.0.push(&next.meta, &[&next.payload]).is_ok() {
            pushed += 1;
        } else if engine.status().journal.at_cap {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{:?}", engine.status().journal);
    }
    // The flag and the reason behind it are two writes.
    wait_for("the edge to hear of it", || !engine.status().ready);
    let status = engine.status();
    assert!(status.journal.bytes <= 512 << 10, "{}", status.journal.bytes);
    wait_for("the ring's alarm", || engine.status().ring.alarm_percent == 95);
    assert!(status.problems.iter().any(|p| p.contains("cap")), "{:?}", status.problems);
    assert!(status.problems.iter().any(|p| p.starts_with("sink file is retrying")));
    // What the journal took last becomes durable a moment later.
    let alarm = "journal: over 80 % of its cap of 512 KiB is held by sink file;";
    wait_for("the journal's alarm", || {
        engine.status().problems.iter().any(|p| p.starts_with(alarm))
    });
    let file = || engine.status().sinks.into_iter().find(|sink| sink.name == "file").unwrap();
    // The age of what waits is told with the next try.
    wait_for("the lag in all its units", || {
        let file = file();
        file.lag_events > 1000 && file.lag_bytes > 256 << 10 && file.lag_ms > 0
    });
    let file = file();
    let mut metrics = String::new();
    engine.metrics(&mut metrics);
    let lag = metrics.lines().find(|l| l.starts_with("tusk_sink_lag_events{sink=\"file\"}"));
    let lag: u64 = lag.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(lag >= file.lag_events && metrics.contains("tusk_sink_lag_seconds{sink=\"file\"} "));
    assert!(producer.0.journal_full(), "the health answer of nginx knows");

    std::fs::remove_file(line.dir.join("target")).unwrap();
    wait_for("all lines", || line.lines().len() as u64 == pushed);
    wait_for("ready again", || engine.status().ready);
    wait_for("no problem", || engine.status().problems.is_empty());
    line.assert_identities_unique();
    assert_eq!(engine.ledger().gaps, Vec::<String>::new());
}

#[test]
fn without_a_required_sink_the_start_is_refused() {
    let line = Line::with(|config| config.sink.file.required = false);
    let error = Engine::start(line.config.clone()).unwrap_err().to_string();
    assert!(error.contains("required"), "somebody must keep events: {error}");
}

#[test]
fn resends_are_marked_across_restarts_and_kills() {
    let line = Line::new();
    let mut producer = line.producer();
    let recv = 1_795_537_800_000;
    let engine = line.start();
    producer.push(&tracked("first", 7, recv));
    producer.push(&tracked("first", 7, recv + 3000));
    producer.push(&tracked("other", 8, recv + 3000));
    wait_for("three lines", || line.lines().len() == 3);
    engine.stop(Duration::from_secs(5));
    drop(engine);
    let engine = line.start();
    producer.push(&tracked("first", 7, recv + 60_000));
    // Over an hour after the first arrival it is a new event.
    producer.push(&tracked("other", 8, recv + 3_700_000));
    wait_for("five lines", || line.lines().len() == 5);
    let marked = line
        .lines()
        .iter()
        .filter(|l| l.contains("\"duplicate\":true") && l.contains("\"codes\":[\"D001\"]"))
        .count();
    assert_eq!(marked, 2, "{:?}", line.lines());
    assert_eq!((engine.ledger().duplicates, engine.ledger().kept), (2, 5));
}

#[test]
fn a_new_ring_generation_starts_its_positions_anew() {
    let line = Line::new();
    let mut first = line.producer();
    let engine = line.start();
    for n in 0..20 {
        first.push(&event("first", n));
    }
    wait_for("the first generation", || line.lines().len() == 20);
    // A size change makes a new generation, whose positions start at 0 again.
    let options =
        shm_ring::Options { path: line.config.ring_dir(), size_bytes: 8 << 20, owner: None };
    shm_ring::prepare(&options).unwrap();
    let mut second = line.producer();
    for n in 0..20 {
        second.push(&event("second", n));
        // A worker that has not reloaded yet still writes into the old one.
        first.push(&event("old", n));
    }
    wait_for("both", || line.lines().len() == 60);
    drop(first);
    wait_for("the old file to go", || engine.status().ring.generations == 1);
    line.assert_identities_unique();
    assert_eq!(engine.status().journal.repeated_records, 0);
}

#[test]
fn a_tap_sees_what_is_durable_and_only_that() {
    let line = Line::new();
    let mut producer = line.producer();
    let engine = line.start();
    let tap = engine.tap(100);
    for n in 0..10 {
        producer.push(&event("seen", n));
    }
    for n in 0..10 {
        let event = tap.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(event.lsn < engine.status().journal.durable_lsn);
        assert_eq!((event.user.as_str(), event.project.as_str()), (&*format!("u{n}"), "shop"));
        assert_eq!((event.kind.as_str(), event.verdict), ("track", "kept"));
    }
}

const CHILD: &str = "TUSK_ENGINE_CHILD";

/// The process that is killed: an engine on the folder named by the variable. Not a test of its own.
#[test]
fn child_engine() {
    let Ok(config) = std::env::var(CHILD) else { return };
    let config = serde_json::from_str(&config).unwrap();
    let _engine = Engine::start(config).unwrap();
    loop {
        std::thread::park();
    }
}

fn child(line: &Line) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_engine", "--nocapture"])
        .env(CHILD, serde_json::to_string(&line.config).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills of the shipper's process; more with `TUSK_KILLS`.
const KILLS: u64 = 25;

#[test]
fn killed_at_random_under_load_nothing_is_lost_and_nothing_is_twice() {
    let kills = std::env::var("TUSK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let line = Line::with(|config| {
        config.journal.segment_bytes = 128 << 10;
        config.journal.bytes_max = 256 << 20;
        config.sink.file.range_age_ms_max = 100;
        config.sink.file.range_bytes_max = 64 << 10;
    });
    let mut producer = line.producer();
    let mut rng = Rng(std::process::id().into());
    let mut pushed = 0u64;
    for _ in 0..kills {
        let mut process = child(&line);
        let until = std::time::Instant::now() + Duration::from_millis(20 + rng.below(300));
        while std::time::Instant::now() < until {
            let next = event("k", pushed);
            if producer.0.push(&next.meta, &[&next.payload]).is_ok() {
                pushed += 1;
            }
            if pushed.is_multiple_of(16) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let engine = line.start();
    wait_for("the rest", || {
        engine.ledger().kept == pushed && engine.ledger().sinks.iter().all(|s| s.waiting == 0)
    });
    let ledger = engine.ledger();
    assert_eq!(ledger.gaps, Vec::<String>::new());
    assert_eq!(ledger.damaged_bytes, 0);
    engine.stop(Duration::from_secs(10));
    // The oracle is the list of what was pushed.
    let mut users = BTreeSet::new();
    let lines = line.lines();
    for text in &lines {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        users.insert(value["distinct_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(lines.len() as u64, pushed, "kills {kills}");
    assert_eq!(users.len() as u64, pushed, "each once");
    let audit = engine.audit("file").unwrap();
    assert!(audit.missing.is_empty() && audit.surplus.is_empty(), "{audit:?}");
    println!("kills={kills} events={pushed} lost=0 twice=0");
}
