//! Live events as the daemon hands them to the console: copies, bounded, lost rather than waited for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// One event as it was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Event {
    /// `<name>-<epoch>`.
    pub node: String,
    /// lsn of its record.
    pub lsn: u64,
    /// Index in its request.
    pub index: u32,
    /// Events of its request.
    pub of: u32,
    /// Arrival, ms since 1970.
    pub recv_ms: i64,
    /// Event time, corrected, ms since 1970.
    pub time_ms: i64,
    /// Event time as sent.
    pub sent_ms: Option<i64>,
    /// Effective project.
    pub project: String,
    /// Record type: `track`, `profile_set`, …
    pub kind: String,
    /// Its name; empty for profiles.
    pub event: String,
    /// `distinct_id` or `item_id`.
    pub user: String,
    /// `lib.$lib`.
    pub sdk: String,
    /// `lib.$lib_version`.
    pub sdk_version: String,
    /// `$app_version`.
    pub app_version: String,
    /// Client address.
    pub ip: String,
    /// `kept`, `problems` or `rejected`.
    pub verdict: &'static str,
    /// Marked D001.
    pub duplicate: bool,
    /// Codes of the event, then of its request.
    pub codes: Vec<Code>,
    /// Path of the request.
    pub path: String,
    /// `User-Agent`.
    pub agent: String,
    /// Method, parameter, packing.
    pub transport: String,
    /// Size of the body or query as received, bytes.
    pub wire_bytes: u32,
    /// The stored bytes, shortened.
    pub json: String,
    /// The request as it came, where it was kept. Never serialised: it is handed out by one door, which writes down to whom.
    #[serde(skip)]
    pub raw: Option<Arc<[u8]>>,
}

impl Event {
    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.json.len()
            + self.raw.as_ref().map_or(0, |raw| raw.len()) / self.of.max(1) as usize
            + 1024
    }
}

/// A code as it stands in a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Code {
    /// Such as `N101`.
    pub code: String,
    /// JSON pointer to the place, or empty.
    pub pointer: String,
    /// What arrived, or empty.
    pub detail: String,
}

/// What a tap gives.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(Arc<Event>),
    /// Nothing came in time.
    Quiet,
    /// The daemon ends.
    Closed,
}

/// An open tap; dropped, it is closed.
pub trait Tap: Send + fmt::Debug {
    /// The next event, or nothing after `wait`.
    fn next(&mut self, wait: Duration) -> Next;
    /// Events it lost because they were not taken in time.
    fn dropped(&self) -> u64;
}

/// Events that arrived in one second; counted always, also while nobody watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Seconds since 1970.
    pub at: i64,
    /// Kept without a remark.
    pub good: u64,
    /// Kept with problems.
    pub problems: u64,
    /// Rejected.
    pub rejected: u64,
}

/// Where one sink has an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The sink's word.
    pub sink: String,
    /// `stored`, `waiting` or `none`.
    pub state: String,
    /// How long it has been waiting, ms.
    pub lag_ms: i64,
    /// Names of places, such as `["table", "tusk.events"]`.
    pub places: Vec<(String, String)>,
}
