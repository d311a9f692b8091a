//! The ring between nginx's workers and the shipper: one file, many producers, one consumer.
//!
//! A record is in the ring when [`Producer::push`] returns: it then survives the death of any worker
//! and of the consumer. Every byte between `head` and `tail` belongs to a whole record, because a
//! producer copies under a robust lock and moves `tail` last; a dead producer leaves nothing to guess.
//!
//! * [`prepare`] makes the ring (nginx's master, before the workers start).
//! * [`Producer`] is a worker's side; a push allocates nothing.
//! * [`Consumer`] is the shipper's side; it reads every generation, oldest first.
//! * [`Control`] is the small file by which the shipper tells workers whom to follow.
//!
//! The bytes are described in [`layout`] and, for other readers, in `docs/ring-format.md`.
//! Linux with glibc 2.30 or later.

#[cfg(not(target_os = "linux"))]
compile_error!("the ring needs Linux: robust process-shared locks, futex, flock and fallocate");

#[cfg_attr(loom, allow(dead_code))]
mod cursors;
mod sync;
#[cfg_attr(loom, allow(dead_code))]
mod wake;

#[cfg(all(test, loom))]
mod loom_tests;

/// Everything but the two protocols above: loom's atomics cannot live in a mapped file, so under
/// loom only those are compiled.
macro_rules! outside_loom {
    ($($item:item)+) => { $(#[cfg(not(loom))] $item)+ };
}

outside_loom! {
    pub mod layout;
    mod batch;
    mod boot;
    mod consumer;
    mod control;
    mod counters;
    mod error;
    mod files;
    mod futex;
    mod generation;
    mod lock;
    mod map;
    mod prepare;
    mod producer;
    mod scan;
    mod shared;
    mod sys;

    pub use batch::{Batch, Gap, Record};
    pub use boot::{BootId, boot_id};
    pub use consumer::{Consumer, GenerationInfo, ReadOutcome};
    pub use control::{CONTROL_FOLLOWED_MAX, CONTROL_LIFE_MAX_MS, Control, write_control};
    pub use counters::{Counter, CounterValue, Counters};
    pub use error::{PushError, RingError};
    pub use layout::{KIND_PAD, Meta, SIZE_BYTES_MAX, SIZE_BYTES_MIN};
    pub use prepare::{Options, prepare, prepare_in_boot};
    pub use producer::{Position, Producer};
}
