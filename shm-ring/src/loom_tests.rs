//! Every order of steps that the memory model allows, for the two protocols between processes.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p shm-ring --lib`. A model that explores one schedule proves nothing,
//! and loom does not say so: each test asserts how many it explored. Weakening any one of the orderings tagged `[..]`
//! in `cursors` and `wake` makes a test here fail.

use crate::{
    cursors::{Cursors, NoRoom},
    wake::Wake,
};
use loom::{
    cell::UnsafeCell,
    sync::{Arc, Mutex},
    thread,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records of one alignment step in a ring of two.
const STEP: u64 = 32;
const CAPACITY: u64 = 2 * STEP;

/// A ring whose records are single numbers; loom reports every access to them that no ordering protects.
struct Ring {
    cursors: Cursors,
    wake: Wake,
    lock: Mutex<()>,
    places: [UnsafeCell<u64>; 2],
}

// SAFETY: that `places` is never touched by two at a time is what these tests prove.
unsafe impl Sync for Ring {}
// SAFETY: as above.
unsafe impl Send for Ring {}

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            cursors: Cursors::default(),
            wake: Wake::default(),
            lock: Mutex::new(()),
            places: [UnsafeCell::new(0), UnsafeCell::new(0)],
        })
    }

    fn place(&self, position: u64) -> &UnsafeCell<u64> {
        &self.places[(position % CAPACITY / STEP) as usize]
    }

    /// What `Producer::push` does; true if the consumer must be woken.
    fn push(&self, value: u64) -> Result<bool, NoRoom> {
        let held = self.lock.lock().unwrap();
        let place = self.cursors.place(STEP, CAPACITY)?;
        // SAFETY: checked by loom.
        self.place(place.start).with_mut(|slot| unsafe { *slot = value });
        self.cursors.publish(place.start + STEP);
        drop(held);
        Ok(self.wake.published())
    }

    /// What `Consumer::read` and `release` do, for one record.
    fn take(&self, next: &mut u64) -> Option<u64> {
        if self.cursors.tail() <= *next {
            return None;
        }
        // SAFETY: checked by loom.
        let value = self.place(*next).with(|slot| unsafe { *slot });
        *next += STEP;
        self.cursors.release(*next);
        Some(value)
    }
}

/// Runs `body` in every schedule and returns how many there were.
fn schedules(body: impl Fn() + Send + Sync + 'static) -> usize {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    loom::model({
        let count = count.clone();
        move || {
            count.fetch_add(1, Ordering::Relaxed);
            body();
        }
    });
    count.load(Ordering::Relaxed)
}

#[test]
fn a_record_is_published_whole() {
    let explored = schedules(|| {
        let ring = Ring::new();
        let consumer = thread::spawn({
            let ring = ring.clone();
            move || ring.take(&mut 0)
        });
        ring.push(7).unwrap();
        assert!(matches!(consumer.join().unwrap(), None | Some(7)));
    });
    println!("explored {explored}");
    assert!(explored > 2, "explored {explored}");
}

#[test]
fn room_is_not_reused_before_it_was_read() {
    let explored = schedules(|| {
        let ring = Ring::new();
        ring.push(1).unwrap();
        ring.push(2).unwrap();
        let producer = thread::spawn({
            let ring = ring.clone();
            move || ring.push(3)
        });
        let mut next = 0;
        assert_eq!(ring.take(&mut next), Some(1));
        let third = producer.join().unwrap().is_ok();
        assert_eq!(ring.take(&mut next), Some(2));
        assert_eq!(ring.take(&mut next), third.then_some(3));
    });
    println!("explored {explored}");
    assert!(explored > 5, "explored {explored}");
}

#[test]
fn two_producers_never_share_a_place() {
    let explored = schedules(|| {
        let ring = Ring::new();
        let producers = [1, 2].map(|value| {
            let ring = ring.clone();
            thread::spawn(move || ring.push(value).unwrap())
        });
        let mut next = 0;
        let mut values = Vec::new();
        values.extend(ring.take(&mut next));
        producers.map(|producer| producer.join().unwrap());
        values.extend(ring.take(&mut next));
        values.extend(ring.take(&mut next));
        values.sort_unstable();
        assert_eq!(values, [1, 2]);
    });
    println!("explored {explored}");
    assert!(explored > 20, "explored {explored}");
}

#[test]
fn a_consumer_never_sleeps_through_a_push() {
    let explored = schedules(|| {
        let ring = Ring::new();
        let consumer = thread::spawn({
            let ring = ring.clone();
            move || ring.wake.sleep(|| ring.cursors.tail() > 0)
        });
        let woken = ring.push(7).unwrap();
        if let Some(word) = consumer.join().unwrap() {
            // The kernel compares the word under its own lock, so it does not start a sleep that was called off.
            assert!(woken && !ring.wake.would_sleep(word), "asleep beside a record");
        }
    });
    println!("explored {explored}");
    assert!(explored > 5, "explored {explored}");
}
