//! Files that are torn, cut, overwritten or of another program: errors or gaps, never a crash, never a loop.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, Random, drain_past_damage, meta};
use shm_ring::{Batch, Gap, Producer, PushError, RingError, SIZE_BYTES_MIN};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, Instant},
};

const HEADER_BYTES: u64 = 8192;
const TAIL: u64 = 4096;
const HEAD: u64 = TAIL + 64;
const DURABLE: u64 = TAIL + 128;

/// A ring that has wrapped, so that it holds a pad, and its records; each with its first and last byte in the file.
struct Sample {
    dir: Dir,
    path: PathBuf,
    bytes: Vec<u8>,
    records: Vec<(Vec<u8>, std::ops::Range<u64>)>,
}

fn sample() -> Sample {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    let mut random = Random(1);
    let mut payload = |bytes: u64| (0..bytes).map(|_| random.next() as u8).collect::<Vec<_>>();
    for _ in 0..9 {
        producer.push(&meta(), &[&payload(6000)]).unwrap();
    }
    assert_eq!(drain_past_damage(&mut dir.consumer()).len(), 9);
    let lengths = [100, 0, 31, 32, 33, 5000, 3000, 64, 1, 2000, 700, 5];
    let mut records = Vec::new();
    for length in lengths {
        let payload = payload(length);
        let end = producer.push(&meta(), &[&payload]).unwrap().end;
        let start = (end - (32 + length).next_multiple_of(32)) % SIZE_BYTES_MIN + HEADER_BYTES;
        records.push((payload, start..start + 32 + length));
    }
    assert!(records[0].1.start > records[11].1.start, "wrapped");
    let path = dir.rings().remove(0);
    let bytes = fs::read(&path).unwrap();
    Sample { dir, path, bytes, records }
}

impl Sample {
    /// What a new consumer reads after `change`.
    fn read_after(&self, change: impl FnOnce(&File)) -> Vec<Vec<u8>> {
        fs::write(&self.path, &self.bytes).unwrap();
        change(&File::options().write(true).open(&self.path).unwrap());
        drain_past_damage(&mut self.dir.consumer())
    }

    fn flip(&self, offset: u64, mask: u8) -> Vec<Vec<u8>> {
        let byte = self.bytes[offset as usize] ^ mask;
        self.read_after(|file| file.write_all_at(&[byte], offset).unwrap())
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.records.iter().map(|(payload, _)| payload.clone()).collect()
    }
}

#[test]
fn a_flipped_byte_costs_its_own_record_and_no_other() {
    let sample = sample();
    for offset in HEADER_BYTES..HEADER_BYTES + SIZE_BYTES_MIN {
        let inside = sample.records.iter().position(|(_, range)| range.contains(&offset));
        let header = inside.is_some_and(|index| offset < sample.records[index].1.start + 32);
        if !header && offset % 61 != 0 {
            continue;
        }
        let mut expected = sample.payloads();
        if let Some(index) = inside {
            expected.remove(index);
        }
        let payloads = sample.flip(offset, 1 << (offset % 8));
        assert!(payloads == expected, "offset {offset}: {} records", payloads.len());
    }
}

#[test]
fn a_gap_is_reported_with_its_place() {
    let sample = sample();
    fs::write(&sample.path, &sample.bytes).unwrap();
    let file = File::options().write(true).open(&sample.path).unwrap();
    let (_, range) = &sample.records[5];
    file.write_all_at(&[0xff; 40], range.start).unwrap();
    let mut consumer = sample.dir.consumer();
    let mut batch = Batch::new();
    let outcome = consumer.read(&mut batch, usize::MAX).unwrap();
    assert_eq!((outcome.records, outcome.damaged_bytes), (11, 5056));
    let before = batch.records().nth(4).unwrap();
    let after = batch.records().nth(5).unwrap();
    let gap = Gap { generation: before.generation, from: before.end, to: after.position };
    assert_eq!(batch.gaps(), [gap]);
}

#[test]
fn a_flipped_byte_in_the_identity_loses_no_record() {
    let sample = sample();
    for offset in 0..72 {
        let payloads = sample.flip(offset, 0x10);
        if (8..12).contains(&offset) {
            assert!(payloads.is_empty(), "another version is left alone");
            continue;
        }
        // Records that were freed are still valid and come first; whoever keeps a journal releases beyond them.
        assert!(payloads.ends_with(&sample.payloads()), "offset {offset}");
    }
}

