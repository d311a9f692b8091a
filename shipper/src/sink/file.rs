//! The file sink: JSON lines in folders by project, day and hour, on the local file system.

use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[sink.file]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap (and so bring the edge to 503) rather than be parked.
    pub required: bool,
    /// Where an optional sink is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// Root folder; default `<data>/files`.
    pub root: Option<PathBuf>,
    /// A range is closed at this many journal bytes …
    pub range_bytes_max: u64,
    /// … or at this age, ms, whichever is first. Shorter = fresher and more, smaller files.
    pub range_age_ms_max: u64,
    /// Value of a line.
    pub shape: Shape,
    /// `none`, `gzip` or `zstd`.
    pub compression: Compression,
    /// Level; gzip 1–9, zstd -7–19. Unset: gzip 4, zstd 1 (the cheapest byte for the CPU it takes).
    pub level: Option<i32>,
    /// What `dt=`/`hour=` mean: `receive` (a closed hour never changes, `_SUCCESS-<node>` says so) or `event` time.
    pub partition_by: PartitionBy,
    /// How long after its end an hour is called complete, seconds.
    pub success_grace_s: u32,
    /// `dt=` folders older than this are deleted; 0 = never.
    pub keep_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            required: true,
            lag_bytes_max: 0,
            root: None,
            range_bytes_max: 16 << 20,
            range_age_ms_max: 10_000,
            shape: Shape::Server,
            compression: Compression::Zstd,
            level: None,
            partition_by: PartitionBy::Receive,
            success_grace_s: 60,
            keep_days: 0,
        }
    }
}

/// How files are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Plain `.jsonl`.
    None,
    /// `.jsonl.gz`.
    Gzip,
    /// `.jsonl.zst`.
    Zstd,
}

/// Which time names the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionBy {
    /// Receive time.
    Receive,
    /// Event time, corrected.
    Event,
}
