//! The journal alone: damage, torn tails, generations, failed fdatasyncs, the cap.
#![allow(clippy::unwrap_used)]

use super::layout::SEGMENT_HEADER;
use super::{Appended, Journal, JournalConfig, JournalError, NewRecord, Read, Reader};
use crate::disk::double::DoubleDisk;
use crate::disk::{Disk, Open};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/";

fn config() -> JournalConfig {
    JournalConfig { segment_bytes: 16 << 10, keep_hours: 0, ..Default::default() }
}

fn open(disk: &DoubleDisk, known_durable: u64) -> super::Opened {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Journal::open(disk, Path::new(DIR), 1, &config(), 64 << 10, known_durable).unwrap()
}

fn record(generation: u64, position: u64, payload: &[u8]) -> NewRecord<'_> {
    NewRecord { kind: 1, flags: 0, kept: 1, rejected: 0, generation, position, recv_ns: 5, payload }
}

fn read_all(journal: &Journal) -> (Vec<u64>, Vec<(u64, u64)>) {
    let segments = Arc::clone(journal.segments());
    let durable = segments.durable().get();
    let mut reader = Reader::new(Arc::clone(&segments), segments.start_lsn());
    let (mut positions, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.next(durable).unwrap() {
            Read::Record { header, .. } => positions.push(header.position),
            Read::Gap { from, to } => gaps.push((from, to)),
            Read::End => return (positions, gaps),
        }
    }
}

/// Ten records of 1 KiB a segment or so.
fn fill(journal: &mut Journal, records: u64) -> Vec<u64> {
    let payload = [7; 1024];
    let mut lsns = Vec::new();
    for position in 0..records {
        match journal.append(&record(1, position, &payload), 1).unwrap() {
            Appended::At(lsn) => lsns.push(lsn),
            Appended::Repeated => {}
        }
    }
    journal.commit(1).unwrap();
    lsns
}

fn flip(disk: &DoubleDisk, segment: &str, at: u64) {
    let file = disk.open(&Path::new(DIR).join(segment), Open::Write).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 0x40], at).unwrap();
    file.sync().unwrap();
}

#[test]
fn a_damaged_record_is_a_gap_and_its_neighbours_are_read() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    let lsns = fill(&mut journal, 30);
    // Record 4, in its payload, in the first segment, which is closed.
    flip(&disk, "0000000000000000.seg", SEGMENT_HEADER as u64 + lsns[4] + 100);
    let (positions, gaps) = read_all(&journal);
    assert_eq!(gaps, [(lsns[4], lsns[5])]);
    assert_eq!(positions, (0..30).filter(|n| *n != 4).collect::<Vec<_>>());
}

#[test]
fn damage_below_what_was_durable_costs_only_itself_at_the_next_start() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    let lsns = fill(&mut journal, 9);
    let end = journal.segments().durable().get();
    drop(journal);
    // In the last segment, far before its end.
    flip(&disk, "0000000000000000.seg", SEGMENT_HEADER as u64 + lsns[2] + 20);
    let opened = open(&disk.restart(), end);
    assert_eq!(opened.journal.segments().durable().get(), end, "nothing durable is cut");
    let (positions, gaps) = read_all(&opened.journal);
    assert_eq!((positions.len(), gaps), (8, vec![(lsns[2], lsns[3])]));
}

#[test]
fn a_torn_tail_is_cut_counted_and_written_again() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    let lsns = fill(&mut journal, 5);
    drop(journal);
    // The machine died while the last record was on its way.
    flip(&disk, "0000000000000000.seg", SEGMENT_HEADER as u64 + lsns[4] + 500);
    let disk = disk.restart();
    let opened = open(&disk, lsns[4]);
    assert!(opened.torn_bytes > 500, "{}", opened.torn_bytes);
    let mut journal = opened.journal;
    assert_eq!(journal.segments().durable().get(), lsns[4]);
    let payload = [7; 1024];
    assert_eq!(journal.append(&record(1, 3, &payload), 2).unwrap(), Appended::Repeated);
    assert_eq!(journal.append(&record(1, 4, &payload), 2).unwrap(), Appended::At(lsns[4]));
    journal.commit(2).unwrap();
    assert_eq!(read_all(&journal), (vec![0, 1, 2, 3, 4], vec![]));
}

