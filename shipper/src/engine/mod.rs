//! The engine: threads composed, started, stopped, asked.

mod config;
mod drain;
mod probe;
mod problems;
mod pulse;
mod replay;
mod report;
mod sample;
mod shared;
mod since;
mod start;
mod stored;
mod threads;
mod watch;

pub use config::EngineConfig;
pub(crate) use drain::{Append, OwnRecord};
pub use probe::{Probed, probe};
pub use pulse::{Greeting, SECONDS, Second};
pub(crate) use shared::Shared;
pub use stored::{Asked, Stored};
pub(crate) use watch::tap_event;

use crate::import::Importer;
use crate::ledger::{Audit, Ledger, Since};
use crate::quarantine::Quarantine;
use crate::replay::{Ask, Watched};
use crate::sealed::Settings;
use crate::status::Status;
use crate::tap::TapEvent;
use crossbeam_channel::Receiver;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long after a stop's deadline a thread may still be busy before it is let go.
const LET_GO: Duration = Duration::from_secs(1);

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
    shared: Arc<Shared>,
    quarantine: Quarantine,
    importer: Importer,
    opens_with: Settings,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Its flock makes this the one tusk of the data folder.
    _lock: Arc<std::fs::File>,
}

impl Engine {
    /// Opens the data folder, recovers what a crash left, starts the threads. Nothing is sent anywhere before this returns.
    ///
    /// # Errors
    /// [`StartError`]: settings, a data folder in use, a file that is not ours or is damaged beyond what recovery may cut.
    pub fn start(config: EngineConfig) -> Result<Self, StartError> {
        start::start(config)
    }

    /// The settings it runs with.
    pub fn config(&self) -> &EngineConfig {
        &self.shared.config
    }

    /// `<name>-<epoch>` of its journal.
    pub fn node(&self) -> &str {
        &self.shared.node
    }

    /// A snapshot of everything.
    pub fn status(&self) -> Status {
        let dead = self.dead_threads();
        report::status(&self.shared, &self.quarantine, dead)
    }

    /// The ledger now; equations that do not hold are in `gaps`.
    pub fn ledger(&self) -> Ledger {
        report::ledger(&self.shared, &self.quarantine)
    }

    /// What was received since that moment (ms since 1970), and how much of it each sink has passed. Reads the facts of the
    /// segment in which the moment lies.
    ///
    /// # Errors
    /// A sentence: the facts cannot be read.
    pub fn ledger_since(&self, since_ms: i64) -> Result<Since, String> {
        since::since(&self.shared, since_ms)
    }

    /// Reads a sink's target back and compares identities. Takes as long as reading the files takes.
    ///
    /// # Errors
    /// A sentence: no such sink, or its target cannot be read.
    pub fn audit(&self, sink: &str) -> Result<Audit, String> {
        report::audit(&self.shared, sink)
    }

    /// Starts replays, each on its sink's own thread; one for each sink that has something to be replayed. For what an audit finds it
    /// takes as long as the audit.
    ///
    /// # Errors
    /// A sentence: no such sink, a sink that is stopped, a target that cannot be read.
    pub fn replay(&self, ask: &Ask) -> Result<Vec<Arc<Watched>>, String> {
        replay::start(&self.shared, ask)
    }

    /// Opens a live tap holding at most `capacity` events; drop the receiver to close it.
    pub fn tap(&self, capacity: usize) -> Receiver<Arc<TapEvent>> {
        self.shared.taps.open(capacity)
    }

    /// The same, with the number of events this tap lost.
    pub fn tap_counted(&self, capacity: usize) -> (Receiver<Arc<TapEvent>>, Arc<AtomicU64>) {
        self.shared.taps.open_counted(capacity)
    }

    /// Data health: counts by event, platform and version, codes, types of properties.
    pub fn health(&self) -> crate::health::Snapshot {
        self.shared.health.snapshot(now_ms())
    }

    /// One event by its identity (lsn and index of its record); `None` where the journal does not hold it any more.
    ///
    /// # Errors
    /// A sentence: the journal cannot be read.
    pub fn event(&self, lsn: u64, index: u32) -> Result<Option<TapEvent>, String> {
        sample::event(&self.shared, lsn, index)
    }

    /// The quarantine's doors.
    pub fn quarantine(&self) -> Quarantine {
        self.quarantine.clone()
    }

    /// The door for lines of files.
    pub fn importer(&self) -> Importer {
        self.importer.clone()
    }

    /// Appends Prometheus text.
    pub fn metrics(&self, out: &mut String) {
        report::metrics(&self.status(), out);
    }

    /// Reads the keys and tokens files again; sealed requests from now on are opened with what they hold. Re-drives always do.
    ///
    /// # Errors
    /// A sentence; what was in force stays in force.
    pub fn reload_secrets(&self) -> Result<(), String> {
        let config = self.shared.config.accept_config().map_err(|error| error.to_string())?;
        self.opens_with.replace(config);
        Ok(())
    }

    /// Things that happened since the last call (damage, odd files), one line each, for the log.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.looks().warnings)
    }

    /// Lets stopped sinks open their targets again and try what stopped them: a person has looked. Returns their names.
    pub fn resume(&self) -> Vec<String> {
        let stopped = report::windows(&self.shared).iter().filter(|s| s.stopped.load(Relaxed));
        stopped
            .map(|sink| {
                sink.resume.store(true, std::sync::atomic::Ordering::Release);
                sink.name.clone()
            })
            .collect()
    }

    /// Drains the ring, delivers what is there, stops the threads; what is not done by `timeout` stays in the journal for the next
    /// start. A sink whose call to its target is still out a moment later is let go: it may write nothing down any more. A second
    /// call returns at once.
    pub fn stop(&self, timeout: Duration) -> StopReport {
        self.shared.stop.request(timeout);
        self.shared.facts.decided().wake();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let deadline = Instant::now() + timeout + LET_GO;
        for thread in threads {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                let name = thread.thread().name().unwrap_or("?").trim_start_matches("tusk-");
                for sink in report::windows(&self.shared).iter().filter(|sink| sink.name == name) {
                    sink.let_go.store(true, std::sync::atomic::Ordering::Release);
                }
                let text = "did not come back in time and was let go; the next start goes on";
                self.shared.warn(name, text);
            }
        }
        let decided = self.shared.facts.decided().get();
        let sinks = self.shared.sinks.get().map_or(&[][..], Vec::as_slice);
        StopReport {
            ring_drained: self.shared.drained.load(Relaxed),
            sinks_drained: sinks.iter().all(|s| s.done.load(Relaxed) >= decided),
        }
    }

    fn dead_threads(&self) -> Vec<String> {
        if self.shared.stop.requested() {
            return Vec::new();
        }
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = threads.iter().filter(|thread| thread.is_finished());
        dead.map(|thread| thread.thread().name().unwrap_or("?").to_owned()).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(5));
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Now, ns since 1970.
fn now_ns() -> u64 {
    u64::try_from(now().as_nanos()).unwrap_or(u64::MAX)
}

/// Now, ms since 1970.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(now().as_millis()).unwrap_or(i64::MAX)
}
