//! The ring in one process: what goes in comes out, once, in order.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, Random, drain, meta};
use shm_ring::{Batch, Consumer, Meta, Producer, PushError, RingError, SIZE_BYTES_MIN};
use std::{
    collections::VecDeque,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

#[test]
fn a_record_comes_out_as_it_went_in() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let position = producer.push(&meta(), &[b"ab", b"", b"cde"]).unwrap();
    let mut batch = Batch::new();
    let outcome = consumer.read(&mut batch, 1).unwrap();
    assert_eq!((outcome.records, outcome.damaged_bytes, outcome.more), (1, 0, false));
    let record = batch.records().next().unwrap();
    assert_eq!((record.meta, record.payload), (meta(), &b"abcde"[..]));
    assert_eq!((record.generation, record.end), (position.generation, position.end));
    assert_eq!(producer.durable(), 0);
    consumer.release(record.generation, record.end);
    assert_eq!((producer.durable(), producer.used_bytes()), (position.end, 0));
    assert!(consumer.read(&mut batch, 1).unwrap().records == 0 && batch.is_empty());
}

/// A naive twin: a queue. Seeded, so that a failure can be repeated.
#[test]
fn the_ring_behaves_like_a_queue() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let dir = Dir::new();
        dir.prepare(SIZE_BYTES_MIN);
        let mut producers = [dir.producer(), dir.producer()];
        let mut consumer = dir.consumer();
        let mut twin: VecDeque<(Meta, Vec<u8>)> = VecDeque::new();
        let mut batch = Batch::new();
        // Records of one batch, read and not yet released: how many of the twin's, and where they end.
        for step in 0..400 {
            let context = format!("seed {seed} step {step}");
            match random.below(10) {
                0..6 => {
                    let max = if random.below(4) == 0 { 8200 } else { 300 };
                    let bytes = random.below(max);
                    let payload: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
                    let meta = Meta {
                        kind: 1 + random.below(254) as u8,
                        flags: random.next() as u8,
                        kept: random.next() as u16,
                        rejected: random.next() as u16,
                        recv_ns: random.next(),
                    };
                    let cut = random.below(bytes + 1) as usize;
                    let producer = &mut producers[random.below(2) as usize];
                    match producer.push(&meta, &[&payload[..cut], &payload[cut..]]) {
                        Ok(_) => twin.push_back((meta, payload)),
                        Err(PushError::TooLarge) => {
                            assert!(payload.len() > producer.record_bytes_max(), "{context}");
                        }
                        Err(error) => {
                            assert_eq!(error, PushError::Full, "{context}");
                            assert!(producer.used_bytes() > SIZE_BYTES_MIN * 3 / 4, "{context}");
                        }
                    }
                }
                6 => consumer.rewind(),
                7 => {
                    drop(consumer);
                    consumer = dir.consumer();
                }
                _ => {
                    consumer.rewind();
                    let max = random.below(20_000) as usize;
                    consumer.read(&mut batch, max).unwrap();
                    assert!(batch.gaps().is_empty(), "{context}");
                    let expected = twin.iter().take(batch.len());
                    let got: Vec<_> = batch.records().collect();
                    for (record, (meta, payload)) in got.iter().zip(expected) {
                        assert_eq!(
                            (record.meta, record.payload),
                            (*meta, &payload[..]),
                            "{context}"
                        );
                    }
                    let releasing = random.below(got.len() as u64 + 1) as usize;
                    if releasing > 0 {
                        twin.drain(..releasing);
                        consumer.release(got[0].generation, got[releasing - 1].end);
                    }
                }
            }
        }
        consumer.rewind();
        let rest: Vec<_> = twin.into_iter().map(|(_, payload)| payload).collect();
        assert_eq!(drain(&mut consumer), rest, "seed {seed}");
        assert_eq!(producers[0].used_bytes(), 0);
    }
}

