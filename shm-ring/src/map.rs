//! A generation file in memory.

use crate::{
    cursors,
    layout::{HEADER_BYTES, SHARED_OFFSET},
    shared::Shared,
};
use std::{fs::File, io, os::fd::AsRawFd, ptr};

/// The whole file, mapped shared. Lives as long as the mapping.
pub(crate) struct Map {
    base: *mut u8,
    bytes: usize,
    capacity: u64,
}

// SAFETY: the mapping belongs to no thread; `Shared` is atomics and a process-shared lock, and the records are reached
// only by the two unsafe functions below, whose contracts name who may.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `file`, which is `HEADER_BYTES + capacity` bytes long (the caller has checked it).
    pub(crate) fn new(file: &File, capacity: u64) -> io::Result<Self> {
        let bytes =
            usize::try_from(HEADER_BYTES + capacity).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing of ours is there.
        let base = unsafe {
            libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: base.cast(), bytes, capacity })
    }

    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: inside the mapping (asserted in `shared`), page-aligned, alive as long as `self`; every field is an
        // atomic or the lock, for which any bytes are a valid value.
        unsafe { &*self.base.add(SHARED_OFFSET as usize).cast::<Shared>() }
    }

    /// Do head, durable and tail make sense together?
    pub(crate) fn whole(&self) -> bool {
        let cursors = &self.shared().cursors;
        // In this order: each may grow meanwhile, but never past one that is read after it.
        let head = cursors.head();
        let durable = cursors.durable();
        let tail = cursors.tail();
        let order = head <= durable && durable <= tail && durable.is_multiple_of(32);
        order && cursors::used(head, tail, self.capacity).is_some()
    }

    /// Copies `source` to `position`.
    ///
    /// # Safety
    /// The caller holds the producers' lock, and `position .. position + source.len()` lies outside `[head, tail)`.
    ///
    /// # Panics
    /// If the bytes would cross the end of the ring.
    pub(crate) unsafe fn write(&self, position: u64, source: &[u8]) {
        let place = self.place(position, source.len());
        // SAFETY: `place` is valid for that many bytes (checked there), nobody else touches them (our contract), and
        // `source` is not in the mapping, of which no reference to records is ever made.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), place, source.len()) };
    }

    /// Copies from `position` to `target`.
    ///
    /// # Safety
    /// No producer writes `position .. position + target.len()` meanwhile: it lies in `[head, tail)` of the one
    /// consumer, or the generation is of an earlier boot.
    ///
    /// # Panics
    /// If the bytes would cross the end of the ring.
    pub(crate) unsafe fn read(&self, position: u64, target: &mut [u8]) {
        let place = self.place(position, target.len());
        // SAFETY: as for `write`; `target` is exclusively ours.
        unsafe { ptr::copy_nonoverlapping(place, target.as_mut_ptr(), target.len()) };
    }

    fn place(&self, position: u64, length: usize) -> *mut u8 {
        let offset = position % self.capacity;
        assert!(length as u64 <= self.capacity - offset, "a record never crosses the ring's end");
        let offset = (HEADER_BYTES + offset) as usize;
        // SAFETY: below `bytes`, by the assertion and `bytes == HEADER_BYTES + capacity`.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; all borrows of `self` have ended.
        unsafe { libc::munmap(self.base.cast(), self.bytes) };
    }
}
