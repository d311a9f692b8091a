//! Snapshots: status, ledger, metrics.

use super::problems::problems;
use super::shared::{Shared, alarm, damaged_bytes};
use crate::ledger::{Audit, Ledger, QuarantineSums, SinkLedger};
use crate::quarantine::Quarantine;
use crate::sink::runner;
use crate::status::{FactsStatus, QuarantineStatus, SinkStatus, Status, TapStatus};
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn status(shared: &Shared, quarantine: &Quarantine, dead: Vec<String>) -> Status {
    let (lsn, totals) = shared.facts.totals();
    let decided = lsn;
    let events = totals.kept + totals.redriven;
    let sinks: Vec<SinkStatus> = windows(shared).iter().map(|s| sink(s, decided, events)).collect();
    // Before the looks are locked: the floor asks others.
    let (held, _) = shared.held();
    let looks = shared.looks();
    let mut journal = looks.journal.clone();
    journal.durable_lsn = shared.segments.durable().get();
    journal.start_lsn = shared.segments.start_lsn();
    journal.bytes = shared.segments.bytes();
    journal.segments = shared.segments.count() as u64;
    journal.at_cap = shared.at_cap.load(Relaxed);
    journal.torn_tails = shared.torn_tails;
    journal.damaged_gaps = totals.gaps;
    journal.damaged_bytes = totals.gap_bytes;
    journal.held_bytes = held;
    journal.alarm_percent = alarm(journal.held_bytes, journal.bytes_max);
    journal.last_error = looks.problems.get("journal").cloned().unwrap_or_default();
    let mut ring = looks.ring.clone();
    ring.path = shared.config.ring_dir().display().to_string();
    ring.records = shared.ring_records.load(Relaxed);
    ring.bytes = shared.ring_bytes.load(Relaxed);
    let (open, size) = quarantine.size();
    let problems = problems(shared, &looks, &dead, (&ring, &journal, &sinks));
    let stopped = sinks.iter().any(|s| s.required && s.state == "stopped");
    let broken = ["journal", "facts"].iter().any(|what| looks.problems.contains_key(what));
    Status {
        node: shared.node.clone(),
        timezone: shared.timezone.clone(),
        started_ms: shared.started_ms,
        ready: !stopped && !broken && dead.is_empty() && !shared.stop.requested(),
        problems,
        ring,
        journal,
        facts: FactsStatus {
            lsn,
            events: totals.kept + totals.rejected,
            duplicates: totals.duplicates,
            dedup_keys: shared.dedup_keys.load(Relaxed),
            dedup_evicted: shared.dedup_evicted.load(Relaxed),
            sealed_opened: totals.sealed,
        },
        sinks,
        quarantine: QuarantineStatus {
            open,
            bytes: size,
            bytes_max: shared.config.quarantine.bytes_max,
        },
        codes: looks
            .codes
            .iter()
            .map(|(code, n)| (String::from_utf8_lossy(code).into_owned(), *n))
            .collect(),
        tap: TapStatus { subscribers: shared.taps.subscribers(), dropped: shared.taps.dropped() },
        source: looks.source.clone(),
        imports: looks.imports,
    }
}

pub(super) fn windows(shared: &Shared) -> &[std::sync::Arc<runner::Shared>] {
    shared.sinks.get().map_or(&[], Vec::as_slice)
}

fn sink(window: &runner::Shared, decided: u64, events: u64) -> SinkStatus {
    let state = window.state();
    let last_error = window.last_error();
    let word = if window.stopped.load(Relaxed) {
        "stopped"
    } else if window.parked.load(Relaxed) {
        "parked"
    } else if !last_error.is_empty() {
        "retrying"
    } else if window.busy.load(Relaxed) {
        "delivering"
    } else {
        "idle"
    };
    let oldest_ms = window.oldest_ms.load(Relaxed).cast_signed();
    let lag_ms = if oldest_ms > 0 { (super::now_ms() - oldest_ms).max(0) } else { 0 };
    let lag_bytes = decided.saturating_sub(state.done);
    let passed = state.sums.kept + state.sums.redriven;
    // What a sink skipped because it was to begin later than the journal is nobody's loss.
    let missed = state.holes.iter().zip(&state.hole_events).filter(|(hole, _)| hole.0 > 0);
    let bounded = if window.required { 0 } else { window.lag_bytes_max };
    SinkStatus {
        name: window.name.clone(),
        required: window.required,
        state: word.to_owned(),
        cursor_lsn: state.done,
        pending: state.pending,
        lag_bytes,
        // Quarantine sees other events; its own are in its part of the status.
        lag_events: if window.name == "quarantine" { 0 } else { events.saturating_sub(passed) },
        lag_bytes_max: bounded,
        alarm_percent: if bounded > 0 { alarm(lag_bytes, bounded) } else { 0 },
        missed_events: missed.map(|(_, events)| events).sum(),
        lag_ms: lag_ms.cast_unsigned(),
        sums: state.sums,
        ranges: window.ranges.load(Relaxed),
        retries: window.retries.load(Relaxed),
        last_error,
    }
}

