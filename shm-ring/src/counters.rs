//! Counters in the ring's header: they are sums over all workers and outlive each of them.

use crate::sync::{AtomicU64, Ordering};

/// A sum over all workers, alone on its cache line.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`; any worker, any time.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds `count` where the caller holds the ring's lock, which is cheaper.
    pub(crate) fn add_locked(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// One counter as a metric shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterValue {
    /// Stable name, snake case.
    pub name: &'static str,
    /// What is counted, in one sentence.
    pub help: &'static str,
    /// The sum so far.
    pub value: u64,
}

/// Places for counters in the header; adding one within it keeps the format.
pub(crate) const COUNTERS_MAX: usize = 48;

macro_rules! counters {
    ($($name:ident: $help:literal,)+) => {
        /// All counters. `push` itself counts those marked so; the module counts the others.
        #[repr(C)]
        #[derive(Default)]
        pub struct Counters {
            $(#[doc = $help] pub $name: Counter,)+
        }

        impl Counters {
            /// Every counter in the order of the format.
            pub fn values(&self) -> impl Iterator<Item = CounterValue> + '_ {
                [$(CounterValue { name: stringify!($name), help: $help, value: self.$name.get() },)+].into_iter()
            }

            /// Starts from another generation's sums, so that a metric does not fall when the ring is replaced.
            pub(crate) fn carry_over(&self, from: &Self) {
                $(self.$name.set(from.$name.get());)+
            }
        }

        const COUNTERS: usize = [$(stringify!($name)),+].len();
    };
}

// The order is the format: add at the end.
counters! {
    requests: "Requests that reached the collector.",
    records: "Records in the ring (counted by push).",
    bytes: "Bytes in the ring, headers and padding included (counted by push).",
    kept: "Events kept (counted by push).",
    rejected: "Events rejected and stored with their codes (counted by push).",
    sealed: "Requests kept unopened for the shipper.",
    dry_runs: "Requests checked and not stored, as they asked.",
    config: "Requests for remote configuration.",
    empty: "Requests that held nothing.",
    full: "Records refused because the ring was full (counted by push).",
    locked: "Records refused because the lock was held too long (counted by push).",
    too_large: "Records refused because they exceed the record limit (counted by push).",
    closed: "Records refused because the ring is damaged (counted by push).",
    lock_recovered: "Locks taken over from a dead worker (counted by push).",
    ack_stale: "Requests refused because the shipper's heartbeat was old.",
    ack_waiters: "Requests refused because too many waited for the journal.",
    ack_timeouts: "Requests that waited too long for the journal.",
    bodies_cut: "Bodies over the limit, kept in part.",
    aborted: "Requests whose client left before the answer.",
    panics: "Requests answered 500 because of a bug in the module.",
    key_ops: "Private-key operations.",
    verdicts: "Answers that carried verdicts.",
}

const _: () = assert!(COUNTERS <= COUNTERS_MAX);
const _: () = assert!(size_of::<Counters>() == COUNTERS * 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_names_and_carry_over() {
        let old = Counters::default();
        old.requests.add(3);
        old.verdicts.add(1);
        let new = Counters::default();
        new.carry_over(&old);
        let values: Vec<_> = new.values().filter(|counter| counter.value != 0).collect();
        assert_eq!(values.len(), 2);
        assert_eq!((values[0].name, values[0].value), ("requests", 3));
        assert!(values[0].help.ends_with('.'));
    }
}