#[test]
fn overwritten_cursors_lose_no_record() {
    let sample = sample();
    let word = |at: u64| u64::from_le_bytes(*sample.bytes[at as usize..].first_chunk().unwrap());
    let (head, tail) = (word(HEAD), word(TAIL));
    assert_eq!(head, word(DURABLE));
    let garbage = [0, 1, 31, 32, head + 1, tail + 1, tail + SIZE_BYTES_MIN, 1 << 62, u64::MAX];
    for at in [HEAD, TAIL, DURABLE] {
        for value in garbage {
            let bytes = value.to_le_bytes();
            let payloads = sample.read_after(|file| file.write_all_at(&bytes, at).unwrap());
            assert!(payloads.ends_with(&sample.payloads()), "{at} {value}");
            // A journal that knows better than the header.
            fs::write(&sample.path, &sample.bytes).unwrap();
            let file = File::options().write(true).open(&sample.path).unwrap();
            file.write_all_at(&bytes, at).unwrap();
            let mut consumer = sample.dir.consumer();
            let info = consumer.generations().next().unwrap();
            assert!(info.tail <= info.released.max(tail) + SIZE_BYTES_MIN, "{info:?}");
            consumer.release(info.generation, head);
            assert!(drain_past_damage(&mut consumer) == sample.payloads(), "{at} {value}");
            consumer.retire_empty().unwrap();
            let _ = fs::remove_file(sample.path.with_extension("ring.damaged"));
        }
    }
}

#[test]
fn any_page_of_noise_is_survived() {
    let sample = sample();
    for seed in 0..200 {
        let mut random = Random(seed);
        let noise: Vec<u8> = (0..4096).map(|_| random.next() as u8).collect();
        let offset = random.below(SIZE_BYTES_MIN + HEADER_BYTES - 4096);
        let started = Instant::now();
        let payloads = sample.read_after(|file| file.write_all_at(&noise, offset).unwrap());
        assert!(started.elapsed() < Duration::from_secs(5), "seed {seed}");
        if offset >= HEADER_BYTES {
            let all = sample.payloads();
            assert!(payloads.iter().all(|payload| all.contains(payload)), "seed {seed}");
            assert!(payloads.len() >= 4, "seed {seed}: {}", payloads.len());
        }
    }
}

#[test]
fn a_truncated_file_is_an_error_for_both_sides() {
    for length in [0, 1, 71, 4096, 8191, 8192, 8193, 8192 + SIZE_BYTES_MIN - 1] {
        let dir = Dir::new();
        dir.prepare(SIZE_BYTES_MIN);
        dir.producer().push(&meta(), &[b"x"]).unwrap();
        File::options().write(true).open(&dir.rings()[0]).unwrap().set_len(length).unwrap();
        let error = Producer::attach(dir.path()).unwrap_err();
        assert!(matches!(error, RingError::Damaged { .. }), "{length}: {error}");
        let mut consumer = dir.consumer();
        assert_eq!(drain_past_damage(&mut consumer).len(), 0);
        assert_eq!(consumer.take_problems().len(), 1);
        assert_eq!(consumer.take_problems().len(), 0, "told once");
        // A reload repairs it, and the new ring works at once.
        dir.prepare(SIZE_BYTES_MIN);
        dir.producer().push(&meta(), &[b"y"]).unwrap();
        consumer.refresh().unwrap();
        assert_eq!(drain_past_damage(&mut consumer), [b"y"]);
    }
}

#[test]
fn a_file_truncated_while_in_use_closes_it() {
    for length in [0, 4096, 5120, 8192, 8193, 8192 + SIZE_BYTES_MIN] {
        let dir = Dir::new();
        // The last length looks like a ring that was made with half the size.
        dir.prepare(2 * SIZE_BYTES_MIN);
        let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
        let ends = [b"x", b"y"].map(|payload| producer.push(&meta(), &[payload]).unwrap().end);
        let mut batch = Batch::new();
        assert!(consumer.read(&mut batch, 1).unwrap().more);
        File::options().write(true).open(&dir.rings()[0]).unwrap().set_len(length).unwrap();
        // None of these may touch the mapping.
        consumer.heartbeat();
        consumer.set_full_hint(true);
        assert!(!consumer.journal_ack_used());
        assert!(!consumer.wait(Duration::from_millis(1)));
        consumer.release(producer.generation(), ends[0]);
        assert_eq!(consumer.generations().map(|info| info.tail).collect::<Vec<_>>(), [ends[1]]);
        assert_eq!(consumer.read(&mut batch, 1 << 20).unwrap().records, 0);
        let gap = Gap { generation: producer.generation(), from: ends[0], to: ends[1] };
        assert_eq!(batch.gaps(), [gap]);
        assert_eq!(consumer.take_problems().len(), 1);
        assert_eq!(consumer.generations().len(), 0);
        assert_eq!(consumer.retire_empty().unwrap(), 0);
        consumer.refresh().unwrap();
        assert!(!consumer.read(&mut batch, 1 << 20).unwrap().more && batch.is_empty());
        // The producer looks every 100 ms.
        std::thread::sleep(Duration::from_millis(150));
        for _ in 0..3 {
            assert_eq!(producer.push(&meta(), &[b"z"]), Err(PushError::Closed));
        }
        drop(producer);
        consumer.refresh().unwrap();
        assert!(drain_past_damage(&mut consumer).is_empty(), "length {length}: read twice");
    }
}

