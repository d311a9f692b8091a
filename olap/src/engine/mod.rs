//! The data folder and the engine on it: one process a folder, one engine a process, a session a statement.
//!
//! ```text
//! <data>/lock        held while the process lives; the process id is in it
//!        key         what clients have to show; 0600
//!        config.xml  written anew at every start, like users.xml
//!        users.xml   what SQL may do
//!        engine/     the engine's own folder
//! ```

mod config;
mod confine;
mod key;
mod machine;
mod repair;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use confine::Confined;
pub use machine::{die_first, keep_to_ourselves, memory_bytes};

use crate::chdb::{Chdb, Connection, LoadError};
use crate::error::Exception;
use crate::settings::Settings;
use crate::sql;

/// Why it does not start: a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The library.
    #[error(
        "{path}: not a libchdb that can be used: {error}; scripts/libchdb.sh fetches the right one"
    )]
    Library {
        /// Its path.
        path: String,
        /// What the loader said.
        error: LoadError,
    },
    /// Another process has the folder.
    #[error(
        "{path} is in use by another tusk-olap (process {process}); stop that one, or give this one its own --data"
    )]
    InUse {
        /// The folder.
        path: String,
        /// The other's id, or `?`.
        process: String,
    },
    /// A file or folder.
    #[error("{path}: {error}")]
    File {
        /// Its path.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The engine.
    #[error("the engine does not start on {path}: {error}")]
    Engine {
        /// The folder.
        path: String,
        /// What it said.
        error: Exception,
    },
}

fn at(path: &Path, error: io::Error) -> StartError {
    StartError::File { path: path.display().to_string(), error }
}

/// The setting by which a running statement is found again: the engine gives ids of its own and takes no settings of ours, and
/// `log_comment` is the client's. This one chooses among queues of engines that are not granted here.
const MARK: &str = "stream_like_engine_insert_queue";

/// The engine.
#[derive(Debug)]
pub struct Engine {
    chdb: Chdb,
    /// `--path=` of every session.
    place: Vec<String>,
    key: String,
    timezone: String,
    version: String,
    confined: Confined,
    /// Closing the last session would end the engine: this one stays.
    keeper: Mutex<Option<Connection>>,
    _lock: File,
}

impl Engine {
    /// Loads the library and starts the engine on the folder. Call before there is another thread.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let data = folder(&settings.data)?;
        let lock = lock(&data)?;
        let key = key::load_or_make(&data.join("key")).map_err(|error| at(&data, error))?;
        let store = folder(&data.join("engine"))?;
        repair::repair(&store).map_err(|error| at(&store, error))?;
        let config = config::write(&data, settings).map_err(|error| at(&data, error))?;
        let confined = if settings.confine {
            let read = [settings.library.clone(), config.clone(), data.join("users.xml")];
            confine::confine(&[&store], &read)
                .map_err(|error| at(&store, io::Error::other(error)))?
        } else {
            Confined::No
        };
        let chdb = Chdb::load(&settings.library).map_err(|error| StartError::Library {
            path: settings.library.display().to_string(),
            error,
        })?;
        let place = vec![format!("--path={}", store.display())];
        let first = [place.clone(), vec![format!("--config-file={}", config.display())]].concat();
        let wrong = |error| StartError::Engine { path: store.display().to_string(), error };
        let mut keeper = chdb.connect(&first).map_err(wrong)?;
        keeper.run("CREATE DATABASE IF NOT EXISTS default").map_err(wrong)?;
        let mut one = |sql: &str| -> Result<String, StartError> {
            let answer = keeper.run(sql).map_err(wrong)?;
            Ok(String::from_utf8_lossy(answer.as_ref()).trim_end().to_owned())
        };
        let (timezone, version) = (one("SELECT timezone()")?, one("SELECT version()")?);
        let keeper = Mutex::new(Some(keeper));
        Ok(Self { chdb, place, key, timezone, version, confined, keeper, _lock: lock })
    }

    /// What clients have to show.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Zone of date and time texts.
    #[must_use]
    pub fn timezone(&self) -> &str {
        &self.timezone
    }

    /// Version of the ClickHouse inside.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How far the kernel keeps SQL from files, programs and addresses.
    #[must_use]
    pub fn confined(&self) -> Confined {
        self.confined
    }

    /// A session of its own: settings and current database of one statement cannot reach another. [`Engine::kill`] finds what it
    /// runs by `mark`.
    ///
    /// # Errors
    /// The engine's.
    pub fn session(&self, mark: &str) -> Result<Connection, Exception> {
        let mut session = self.chdb.connect(&self.place)?;
        session.run(&format!("SET {MARK} = {}", sql::text(mark)))?;
        Ok(session)
    }

    /// Ends what the session of that mark runs, without waiting: `SYNC` would hang, as a dead statement stays listed until its
    /// session runs another or closes.
    ///
    /// # Errors
    /// The engine's.
    pub fn kill(&self, mark: &str) -> Result<(), Exception> {
        let mut session = self.chdb.connect(&self.place)?;
        let mark = sql::text(mark);
        session.run(&format!("KILL QUERY WHERE Settings['{MARK}'] = {mark} ASYNC")).map(drop)
    }

    /// Ends the engine; no session may be open. False if it kept threads.
    #[must_use]
    pub fn stop(&self) -> bool {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.chdb.shutdown()
    }
}

/// Makes the folder and gives its absolute path: the engine joins a relative one twice when it syncs folders.
fn folder(path: &Path) -> Result<PathBuf, StartError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(path);
    made.and_then(|()| fs::canonicalize(path)).map_err(|error| at(path, error))
}

/// The engine has a lock of its own, but its refusal has no words.
fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    let mut file = options.open(&path).map_err(|error| at(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _ = file.take(20).read_to_string(&mut process);
            let process = if process.is_empty() { "?".to_owned() } else { process };
            return Err(StartError::InUse { path: data.display().to_string(), process });
        }
        Err(fs::TryLockError::Error(error)) => return Err(at(&path, error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|error| at(&path, error))?;
    Ok(file)
}
