//! An import over the control socket, both ends.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shipper::engine::Engine;
use shipper::import::{Options, Report};

use super::Request;
use super::client::{Client, Line, broken};
use super::server::answer;
use crate::Fail;

/// Largest block: 4 MiB and the line that ends it.
const BLOCK_BYTES_MAX: usize = 24 << 20;
/// How often a silent connection looks whether the daemon is stopping.
const QUIET: Duration = Duration::from_millis(500);

/// The block that ends the input.
const LAST: u8 = 0;
/// A block that another one follows.
const MORE: u8 = 1;
/// No more blocks.
const END: u8 = 2;

/// Takes the blocks of one file from `stream` into the engine.
///
/// # Errors
/// A sentence; what was taken until then is taken.
pub(super) fn serve(
    stream: UnixStream,
    engine: &Engine,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Report, String> {
    let wrong = |error: io::Error| format!("the import's connection ended: {error}");
    stream.set_read_timeout(Some(QUIET)).map_err(wrong)?;
    let mut out = stream.try_clone().map_err(wrong)?;
    let mut asks = stream.try_clone().map_err(wrong)?;
    let mut input = Patient { stream, stop };
    let mut blocks = |block: &mut Vec<u8>| {
        answer(&mut asks, "ok", &()).map_err(wrong)?;
        let mut head = [0; 5];
        input.read_exact(&mut head).map_err(wrong)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length > BLOCK_BYTES_MAX {
            return Err(format!("a block of {length} bytes, over {BLOCK_BYTES_MAX}"));
        }
        block.clear();
        block.resize(length, 0);
        input.read_exact(block).map_err(wrong)?;
        Ok(match head[4] {
            END => None,
            what => Some(what == MORE),
        })
    };
    let mut tell = |report: &Report| answer(&mut out, "event", report).map_err(wrong);
    engine.importer().import(options, &mut blocks, &mut tell)
}

/// Waits for its reader as long as the daemon runs.
struct Patient<'s> {
    stream: UnixStream,
    stop: &'s AtomicBool,
}

impl Read for Patient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if self.stop.load(Ordering::Acquire) {
                        return Err(io::Error::other("tusk is stopping"));
                    }
                }
                other => return other,
            }
        }
    }
}

/// Puts the next block into its argument and says whether another one follows; `None` after the last.
pub(crate) type Next<'n> = dyn FnMut(&mut Vec<u8>) -> Result<Option<bool>, Fail> + 'n;

/// Sends a file's blocks to the daemon and returns what became of them. `tell` hears how far it is.
///
/// # Errors
/// The daemon's sentence, or that of `next`.
pub(crate) fn import(
    socket: &Path,
    options: Options,
    next: &mut Next<'_>,
    tell: &mut dyn FnMut(&Report),
) -> Result<Report, Fail> {
    let (_, mut client): (Option<()>, _) = Client::ask(socket, &Request::Import { options })?;
    let mut block = Vec::new();
    let mut ended = false;
    loop {
        if !ended {
            let more = next(&mut block)?;
            ended = more.is_none();
            let what = match more {
                Some(true) => MORE,
                Some(false) => LAST,
                None => END,
            };
            if ended {
                block.clear();
            }
            let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
            let mut head = length.to_le_bytes().to_vec();
            head.push(what);
            let out = client.stream.get_mut();
            let sent = out.write_all(&head).and_then(|()| out.write_all(&block));
            if let Err(error) = sent {
                // It has said why before it closed.
                if let Ok(Some(Line::Error(sentence))) = client.line(socket) {
                    return Err(Fail::new(sentence));
                }
                return Err(broken(socket, &error));
            }
        }
        loop {
            match client.line(socket)? {
                Some(Line::Event(report)) => tell(&read(report.get())?),
                Some(Line::Ok(value)) if ended => return read(value.get()),
                Some(Line::Ok(_)) => break,
                Some(Line::Error(sentence)) => return Err(Fail::new(sentence)),
                Some(Line::Dropped(_)) | None => {
                    return Err(Fail::new(format!(
                        "{}: the daemon went away; start it and run the same import again: it goes on where it stopped",
                        socket.display()
                    )));
                }
            }
        }
    }
}

fn read(text: &str) -> Result<Report, Fail> {
    serde_json::from_str(text).map_err(|error| {
        Fail::new(format!("the daemon answers in another version's words ({error}); restart it"))
    })
}