#[test]
fn a_deleted_file_is_drained_and_takes_no_more() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    producer.push(&meta(), &[b"x"]).unwrap();
    fs::remove_file(&dir.rings()[0]).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(producer.push(&meta(), &[b"y"]), Err(PushError::Closed));
    assert_eq!(drain_past_damage(&mut consumer), [b"x"]);
    drop(producer);
    assert_eq!(consumer.retire_empty().unwrap(), 1);
}

#[test]
fn another_version_is_named_and_left_alone() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    dir.producer().push(&meta(), &[b"x"]).unwrap();
    let path = dir.rings().remove(0);
    File::options().write(true).open(&path).unwrap().write_all_at(&[9], 8).unwrap();
    let error = Producer::attach(dir.path()).unwrap_err();
    assert!(matches!(error, RingError::Version { found: 9, .. }), "{error}");
    let mut consumer = dir.consumer();
    let problems = consumer.take_problems();
    assert!(matches!(problems[..], [RingError::Version { found: 9, .. }]), "{problems:?}");
    dir.prepare(SIZE_BYTES_MIN);
    consumer.refresh().unwrap();
    consumer.retire_empty().unwrap();
    assert_eq!(dir.rings().len(), 2);
    assert_eq!(dir.rings()[0], path);
}

#[test]
fn a_copied_ring_file_is_not_read_twice() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    dir.producer().push(&meta(), &[b"x"]).unwrap();
    let copy = dir.path().join("00000000-00000000000000aa.ring");
    fs::copy(&dir.rings()[0], &copy).unwrap();
    let mut consumer = dir.consumer();
    assert_eq!(drain_past_damage(&mut consumer), [b"x"]);
}

#[test]
fn a_tail_set_back_closes_the_ring_until_a_reload() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let mut bystander = dir.producer();
    producer.push(&meta(), &[b"a"]).unwrap();
    producer.push(&meta(), &[b"b"]).unwrap();
    assert_eq!(drain_past_damage(&mut consumer).len(), 2);
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    for at in [HEAD, DURABLE, TAIL] {
        file.write_all_at(&64u64.to_le_bytes(), at).unwrap();
    }
    assert_eq!(producer.push(&meta(), &[b"c"]), Err(PushError::Closed));
    assert_eq!(bystander.push(&meta(), &[b"d"]), Err(PushError::Closed));
    assert!(producer.counters().closed.get() == 2);
    dir.prepare(SIZE_BYTES_MIN);
    dir.producer().push(&meta(), &[b"e"]).unwrap();
    drop((producer, bystander));
    consumer.refresh().unwrap();
    assert_eq!(drain_past_damage(&mut consumer), [b"e"]);
}

/// The reader saw it first: a worker that has written nothing yet could not.
#[test]
fn a_reader_that_finds_the_tail_set_back_closes_the_ring() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let mut bystander = dir.producer();
    let ends = [b"a", b"b"].map(|payload| producer.push(&meta(), &[payload]).unwrap().end);
    assert_eq!(drain_past_damage(&mut consumer).len(), 2);
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    for at in [HEAD, DURABLE, TAIL] {
        file.write_all_at(&ends[0].to_le_bytes(), at).unwrap();
    }
    assert!(drain_past_damage(&mut consumer).is_empty());
    assert_eq!(consumer.take_problems().len(), 1);
    assert_eq!(bystander.push(&meta(), &[b"c"]), Err(PushError::Closed));
}

