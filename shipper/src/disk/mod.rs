//! The one door to the file system for whatever must survive a power cut: journal, facts, state files, file sink, quarantine.
//!
//! Nothing is durable before [`DiskFile::sync`] (contents) and [`Disk::sync_dir`] (names). `double` is the only other
//! implementation: it loses, keeps or tears, by a seed, all that was not synced, because a power cut cannot be run in a test.

pub mod double;
mod real;
mod rng;

pub use real::RealDisk;

use std::fmt;
use std::io;
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read; it must exist.
    Read,
    /// To read and write; it must exist.
    Write,
    /// To write from empty; made if absent, emptied if present.
    Create,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name; entries whose name is not UTF-8 are not ours and are left out.
    pub name: String,
    /// Whether it is a folder.
    pub dir: bool,
    /// Size in bytes; 0 for folders.
    pub bytes: u64,
}

/// Space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes an unprivileged process may still use.
    pub free_bytes: u64,
    /// Size.
    pub total_bytes: u64,
}

/// File system operations. All paths are absolute or relative to the process.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file, mode 0640 if made.
    ///
    /// # Errors
    /// As the system's.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;
    /// Makes one folder, mode 0750; fine if it is there.
    ///
    /// # Errors
    /// As the system's.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames within a folder, replacing what is there.
    ///
    /// # Errors
    /// As the system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames within a folder, never replacing.
    ///
    /// # Errors
    /// `AlreadyExists`, or as the system's.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the system's.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    ///
    /// # Errors
    /// As the system's.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder's names durable.
    ///
    /// # Errors
    /// As the system's.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The folder's entries, sorted by name; empty if there is no such folder.
    ///
    /// # Errors
    /// As the system's.
    fn list(&self, path: &Path) -> io::Result<Vec<Item>>;
    /// Size of a file; `None` if there is none.
    ///
    /// # Errors
    /// As the system's.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Space of the file system that holds `path`.
    ///
    /// # Errors
    /// As the system's.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file; positions are explicit, so that one handle may serve several threads.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `at`; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the system's.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    /// As the system's; part may be written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// fdatasync. After an error nothing may be believed about this file's unsynced bytes, not even after a second call.
    ///
    /// # Errors
    /// As the system's.
    fn sync(&self) -> io::Result<()>;
    /// Reserves `bytes` bytes of disk from the start, so that later writes cannot meet a full disk.
    ///
    /// # Errors
    /// `StorageFull`, or as the system's.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// As the system's.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Size in bytes.
    ///
    /// # Errors
    /// As the system's.
    fn bytes(&self) -> io::Result<u64>;
}

/// Replaces `path` by `bytes`: the old or the new contents after a crash, never a mix. tmp, write, fdatasync, rename, fsync of the folder.
///
/// # Errors
/// As the system's; the old contents stand then, or the new ones do.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = Path::new(&tmp);
    let file = disk.open(tmp, Open::Create)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(tmp, path)?;
    disk.sync_dir(parent(path))
}

/// A whole file; `None` if there is none.
///
/// # Errors
/// As the system's, or if it is larger than `bytes_max`.
pub fn read(disk: &dyn Disk, path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(size) = disk.size(path)? else { return Ok(None) };
    if size > bytes_max {
        return Err(io::Error::other(format!(
            "{} is {size} bytes, over {bytes_max}: not ours",
            path.display()
        )));
    }
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(Some(bytes))
}

/// Makes `path` and what is missing above it, and makes every name from `base` (above or equal to `path`) down to it durable, also
/// where it was there already: a process that died may have made it without living to sync it.
///
/// # Errors
/// As the system's.
pub fn create_dirs(disk: &dyn Disk, base: &Path, path: &Path) -> io::Result<()> {
    if let Err(error) = disk.create_dir(path) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        create_dirs(disk, base, parent(path))?;
        disk.create_dir(path)?;
    } else if path != base && path.starts_with(base) {
        create_dirs(disk, base, parent(path))?;
    }
    match disk.sync_dir(parent(path)) {
        // Above our base somebody else rules.
        Err(error) if path == base && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// The folder of a file.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}
