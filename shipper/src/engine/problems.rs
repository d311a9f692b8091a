//! What is wrong now, one line each. The lines keep still while nothing changes: who logs them compares.

use super::report::windows;
use super::shared::{Looks, Shared};
use crate::status::{JournalStatus, RingStatus, SinkStatus};
use std::sync::atomic::Ordering::Relaxed;

/// All of them.
pub(super) fn problems(
    shared: &Shared,
    looks: &Looks,
    dead: &[String],
    (ring, journal, sinks): (&RingStatus, &JournalStatus, &[SinkStatus]),
) -> Vec<String> {
    let mut problems: Vec<String> =
        looks.problems.iter().map(|(what, text)| format!("{what}: {text}")).collect();
    problems.extend(
        dead.iter().map(|name| format!("thread {name} died: a bug; restart tusk, nothing is lost")),
    );
    if journal.alarm_percent > 0 {
        problems.push(format!(
            "journal: over {} % of its cap of {} is held{}; at 100 % draining stops, and nginx answers 503 once the ring is full",
            journal.alarm_percent,
            bytes(journal.bytes_max),
            holder(shared).map(|name| format!(" by sink {name}")).unwrap_or_default(),
        ));
    }
    if ring.alarm_percent > 0 {
        problems.push(format!(
            "ring: over {} % of {} wait to be drained; when it is full nginx answers 503",
            ring.alarm_percent,
            bytes(ring.capacity_bytes)
        ));
    }
    for sink in sinks {
        of_sink(sink, &mut problems);
    }
    problems
}

fn of_sink(sink: &SinkStatus, problems: &mut Vec<String>) {
    let name = &sink.name;
    match sink.state.as_str() {
        "stopped" => problems.push(format!(
            "sink {name} stopped: {}; mend that, then `systemctl reload tusk` lets it try again; until then {}",
            sink.last_error,
            if sink.required {
                "it holds the journal, which fills"
            } else {
                "it is parked once it is too far behind"
            }
        )),
        "parked" => problems.push(format!(
            "sink {name} is parked: it is more than {} behind and holds nothing; what it misses is listed by `tusk ledger`{}",
            bytes(sink.lag_bytes_max),
            if sink.last_error.is_empty() { String::new() } else { format!(": {}", sink.last_error) }
        )),
        "retrying" => problems.push(format!("sink {name} is retrying: {}", sink.last_error)),
        _ => {}
    }
    if sink.alarm_percent > 0 && sink.state != "parked" {
        problems.push(format!(
            "sink {name} is over {} % of the {} behind at which it is parked",
            sink.alarm_percent,
            bytes(sink.lag_bytes_max)
        ));
    }
    if sink.missed_events > 0 {
        problems.push(format!(
            "sink {name} missed {} events while it was parked; `tusk replay {name}` delivers them",
            sink.missed_events
        ));
    }
}

/// The sink that is furthest behind of those that hold the journal.
fn holder(shared: &Shared) -> Option<&str> {
    let holding = windows(shared).iter().filter(|sink| !sink.parked.load(Relaxed));
    holding.min_by_key(|sink| sink.saved.load(Relaxed)).map(|sink| sink.name.as_str())
}

/// A size for people.
fn bytes(n: u64) -> String {
    match n {
        0..=1023 => format!("{n} bytes"),
        1024..=1_048_575 => format!("{} KiB", n >> 10),
        1_048_576..=1_073_741_823 => format!("{} MiB", n >> 20),
        _ => format!("{} GiB", n >> 30),
    }
}
