//! Who may touch which byte: `head`, `tail` and `durable`.
//!
//! Positions count bytes from the first record of a generation and never wrap; the place in the file is the
//! position modulo the capacity. Bytes in `[head, tail)` belong to the consumer, all others to the producer that
//! holds the lock.

use crate::sync::{AtomicU64, Ordering};

/// A value alone on its cache line, so that one side's store does not slow the other's loads.
#[repr(C, align(64))]
#[derive(Default)]
pub(crate) struct Line<T>(pub(crate) T);

/// The three positions of a generation.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Cursors {
    tail: Line<AtomicU64>,
    head: Line<AtomicU64>,
    durable: Line<AtomicU64>,
}

/// Why there is no place for a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The consumer has not freed enough.
    Full,
    /// `head` and `tail` contradict each other: the header was overwritten.
    Damaged,
}

/// Where a record goes: `pad` bytes at `tail` are padded away, the record starts at `start`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tail: u64,
    pub(crate) start: u64,
}

impl Cursors {
    /// Finds room for `bytes` contiguous bytes. The caller holds the producers' lock.
    pub(crate) fn place(&self, bytes: u64, capacity: u64) -> Result<Place, NoRoom> {
        // Relaxed: only lock holders store it, and the lock orders them.
        let tail = self.tail.0.load(Ordering::Relaxed);
        // [release->place]: Acquire, so that our writes cannot move before the consumer's last read of these bytes.
        let head = self.head.0.load(Ordering::Acquire);
        let Some(used) = used(head, tail, capacity) else { return Err(NoRoom::Damaged) };
        let room = capacity - tail % capacity;
        let pad = if room >= bytes { 0 } else { room };
        if pad + bytes > capacity - used {
            return Err(NoRoom::Full);
        }
        Ok(Place { tail, start: tail + pad })
    }

    /// Hands everything before `tail` to the consumer. The caller holds the lock and has written it.
    pub(crate) fn publish(&self, tail: u64) {
        // [publish->tail]: Release publishes the bytes of the record.
        self.tail.0.store(tail, Ordering::Release);
    }

    /// Makes the generation unusable for everyone, for good: its cursors were overwritten. The caller holds the lock,
    /// or no producer is attached.
    pub(crate) fn poison(&self) {
        self.tail.0.store(u64::MAX, Ordering::Release);
    }

    /// End of what may be read.
    pub(crate) fn tail(&self) -> u64 {
        // [publish->tail]
        self.tail.0.load(Ordering::Acquire)
    }

    /// Start of what is not yet freed.
    pub(crate) fn head(&self) -> u64 {
        self.head.0.load(Ordering::Relaxed)
    }

    /// End of what the consumer has made durable elsewhere.
    pub(crate) fn durable(&self) -> u64 {
        // Acquire only for symmetry with `release`; nothing else is read under it.
        self.durable.0.load(Ordering::Acquire)
    }

    /// Frees everything before `position` and calls it durable. Only the consumer calls it, having copied it away.
    pub(crate) fn release(&self, position: u64) {
        self.durable.0.store(position, Ordering::Release);
        // [release->place]: Release, so that our reads of these bytes cannot move after the producer may overwrite them.
        self.head.0.store(position, Ordering::Release);
    }
}

/// Bytes between two cursors, or `None` if no ring of this capacity can be in that state.
pub(crate) fn used(head: u64, tail: u64, capacity: u64) -> Option<u64> {
    let used = tail.checked_sub(head)?;
    let aligned = head.is_multiple_of(32) && tail.is_multiple_of(32);
    // The last quarter of the number space is never reached: 4 EiB of records.
    (aligned && used <= capacity && tail < u64::MAX / 4).then_some(used)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_fit_before_the_end_starts_at_the_beginning() {
        let cursors = Cursors::default();
        cursors.publish(96);
        cursors.release(64);
        assert_eq!(cursors.place(32, 128), Ok(Place { tail: 96, start: 96 }));
        assert_eq!(cursors.place(64, 128), Ok(Place { tail: 96, start: 128 }));
        assert_eq!(cursors.place(96, 128), Err(NoRoom::Full));
    }

    #[test]
    fn cursors_that_contradict_each_other_are_damage() {
        for (head, tail) in [(64, 32), (0, 256), (1, 32), (0, 33), (u64::MAX - 31, u64::MAX - 31)] {
            let cursors = Cursors::default();
            cursors.publish(tail);
            cursors.release(head);
            assert_eq!(cursors.place(32, 128), Err(NoRoom::Damaged), "{head} {tail}");
        }
    }
}
