//! The words of the header that both sides change.

use crate::{
    counters::{COUNTERS_MAX, Counter, Counters},
    cursors::{Cursors, Line},
    layout::{HEADER_BYTES, SHARED_OFFSET},
    lock::Lock,
    sync::{AtomicU32, AtomicU64, Ordering},
    wake::Wake,
};
use std::mem::offset_of;

/// Times here are milliseconds of the monotonic clock, which all processes of one boot share; 0 is "never".
#[repr(C, align(64))]
pub(crate) struct Shared {
    pub(crate) cursors: Cursors,
    pub(crate) wake: Line<Wake>,
    pub(crate) consumer: Line<ConsumerWords>,
    /// When a producer last relied on the journal for its answer.
    pub(crate) ack_used_ms: Line<AtomicU64>,
    pub(crate) lock: Lock,
    pub(crate) counters: Counters,
}

/// Stored by the consumer, read by producers.
#[repr(C)]
#[derive(Default)]
pub(crate) struct ConsumerWords {
    pub(crate) heartbeat_ms: AtomicU64,
    /// 1 while the journal is at its cap.
    pub(crate) journal_full: AtomicU32,
}

const _: () = assert!(offset_of!(Shared, cursors) == 0);
const _: () = assert!(offset_of!(Shared, wake) == 3 * 64);
const _: () = assert!(offset_of!(Shared, consumer) == 4 * 64);
const _: () = assert!(offset_of!(Shared, ack_used_ms) == 5 * 64);
const _: () = assert!(offset_of!(Shared, lock) == 6 * 64);
const _: () = assert!(offset_of!(Shared, counters) == 8 * 64);
const _: () = assert!(
    SHARED_OFFSET as usize + offset_of!(Shared, counters) + COUNTERS_MAX * size_of::<Counter>()
        <= HEADER_BYTES as usize
);

impl ConsumerWords {
    /// Takes over what the consumer said in another generation.
    pub(crate) fn carry_over(&self, from: &Self) {
        self.heartbeat_ms.store(from.heartbeat_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        self.journal_full.store(from.journal_full.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
