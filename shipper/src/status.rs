//! What the engine says about itself: one snapshot, serialisable, for `tusk check`, the console and `/readyz`.

use crate::source::SourceStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A snapshot of the whole engine. Counters count since the engine started unless a field says otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// `<name>-<epoch>`: stands in every file name and position.
    pub node: String,
    /// Time zone of `dt=`/`hour=`.
    pub timezone: String,
    /// When the engine started, ms since 1970.
    pub started_ms: i64,
    /// Whether it can take and keep events: journal below its cap, no failing disk, no required sink stopped.
    pub ready: bool,
    /// What is wrong now, one line each, saying what to do. Empty when all is well.
    pub problems: Vec<String>,
    /// The ring nginx writes.
    pub ring: RingStatus,
    /// The journal.
    pub journal: JournalStatus,
    /// The facts pass.
    pub facts: FactsStatus,
    /// Every sink, in the order of the list.
    pub sinks: Vec<SinkStatus>,
    /// The quarantine store.
    pub quarantine: QuarantineStatus,
    /// Events per code since the engine started.
    pub codes: BTreeMap<String, u64>,
    /// Live taps.
    pub tap: TapStatus,
    /// Followed files.
    #[serde(default)]
    pub source: SourceStatus,
    /// Imports since the start.
    #[serde(default)]
    pub imports: ImportStatus,
}

/// The ring as its consumer sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RingStatus {
    /// The ring's folder.
    pub path: String,
    /// Whether a ring is there; nginx makes it when it starts.
    pub attached: bool,
    /// Generations that still hold records.
    pub generations: u32,
    /// Bytes waiting in it.
    pub used_bytes: u64,
    /// Bytes it can hold.
    pub capacity_bytes: u64,
    /// Records read.
    pub records: u64,
    /// Payload bytes read.
    pub bytes: u64,
    /// Damaged gaps met.
    pub damaged_gaps: u64,
    /// Bytes in them.
    pub damaged_bytes: u64,
    /// Highest alarm passed: 0, 50, 80 or 95 percent full.
    pub alarm_percent: u8,
}

/// The journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JournalStatus {
    /// First lsn still there.
    pub start_lsn: u64,
    /// Everything below is on disk.
    pub durable_lsn: u64,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// `journal_bytes_max`.
    pub bytes_max: u64,
    /// Bytes that a sink still needs.
    pub held_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Highest alarm passed by `held_bytes`: 0, 50, 80 or 95 percent of `bytes_max`.
    pub alarm_percent: u8,
    /// Whether draining stopped because the journal is at its cap.
    pub at_cap: bool,
    /// Torn tails cut at start.
    pub torn_tails: u64,
    /// Damaged gaps met while reading.
    pub damaged_gaps: u64,
    /// Bytes in them.
    pub damaged_bytes: u64,
    /// Records that were in the journal already and were passed over.
    pub repeated_records: u64,
    /// fdatasync calls.
    pub fsyncs: u64,
    /// Those that failed.
    pub fsync_failures: u64,
    /// Longest fdatasync, microseconds.
    pub fsync_us_max: u64,
    /// Last error of the disk; empty when the last attempt went well.
    pub last_error: String,
}

/// The facts pass.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FactsStatus {
    /// Sinks may read below this lsn.
    pub lsn: u64,
    /// Events decided, over the life of this journal.
    pub events: u64,
    /// Marked D001, over the life of this journal.
    pub duplicates: u64,
    /// Keys in the window now.
    pub dedup_keys: u64,
    /// Keys pushed out before their time because `dedup_keys_max` was reached.
    pub dedup_evicted: u64,
    /// Sealed requests opened.
    pub sealed_opened: u64,
}

/// One sink.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its word in the list: config table and metric label.
    pub name: String,
    /// Whether it may hold the journal up to its cap.
    pub required: bool,
    /// `idle`, `delivering`, `retrying`, `parked` or `stopped`.
    pub state: String,
    /// Everything below was delivered.
    pub cursor_lsn: u64,
    /// The range under way.
    pub pending: Option<(u64, u64)>,
    /// Bytes between the cursor and the last fact.
    pub lag_bytes: u64,
    /// Events in them.
    pub lag_events: u64,
    /// Where an optional sink is parked; 0 = it is required.
    pub lag_bytes_max: u64,
    /// Highest alarm passed on the way there: 0, 50, 80 or 95 percent.
    pub alarm_percent: u8,
    /// Events it skipped while it was parked and that a replay can still deliver.
    pub missed_events: u64,
    /// Age of the oldest undelivered record, ms.
    pub lag_ms: u64,
    /// Sums over the sink's life.
    pub sums: crate::state::Sums,
    /// Ranges delivered.
    pub ranges: u64,
    /// Tries that failed.
    pub retries: u64,
    /// Why the last try failed; empty when the last one went well.
    pub last_error: String,
}

/// The quarantine store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct QuarantineStatus {
    /// Events that wait for a decision.
    pub open: u64,
    /// Size of the store in bytes.
    pub bytes: u64,
    /// `quarantine.bytes_max`.
    pub bytes_max: u64,
}

/// Imports.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ImportStatus {
    /// Lines taken.
    pub lines: u64,
    /// Lines that were in the journal already.
    pub known: u64,
    /// Events kept.
    pub kept: u64,
    /// Events rejected.
    pub rejected: u64,
}

/// Live taps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TapStatus {
    /// Open taps.
    pub subscribers: u64,
    /// Events a full tap did not take.
    pub dropped: u64,
}
