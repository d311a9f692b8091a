//! A sink's state file: cursor, the range under way, and the sums, in one file, so that they can never disagree.

use serde::{Deserialize, Serialize};

/// Sums of one sink over its life, saved atomically with its cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Kept events passed.
    pub kept: u64,
    /// Re-driven events passed.
    pub redriven: u64,
    /// At the target.
    pub delivered: u64,
    /// The target will never take them; they are in quarantine.
    pub refused: u64,
    /// Left out as duplicates, where the sink is set so.
    pub deduplicated: u64,
    /// In holes of a parked sink.
    pub skipped: u64,
}
