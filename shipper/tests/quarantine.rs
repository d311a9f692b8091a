//! Quarantine: rejected events wait there, come back once, or are given up; the ledger says where each is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, Pushed, request, wait_for};
use event::record::{Builder, CodeRef, Entry, Kind, Span, Verdict, flag, meta};
use shipper::engine::Engine;
use shipper::quarantine::Filter;
use std::time::Duration;

const RECV_MS: u64 = 1_795_537_800_000;

fn json(user: &str, project: &str) -> String {
    format!(
        r#"{{"distinct_id":"{user}","event":"Buy","type":"track","project":"{project}","time":{RECV_MS},"lib":{{"$lib":"js","$lib_version":"1.27.11"}},"properties":{{"n":1}}}}"#
    )
}

/// One kept event and one of a project nobody knows yet.
fn mixed(n: u64) -> Pushed {
    let user = format!("u{n}");
    request(
        &[
            (json(&user, "shop"), "Buy".into(), user.clone(), Verdict::Kept),
            (json(&user, "new"), "Buy".into(), user, Verdict::Rejected),
        ],
        RECV_MS,
    )
}

fn balanced(engine: &Engine) -> shipper::ledger::Ledger {
    let ledger = engine.ledger();
    assert_eq!(ledger.gaps, Vec::<String>::new(), "{ledger:?}");
    let q = ledger.quarantine;
    assert_eq!(
        ledger.rejected + ledger.rejected_again,
        q.open + q.redriven + q.discarded + q.expired + q.waiting,
        "{ledger:?}"
    );
    for sink in &ledger.sinks {
        let s = sink.sums;
        assert_eq!(
            ledger.kept + ledger.redriven,
            s.delivered + s.refused + s.deduplicated + s.skipped + sink.waiting,
            "{ledger:?}"
        );
    }
    ledger
}

#[test]
fn rejected_events_come_back_once_when_the_reason_is_gone() {
    let mut line = Line::new();
    let mut producer = line.producer();
    let engine = line.start();
    for n in 0..10 {
        producer.push(&mixed(n));
    }
    wait_for("ten in quarantine", || engine.status().quarantine.open == 10);
    wait_for("ten in files", || line.lines().len() == 10);
    let groups = engine.quarantine().list(&Filter::default()).unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(
        (groups[0].code.as_str(), groups[0].event.as_str(), groups[0].open),
        ("N101", "Buy", 10)
    );
    // The project is still unknown: everything stays.
    let report = engine.quarantine().redrive(&Filter::default(), 100).unwrap();
    assert_eq!((report.redriven, report.still_rejected), (0, 10), "{report:?}");
    assert_eq!(report.codes.keys().cloned().collect::<Vec<_>>(), ["A001"]);
    engine.stop(Duration::from_secs(10));
    drop(engine);

    line.config.any_project = true;
    let engine = line.start();
    let items = engine.quarantine().show(&Filter::default(), 3).unwrap();
    assert_eq!(
        (items.len(), items[0].project.as_str()),
        (3, "shop"),
        "META's project, until it is checked again"
    );
    let first = Filter { identity: Some((items[0].lsn, items[0].index)), ..Filter::default() };
    let report = engine.quarantine().redrive(&first, 100).unwrap();
    assert_eq!((report.redriven, report.events), (1, 1), "{report:?}");
    let again = engine.quarantine().redrive(&first, 100).unwrap();
    assert_eq!((again.redriven, again.already_decided), (0, 1), "a second re-drive is refused");
    let discarded = engine.quarantine().discard(&Filter::default(), 2).unwrap();
    assert_eq!(discarded, 2);
    let report = engine.quarantine().redrive(&Filter::default(), 100).unwrap();
    assert_eq!(report.redriven, 7, "{report:?}");
    wait_for("18 in files", || line.lines().len() == 18);
    wait_for("books closed", || balanced(&engine).sinks[0].waiting == 0);
    let ledger = balanced(&engine);
    assert_eq!((ledger.rejected, ledger.redriven), (10, 8));
    assert_eq!((ledger.quarantine.redriven, ledger.quarantine.discarded), (8, 2));
    assert_eq!(ledger.quarantine.open, 0);
    line.assert_identities_unique();
    // Identity and receive time are those of the first arrival.
    let line_of = |lsn: u64, index: u32| {
        let mark = format!("\"lsn\":{lsn},\"index\":{index},\"recv_time\":{RECV_MS},");
        line.lines().iter().filter(|line| line.contains(&mark)).count()
    };
    assert_eq!(line_of(items[0].lsn, items[0].index), 1);
    let audit = engine.audit("file").unwrap();
    assert!(audit.missing.is_empty() && audit.surplus.is_empty(), "{audit:?}");
    assert_eq!(audit.expected, 18);

    // All of it survives a restart.
    engine.stop(Duration::from_secs(10));
    drop(engine);
    let engine = line.start();
    assert_eq!(balanced(&engine).quarantine, ledger.quarantine);
    assert!(engine.quarantine().show(&Filter::default(), 100).unwrap().is_empty());
}