#[test]
fn a_gap_in_a_ring_without_a_header_is_reported_with_its_place() {
    let sample = sample();
    fs::write(&sample.path, &sample.bytes).unwrap();
    let file = File::options().write(true).open(&sample.path).unwrap();
    file.write_all_at(&[0xff; 8], 0).unwrap();
    // The smallest gap: one header without a payload.
    file.write_all_at(&[0xff; 32], sample.records[1].1.start).unwrap();
    let mut consumer = sample.dir.consumer();
    let head = u64::from_le_bytes(*sample.bytes[HEAD as usize..].first_chunk().unwrap());
    let generation = consumer.generations().next().unwrap().generation;
    consumer.release(generation, head);
    let mut batch = Batch::new();
    let outcome = consumer.read(&mut batch, usize::MAX).unwrap();
    assert_eq!((outcome.records, outcome.damaged_bytes), (11, 32));
    let before = batch.records().next().unwrap().end;
    assert_eq!(batch.gaps(), [Gap { generation, from: before, to: before + 32 }]);
}

#[test]
fn a_consumer_killed_between_durable_and_head_leaves_no_full_ring() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    let mut end = 0;
    while let Ok(position) = producer.push(&meta(), &[&[1; 2016]]) {
        end = position.end;
    }
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    file.write_all_at(&end.to_le_bytes(), DURABLE).unwrap();
    assert_eq!(drain_past_damage(&mut dir.consumer()).len(), 0);
    producer.push(&meta(), &[&[1; 2016]]).unwrap();
}

/// Its workers were still attached when the reader started, so it could be opened only later.
#[test]
fn a_damaged_ring_opened_late_is_not_read_from_the_beginning() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    let ends = [b"a", b"b", b"c"].map(|payload| producer.push(&meta(), &[payload]).unwrap().end);
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    file.write_all_at(&[0xff; 8], 0).unwrap();
    dir.prepare(SIZE_BYTES_MIN);
    let mut consumer = dir.consumer();
    consumer.release(producer.generation(), ends[0]);
    assert_eq!(consumer.generations().len(), 1);
    assert!(consumer.known_generations().any(|id| id == producer.generation()));
    assert!(drain_past_damage(&mut consumer).is_empty());
    drop(producer);
    consumer.refresh().unwrap();
    assert_eq!(drain_past_damage(&mut consumer), [b"b", b"c"]);
    assert_eq!(consumer.retire_empty().unwrap(), 1);
}

/// Nobody may guess a generation from outside, but a payload may hold what once was a valid record of another place.
#[test]
fn a_record_inside_a_payload_is_not_taken_for_one() {
    let sample = sample();
    let (_, range) = &sample.records[6];
    let stale = sample.bytes[range.start as usize..range.end as usize].to_vec();
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    producer.push(&meta(), &[&stale, &stale]).unwrap();
    producer.push(&meta(), &[b"after"]).unwrap();
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    file.write_all_at(&[0xff], HEADER_BYTES).unwrap();
    assert_eq!(drain_past_damage(&mut dir.consumer()), [b"after"]);
}

/// Millions of plausible headers, each asking for a sum of megabytes: the search gives up instead.
#[test]
fn a_search_among_hostile_headers_ends() {
    let dir = Dir::new();
    dir.prepare(16 << 20);
    let mut producer = dir.producer();
    let length = producer.record_bytes_max();
    let mut payload = vec![0; length];
    for at in (0..length - 32).step_by(32) {
        let position = at as u64 + 32;
        let claimed = (length - at).saturating_sub(64) as u32;
        payload[at..at + 4].copy_from_slice(&claimed.to_le_bytes());
        payload[at + 8] = 1;
        payload[at + 16..at + 24].copy_from_slice(&position.to_le_bytes());
    }
    producer.push(&meta(), &[&payload]).unwrap();
    producer.push(&meta(), &[b"after"]).unwrap();
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    file.write_all_at(&[0xff; 4], HEADER_BYTES).unwrap();
    let started = Instant::now();
    let payloads = drain_past_damage(&mut dir.consumer());
    assert!(payloads.len() <= 1 && started.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_overwritten_lock_refuses_or_works_and_never_hangs() {
    const LOCK: u64 = 4096 + 6 * 64;
    for at in 0..40 {
        let dir = Dir::new();
        dir.prepare(SIZE_BYTES_MIN);
        let mut producer = dir.producer();
        producer.push(&meta(), &[b"x"]).unwrap();
        let file = File::options().read(true).write(true).open(&dir.rings()[0]).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, LOCK + at).unwrap();
        file.write_all_at(&[!byte[0]], LOCK + at).unwrap();
        let started = Instant::now();
        let pushed = (0..3).filter(|_| producer.push(&meta(), &[b"y"]).is_ok()).count();
        assert!(started.elapsed() < Duration::from_secs(5), "byte {at}");
        assert_eq!(drain_past_damage(&mut dir.consumer()).len(), 1 + pushed, "byte {at}");
    }
}
