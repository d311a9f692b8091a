//! The daemon's end of the socket: a thread that accepts, a thread per connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use serde::Serialize;
use serde_json::Value;
use shipper::engine::Engine;

use super::{REQUEST_BYTES_MAX, Request, TailFilter, short_path};

/// Connections at a time; each is a thread. People and a console, not a service.
const CONNECTIONS_MAX: usize = 64;
/// Quarantined events shown at once: each may bring its whole request of 64 KiB.
const SHOWN_MAX: usize = 1_000;
/// Events a tail may lag behind before it loses some, counted.
const TAP_EVENTS: usize = 2_000;
/// A reader that takes nothing for this long is let go.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long a request may take to arrive.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// How often a quiet tail looks whether its reader is still there.
const QUIET: Duration = Duration::from_millis(500);

/// Gives a one-time address of the pages.
pub(crate) type Page = Arc<dyn Fn() -> String + Send + Sync>;

/// The accepting side. Dropped: closed, the file removed.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `path`. The caller holds the data folder's lock, so a file left there is a dead process's.
    ///
    /// # Errors
    /// A sentence: the socket cannot be made there.
    pub(crate) fn start(
        path: &Path,
        engine: Arc<Engine>,
        console: Option<Page>,
    ) -> Result<Self, String> {
        let listener = listen(path).map_err(|error| {
            format!("cannot open the control socket {}: {error}", path.display())
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || accept(&listener, &engine, console.as_ref(), &shared))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { path: path.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the accepting thread; it may have ended already.
        let _ = short_path(&self.path).and_then(|(path, _folder)| UnixStream::connect(path));
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short, _folder) = short_path(path)?;
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn accept(
    listener: &UnixListener,
    engine: &Arc<Engine>,
    console: Option<&Page>,
    stop: &Arc<AtomicBool>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(mut stream) = stream else {
            // Out of descriptors: wait for some to come back rather than spin.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if open.load(Ordering::Acquire) >= CONNECTIONS_MAX {
            let _ = answer(
                &mut stream,
                "error",
                &"too many connections to the control socket; close some `tusk tail`",
            );
            continue;
        }
        open.fetch_add(1, Ordering::AcqRel);
        let (engine, stop, count) = (Arc::clone(engine), Arc::clone(stop), Arc::clone(&open));
        let console = console.cloned();
        let spawned =
            std::thread::Builder::new().name("control-client".to_owned()).spawn(move || {
                // A reader that went away in mid-answer is its own business.
                let _ = serve(stream, &engine, console.as_ref(), &stop);
                count.fetch_sub(1, Ordering::AcqRel);
            });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn serve(
    mut stream: UnixStream,
    engine: &Engine,
    console: Option<&Page>,
    stop: &AtomicBool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_LIMIT))?;
    stream.set_write_timeout(Some(WRITE_LIMIT))?;
    let mut line = String::new();
    BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => return answer(&mut stream, "error", &format!("not a request: {error}")),
    };
    match request {
        Request::Console => match console {
            Some(page) => answer(&mut stream, "ok", &page()),
            None => answer(&mut stream, "error", &"the console is off (console.enabled = false)"),
        },
        Request::Replay { ask } => {
            tracing::info!(?ask, "replay asked for");
            super::replay::serve(&mut stream, engine, &ask, stop)
        }
        Request::Tail { filter } => tail(&mut stream, engine, &filter, stop),
        Request::Import { options } => {
            tracing::info!(file = options.name, "import asked for");
            result(&mut stream.try_clone()?, super::import::serve(stream, engine, &options, stop))
        }
        other => result(&mut stream, ask(engine, &other)),
    }
}

/// Requests of one answer, for whoever asks: the socket and the console.
///
/// # Errors
/// A sentence that says what to do.
pub(crate) fn ask(engine: &Engine, request: &Request) -> Result<Value, String> {
    fn value<T: Serialize>(value: T) -> Result<Value, String> {
        serde_json::to_value(value).map_err(|error| error.to_string())
    }
    let quarantine = engine.quarantine();
    match request {
        Request::Status => value(engine.status()),
        Request::Ledger => value(engine.ledger()),
        Request::LedgerSince { since_ms } => value(engine.ledger_since(*since_ms)?),
        Request::Health => value(engine.health()),
        Request::Event { lsn, index } => value(engine.event(*lsn, *index)?),
        Request::Audit { sink } => value(engine.audit(sink)?),
        Request::QuarantineList { filter } => value(quarantine.list(filter)?),
        Request::QuarantineShow { filter, limit } => {
            value(quarantine.show(filter, (*limit).min(SHOWN_MAX))?)
        }
        Request::QuarantineRedrive { filter, limit } => {
            tracing::info!(?filter, limit, "quarantine redrive asked for");
            value(quarantine.redrive(filter, *limit)?)
        }
        Request::QuarantineDiscard { filter, limit } => {
            tracing::info!(?filter, limit, "quarantine discard asked for");
            value(quarantine.discard(filter, *limit)?)
        }
        Request::Console
        | Request::Replay { .. }
        | Request::Tail { .. }
        | Request::Import { .. } => Err("this is asked by the control socket".to_owned()),
    }
}

fn result<T: Serialize>(stream: &mut UnixStream, result: Result<T, String>) -> io::Result<()> {
    match result {
        Ok(value) => answer(stream, "ok", &value),
        Err(sentence) => answer(stream, "error", &sentence),
    }
}

fn tail(
    stream: &mut UnixStream,
    engine: &Engine,
    filter: &TailFilter,
    stop: &AtomicBool,
) -> io::Result<()> {
    let events = engine.tap(TAP_EVENTS);
    answer(stream, "ok", &())?;
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    let mut dropped = engine.status().tap.dropped;
    let mut full = false;
    loop {
        match events.recv_timeout(QUIET) {
            Ok(event) => {
                full |= events.len() + 1 >= TAP_EVENTS;
                if filter.takes(&event) {
                    answer(stream, "event", &*event)?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                if stop.load(Ordering::Acquire) || gone(stream) {
                    return Ok(());
                }
            }
        }
        if full && events.is_empty() {
            let now = engine.status().tap.dropped;
            if now > dropped {
                answer(stream, "dropped", &(now - dropped))?;
            }
            (dropped, full) = (now, false);
        }
    }
}

/// Whether the reader closed: a tail's reader never writes.
pub(super) fn gone(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

pub(super) fn answer<T: Serialize>(
    stream: &mut UnixStream,
    member: &str,
    value: &T,
) -> io::Result<()> {
    let mut line = format!("{{\"{member}\":").into_bytes();
    serde_json::to_writer(&mut line, value)?;
    line.extend_from_slice(b"}\n");
    stream.write_all(&line)
}
