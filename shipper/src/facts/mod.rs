//! The facts pass: what decides where and whether an event is stored is decided here, once, in lsn order, and is durable
//! before any sink may read that far.

use crate::journal::layout::{u32_at, u64_at};
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
pub mod decide;
mod dup;
pub mod log;
pub(crate) mod opened;
pub mod pass;
mod session;
mod snapshot;

pub use log::{FactsFiles, FactsLog, FactsReader};

/// Bits of [`Fact::flags`]; the top byte is the version of the rules that decided ([`RULES`]).
pub mod flag {
    /// Goes to the sinks.
    pub const KEPT: u32 = 1;
    /// Goes to quarantine.
    pub const REJECTED: u32 = 2;
    /// Kept, with codes.
    pub const PROBLEMS: u32 = 4;
    /// A resend (D001).
    pub const DUPLICATE: u32 = 8;
    /// The client's clock was corrected.
    pub const CORRECTED: u32 = 16;
    /// Came out of quarantine: its identity is in the record, not its place.
    pub const REDRIVEN: u32 = 32;
    /// Sent by a server SDK.
    pub const SERVER_SDK: u32 = 64;
    /// Re-driven for one sink only, named in the record.
    pub const ONE_SINK: u32 = 128;
    /// The record was sealed; its bytes are in the `.opened` file.
    pub const SEALED: u32 = 256;
    /// Not an event: stands for a record (index `u32::MAX`).
    pub const RECORD: u32 = 512;
    /// Not a record: damaged bytes.
    pub const GAP: u32 = 1024;
}

/// Version of the decisions; stands in the top byte of every fact's flags.
pub const RULES: u32 = 1 << 24;

/// What was decided about one event. Fixed size: [`Fact::BYTES`].
///
/// ```text
///  0 lsn u64   8 index u32 | count u32   16 flags u32 | project u32   24 time_ms i64   32 recv_ms i64
/// 40 dup_key u64   48 session u64   56 record bytes u32 | crc32c u32 of 0..60
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// lsn of the record it stands in.
    pub lsn: u64,
    /// Index in the record; `u32::MAX` = the record itself (sealed, without events, or a gap).
    pub index: u32,
    /// Events of the record.
    pub count: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Hash of the effective project: tells partitions apart without reading the event.
    pub project: u32,
    /// Corrected time, ms.
    pub time_ms: i64,
    /// Receive time of the record, ms; a re-driven record's is when it was re-driven.
    pub recv_ms: i64,
    /// The event's `dup_key`; 0 without `_track_id`. Of a sealed record: offset in the `.opened` file.
    pub dup_key: u64,
    /// Server session; 0 = none.
    pub session: u64,
    /// Length of the record (or gap) in the journal.
    pub record_bytes: u32,
}

impl Fact {
    /// Size on disk.
    pub const BYTES: usize = 64;
    /// [`Fact::index`] of an entry that stands for its record.
    pub const RECORD: u32 = u32::MAX;

    /// Whether a bit of [`flag`] is set.
    #[must_use]
    pub fn has(&self, bit: u32) -> bool {
        self.flags & bit != 0
    }

    /// Whether it is the last entry of its record.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self.index {
            Self::RECORD => self.count == 0,
            index => index + 1 == self.count,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(&self.lsn.to_le_bytes());
        out[8..12].copy_from_slice(&self.index.to_le_bytes());
        out[12..16].copy_from_slice(&self.count.to_le_bytes());
        out[16..20].copy_from_slice(&self.flags.to_le_bytes());
        out[20..24].copy_from_slice(&self.project.to_le_bytes());
        out[24..32].copy_from_slice(&self.time_ms.to_le_bytes());
        out[32..40].copy_from_slice(&self.recv_ms.to_le_bytes());
        out[40..48].copy_from_slice(&self.dup_key.to_le_bytes());
        out[48..56].copy_from_slice(&self.session.to_le_bytes());
        out[56..60].copy_from_slice(&self.record_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads it back; `None` if the crc does not hold.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.first_chunk()?;
        if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return None;
        }
        Some(Self {
            lsn: u64_at(bytes, 0),
            index: u32_at(bytes, 8),
            count: u32_at(bytes, 12),
            flags: u32_at(bytes, 16),
            project: u32_at(bytes, 20),
            time_ms: u64_at(bytes, 24).cast_signed(),
            recv_ms: u64_at(bytes, 32).cast_signed(),
            dup_key: u64_at(bytes, 40),
            session: u64_at(bytes, 48),
            record_bytes: u32_at(bytes, 56),
        })
    }
}

/// Sums over all facts from the beginning of the epoch; each facts file starts with those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Events kept at their first arrival.
    pub kept: u64,
    /// Events rejected.
    pub rejected: u64,
    /// Kept ones marked D001.
    pub duplicates: u64,
    /// Events that came out of quarantine, for all sinks.
    pub redriven: u64,
    /// Events that came out of quarantine for one sink.
    pub redriven_one_sink: u64,
    /// Sealed requests opened.
    pub sealed: u64,
    /// Damaged gaps.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Events of re-driven requests that are rejected again: back in quarantine under identities of their own.
    pub rejected_again: u64,
}

impl Totals {
    /// Adds one fact.
    pub fn add(&mut self, fact: &Fact) {
        if fact.has(flag::GAP) {
            self.gaps += 1;
            self.gap_bytes += u64::from(fact.record_bytes);
            return;
        }
        self.records += u64::from(fact.is_last());
        self.sealed += u64::from(fact.has(flag::RECORD) && fact.has(flag::SEALED));
        if fact.has(flag::REDRIVEN) {
            let kept = fact.has(flag::KEPT);
            self.redriven += u64::from(kept && !fact.has(flag::ONE_SINK));
            self.redriven_one_sink += u64::from(kept && fact.has(flag::ONE_SINK));
            self.rejected_again += u64::from(fact.has(flag::REJECTED));
            return;
        }
        self.kept += u64::from(fact.has(flag::KEPT));
        self.rejected += u64::from(fact.has(flag::REJECTED));
        self.duplicates += u64::from(fact.has(flag::DUPLICATE));
    }

    fn fields(&self) -> [u64; 10] {
        [
            self.records,
            self.kept,
            self.rejected,
            self.duplicates,
            self.redriven,
            self.redriven_one_sink,
            self.sealed,
            self.gaps,
            self.gap_bytes,
            self.rejected_again,
        ]
    }

    fn from_fields(f: [u64; 10]) -> Self {
        let [
            records,
            kept,
            rejected,
            duplicates,
            redriven,
            redriven_one_sink,
            sealed,
            gaps,
            gap_bytes,
            rejected_again,
        ] = f;
        Self {
            records,
            kept,
            rejected,
            duplicates,
            redriven,
            redriven_one_sink,
            sealed,
            gaps,
            gap_bytes,
            rejected_again,
        }
    }
}