/// The ledger: every number from records or from sums saved with a cursor.
pub(super) fn ledger(shared: &Shared, quarantine: &Quarantine) -> Ledger {
    // Cursors first: what is decided in between is waiting, never missing.
    let states: Vec<_> = windows(shared).iter().map(|w| (w.name.clone(), w.state())).collect();
    let [stored, redriven, discarded, open] = quarantine.edge();
    let (lsn, totals) = shared.facts.totals();
    let sealed = shared.sealed_waiting(lsn);
    let mut ledger = Ledger {
        node: shared.node.clone(),
        lsn,
        received: totals.kept + totals.rejected + sealed,
        kept: totals.kept,
        rejected: totals.rejected,
        rejected_again: totals.rejected_again,
        sealed,
        damaged_bytes: totals.gap_bytes,
        duplicates: totals.duplicates,
        redriven: totals.redriven,
        ..Ledger::default()
    };
    {
        let looks = shared.looks();
        ledger.damaged.clone_from(&looks.damaged);
        ledger.damaged_bytes += looks.damaged.iter().map(|line| damaged_bytes(line)).sum::<u64>();
    }
    ledger.quarantine = QuarantineSums {
        open,
        redriven,
        discarded,
        expired: stored.saturating_sub(open + redriven + discarded),
        waiting: 0,
    };
    for (name, state) in states {
        let below = match shared.facts.totals_below(state.done) {
            Ok(Some(below)) => below,
            Ok(None) => {
                ledger.gaps.push(format!("{name}: the facts at its cursor are gone"));
                continue;
            }
            Err(error) => {
                ledger.gaps.push(format!("{name}: {error}"));
                continue;
            }
        };
        if name == "quarantine" {
            // A range under way may be stored before its cursor says so.
            let all = totals.rejected + totals.rejected_again;
            let least = below.rejected + below.rejected_again;
            ledger.quarantine.waiting = all.saturating_sub(stored);
            if stored < least || stored > all {
                ledger.gaps.push(format!(
                    "quarantine: {least} events were rejected below its cursor, {all} in all, {stored} are stored"
                ));
            }
            continue;
        }
        check(&name, &state, &below, &mut ledger.gaps);
        let waiting = (totals.kept + totals.redriven) - (below.kept + below.redriven);
        ledger.sinks.push(SinkLedger {
            name,
            cursor_lsn: state.done,
            sums: state.sums,
            waiting,
            skipped: state.holes,
        });
    }
    ledger
}

/// The sums a sink saved against the facts below its cursor.
fn check(
    name: &str,
    state: &crate::state::State,
    below: &crate::facts::Totals,
    gaps: &mut Vec<String>,
) {
    if !state.sums.balance() {
        gaps.push(format!("{name}: what passed is not what became of it: {:?}", state.sums));
    }
    let one_sink = below.redriven..=below.redriven + below.redriven_one_sink;
    if state.sums.kept != below.kept || !one_sink.contains(&state.sums.redriven) {
        gaps.push(format!(
            "{name}: {} kept and {} re-driven events lie below its cursor, it passed {} and {}",
            below.kept, below.redriven, state.sums.kept, state.sums.redriven
        ));
    }
}

pub(super) fn audit(shared: &Shared, sink: &str) -> Result<Audit, String> {
    let Some(window) = windows(shared).iter().find(|w| w.name == sink && sink != "quarantine")
    else {
        let names: Vec<&str> = windows(shared)
            .iter()
            .map(|w| w.name.as_str())
            .filter(|name| *name != "quarantine")
            .collect();
        return Err(format!("no sink named `{sink}`; there is {}", names.join(", ")));
    };
    let config = shared.config.sink.all();
    let Some((_, config)) = config.into_iter().find(|(name, _)| *name == sink) else {
        return Err(format!("no sink named `{sink}`"));
    };
    let context = crate::sink::AuditContext {
        disk: std::sync::Arc::clone(&shared.disk),
        data: shared.config.data.clone(),
        node: shared.node.clone(),
        name: sink.to_owned(),
        segments: std::sync::Arc::clone(&shared.segments),
        facts: std::sync::Arc::clone(&shared.facts),
        state: window.state(),
        olap: shared.config.olap.clone(),
    };
    config.audit(&context)
}

