//! A push allocates nothing, whatever becomes of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, drain, meta};
use shm_ring::{Control, PushError, SIZE_BYTES_MIN, write_control};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    /// Per thread: the test runner allocates on others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_push_allocates_nothing() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1, "the counter counts");
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let followed: Vec<u64> = (0..1000).collect();
    write_control(dir.path(), &Control { followed, sample_every: 1, expires_ns: u64::MAX })
        .unwrap();
    // The first look opens the file.
    producer.control();
    let payload = vec![7; 2000];
    let mut pushed = 0;
    let count = allocations(|| {
        while producer.push(&meta(), &[&payload[..10], &payload[10..]]).is_ok() {
            pushed += 1;
        }
        assert_eq!(producer.push(&meta(), &[&[0; 9000]]), Err(PushError::TooLarge));
        assert!(producer.control().follows(999));
        producer.heartbeat_age_ms();
    });
    assert_eq!((count, pushed > 20), (0, true));
    assert_eq!(drain(&mut consumer).len(), pushed);
}