#[test]
fn a_full_ring_refuses_and_takes_again_what_was_freed() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let mut pushed = 0;
    while producer.push(&meta(), &[&[7; 1000]]).is_ok() {
        pushed += 1;
    }
    assert_eq!(producer.push(&meta(), &[&[7; 1000]]), Err(PushError::Full));
    assert_eq!(producer.counters().full.get(), 2);
    assert_eq!(producer.counters().records.get(), pushed);
    assert_eq!(drain(&mut consumer).len() as u64, pushed);
    producer.push(&meta(), &[&[7; 1000]]).unwrap();
    assert_eq!(drain(&mut consumer).len(), 1);
}

#[test]
fn a_read_of_records_without_payload_ends_at_its_limit() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    while producer.push(&meta(), &[]).is_ok() {}
    let outcome = consumer.read(&mut Batch::new(), 3200).unwrap();
    assert_eq!((outcome.records, outcome.more), (100, true));
}

#[test]
fn a_record_over_the_limit_is_refused() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    let largest = vec![1; producer.record_bytes_max()];
    producer.push(&meta(), &[&largest]).unwrap();
    assert_eq!(producer.push(&meta(), &[&largest, b"x"]), Err(PushError::TooLarge));
    assert_eq!(producer.counters().too_large.get(), 1);
    assert_eq!(drain(&mut dir.consumer()), [largest]);
}

#[test]
fn there_is_one_consumer() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let first = dir.consumer();
    assert!(matches!(Consumer::open(dir.path()), Err(RingError::Busy { .. })));
    drop(first);
    dir.consumer();
}

#[test]
fn files_belong_to_owner_and_group_alone() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }
    assert_eq!(std::fs::metadata(&dir.rings()[0]).unwrap().len(), 8192 + SIZE_BYTES_MIN);
}

#[test]
fn without_a_ring_workers_are_told_to_start_nginx_first() {
    let dir = Dir::new();
    let error = Producer::attach(dir.path()).unwrap_err();
    assert!(matches!(error, RingError::Missing { .. }), "{error}");
    // The shipper may come first.
    let mut consumer = dir.consumer();
    dir.prepare(SIZE_BYTES_MIN);
    assert!(consumer.wait(Duration::from_secs(5)), "a new generation ends the wait");
    dir.producer().push(&meta(), &[b"first"]).unwrap();
    consumer.refresh().unwrap();
    assert_eq!(drain(&mut consumer), [b"first"]);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let dir = Dir::new();
    for size in [0, 1, SIZE_BYTES_MIN - 4096, (1 << 40) + 1, u64::MAX] {
        let error = shm_ring::prepare(&dir.options(size)).unwrap_err();
        assert!(matches!(error, RingError::Size { .. }), "{size}: {error}");
    }
}

#[test]
fn a_push_wakes_a_sleeping_consumer() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut consumer = dir.consumer();
    for _ in 0..50 {
        let mut producer = dir.producer();
        let pusher = std::thread::spawn(move || producer.push(&meta(), &[b"x"]).unwrap());
        let started = Instant::now();
        assert!(consumer.wait(Duration::from_secs(10)));
        assert!(started.elapsed() < Duration::from_secs(5));
        pusher.join().unwrap();
        assert_eq!(drain(&mut consumer).len(), 1);
    }
    assert!(!consumer.wait(Duration::from_millis(1)));
}

#[test]
fn each_side_sees_what_the_other_says() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    assert_eq!(producer.heartbeat_age_ms(), u64::MAX);
    let consumer = dir.consumer();
    assert!(producer.heartbeat_age_ms() < 5_000);
    assert!(!consumer.journal_ack_used());
    producer.set_journal_ack(true);
    producer.push(&meta(), &[b"x"]).unwrap();
    assert!(consumer.journal_ack_used());
    assert!(!producer.journal_full());
    consumer.set_full_hint(true);
    assert!(producer.journal_full());
}
