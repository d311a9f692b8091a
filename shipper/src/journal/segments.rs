//! The list of segments: written by the journal's one writer, read by every reader.

use super::layout::{SEGMENT_HEADER, segment_name};
use crate::disk::{Disk, DiskFile, Open};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) first_lsn: u64,
    /// First lsn that is not in it; `u64::MAX` while it is written.
    pub(super) end_lsn: u64,
    /// Size of the file.
    pub(super) bytes: u64,
    /// When it was closed, ms; 0 while it is written.
    pub(super) closed_ms: u64,
}

/// A number that only grows, and a way to wait for it.
#[derive(Debug, Default)]
pub struct Watermark {
    value: AtomicU64,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Watermark {
    /// Its value.
    pub fn get(&self) -> u64 {
        // [watermark] pairs with the store in `set`: what was written before it is visible.
        self.value.load(Ordering::Acquire)
    }

    /// Moves it and wakes all who wait.
    pub fn set(&self, value: u64) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // [watermark] pairs with the load in `get`.
        self.value.store(value, Ordering::Release);
        self.moved.notify_all();
    }

    /// Wakes all who wait, without moving.
    pub fn wake(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.moved.notify_all();
    }

    /// Waits until it is beyond `seen`, at most `timeout`; returns its value. A [`Watermark::wake`] ends the wait too.
    pub fn wait_beyond(&self, seen: u64, timeout: Duration) -> u64 {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get() <= seen && !timeout.is_zero() {
            drop(self.moved.wait_timeout(guard, timeout));
        }
        self.get()
    }
}

/// Segments on disk and how far they are durable. Shared by the writer and all readers.
#[derive(Debug)]
pub struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) list: RwLock<Vec<Segment>>,
    /// Grows with every change of the list, so that readers ask for the lock only then.
    version: AtomicU64,
    durable: Watermark,
}

impl Segments {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, list: Vec<Segment>, durable: u64) -> Self {
        let this = Self {
            disk,
            dir,
            list: RwLock::new(list),
            version: AtomicU64::new(1),
            durable: Watermark::default(),
        };
        this.durable.set(durable);
        this
    }

    /// Everything below is on disk. Nobody may read beyond.
    pub fn durable(&self) -> &Watermark {
        &self.durable
    }

    /// First lsn there is.
    pub fn start_lsn(&self) -> u64 {
        self.read().first().map_or_else(|| self.durable.get(), |segment| segment.first_lsn)
    }

    /// Size of all files, bytes.
    pub fn bytes(&self) -> u64 {
        self.read().iter().map(|segment| segment.bytes).sum()
    }

    /// Number of segments.
    pub fn count(&self) -> usize {
        self.read().len()
    }

    /// First lsn and end of the segment that holds `lsn`; the end of the one being written is `u64::MAX`.
    pub fn find(&self, lsn: u64) -> Option<(u64, u64)> {
        let list = self.read();
        let after = list.partition_point(|segment| segment.first_lsn <= lsn);
        let segment = list.get(after.checked_sub(1)?)?;
        (lsn < segment.end_lsn).then_some((segment.first_lsn, segment.end_lsn))
    }

    pub(super) fn open(&self, first_lsn: u64) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.dir.join(segment_name(first_lsn)), Open::Read)
    }

    pub(super) fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Segment>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Segment>> {
        let list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        // [version] Under the lock, before the change: who reads the new number waits for the lock and sees the new list.
        self.version.fetch_add(1, Ordering::Release);
        list
    }

    pub(super) fn version(&self) -> u64 {
        // [version]
        self.version.load(Ordering::Acquire)
    }

    /// Where `lsn` lies in the file of the segment that starts at `first_lsn`.
    pub(super) fn offset(first_lsn: u64, lsn: u64) -> u64 {
        SEGMENT_HEADER as u64 + (lsn - first_lsn)
    }
}
