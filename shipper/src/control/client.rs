//! The command line's end of the socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Request, short_path};
use crate::Fail;

/// One question to the running daemon.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) stream: BufReader<UnixStream>,
}

/// What comes back, by the member that is there.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Ok(Box<RawValue>),
    Error(String),
    Event(Box<RawValue>),
    Dropped(u64),
}

/// A line of a tail.
#[derive(Debug)]
pub(crate) enum Item<T> {
    /// An event.
    Event(T),
    /// Events this tail was too slow for.
    Dropped(u64),
}

impl Client {
    /// Connects and asks; the daemon's refusal is a [`Fail`].
    pub(crate) fn ask<T: DeserializeOwned>(
        socket: &Path,
        request: &Request,
    ) -> Result<(T, Self), Fail> {
        let stream = connect(socket)?;
        let mut client = Self { stream: BufReader::new(stream) };
        let mut line = serde_json::to_vec(request).map_err(|error| Fail::new(error.to_string()))?;
        line.push(b'\n');
        client.stream.get_mut().write_all(&line).map_err(|error| broken(socket, &error))?;
        match client.line(socket)? {
            Some(Line::Ok(value)) => {
                let value = serde_json::from_str(value.get()).map_err(|error| {
                    Fail::new(format!(
                        "the daemon answers in another version's words ({error}); restart it"
                    ))
                })?;
                Ok((value, client))
            }
            Some(Line::Error(sentence)) => Err(Fail::new(sentence)),
            _ => Err(broken(socket, &io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Longest wait for a line; after it [`Client::next`] fails.
    pub(crate) fn limit(&self, limit: std::time::Duration) -> Result<(), Fail> {
        let set = self.stream.get_ref().set_read_timeout(Some(limit));
        set.map_err(|error| Fail::new(error.to_string()))
    }

    /// The next line of a tail; `None` when the daemon stopped.
    pub(crate) fn next<T: DeserializeOwned>(
        &mut self,
        socket: &Path,
    ) -> Result<Option<Item<T>>, Fail> {
        Ok(match self.line(socket)? {
            Some(Line::Event(value)) => {
                let value = serde_json::from_str(value.get())
                    .map_err(|error| Fail::new(format!("{}: {error}", socket.display())))?;
                Some(Item::Event(value))
            }
            Some(Line::Dropped(count)) => Some(Item::Dropped(count)),
            Some(Line::Error(sentence)) => return Err(Fail::new(sentence)),
            Some(Line::Ok(_)) | None => None,
        })
    }

    pub(super) fn line(&mut self, socket: &Path) -> Result<Option<Line>, Fail> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => serde_json::from_str(&line)
                .map(Some)
                .map_err(|error| broken(socket, &io::Error::other(error))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(broken(socket, &error)),
        }
    }
}

/// Whether a daemon answers at that socket.
pub(crate) fn connect(socket: &Path) -> Result<UnixStream, Fail> {
    let connected = short_path(socket).and_then(|(path, _folder)| UnixStream::connect(path));
    connected.map_err(|error| {
        let path = socket.display();
        Fail::new(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "no tusk is running on this data folder ({path}); start it (systemctl start tusk, or tusk run), \
                 or name its data folder with --data"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("{path} belongs to another user; run this as that user, such as sudo -u tusk tusk …")
            }
            _ => format!("{path}: {error}"),
        })
    })
}

pub(super) fn broken(socket: &Path, error: &io::Error) -> Fail {
    Fail::new(format!("{}: the daemon went away while answering: {error}", socket.display()))
}
