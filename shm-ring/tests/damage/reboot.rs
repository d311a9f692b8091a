//! After a reboot.

use super::*;
use shm_ring::BootId;

const NEXT_BOOT: BootId = BootId([7; 16]);

fn next_boot(dir: &Dir) -> Consumer {
    prepare_in_boot(&dir.options(SIZE_BYTES_MIN), NEXT_BOOT).unwrap();
    Consumer::open_in_boot(dir.path(), NEXT_BOOT).unwrap()
}

#[test]
fn a_reboot_starts_a_new_generation_and_the_old_one_is_drained_first() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    dir.producer().push(&meta(), &[b"before"]).unwrap();
    let mut consumer = next_boot(&dir);
    let generations: Vec<_> = consumer.generations().collect();
    assert_eq!(generations.len(), 2);
    assert!(!generations[0].of_this_boot && generations[1].of_this_boot);
    assert!(generations[0].sequence < generations[1].sequence);
    assert_ne!(generations[0].generation, generations[1].generation);
    assert_eq!(drain_past_damage(&mut consumer), [b"before"]);
    assert_eq!(consumer.retire_empty().unwrap(), 1);
    assert_eq!(dir.rings(), [generations[1].path.clone()]);
}

#[test]
fn workers_do_not_attach_to_a_ring_of_an_earlier_boot() {
    let dir = Dir::new();
    prepare_in_boot(&dir.options(SIZE_BYTES_MIN), NEXT_BOOT).unwrap();
    let error = Producer::attach(dir.path()).unwrap_err();
    assert!(matches!(error, RingError::Stale { .. }), "{error}");
    dir.prepare(SIZE_BYTES_MIN);
    dir.producer();
}

/// The machine lost power: the disk has the journal's last state and an old state of the ring's header.
#[test]
fn an_old_header_beside_a_newer_journal_reads_nothing_twice() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    let ends: Vec<u64> =
        (0..10u8).map(|index| producer.push(&meta(), &[&[index]]).unwrap().end).collect();
    let generation = producer.generation();
    drop(producer);
    for (tail, journal, expected) in [
        // Records beyond the tail that the disk knows are read: they were answered.
        (0, 0, (0..10).collect::<Vec<u8>>()),
        (ends[3], ends[1], (2..10).collect()),
        // The journal is ahead of the ring's tail.
        (ends[3], ends[6], (7..10).collect()),
        (0, ends[9], vec![]),
    ] {
        let path = dir.rings().remove(0);
        let file = File::options().write(true).open(&path).unwrap();
        for at in [HEAD, DURABLE] {
            file.write_all_at(&0u64.to_le_bytes(), at).unwrap();
        }
        file.write_all_at(&tail.to_le_bytes(), TAIL).unwrap();
        let mut consumer = next_boot(&dir);
        consumer.release(generation, journal);
        let expected: Vec<_> = expected.into_iter().map(|index| vec![index]).collect();
        assert_eq!(drain_past_damage(&mut consumer), expected, "tail {tail} journal {journal}");
        // And not again at the next start, which has only the ring to go by.
        drop(consumer);
        assert!(drain_past_damage(&mut next_boot(&dir)).is_empty());
    }
}

#[test]
fn pages_lost_by_a_power_cut_are_a_gap() {
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let mut producer = dir.producer();
    for index in 0..8u8 {
        producer.push(&meta(), &[&[index; 4064]]).unwrap();
    }
    drop(producer);
    let file = File::options().write(true).open(&dir.rings()[0]).unwrap();
    file.write_all_at(&[0; 8192], HEADER_BYTES + 2 * 4096).unwrap();
    let mut consumer = next_boot(&dir);
    let mut batch = Batch::new();
    let outcome = consumer.read(&mut batch, usize::MAX).unwrap();
    assert_eq!((outcome.records, outcome.damaged_bytes, outcome.more), (6, 8192, false));
}
