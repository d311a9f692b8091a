//! A sink's log: the sink writes what it refused, the quarantine what was decided on it, each at its own place in the journal.
#![allow(clippy::unwrap_used)]

use super::entry::{Kind, stage};
use super::log::Log;
use crate::disk::Disk;
use crate::disk::double::DoubleDisk;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EDGE: bool = true;

fn open(disk: &Arc<DoubleDisk>, ordered: bool) -> Log {
    Log::open(Arc::<DoubleDisk>::clone(disk), PathBuf::from("/q/log"), 7, ordered).unwrap()
}

fn disk() -> Arc<DoubleDisk> {
    let disk = DoubleDisk::new(1);
    disk.create_dir(Path::new("/q")).unwrap();
    Arc::new(disk)
}

fn item(position: u64, lsn: u64, kind: Kind) -> Vec<u8> {
    let mut out = Vec::new();
    stage(position, (lsn, 0), 5, kind, b"payload", &mut out);
    out
}

fn shown(log: &Log) -> Vec<u64> {
    let mut lsns = Vec::new();
    log.walk(&mut |header, _| {
        lsns.push(header.lsn);
        true
    })
    .unwrap();
    assert_eq!(lsns.len() as u64, log.open_events(), "{lsns:?}");
    lsns
}

#[test]
fn a_decision_behind_a_refusal_does_not_cut_it() {
    let disk = disk();
    let mut log = open(&disk, !EDGE);
    // The sink is ahead; the quarantine's own cursor brings a decision from further back, then a replay refuses at an old place.
    log.append(900, &item(1000, 1000, Kind::Event)).unwrap();
    log.append(1000, &item(1100, 1100, Kind::Event)).unwrap();
    log.append(950, &item(960, 1000, Kind::Discarded)).unwrap();
    log.append(0, &item(16, 16, Kind::Event)).unwrap();
    assert_eq!(shown(&log), [1000, 1100, 16], "what came after a decision waits again");
    log.append(1200, &item(1200, 1000, Kind::Redriven)).unwrap();
    assert_eq!(shown(&log), [1100, 16]);
    assert_eq!(shown(&open(&disk, !EDGE)), [1100, 16], "and after a restart");
    // The same ranges after a crash change nothing.
    log.append(900, &item(1000, 1000, Kind::Event)).unwrap();
    log.append(0, &item(16, 16, Kind::Event)).unwrap();
    log.append(1200, &item(1200, 1000, Kind::Redriven)).unwrap();
    assert_eq!(shown(&log), [1100, 16]);
}

#[test]
fn what_is_redriven_and_refused_again_waits_again() {
    let disk = disk();
    let mut log = open(&disk, !EDGE);
    log.append(0, &item(10, 10, Kind::Event)).unwrap();
    // The sink may be quicker than the quarantine's cursor, or slower.
    for (first, second) in [(Kind::Event, Kind::Redriven), (Kind::Redriven, Kind::Event)] {
        let position = if first == Kind::Event { 50 } else { 60 };
        log.append(position, &item(position, 10, first)).unwrap();
        log.append(position, &item(position, 10, second)).unwrap();
        assert_eq!(shown(&log), [10], "{first:?} first");
        assert_eq!(shown(&open(&disk, !EDGE)), [10]);
    }
    log.append(70, &item(70, 10, Kind::Discarded)).unwrap();
    assert!(shown(&log).is_empty());
    assert!(shown(&open(&disk, !EDGE)).is_empty());
}

#[test]
fn the_edges_log_replaces_what_a_range_wrote_before() {
    let disk = disk();
    let mut log = open(&disk, EDGE);
    log.append(0, &item(10, 10, Kind::Event)).unwrap();
    log.append(20, &[item(20, 20, Kind::Event), item(30, 30, Kind::Event)].concat()).unwrap();
    log.append(20, &item(20, 20, Kind::Event)).unwrap();
    assert_eq!(shown(&log), [10, 20]);
    log.append(40, &item(40, 10, Kind::Redriven)).unwrap();
    assert_eq!(shown(&log), [20]);
}
