//! The facts pass: what decides where and whether an event is stored is decided here, once, in lsn order, and is durable
//! before any sink may read that far.

use serde::{Deserialize, Serialize};

/// `[facts]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactsConfig {
    /// How far back a resend is recognised (D001), seconds by receive time; 0 = off. SDKs resend within minutes.
    pub dedup_window_s: u32,
    /// Keys remembered at most; above it the oldest leave early, counted. 2 million keys take about 50 MB.
    pub dedup_keys_max: u32,
    /// A pause longer than this starts a new server session of a device, seconds; 0 = no server sessions.
    pub session_gap_s: u32,
    /// Devices remembered at most; above it the longest silent leave early.
    pub session_devices_max: u32,
}

impl Default for FactsConfig {
    fn default() -> Self {
        Self {
            dedup_window_s: 3600,
            dedup_keys_max: 2_000_000,
            session_gap_s: 1800,
            session_devices_max: 200_000,
        }
    }
}
