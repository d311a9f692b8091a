//! `<data>/imports/followed.json`: which file goes by which id. How far each is stands in the register, behind the journal.

use crate::disk::{self, Disk};
use crate::import::mark::{Digest, chain};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes at the start of a file by which it is told from another that got the same inode.
const HEAD_BYTES: usize = 512;

/// One file, as long as its contents only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its key in the register.
    pub(super) id: Digest,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Offset, lines and digest it began with: 0, or where the file was whose copy it is.
    pub(super) start: u64,
    pub(super) start_lines: u64,
    pub(super) start_digest: Digest,
    /// Length and digest of its first bytes, as far as they were there.
    pub(super) head_bytes: usize,
    pub(super) head: Digest,
    /// Name at the last look.
    pub(super) path: PathBuf,
    /// It was truncated or its inode is another file's: nothing more comes.
    pub(super) ended: bool,
    /// When it was seen last, ms.
    pub(super) seen_ms: i64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Table {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// There is a table on disk, so this is not the very first start.
    pub(super) known: bool,
}

impl Table {
    pub(super) fn open(disk: Arc<dyn Disk>, data: &Path) -> io::Result<Self> {
        let path = data.join("imports/followed.json");
        let bytes = disk::read(disk.as_ref(), &path, 64 << 20)?;
        if bytes.is_some() {
            // Renamed by a process that may have died before it synced the name.
            disk.sync_dir(disk::parent(&path))?;
        }
        let known = bytes.is_some();
        let entries = match &bytes {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| {
                io::Error::other(format!(
                    "{} is damaged ({error}); restore it from a backup, or remove it: every file is then read from its start",
                    path.display()
                ))
            })?,
            None => Vec::new(),
        };
        Ok(Self { disk, path, entries, known })
    }

    /// Written before a line is read under a new id.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let bytes = serde_json::to_vec(&self.entries).map_err(io::Error::other)?;
        disk::replace(self.disk.as_ref(), &self.path, &bytes)?;
        self.known = true;
        Ok(())
    }
}

impl Entry {
    /// Whether the file still begins as it did.
    pub(super) fn begins_as(&self, file: &File) -> io::Result<bool> {
        Ok(head(file, self.head_bytes)? == (self.head_bytes, self.head))
    }

    /// Takes in what of the head was not there before; whether that was anything.
    pub(super) fn learn(&mut self, file: &File) -> io::Result<bool> {
        if self.head_bytes >= HEAD_BYTES {
            return Ok(false);
        }
        let now = head(file, HEAD_BYTES)?;
        let more = now.0 > self.head_bytes;
        if more {
            (self.head_bytes, self.head) = now;
        }
        Ok(more)
    }
}

/// Length and digest of a file's first bytes, at most `limit`.
fn head(file: &File, limit: usize) -> io::Result<(usize, Digest)> {
    let mut bytes = [0; HEAD_BYTES];
    let mut held = 0;
    while held < limit {
        match file.read_at(&mut bytes[held..limit], held as u64)? {
            0 => break,
            n => held += n,
        }
    }
    Ok((held, chain(&Digest::default(), &bytes[..held])))
}

/// An id no two files share.
pub(super) fn fresh_id() -> Digest {
    use std::hash::{BuildHasher, Hasher};
    let mut id = Digest::default();
    for half in id.chunks_exact_mut(8) {
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_i64(crate::engine::now_ms());
        half.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    id
}
