//! When the consumer may sleep and who wakes it.
//!
//! The consumer says that it will sleep, then looks once more; a producer publishes, then looks whether the consumer
//! sleeps. A full fence between the two steps of each side makes it impossible that both miss the other.

use crate::sync::{AtomicU32, Ordering, fence};

/// The word the consumer sleeps on, and whether it does.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Wake {
    /// Changes with each wake-up, so that a sleep that starts too late does not start.
    word: AtomicU32,
    sleeping: AtomicU32,
}

impl Wake {
    /// After a publish: true if the consumer must be woken (once for each of its sleeps).
    pub(crate) fn published(&self) -> bool {
        // [sleep<->publish]: our publish is before this fence, our look after it.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) == 0 {
            return false;
        }
        if self.sleeping.swap(0, Ordering::Relaxed) == 0 {
            return false;
        }
        self.word.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Before a sleep: returns the value to sleep on, or `None` if `ready` found something to do.
    pub(crate) fn sleep(&self, ready: impl FnOnce() -> bool) -> Option<u32> {
        let word = self.word.load(Ordering::Relaxed);
        self.sleeping.store(1, Ordering::Relaxed);
        // [sleep<->publish]: our mark is before this fence, our look after it.
        fence(Ordering::SeqCst);
        if ready() {
            self.awake();
            return None;
        }
        Some(word)
    }

    /// After a sleep, however it ended.
    pub(crate) fn awake(&self) {
        self.sleeping.store(0, Ordering::Relaxed);
    }

    /// The word itself, for the system call.
    #[cfg(not(loom))]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Would a sleep on `word` still start? What the kernel checks.
    #[cfg(loom)]
    pub(crate) fn would_sleep(&self, word: u32) -> bool {
        self.word.load(Ordering::Relaxed) == word
    }
}
