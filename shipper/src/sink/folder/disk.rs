//! Folders on the local file system.

use super::{Content, Item, Tree};
use crate::disk::{self, Disk, DiskFile, Open};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The local file system as a tree.
pub(crate) struct DiskTree(pub(crate) Arc<dyn Disk>);

impl Tree for DiskTree {
    fn list(&self, folder: &Path) -> io::Result<Vec<Item>> {
        self.0.list(folder)
    }

    fn make(&self, root: &Path, folder: &Path) -> io::Result<()> {
        disk::create_dirs(self.0.as_ref(), root, folder)
    }

    fn mark(&self, folder: &Path, name: &str) -> io::Result<()> {
        let path = folder.join(name);
        if self.0.size(&path)?.is_none() && self.0.size(folder)?.is_some() {
            self.0.open(&path, Open::Create)?.sync()?;
            self.0.sync_dir(folder)?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn remove_dir(&self, folder: &Path) -> io::Result<()> {
        self.0.remove_dir(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>> {
        let file = self.0.open(path, Open::Read)?;
        let bytes = file.bytes()?;
        Ok(Box::new(LocalFile { file, bytes }))
    }
}

struct LocalFile {
    file: Box<dyn DiskFile>,
    bytes: u64,
}

impl Content for LocalFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }
}