#[test]
fn what_is_journaled_is_decided_per_generation() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    for (generation, position) in [(10, 100), (20, 5), (10, 200)] {
        journal.append(&record(generation, position, b"abcdefgh"), 1).unwrap();
    }
    journal.commit(1).unwrap();
    drop(journal);
    // Positions of both are known again, from the header of a new segment too.
    let mut disk = disk.restart();
    for round in 0..2 {
        let mut journal = open(&disk, 0).journal;
        for (generation, position, new) in
            [(10, 200, false), (20, 5, false), (20, 6 + round, true), (30, 1 + round, true)]
        {
            let appended = journal.append(&record(generation, position, b"abcdefgh"), 1).unwrap();
            assert_eq!(matches!(appended, Appended::At(_)), new, "{generation} {position}");
        }
        journal.commit(1).unwrap();
        disk = disk.restart();
    }
}

#[test]
fn a_failed_fdatasync_moves_on_to_a_new_file_and_loses_nothing() {
    for seed in 0..50 {
        let disk = DoubleDisk::new(seed);
        let mut journal = open(&disk, 0).journal;
        let payload = [7; 256];
        for position in 0..4 {
            journal.append(&record(1, position, &payload), 1).unwrap();
        }
        journal.commit(1).unwrap();
        let before = journal.segments().durable().get();
        for position in 4..8 {
            journal.append(&record(1, position, &payload), 1).unwrap();
        }
        disk.fail_sync_at(disk.operations());
        journal.commit(1).unwrap();
        assert_eq!(journal.fsync_failures, 1);
        assert!(journal.segments().find(before).is_some_and(|(first, _)| first == before));
        drop(journal);
        let journal = open(&disk.reboot(seed), 0).journal;
        assert_eq!(read_all(&journal), ((0..8).collect(), vec![]), "seed {seed}");
    }
}

#[test]
fn at_the_cap_nothing_is_taken_until_segments_go() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    let payload = [7; 1024];
    let mut position = 0;
    let error = loop {
        match journal.append(&record(1, position, &payload), 1) {
            Ok(_) => position += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::AtCap(_)), "{error}");
    let durable = journal.commit(1).unwrap();
    assert!(journal.segments().bytes() <= 64 << 10);
    assert_eq!(journal.reclaim(0, u64::MAX).unwrap(), 0, "nobody has read it yet");
    assert!(journal.append(&record(1, position, &payload), 1).is_err());
    let start = journal.reclaim(durable, u64::MAX).unwrap();
    assert!(start > 0);
    journal.append(&record(1, position, &payload), 1).unwrap();
    let reclaimed = Reader::new(Arc::clone(journal.segments()), 0).next(durable).unwrap_err();
    assert!(matches!(reclaimed, JournalError::Reclaimed { wanted: 0, .. }), "{reclaimed}");
}

#[test]
fn the_last_segment_is_kept_for_what_it_knows_of_the_ring() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    fill(&mut journal, 3);
    let end = journal.segments().durable().get();
    drop(journal);
    // Closed by a start, read by everybody, and the disk too full for the next one.
    let disk = disk.restart();
    let mut journal = open(&disk, end).journal;
    journal.reclaim(end, u64::MAX).unwrap();
    drop(journal);
    let mut journal = open(&disk.restart(), end).journal;
    let payload = [7; 1024];
    assert_eq!(journal.append(&record(1, 2, &payload), 1).unwrap(), Appended::Repeated);
}

#[test]
fn a_full_disk_is_an_error_and_no_more() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    fill(&mut journal, 5);
    disk.set_free_bytes(100);
    let payload = [7; 1024];
    let mut position = 5;
    let error = loop {
        match journal.append(&record(1, position, &payload), 1) {
            Ok(_) => position += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::Disk(_)), "{error}");
    disk.set_free_bytes(u64::MAX);
    assert!(matches!(journal.append(&record(1, position, &payload), 1), Ok(Appended::At(_))));
    journal.commit(1).unwrap();
    assert_eq!(read_all(&journal), ((0..=position).collect(), vec![]));
    assert!(disk.list(Path::new(DIR)).unwrap().iter().all(|item| !item.name.ends_with(".tmp")));
}

#[test]
fn a_segment_of_another_journal_is_refused() {
    let disk = DoubleDisk::new(1);
    let mut journal = open(&disk, 0).journal;
    fill(&mut journal, 1);
    drop(journal);
    let disk: Arc<dyn Disk> = Arc::new(disk.restart());
    let error = Journal::open(disk, Path::new(DIR), 2, &config(), 64 << 10, 0).unwrap_err();
    assert!(error.to_string().contains("was copied here"), "{error}");
}
