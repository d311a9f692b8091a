//! Everything the engine needs to know before it opens anything.

use super::StartError;
use crate::disk::Disk;
use crate::facts::FactsConfig;
use crate::fill::{Fill, FillConfig};
use crate::journal::JournalConfig;
use crate::olap::Embedded;
use crate::quarantine::QuarantineConfig;
use crate::sink::SinksConfig;
use crate::source::SourcesConfig;
use crate::zone::Zone;
use event::{Config, KeyRing, Project, Projects};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Projects and tokens; the file of `tusk_tokens`.
    pub tokens_file: Option<PathBuf>,
    /// Sealed and re-driven events may name any project, as under `tusk_project *`. Otherwise, without a tokens file, only the
    /// project of the location they came through.
    pub any_project: bool,
    /// `[journal]`
    pub journal: JournalConfig,
    /// `[facts]`
    pub facts: FactsConfig,
    /// `[fill]`
    pub fill: FillConfig,
    /// `[quarantine]`
    pub quarantine: QuarantineConfig,
    /// `[sink.<name>]`
    pub sink: SinksConfig,
    /// `[source.<name>]`
    pub source: SourcesConfig,
    /// The embedded ClickHouse, if there is one; who starts the engine knows, not the file.
    #[serde(skip)]
    pub olap: Option<Embedded>,
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
            any_project: false,
            journal: JournalConfig::default(),
            facts: FactsConfig::default(),
            fill: FillConfig::default(),
            quarantine: QuarantineConfig::default(),
            sink: SinksConfig::default(),
            source: SourcesConfig::default(),
            olap: None,
        }
    }
}

/// Smallest journal that can work: one segment delivered from, one written, one to come.
const SEGMENTS_MIN: u64 = 3;
/// Default cap.
const BYTES_MAX: u64 = 20 << 30;

impl EngineConfig {
    /// The ring's folder.
    #[must_use]
    pub fn ring_dir(&self) -> PathBuf {
        self.ring.clone().unwrap_or_else(|| self.data.join("ring"))
    }

    /// Everything wrong with the settings, found without opening anything but the named files.
    #[must_use]
    pub fn problems(&self) -> Vec<StartError> {
        let mut problems = Vec::new();
        let mut add = |setting: &str, problem: &str| {
            problems.push(StartError::Setting {
                setting: setting.to_owned(),
                problem: problem.to_owned(),
            });
        };
        if let Some(name) = &self.node
            && !is_node_name(name)
        {
            add("node", "write 1 to 32 of a-z, 0-9 and -");
        }
        if let Err(problem) = Fill::open(&self.fill) {
            add("fill.geo_file", &problem);
        }
        if let Some(name) = &self.timezone
            && let Err(problem) = Zone::named(name)
        {
            add("timezone", &problem);
        }
        let journal = &self.journal;
        if journal.segment_bytes < 64 << 10 || journal.segment_bytes > 1 << 30 {
            add(
                "journal.segment_bytes",
                "write a number from 65536 (64 KiB) to 1073741824 (1 GiB)",
            );
        }
        if journal.bytes_max != 0 && journal.bytes_max / SEGMENTS_MIN < journal.segment_bytes {
            add("journal.bytes_max", "must hold at least three segments (journal.segment_bytes)");
        }
        if journal.fsync_ms > 1000 || journal.ack_fsync_ms > 1000 {
            add("journal.fsync_ms", "at most 1000: a power cut loses what is not synced");
        }
        if self.quarantine.bytes_max < 16 << 20 {
            add("quarantine.bytes_max", "at least 16777216 (16 MiB)");
        }
        for (setting, problem) in self.source.file.problems() {
            add(&format!("source.file.{setting}"), &problem);
        }
        let sinks = self.sink.all();
        for (name, sink) in &sinks {
            if sink.common().enabled {
                for (setting, problem) in sink.problems() {
                    add(&format!("sink.{name}.{setting}"), &problem);
                }
            }
        }
        if !sinks.iter().any(|(_, s)| s.common().enabled && s.common().required) {
            add(
                "sink",
                "at least one sink must be enabled and required, or events would have no home",
            );
        }
        problems.extend(self.accept_config().err());
        problems
    }

    /// The journal's cap, with 0 resolved.
    pub(crate) fn journal_bytes_max(&self, disk: &dyn Disk) -> std::io::Result<u64> {
        if self.journal.bytes_max != 0 {
            return Ok(self.journal.bytes_max);
        }
        let quarter = disk.space(&self.data)?.total_bytes / 4;
        Ok(BYTES_MAX.min(quarter).max(SEGMENTS_MIN * self.journal.segment_bytes))
    }

    /// How sealed and re-driven requests are judged.
    ///
    /// # Errors
    /// [`StartError::File`]: a keys or tokens file that cannot be read or is wrong.
    pub fn accept_config(&self) -> Result<Config, StartError> {
        let mut config = Config::default();
        if self.any_project {
            config.project = Project::Any;
        }
        if let Some(path) = &self.keys_file {
            let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
            let mut read = |name: &str| std::fs::read_to_string(folder.join(name));
            let ring = KeyRing::parse(&text(path)?, &mut read)
                .map_err(|error| file_error(path, error.to_string()))?;
            config.keys = Arc::new(ring);
        }
        if let Some(path) = &self.tokens_file {
            let projects = Projects::parse(&text(path)?)
                .map_err(|error| file_error(path, error.to_string()))?;
            config.projects = Some(Arc::new(projects));
        }
        Ok(config)
    }
}

fn text(path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|error| file_error(path, error.to_string()))
}

fn file_error(path: &Path, problem: String) -> StartError {
    StartError::File { path: path.display().to_string(), problem }
}

/// Whether `name` may stand in identities.
#[must_use]
pub(crate) fn is_node_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A legal name made of the host's.
pub(crate) fn host_name() -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().to_ascii_lowercase();
    let name: String = host
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(32)
        .collect();
    if is_node_name(&name) { name } else { "node".to_owned() }
}
