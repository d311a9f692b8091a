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
