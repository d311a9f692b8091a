//! Replay on the running engine: what an audit finds missing comes back, once; what came before a sink began comes from the journal.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, event, wait_for};
use shipper::engine::Engine;
use shipper::replay::{Ask, Progress, What};
use shipper::sink::Start;
use std::time::Duration;

fn replay(engine: &Engine, what: What) -> Vec<Progress> {
    let jobs = engine.replay(&Ask { what, ..Ask::default() }).unwrap();
    wait_for("the replay", || jobs.iter().all(|job| job.progress().over));
    jobs.iter().map(|job| job.progress()).collect()
}

#[test]
fn what_an_audit_finds_missing_comes_back_once() {
    let line = Line::with(|config| config.sink.file.range_bytes_max = 64 << 10);
    let mut producer = line.producer();
    let engine = line.start();
    for n in 0..1000 {
        producer.push(&event("back", n));
    }
    wait_for("all lines", || line.lines().len() == 1000);
    wait_for("the cursor", || engine.ledger().sinks[0].waiting == 0);
    let before = line.lines();
    assert_eq!(replay(&engine, What::Missing), [], "nothing is missing");
    let sums = engine.ledger().sinks[0].sums;

    let files = line.files();
    assert!(files.len() > 2, "{files:?}");
    // One file is gone, another one lost some of its lines.
    std::fs::remove_file(&files[0]).unwrap();
    let text = std::fs::read_to_string(&files[1]).unwrap();
    let some: String = text.lines().step_by(3).map(|line| format!("{line}\n")).collect();
    std::fs::write(&files[1], some).unwrap();
    let missing = 1000 - line.lines().len() as u64;
    let audit = engine.audit("file").unwrap();
    assert_eq!(audit.missing.iter().map(|run| run.count).sum::<u64>(), missing);

    let progress = replay(&engine, What::Missing);
    assert_eq!((progress.len(), progress[0].delivered), (1, missing), "{progress:?}");
    assert_eq!(progress[0].failed, "");
    assert_eq!(line.lines(), before, "each line as it was");
    let audit = engine.audit("file").unwrap();
    assert_eq!((audit.expected, audit.found), (1000, 1000), "{audit:?}");
    assert!(audit.missing.is_empty() && audit.surplus.is_empty(), "{audit:?}");
    assert_eq!(engine.ledger().sinks[0].sums, sums, "the books had them as delivered");

    // A range names what is meant; the rest stays missing.
    let files = line.files();
    let gone = std::fs::read_to_string(files.last().unwrap()).unwrap().lines().count() as u64;
    std::fs::remove_file(files.last().unwrap()).unwrap();
    assert_eq!(replay(&engine, What::Range { from: 0, to: 8 }), []);
    let done = engine.ledger().sinks[0].cursor_lsn;
    assert_eq!(replay(&engine, What::Range { from: 0, to: done })[0].delivered, gone);
    assert_eq!(line.lines(), before);
    // The line goes on.
    producer.push(&event("after", 0));
    wait_for("the next line", || line.lines().len() == 1001);
    line.assert_identities_unique();
    let beyond = Ask { what: What::Range { from: 1 << 40, to: 1 << 41 }, ..Ask::default() };
    assert!(engine.replay(&beyond).unwrap_err().contains("name a range below"));
    let nobody = Ask { sink: Some("kafak".into()), ..Ask::default() };
    assert_eq!(engine.replay(&nobody).unwrap_err(), "no sink named `kafak`; there is file");
}

#[test]
fn what_came_before_a_sink_began_is_replayed_from_the_journal() {
    let mut line = Line::new();
    let mut producer = line.producer();
    let engine = line.start();
    for n in 0..300 {
        producer.push(&event("early", n));
    }
    wait_for("all lines", || line.lines().len() == 300);
    engine.stop(Duration::from_secs(10));
    drop(engine);
    // The same journal, a sink that has no state yet and begins with what comes next.
    std::fs::remove_file(line.dir.join("state/file.state")).unwrap();
    line.config.sink.file.root = Some(line.dir.join("anew"));
    line.config.sink.file.start = Start::Now;
    let engine = line.start();
    producer.push(&event("late", 0));
    wait_for("the late line", || line.lines().len() == 1);
    let sink = engine.ledger().sinks.remove(0);
    assert_eq!((sink.sums.skipped, sink.skipped.len()), (300, 1));

    let progress = replay(&engine, What::Holes);
    assert_eq!((progress[0].delivered, progress[0].failed.as_str()), (300, ""), "{progress:?}");
    let ledger = engine.ledger();
    assert_eq!(ledger.gaps, Vec::<String>::new());
    let sink = &ledger.sinks[0];
    assert_eq!((sink.sums.skipped, sink.sums.delivered, sink.skipped.len()), (0, 301, 0));
    assert_eq!(line.lines().len(), 301);
    line.assert_identities_unique();
    let audit = engine.audit("file").unwrap();
    assert_eq!((audit.expected, audit.found), (301, 301), "{audit:?}");
    assert_eq!(replay(&engine, What::Holes), [], "there is no hole any more");
}
