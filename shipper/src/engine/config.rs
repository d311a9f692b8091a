//! Everything the engine needs to know before it opens anything.

use crate::facts::FactsConfig;
use crate::journal::JournalConfig;
use crate::quarantine::QuarantineConfig;
use crate::sink::SinksConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The engine's part of `tusk.toml`; works when empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Data folder: journal, state, quarantine, files.
    pub data: PathBuf,
    /// The ring's folder, the path of `tusk_ring`; default `<data>/ring`.
    pub ring: Option<PathBuf>,
    /// Name of this machine in identities, `[a-z0-9-]{1,32}`; default: the host name.
    pub node: Option<String>,
    /// IANA name of the zone of `dt=`/`hour=`; default: the system's.
    pub timezone: Option<String>,
    /// Keys to open sealed requests and re-driven envelopes; the file of `tusk_keys`.
    pub keys_file: Option<PathBuf>,
    /// Projects and tokens; the file of `tusk_tokens`. Without it any legal project name is accepted.
    pub tokens_file: Option<PathBuf>,
    /// `[journal]`
    pub journal: JournalConfig,
    /// `[facts]`
    pub facts: FactsConfig,
    /// `[quarantine]`
    pub quarantine: QuarantineConfig,
    /// `[sink.<name>]`
    pub sink: SinksConfig,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("/var/lib/tusk"),
            ring: None,
            node: None,
            timezone: None,
            keys_file: None,
            tokens_file: None,
            journal: JournalConfig::default(),
            facts: FactsConfig::default(),
            quarantine: QuarantineConfig::default(),
            sink: SinksConfig::default(),
        }
    }
}
