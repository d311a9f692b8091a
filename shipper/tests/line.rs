//! The real line: a producer pushes into a real ring, the engine drains it into files.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, event, wait_for};
use std::time::Duration;

#[test]
fn what_is_pushed_arrives_in_files_once() {
    let line = Line::new();
    let mut producer = line.producer();
    let engine = line.start();
    for i in 0..500 {
        producer.push(&event(&format!("e{i}"), i));
    }
    wait_for("500 lines", || line.lines().len() == 500);
    let ledger = engine.ledger();
    assert_eq!(
        (ledger.received, ledger.kept, ledger.gaps.clone()),
        (500, 500, Vec::<String>::new())
    );
    let report = engine.stop(Duration::from_secs(10));
    assert!(report.ring_drained && report.sinks_drained);
    let audit = engine.audit("file").unwrap();
    assert_eq!((audit.expected, audit.found), (500, 500));
    assert!(audit.missing.is_empty() && audit.surplus.is_empty(), "{audit:?}");
}

#[test]
fn a_stop_delivers_what_was_pushed_before_it() {
    let line = Line::with(|config| config.sink.file.range_age_ms_max = 3_600_000);
    let mut producer = line.producer();
    let engine = line.start();
    for i in 0..100 {
        producer.push(&event("stop", i));
    }
    let report = engine.stop(Duration::from_secs(10));
    assert!(report.ring_drained && report.sinks_drained, "{report:?}");
    assert_eq!(line.lines().len(), 100);
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let line = Line::new();
    let mut producer = line.producer();
    for round in 0..5 {
        let engine = line.start();
        for i in 0..50 {
            producer.push(&event(&format!("r{round}"), i));
        }
        engine.stop(Duration::from_secs(10));
        drop(engine);
        // What is pushed while nobody drains waits in the ring.
        producer.push(&event(&format!("between{round}"), 0));
    }
    let engine = line.start();
    wait_for("all lines", || line.lines().len() == 255);
    let ledger = engine.ledger();
    assert_eq!((ledger.kept, ledger.gaps.clone()), (255, Vec::<String>::new()));
    line.assert_identities_unique();
}

#[test]
fn a_second_engine_is_refused_the_data_folder() {
    let line = Line::new();
    let _engine = line.start();
    let error = shipper::engine::Engine::start(line.config.clone()).unwrap_err();
    assert!(error.to_string().contains("in use by another tusk"), "{error}");
}