/// Prometheus text. Names, once.
pub(super) fn metrics(status: &Status, out: &mut String) {
    let mut page = Page(out);
    let (ring, journal, facts) = (&status.ring, &status.journal, &status.facts);
    page.one(
        "tusk_ready",
        "gauge",
        "1 while events can be taken and kept.",
        u64::from(status.ready),
    );
    page.one("tusk_ring_used_bytes", "gauge", "Bytes waiting in the ring.", ring.used_bytes);
    page.one("tusk_ring_capacity_bytes", "gauge", "Size of the ring.", ring.capacity_bytes);
    page.one("tusk_ring_generations", "gauge", "Ring files in use.", u64::from(ring.generations));
    page.one(
        "tusk_ring_alarm_percent",
        "gauge",
        "Highest alarm passed: 50, 80, 95.",
        u64::from(ring.alarm_percent),
    );
    page.one("tusk_ring_records_total", "counter", "Records read from the ring.", ring.records);
    page.one("tusk_ring_bytes_total", "counter", "Payload bytes read from the ring.", ring.bytes);
    page.one(
        "tusk_ring_damaged_bytes_total",
        "counter",
        "Damaged bytes met in the ring.",
        ring.damaged_bytes,
    );
    page.one(
        "tusk_journal_durable_lsn",
        "gauge",
        "Everything below is on disk.",
        journal.durable_lsn,
    );
    page.one("tusk_journal_bytes", "gauge", "Size of the journal.", journal.bytes);
    page.one("tusk_journal_bytes_max", "gauge", "Cap of the journal.", journal.bytes_max);
    page.one("tusk_journal_held_bytes", "gauge", "Bytes a sink still needs.", journal.held_bytes);
    page.one(
        "tusk_journal_alarm_percent",
        "gauge",
        "Highest alarm passed by held bytes: 50, 80, 95.",
        u64::from(journal.alarm_percent),
    );
    page.one(
        "tusk_journal_at_cap",
        "gauge",
        "1 while draining stands still at the cap.",
        u64::from(journal.at_cap),
    );
    page.one("tusk_journal_fsyncs_total", "counter", "fdatasync calls.", journal.fsyncs);
    page.one(
        "tusk_journal_fsync_failures_total",
        "counter",
        "Failed fdatasync calls.",
        journal.fsync_failures,
    );
    page.one(
        "tusk_journal_fsync_microseconds_max",
        "gauge",
        "Longest fdatasync.",
        journal.fsync_us_max,
    );
    page.one(
        "tusk_journal_repeated_records_total",
        "counter",
        "Records that were in the journal already.",
        journal.repeated_records,
    );
    page.one(
        "tusk_journal_damaged_bytes_total",
        "counter",
        "Damaged bytes met in the journal.",
        journal.damaged_bytes,
    );
    page.one("tusk_facts_lsn", "gauge", "Sinks may read below.", facts.lsn);
    page.one(
        "tusk_facts_events_total",
        "counter",
        "Events decided, over the journal's life.",
        facts.events,
    );
    page.one(
        "tusk_facts_duplicates_total",
        "counter",
        "Events marked D001, over the journal's life.",
        facts.duplicates,
    );
    page.one(
        "tusk_facts_sealed_opened_total",
        "counter",
        "Sealed requests opened, over the journal's life.",
        facts.sealed_opened,
    );
    page.one("tusk_dedup_keys", "gauge", "Keys in the duplicate window.", facts.dedup_keys);
    page.one(
        "tusk_dedup_evicted_total",
        "counter",
        "Keys that left the window early.",
        facts.dedup_evicted,
    );
    page.one(
        "tusk_quarantine_open_events",
        "gauge",
        "Events waiting in quarantine.",
        status.quarantine.open,
    );
    page.one("tusk_quarantine_bytes", "gauge", "Size of the quarantine.", status.quarantine.bytes);
    page.one(
        "tusk_tap_dropped_events_total",
        "counter",
        "Events a live tap did not take.",
        status.tap.dropped,
    );
    page.files(status);
    page.one(
        "tusk_quarantine_bytes_max",
        "gauge",
        "Bound of the quarantine.",
        status.quarantine.bytes_max,
    );
    page.sinks(&status.sinks);
    page.head("tusk_sink_lag_seconds", "gauge", "Age of the oldest undelivered record.");
    for sink in &status.sinks {
        let (seconds, ms) = (sink.lag_ms / 1000, sink.lag_ms % 1000);
        page.0.push_str(&format!(
            "tusk_sink_lag_seconds{{sink=\"{}\"}} {seconds}.{ms:03}\n",
            sink.name
        ));
    }
    page.head("tusk_codes_total", "counter", "Codes given since the start.");
    for (code, n) in &status.codes {
        page.0.push_str(&format!("tusk_codes_total{{code=\"{code}\"}} {n}\n"));
    }
}

