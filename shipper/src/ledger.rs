//! The ledger: sums that must agree. From records and from sums saved atomically with each cursor, never from metrics.

use crate::state::Sums;
use serde::{Deserialize, Serialize};

/// What came in and where it is. All counts are events over the life of the journal's epoch, except where a field says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// `<name>-<epoch>`.
    pub node: String,
    /// Everything below this lsn is in the sums.
    pub lsn: u64,
    /// `kept + rejected + sealed`.
    pub received: u64,
    /// Events kept.
    pub kept: u64,
    /// Events rejected, all of them in quarantine at first.
    pub rejected: u64,
    /// Events of re-driven requests that were rejected again; not part of `received`, in quarantine all the same.
    pub rejected_again: u64,
    /// Sealed requests not opened yet (each counts as one).
    pub sealed: u64,
    /// Damaged bytes of the journal and of the ring; what was in them cannot be known.
    pub damaged_bytes: u64,
    /// Damaged ranges, as `journal [from,to)` or `ring <generation> [from,to)`, newest last, at most 100.
    pub damaged: Vec<String>,
    /// Marked D001; part of `kept`.
    pub duplicates: u64,
    /// Events that came out of quarantine again (one rejected request can hold many).
    pub redriven: u64,
    /// What became of rejected events.
    pub quarantine: QuarantineSums,
    /// Each sink.
    pub sinks: Vec<SinkLedger>,
    /// Equations that do not hold, in words; empty = the books are closed.
    pub gaps: Vec<String>,
}

/// `rejected + rejected_again = open + redriven + discarded + expired + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineSums {
    /// Waiting for a decision.
    pub open: u64,
    /// Offered again with success.
    pub redriven: u64,
    /// Given up by a person.
    pub discarded: u64,
    /// Pushed out by age or size.
    pub expired: u64,
    /// Not stored in quarantine yet (still in the journal).
    pub waiting: u64,
}

/// `kept + redriven = delivered + refused + deduplicated + skipped + sampled_out + waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkLedger {
    /// The sink.
    pub name: String,
    /// Its cursor.
    pub cursor_lsn: u64,
    /// Its sums.
    pub sums: Sums,
    /// Events between its cursor and the ledger's lsn.
    pub waiting: u64,
    /// Holes a parked sink left, `[from,to)`; `tusk replay` fills them.
    pub skipped: Vec<(u64, u64)>,
}

/// What was received since a moment, by the order in which it was stored: from the first record received at or after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// `<name>-<epoch>`.
    pub node: String,
    /// The moment, ms since 1970.
    pub since_ms: i64,
    /// lsn of the first record counted …
    pub from_lsn: u64,
    /// … and the end of the count.
    pub to_lsn: u64,
    /// Whether all since then is counted; `false` if the journal no longer reaches back so far.
    pub whole: bool,
    /// `kept + rejected`.
    pub received: u64,
    /// Events kept.
    pub kept: u64,
    /// Events rejected.
    pub rejected: u64,
    /// Marked D001; part of `kept`.
    pub duplicates: u64,
    /// Events that came out of quarantine again.
    pub redriven: u64,
    /// Each sink: events of `kept + redriven` below its cursor, and those that wait.
    pub sinks: Vec<SinceSink>,
}

/// One sink's part of [`Since`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceSink {
    /// The sink.
    pub name: String,
    /// Below its cursor: delivered, or accounted for as the whole ledger shows.
    pub passed: u64,
    /// Not yet.
    pub waiting: u64,
}

/// What reading a target back showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The sink.
    pub sink: String,
    /// lsns covered `[from,to)`.
    pub from_lsn: u64,
    /// End of the cover.
    pub to_lsn: u64,
    /// Files (or tables, topics) read.
    pub files: u64,
    /// Identities found, each counted once.
    pub found: u64,
    /// Identities that should be there.
    pub expected: u64,
    /// Runs of identities that are missing.
    pub missing: Vec<IdentityRange>,
    /// Runs of identities that are there twice or should not be there.
    pub surplus: Vec<IdentityRange>,
    /// What could not be checked, in words.
    pub notes: Vec<String>,
}

/// A run of neighbouring identities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRange {
    /// First (lsn, index).
    pub first: Identity,
    /// Last (lsn, index), included.
    pub last: Identity,
    /// How many.
    pub count: u64,
}

/// An event's name within its node: lsn and index.
pub type Identity = (u64, u32);

impl IdentityRange {
    /// Adds the next identity to runs in order: to the last one if it is its neighbour.
    pub(crate) fn add(runs: &mut Vec<Self>, identity: Identity) {
        match runs.last_mut() {
            Some(last) if last.last.0 == identity.0 && last.last.1 + 1 == identity.1 => {
                last.last = identity;
                last.count += 1;
            }
            _ => runs.push(Self { first: identity, last: identity, count: 1 }),
        }
    }
}
