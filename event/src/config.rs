//! What an operator decides: limits, project, keys, answers. One [`Config`] per nginx location, one in the shipper.

use std::sync::Arc;

use crate::{KeyRing, Project, Projects};

/// Bounds of everything a client can make large. Every one is a setting; the defaults are what the field's own SDKs
/// stay below, with room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body that is decoded, in bytes (`tusk_max_body`). 8 MiB: an SDK's batch is below 1 MiB.
    pub body_bytes_max: usize,
    /// Largest JSON text after gunzip or decryption, in bytes, for the whole request (`tusk_max_inflated`). 16 MiB:
    /// a bound for decompression bombs.
    pub inflated_bytes_max: usize,
    /// Most events in one request (`tusk_max_events`), 1 to [`Limits::EVENTS`]. SDKs send 50 to 100.
    pub events_max: u32,
    /// Most encrypted payloads in one request, over all its envelopes (K509). Each costs a decryption, each envelope perhaps a
    /// private-key operation. Apps send 50 to 100.
    pub payloads_max: u32,
    /// Largest record that can be stored, in bytes: min(16 MiB, ring / 8).
    pub record_bytes_max: usize,
    /// How much of a request is kept when it cannot be kept whole or is not worth it (L001, L002), in bytes.
    pub raw_bytes_max: usize,
    /// The same once the budget for rejected bytes is spent (L009).
    pub raw_bytes_over_budget: usize,
    /// Deepest nesting of JSON; the event itself is 1. Real events have 3. At most 127.
    pub depth_max: u32,
    /// Longest text of a property, in characters; longer: kept, P-code.
    pub string_chars_max: u32,
    /// Most members of a list property; more: kept, P-code.
    pub list_items_max: u32,
    /// Longest property name, in characters.
    pub key_chars_max: u32,
    /// Longest event name, in characters.
    pub event_chars_max: u32,
    /// Longest `distinct_id`, `item_id` or identity, in characters; the vendor allows 255, at most 1,024.
    pub id_chars_max: u32,
    /// Largest magnitude of a number before it is remarked upon.
    pub number_abs_max: u64,
    /// Events older than this at arrival get a T-code, in ms (10 days).
    pub late_ms_max: i64,
    /// Events further ahead than this at arrival get a T-code, in ms (1 hour).
    pub early_ms_max: i64,
    /// A client clock off by more than this is corrected, in ms (60 s).
    pub skew_ms_min: i64,
    /// Most codes stored for one request; what is over is counted in the last one's place. 1,000.
    pub codes_max: u32,
}

impl Limits {
    /// Largest value of [`Limits::events_max`]: an event's index and a record's counts are sized for it.
    pub const EVENTS: u32 = 10_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            inflated_bytes_max: 16 << 20,
            events_max: Self::EVENTS,
            payloads_max: 1_000,
            record_bytes_max: 16 << 20,
            raw_bytes_max: 64 << 10,
            raw_bytes_over_budget: 4 << 10,
            depth_max: 32,
            string_chars_max: 8192,
            list_items_max: 500,
            key_chars_max: 100,
            event_chars_max: 100,
            id_chars_max: 255,
            number_abs_max: 9_000_000_000_000_000,
            late_ms_max: 10 * 24 * 3_600_000,
            early_ms_max: 3_600_000,
            skew_ms_min: 60_000,
            codes_max: 1_000,
        }
    }
}

/// When the answer tells what became of each event (`tusk_verdict`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerdictMode {
    /// Never.
    Off,
    /// When `X-Tusk-Verdict` carries a token of the request's project, or the server has no tokens.
    #[default]
    Asked,
    /// Always.
    Always,
}

/// Everything [`crate::accept`] depends on besides the request. Cheap to clone: the large parts are shared.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// Project of requests that name none (`tusk_project`).
    pub project: Project,
    /// Known projects and their tokens (`tusk_tokens`); `None`: no token is asked for.
    pub projects: Option<Arc<Projects>>,
    /// Private and symmetric keys (`tusk_keys`).
    pub keys: Arc<KeyRing>,
    /// Answer as the SDKs' debug mode expects: 200 `{}` or 400 with the reason (`tusk_debug`). Also on for paths ending in `/debug`.
    pub debug: bool,
    /// Verdicts in the answer.
    pub verdict: VerdictMode,
    /// Over the private-key budget: keep the request sealed (edge) instead of opening it all the same (shipper, command line).
    pub seal: bool,
    /// Private-key operations a worker may do per second; above it requests are sealed. 200: about 60 ms of CPU with RSA-2048.
    pub key_ops_per_s: u32,
    /// Raw bytes of rejected requests a worker may keep per second; 0 = no bound. 1 MiB.
    pub rejected_bytes_per_s: u32,
    /// Reject a request whose crc does not match instead of remarking upon it.
    pub crc_strict: bool,
    /// Key of `dup_key` and of nothing else; the same on all nodes that must recognise each other's duplicates.
    pub dup_hash_key: [u64; 2],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            project: Project::default(),
            projects: None,
            keys: Arc::default(),
            debug: false,
            verdict: VerdictMode::default(),
            seal: false,
            key_ops_per_s: 200,
            rejected_bytes_per_s: 1 << 20,
            crc_strict: false,
            dup_hash_key: [0x7475_736b_2d64_7570, 0x6b65_792d_7630_3031],
        }
    }
}