struct Page<'a>(&'a mut String);

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.0.push_str(&format!("{name} {value}\n"));
    }

    fn files(&mut self, status: &Status) {
        let (source, imports) = (&status.source, &status.imports);
        self.one("tusk_source_files", "gauge", "Followed files that are there.", source.files);
        self.one(
            "tusk_source_lag_bytes",
            "gauge",
            "Bytes of them not taken yet.",
            source.lag_bytes,
        );
        self.one("tusk_source_lines_total", "counter", "Lines taken.", source.lines);
        self.one("tusk_source_kept_events_total", "counter", "Events kept of them.", source.kept);
        self.one(
            "tusk_source_rejected_events_total",
            "counter",
            "Events rejected.",
            source.rejected,
        );
        self.one(
            "tusk_source_truncations_total",
            "counter",
            "Files truncated or replaced.",
            source.truncations,
        );
        self.one("tusk_import_lines_total", "counter", "Lines imported.", imports.lines);
        self.one(
            "tusk_import_known_lines_total",
            "counter",
            "Lines that were in already.",
            imports.known,
        );
        self.one("tusk_import_kept_events_total", "counter", "Imported events kept.", imports.kept);
        self.one(
            "tusk_import_rejected_events_total",
            "counter",
            "Imported events rejected.",
            imports.rejected,
        );
    }

    fn sinks(&mut self, sinks: &[SinkStatus]) {
        type Field = fn(&SinkStatus) -> u64;
        let fields: [(&str, &str, &str, Field); 14] = [
            ("tusk_sink_cursor_lsn", "gauge", "Everything below was delivered.", |s| s.cursor_lsn),
            ("tusk_sink_lag_bytes", "gauge", "Journal bytes not delivered yet.", |s| s.lag_bytes),
            ("tusk_sink_lag_events", "gauge", "Events not delivered yet.", |s| s.lag_events),
            (
                "tusk_sink_lag_bytes_max",
                "gauge",
                "Where an optional sink is parked; 0 = required.",
                |s| s.lag_bytes_max,
            ),
            ("tusk_sink_missed_events", "gauge", "Events in holes that a replay can fill.", |s| {
                s.missed_events
            }),
            ("tusk_sink_parked", "gauge", "1 while the sink holds nothing.", |s| {
                u64::from(s.state == "parked")
            }),
            ("tusk_sink_stopped", "gauge", "1 while a person has to look.", |s| {
                u64::from(s.state == "stopped")
            }),
            (
                "tusk_sink_delivered_events_total",
                "counter",
                "Events at the target, over the sink's life.",
                |s| s.sums.delivered,
            ),
            ("tusk_sink_refused_events_total", "counter", "Events the target never takes.", |s| {
                s.sums.refused
            }),
            (
                "tusk_sink_deduplicated_events_total",
                "counter",
                "Events left out as duplicates.",
                |s| s.sums.deduplicated,
            ),
            ("tusk_sink_skipped_events", "gauge", "Events skipped and not replayed.", |s| {
                s.sums.skipped
            }),
            (
                "tusk_sink_sampled_out_events_total",
                "counter",
                "Events left out of a sample.",
                |s| s.sums.sampled_out,
            ),
            ("tusk_sink_ranges_total", "counter", "Ranges delivered since the start.", |s| {
                s.ranges
            }),
            ("tusk_sink_retries_total", "counter", "Tries that failed since the start.", |s| {
                s.retries
            }),
        ];
        for (name, kind, help, field) in fields {
            self.head(name, kind, help);
            for sink in sinks {
                self.0.push_str(&format!("{name}{{sink=\"{}\"}} {}\n", sink.name, field(sink)));
            }
        }
    }
}