/// A request that could not be opened: one rejected entry, the request in RAW.
fn unopened(body: &str) -> Pushed {
    let mut b = Builder::default();
    b.meta(meta::PROJECT, b"shop", 64);
    b.meta(meta::IP, b"203.0.113.9", 64);
    b.entry(&Entry {
        json: Span::default(),
        verdict: Verdict::Rejected,
        kind: 0,
        flags: flag::NOT_OBJECT,
        codes: 1,
        time_ms: RECV_MS as i64,
        sent_ms: i64::MIN,
        dup_key: 0,
        event: Span::default(),
        id: Span::default(),
        project: Span::default(),
        lib: Span::default(),
        lib_version: Span::default(),
        app_version: Span::default(),
    });
    b.code(CodeRef { index: 0, code: *b"K502", pointer: b"", detail: b"pkv 3" });
    let raw =
        format!("POST /sa?project=shop HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let meta = shm_ring::Meta {
        kind: Kind::Request as u8,
        flags: 0,
        kept: 0,
        rejected: 1,
        recv_ns: RECV_MS * 1_000_000,
    };
    Pushed { meta, payload: b.payload(raw.as_bytes()) }
}

#[test]
fn a_request_that_opens_at_last_brings_all_its_events() {
    let line = Line::new();
    let mut producer = line.producer();
    let engine = line.start();
    producer.push(&unopened(&format!(
        "[{},{},{}]",
        json("a", "shop"),
        json("b", "shop"),
        json("c", "shop")
    )));
    wait_for("one in quarantine", || engine.status().quarantine.open == 1);
    let filter = Filter { code: Some("K502".into()), ..Filter::default() };
    let report = engine.quarantine().redrive(&filter, 10).unwrap();
    assert_eq!((report.redriven, report.events), (1, 3), "{report:?}");
    wait_for("three in files", || line.lines().len() == 3);
    line.assert_identities_unique();
    wait_for("books closed", || balanced(&engine).sinks[0].waiting == 0);
    assert_eq!(balanced(&engine).quarantine.redriven, 1);
}

#[test]
fn sealed_requests_are_opened_by_the_facts_pass() {
    let line = Line::new();
    let mut producer = line.producer();
    let engine = line.start();
    let mut sealed = unopened(&format!("[{},{}]", json("a", "shop"), json("b", "other")));
    sealed.meta.kind = Kind::Sealed as u8;
    sealed.meta.rejected = 0;
    producer.push(&sealed);
    wait_for("one in files", || line.lines().len() == 1);
    wait_for("one in quarantine", || engine.status().quarantine.open == 1);
    let ledger = balanced(&engine);
    assert_eq!((ledger.received, ledger.kept, ledger.rejected, ledger.sealed), (2, 1, 1, 0));
    assert_eq!(engine.status().facts.sealed_opened, 1);
    assert!(
        line.lines()[0].contains("\"index\":0,"),
        "identity = lsn of the sealed record + index"
    );
    engine.stop(Duration::from_secs(5));
    drop(engine);
    let engine = line.start();
    assert_eq!(balanced(&engine).received, 2, "and not opened again");
    assert_eq!(line.lines().len(), 1);
}

#[test]
fn the_store_is_bounded_and_what_leaves_is_counted() {
    let line = Line::with(|config| config.quarantine.bytes_max = 16 << 20);
    let mut producer = line.producer();
    let engine = line.start();
    // About 40 MiB of rejects into 16 MiB.
    let filler = "x".repeat(16 << 10);
    for n in 0..2500u64 {
        let json =
            format!(r#"{{"distinct_id":"u{n}","event":"提交","type":"track","f":"{filler}"}}"#);
        let pushed = request(&[(json, "提交".into(), format!("u{n}"), Verdict::Rejected)], RECV_MS);
        while producer.0.push(&pushed.meta, &[&pushed.payload]).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    wait_for("some to expire", || {
        let ledger = balanced(&engine);
        ledger.quarantine.waiting == 0 && ledger.rejected == 2500 && ledger.quarantine.expired > 500
    });
    // A closed segment and the one being written.
    assert!(engine.status().quarantine.bytes <= 33 << 20, "{}", engine.status().quarantine.bytes);
}
