//! Quarantine: one bounded local store of every rejected event, grouped by (code, event, SDK version).

mod doors;
mod entry;
mod item;
mod log;
#[cfg(test)]
mod log_tests;
mod redrive;
mod store;

pub use doors::Quarantine;

use crate::tap::TapCode;
use serde::{Deserialize, Serialize};

/// `[quarantine]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuarantineConfig {
    /// Size of the store; the oldest go first, counted as expired. 1 GiB holds about a million events of 1 KB.
    pub bytes_max: u64,
    /// Age at which an event expires, days by receive time. A month is enough for the next app release.
    pub keep_days: u32,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, keep_days: 30 }
    }
}

/// Events of one kind of problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// First code of the event, or the sink's refusal as `refused:<sink>`.
    pub code: String,
    /// `event`; empty where it could not be read.
    pub event: String,
    /// SDK and version, such as `js 1.27.11`.
    pub sdk: String,
    /// Open events.
    pub open: u64,
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// The last event's identity, to show it.
    pub sample: (u64, u32),
}

/// Which quarantined events are meant; an absent field means any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// A code the event has.
    pub code: Option<String>,
    /// Its event name.
    pub event: Option<String>,
    /// SDK and version as in [`Group::sdk`].
    pub sdk: Option<String>,
    /// Its project.
    pub project: Option<String>,
    /// Exactly this identity (lsn, index).
    pub identity: Option<(u64, u32)>,
    /// Received at or after, ms.
    pub since_ms: Option<i64>,
}

/// One quarantined event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// lsn of its record.
    pub lsn: u64,
    /// Index in its request.
    pub index: u32,
    /// Arrival, ms.
    pub recv_ms: i64,
    /// Effective project.
    pub project: String,
    /// `event`.
    pub event: String,
    /// `distinct_id`.
    pub user: String,
    /// SDK and version.
    pub sdk: String,
    /// Client address.
    pub ip: String,
    /// Why, with places. For an envelope the precise reason stands here and nowhere else.
    pub codes: Vec<TapCode>,
    /// The event's bytes; empty if the request could not be opened.
    pub json: String,
    /// The raw request, if kept, as text (lossy).
    pub raw: String,
    /// Of an imported line: `<file name>:<line>`.
    #[serde(default)]
    pub place: String,
    /// The sink that refused it, if it was one.
    pub sink: Option<String>,
}

/// What a re-drive did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveReport {
    /// Identities offered again with success.
    pub redriven: u64,
    /// Events they held (a request that opens now may hold many).
    pub events: u64,
    /// Still rejected: they stay open.
    pub still_rejected: u64,
    /// Refused because they were re-driven or discarded before.
    pub already_decided: u64,
    /// Codes that still stand in the way.
    pub codes: std::collections::BTreeMap<String, u64>,
}
