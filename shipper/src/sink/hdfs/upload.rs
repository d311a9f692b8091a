//! One file on its way: made under a hidden name, written, synced, closed, and only then given its final name.

use super::fs::{Create, Fs};
use crate::sink::folder::Names;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pieces (a quarter to one MiB each) between the encoder and the network, per file.
const PIECES: usize = 4;

enum Piece {
    Bytes(Bytes),
    /// The file is whole. A channel that closes without it means that its writer gave up.
    End,
}

/// A file being written by a task of its own.
pub(super) struct Upload {
    pieces: mpsc::Sender<Piece>,
    task: JoinHandle<io::Result<()>>,
}

impl Upload {
    pub(super) fn start(
        runtime: &Runtime,
        fs: Arc<Fs>,
        folder: &str,
        names: &Names,
        how: Create,
    ) -> Self {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let temporary = format!("{folder}/{}", names.temporary);
        let last = format!("{folder}/{}", names.last);
        let task = runtime.spawn(run(fs, temporary, last, how, receiver));
        Self { pieces, task }
    }

    /// Hands a piece over; waits while the network is slower. An error only says that the task ended: [`Upload::join`] knows why.
    pub(super) fn write(&self, piece: &[u8]) -> io::Result<()> {
        self.send(Piece::Bytes(Bytes::copy_from_slice(piece)))
    }

    /// Says that the file is whole.
    pub(super) fn end(&self) -> io::Result<()> {
        self.send(Piece::End)
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        self.pieces.blocking_send(piece).map_err(|_| io::Error::other("the upload ended"))
    }

    /// Waits until the file stands under its final name, or the upload failed.
    pub(super) fn join(self, runtime: &Runtime) -> io::Result<()> {
        drop(self.pieces);
        let ended = |error| Err(io::Error::other(format!("an upload ended: {error}")));
        runtime.block_on(self.task).unwrap_or_else(ended)
    }
}

async fn run(
    fs: Arc<Fs>,
    temporary: String,
    last: String,
    how: Create,
    mut pieces: mpsc::Receiver<Piece>,
) -> io::Result<()> {
    let mut writer = fs.create(&temporary, how).await?;
    let mut bytes = 0;
    loop {
        match pieces.recv().await {
            Some(Piece::Bytes(piece)) => {
                bytes += piece.len() as u64;
                writer.write(piece).await?;
            }
            Some(Piece::End) => break,
            None => return Err(io::Error::other("given up before its end")),
        }
    }
    writer.finish().await?;
    let there = fs.stat(&temporary).await?.map(|stat| stat.bytes);
    if there != Some(bytes) {
        return Err(io::Error::other(format!(
            "{}: {temporary} should have {bytes} bytes after its close, the NameNode says {there:?}",
            fs.url
        )));
    }
    match fs.rename(&temporary, &last).await {
        // A rename that was given up and came through all the same: of the same range, and closed before.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs.delete(&temporary).await,
        other => other,
    }
}
