//! Data health: what was received, kept and rejected, by event, platform, SDK version and app version; which codes and which types
//! of properties there were. Fed by the facts pass with every record, saved with its snapshot, so that no count is lost nor made
//! twice, whatever dies when. ClickHouse has no part in it.
//!
//! Everything is bounded: a table that is full counts what is new under `(other)`.

mod buckets;
mod file;
mod scan;
mod store;
mod table;
#[cfg(test)]
mod tests;

pub use buckets::Buckets;
pub use scan::TYPES;
pub use store::{CodeRow, EventRow, PropertyRow, SeriesRow};
pub use table::Row;

use crate::disk::{self, Disk};
use crate::facts::Fact;
use crate::zone::Zone;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Store;

/// What stands for everything a full table has no row for.
pub const OTHER: &str = "(other)";
/// Days of history, today included: a week to show, and the day before it to compare with.
pub const DAYS: u32 = 8;
/// Hours of history.
pub const HOURS: u32 = DAYS * 24;
/// Minutes of history.
pub const MINUTES: u32 = 60;
/// Largest file read: all tables full take about 30 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Sums of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub struct Counts {
    /// Kept, nothing to say.
    pub kept: u64,
    /// Kept, with codes.
    pub problems: u64,
    /// Rejected at their first arrival.
    pub rejected: u64,
    /// Of the kept ones, resends (D001).
    pub duplicates: u64,
    /// Came out of quarantine later.
    pub redriven: u64,
}

impl Counts {
    /// Everything that arrived.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.kept + self.problems + self.rejected
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.kept += other.kept;
        self.problems += other.problems;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        self.redriven += other.redriven;
    }
}

impl From<[u64; 5]> for Counts {
    fn from([kept, problems, rejected, duplicates, redriven]: [u64; 5]) -> Self {
        Self { kept, problems, rejected, duplicates, redriven }
    }
}

impl From<Counts> for [u64; 5] {
    fn from(c: Counts) -> Self {
        [c.kept, c.problems, c.rejected, c.duplicates, c.redriven]
    }
}

/// Everything as of one moment. Words of keys are text: JSON escapes are undone.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Since when it counts, ms; 0 = nothing came yet.
    pub since_ms: i64,
    /// The last arrival counted, ms.
    pub until_ms: i64,
    /// Today in the project's zone, days since 1970.
    pub day: u32,
    /// Project, event, platform, SDK version, app version.
    pub events: Vec<Row<EventRow>>,
    /// Project, event.
    pub series: Vec<Row<SeriesRow>>,
    /// Project, code, event, platform, app version, place.
    pub codes: Vec<Row<CodeRow>>,
    /// Project, event, platform, property; the property without a name counts the events that were looked into.
    pub properties: Vec<Row<PropertyRow>>,
}

/// The counts of one data folder. Cheap to share.
#[derive(Debug)]
pub struct Health {
    store: Mutex<Store>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    epoch: u32,
}

impl Health {
    /// Empty counts that will be kept in `dir` (the journal's folder); [`Health::restore`] reads what is there.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &std::path::Path, epoch: u32, zone: Zone) -> Self {
        let path = dir.join("facts.health");
        Self { store: Mutex::new(Store::new(zone)), disk, path, epoch }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the counts as they are on disk; records from there on must be counted again. A file that cannot be read is left out:
    /// counts start anew, and `Err` says so.
    ///
    /// # Errors
    /// A sentence.
    pub fn restore(&self) -> Result<(), String> {
        let mut store = self.store();
        store.clear();
        let read = disk::read(self.disk.as_ref(), &self.path, FILE_BYTES_MAX);
        let said = |problem: String| {
            format!("{}: {problem}; data health counts anew", self.path.display())
        };
        match read.map_err(|error| said(error.to_string()))? {
            None => Ok(()),
            Some(bytes) => file::load(&mut store, &bytes, self.epoch).map_err(said),
        }
    }

    /// Counts a record's facts, unless they are in the counts already.
    pub fn count(&self, payload: &[u8], facts: &[Fact]) {
        self.store().count(payload, facts);
    }

    /// Writes the counts down; they cover everything below `lsn`.
    ///
    /// # Errors
    /// The disk's; the old file stands.
    pub fn save(&self, lsn: u64) -> io::Result<()> {
        let bytes = {
            let mut store = self.store();
            store.lsn = lsn;
            file::save(&store, self.epoch)?
        };
        disk::replace(self.disk.as_ref(), &self.path, &bytes)
    }

    /// A copy of all tables; `now_ms` says which day is today.
    #[must_use]
    pub fn snapshot(&self, now_ms: i64) -> Snapshot {
        self.store().snapshot(now_ms)
    }

    /// The sum over everything ever counted.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.store().total()
    }
}
