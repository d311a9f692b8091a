//! HDFS by its own protocols: RPC to the NameNode, blocks to DataNodes.

use super::fs::{Create, Side, Stat, remote};
use crate::sink::folder::Item;
use bytes::Bytes;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use std::io;

/// Folders are open to readers; who may write them is their owner.
const FOLDER_MODE: u32 = 0o755;

pub(super) struct Native(Client);

pub(super) struct NativeWriter(FileWriter);

impl Native {
    /// Connects to nothing yet. Call it inside the runtime that is to do its work.
    pub(super) fn new(builder: ClientBuilder) -> Result<Self, String> {
        builder.build().map(Self).map_err(|error| explain(error, Side::Names).to_string())
    }

    pub(super) async fn list(&self, folder: &str) -> io::Result<Vec<Item>> {
        let all = self.0.list_status(folder, false).await.map_err(names)?;
        let item = |one: hdfs_native::client::FileStatus| Item {
            name: one.path.rsplit('/').next().unwrap_or_default().to_owned(),
            dir: one.isdir,
            bytes: one.length as u64,
        };
        Ok(all.into_iter().map(item).collect())
    }

    pub(super) async fn stat(&self, path: &str) -> io::Result<Stat> {
        let stat = self.0.get_file_info(path).await.map_err(names)?;
        Ok(Stat {
            bytes: stat.length as u64,
            owner: stat.owner,
            mode: u32::from(stat.permission),
        })
    }

    pub(super) async fn mkdirs(&self, folder: &str) -> io::Result<()> {
        self.0.mkdirs(folder, FOLDER_MODE, true).await.map_err(names)
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to, false).await.map_err(names)
    }

    pub(super) async fn delete(&self, path: &str) -> io::Result<()> {
        self.0.delete(path, false).await.map(|_| ()).map_err(names)
    }

    pub(super) async fn create(&self, path: &str, how: Create) -> io::Result<NativeWriter> {
        let options = WriteOptions {
            overwrite: how.overwrite,
            replication: how.replication,
            block_size: how.block_bytes,
            create_parent: false,
            ..WriteOptions::default()
        };
        self.0.create(path, options).await.map(NativeWriter).map_err(names)
    }

    pub(super) async fn read(&self, path: &str, at: u64, bytes: usize) -> io::Result<Bytes> {
        let reader = self.0.read(path).await.map_err(names)?;
        let size = reader.file_length();
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(size);
        reader.read_range(at, bytes.min(size - at)).await.map_err(blocks)
    }
}

impl NativeWriter {
    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.0.write_bytes(piece).await.map(|_| ()).map_err(blocks)
    }

    pub(super) async fn hsync(&mut self) -> io::Result<()> {
        self.0.hsync().await.map_err(blocks)
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.0.close().await.map_err(blocks)
    }
}

fn names(error: HdfsError) -> io::Error {
    explain(error, Side::Names)
}

fn blocks(error: HdfsError) -> io::Error {
    explain(error, Side::Blocks)
}

fn explain(error: HdfsError, side: Side) -> io::Error {
    use io::ErrorKind as Kind;
    match error {
        HdfsError::FileNotFound(path) => io::Error::new(Kind::NotFound, path),
        HdfsError::AlreadyExists(path) => io::Error::new(Kind::AlreadyExists, path),
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            remote(&class, &message)
        }
        HdfsError::IOError(error) => io::Error::other(
            format!("{} is not reached ({error}): is it running, and is the address right?", side.word()),
        ),
        other => {
            let text = other.to_string();
            io::Error::other(text.lines().next().unwrap_or_default().to_owned())
        }
    }
}
