//! What others may see of a sink, and ask of it.

use crate::replay::Job;
use crate::sink::DeliverError;
use crate::state::State;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What others may see of a sink.
#[derive(Debug, Default)]
pub struct Shared {
    /// Word in the list.
    pub name: String,
    /// Whether it may hold the journal up to its cap.
    pub required: bool,
    /// Everything below was delivered.
    pub done: AtomicU64,
    /// As `done`, as far as the state file says so: a crash goes back here.
    pub saved: AtomicU64,
    /// An optional sink further behind than this is parked.
    pub lag_bytes_max: u64,
    /// Parked: its hole will be skipped.
    pub parked: AtomicBool,
    /// A person has to look.
    pub stopped: AtomicBool,
    /// Delivering right now.
    pub busy: AtomicBool,
    /// Ranges delivered.
    pub ranges: AtomicU64,
    /// Tries that failed.
    pub retries: AtomicU64,
    /// Receive time of the oldest undelivered record, ms; 0 = none.
    pub oldest_ms: AtomicU64,
    /// A stop gave up waiting for it: whatever its call to the target still brings, it may not write anything down any more.
    pub let_go: AtomicBool,
    /// Somebody wants a stopped sink to try again.
    pub resume: AtomicBool,
    /// What is to be replayed, until the sink's thread takes it.
    pub replay: Mutex<Option<Job>>,
    /// Whether its thread is at a replay.
    pub replaying: AtomicBool,
    /// State, and the last error.
    pub seen: Mutex<(State, String)>,
}

impl Shared {
    /// Its state; the file may be a moment behind.
    pub fn state(&self) -> State {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Why the last try failed; empty when it went well.
    pub fn last_error(&self) -> String {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The first lsn it needs; `u64::MAX` = it holds nothing. An optional sink that is too far behind is parked here, by whoever asks,
    /// since it may hang in a call to its target.
    pub fn floor(&self, decided: u64) -> u64 {
        let done = self.done.load(Ordering::Relaxed);
        if !self.required && decided.saturating_sub(done) > self.lag_bytes_max {
            self.parked.store(true, Ordering::Relaxed);
            return u64::MAX;
        }
        self.parked.store(false, Ordering::Relaxed);
        self.saved.load(Ordering::Relaxed)
    }

    /// Whether a replay waits or is under way.
    pub fn is_replaying(&self) -> bool {
        self.replaying.load(Ordering::Acquire)
            || self.replay.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn note_replaying(&self, on: bool) {
        self.replaying.store(on, Ordering::Release);
    }

    /// Fails once a stop has given up waiting.
    pub(super) fn is_let_go(&self) -> Result<(), DeliverError> {
        if self.let_go.load(Ordering::Acquire) {
            return Err(DeliverError::Unavailable("stopped in the middle of a call".to_owned()));
        }
        Ok(())
    }

    pub(super) fn set_error(&self, error: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 = error.to_owned();
    }
}
