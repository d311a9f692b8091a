//! The threads: one drains, one decides, one per sink delivers.

use super::shared::Shared;
use crate::facts::pass::FactsPass;
use crate::sink::runner::{Runner, Step};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// State is written down at the latest after so much journal, or an eighth of its cap if that is less: what is not behind a
/// snapshot is not given back …
const SNAPSHOT_BYTES: u64 = 256 << 20;
/// … or so long, if anything came.
const SNAPSHOT_AGE: Duration = Duration::from_secs(60);
/// Longest sleep of a thread that waits for a watermark.
const SLEEP: Duration = Duration::from_millis(500);

/// The facts pass until the end of the journal after a stop.
pub(super) fn facts(mut pass: FactsPass, shared: &Arc<Shared>) {
    let mut snapshot = Instant::now();
    let snapshot_bytes = SNAPSHOT_BYTES.min(shared.journal_bytes_max / 8);
    loop {
        // In this order: what the drain committed last must be seen before its end is believed.
        let stopping = shared.stop.is_drain_done();
        let durable = shared.segments.durable().get();
        match pass.step(durable) {
            Ok(more) => {
                shared.set_problem("facts", None);
                note(&pass, shared);
                let behind = pass.log().end_lsn() - pass.snapshot_lsn();
                if behind >= snapshot_bytes || (behind > 0 && snapshot.elapsed() >= SNAPSHOT_AGE) {
                    snapshot = Instant::now();
                    if let Err(error) = pass.snapshot() {
                        shared.warn("facts", &format!("snapshot: {error}"));
                    }
                    note(&pass, shared);
                }
                if more {
                    continue;
                }
                if stopping {
                    break;
                }
                shared.segments.durable().wait_beyond(durable, SLEEP);
            }
            Err(error) => {
                shared.set_problem("facts", Some(error.to_string()));
                if stopping && shared.stop.is_late() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
    if pass.log().end_lsn() > pass.snapshot_lsn() && pass.snapshot().is_err() {
        shared.warn("facts", "no snapshot at the end; the next start replays a little more");
    }
    shared.stop.facts_done();
    shared.facts.decided().wake();
}

fn note(pass: &FactsPass, shared: &Shared) {
    let (keys, evicted) = pass.window();
    shared.dedup_keys.store(keys, Ordering::Relaxed);
    shared.dedup_evicted.store(evicted, Ordering::Relaxed);
    shared.snapshot_lsn.store(pass.snapshot_lsn(), Ordering::Relaxed);
}

/// One sink until it delivered everything after a stop, or the deadline.
pub(super) fn sink(mut runner: Runner, shared: &Arc<Shared>) {
    loop {
        let decided = shared.facts.decided().get();
        let stopping = shared.stop.is_facts_done();
        let closed = shared.looks().closed;
        let step = runner.step(super::now_ms(), stopping, closed);
        if stopping && (runner.done() >= decided || shared.stop.is_late()) {
            // What cannot be written down now is offered once more by the next life.
            let _ = runner.close();
            return;
        }
        // Not while the target fails: its next try decides.
        let replay = match step {
            Step::Delivered | Step::Idle(_) => runner.replay(super::now_ms()),
            Step::Retry(_) | Step::Stopped => {
                runner.hold_replay();
                None
            }
        };
        match step {
            Step::Delivered => {}
            Step::Idle(ms) => {
                let ms = ms.min(replay.unwrap_or(ms));
                shared.facts.decided().wait_beyond(decided, Duration::from_millis(ms));
            }
            Step::Retry(ms) if stopping => {
                std::thread::sleep(Duration::from_millis(ms.min(200)));
            }
            Step::Retry(ms) => shared.stop.sleep(Duration::from_millis(ms)),
            Step::Stopped => {
                if !wait_for_person(&mut runner, shared) {
                    return;
                }
            }
        }
    }
}

/// A stopped sink tries again after a restart, or when a person who looked says so. `false`: the engine stops.
fn wait_for_person(runner: &mut Runner, shared: &Arc<Shared>) -> bool {
    // The next life need not offer what was delivered before it stopped.
    let _ = runner.close();
    loop {
        if shared.stop.requested() {
            return false;
        }
        if runner.shared().resume.swap(false, Ordering::AcqRel) && runner.resume() {
            return true;
        }
        shared.stop.sleep(SLEEP);
    }
}
