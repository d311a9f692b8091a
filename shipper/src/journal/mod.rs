//! The journal: append-only segments of ring records, the one buffer between nginx and every target.
//! Normative text: `docs/journal-format.md`.

use serde::{Deserialize, Serialize};

/// `[journal]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Cap of the journal; at the cap draining stops, the ring fills and the edge says 503.
    /// 0 = the smaller of 20 GiB and a quarter of the disk: hours of an outage, and never a full disk by our doing.
    pub bytes_max: u64,
    /// How long segments that every sink has passed are kept for replay, within `bytes_max`. A day covers a night's incident.
    pub keep_hours: u32,
    /// Size of a segment. 64 MiB: few files, and space comes back in small steps.
    pub segment_bytes: u64,
    /// fdatasync at the latest after this many ms when nginx uses `ack=journal` (requests wait for it) …
    pub ack_fsync_ms: u64,
    /// … or after this many bytes.
    pub ack_fsync_bytes: u64,
    /// fdatasync at the latest after this many ms otherwise (the ring already holds the data) …
    pub fsync_ms: u64,
    /// … or after this many bytes.
    pub fsync_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            bytes_max: 0,
            keep_hours: 24,
            segment_bytes: 64 << 20,
            ack_fsync_ms: 5,
            ack_fsync_bytes: 1 << 20,
            fsync_ms: 50,
            fsync_bytes: 8 << 20,
        }
    }
}

pub mod layout;
mod meta;
mod reader;
mod recover;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

pub use meta::Meta;
pub use reader::{Read, Reader};
pub use segments::{Segments, Watermark};
pub use writer::{Appended, Journal, NewRecord, Opened};

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The cap is reached: nothing may be drained before a sink moves on.
    #[error("the journal is at its cap of {0} bytes; a sink is behind: see `tusk check`")]
    AtCap(u64),
    /// The disk refused.
    #[error("journal: {0}")]
    Disk(#[from] std::io::Error),
    /// The lsn asked for was deleted already.
    #[error("lsn {wanted} is no longer in the journal, which starts at {start}")]
    Reclaimed {
        /// What was asked for.
        wanted: u64,
        /// What is there.
        start: u64,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}")]
    Foreign {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
}
