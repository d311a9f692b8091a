//! A request's body as a blocking reader: pieces wait in a bounded channel, nothing is written to a file.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc::{Receiver, channel};

/// Pieces that may wait; hyper reads at most some 400 KiB at a time.
const PIECES: usize = 16;

/// The body.
#[derive(Debug)]
pub(crate) struct Source {
    pieces: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Source {
    /// Begins to receive; a client that sends nothing for `limit` is given up.
    pub(super) fn pump(mut body: Incoming, limit: Duration) -> Self {
        let (sender, pieces) = channel(PIECES);
        tokio::spawn(async move {
            loop {
                let frame = match tokio::time::timeout(limit, body.frame()).await {
                    Ok(None) => return,
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => Ok(data),
                        Err(_trailers) => continue,
                    },
                    Ok(Some(Err(error))) => Err(io::Error::other(error)),
                    Err(_) => Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!(
                            "the client sent nothing for {} s (client_timeout_s)",
                            limit.as_secs()
                        ),
                    )),
                };
                let end = frame.is_err();
                // Nobody listens: the statement is over and needed no more.
                if sender.send(frame).await.is_err() || end {
                    return;
                }
            }
        });
        Self { pieces, piece: Bytes::new() }
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(error),
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}
