//! A second file sink is parked, misses part of the journal and gets it back from the first one's files, killed at any operation.
#![allow(clippy::unwrap_used)]

use super::lines::Lines;
use super::{Job, Piece};
use crate::crash::{NoWatcher, START_MS, delivered, is_rejected, payload};
use crate::disk::double::{DoubleDisk, Rng};
use crate::disk::{Disk, create_dirs};
use crate::engine::EngineConfig;
use crate::facts::pass::FactsPass;
use crate::facts::{FactsConfig, FactsLog};
use crate::journal::{Journal, JournalConfig, NewRecord};
use crate::quarantine::Quarantine;
use crate::range::{Shown, Source, Want};
use crate::sealed::Opener;
use crate::shape::Shape;
use crate::shape::encode::Encoder;
use crate::sink::runner::{Parts, Runner, Step};
use crate::sink::{Common, Context, SinkConfig, file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EPOCH: u32 = 0xbeef;
const NODE: &str = "replay-0000beef";
const EVENTS: u64 = 400;

struct Life {
    journal: Journal,
    pass: FactsPass,
    file: Runner,
    copy: Runner,
}

fn file_config(root: &str) -> file::Config {
    file::Config {
        compression: file::Compression::None,
        range_age_ms_max: 100,
        range_bytes_max: 3 << 10,
        success_grace_s: 0,
        root: Some(PathBuf::from(root)),
        ..Default::default()
    }
}

fn open(disk: &DoubleDisk) -> Result<Life, String> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = PathBuf::from("/data/journal");
    let journal = JournalConfig { segment_bytes: 8 << 10, keep_hours: 0, ..Default::default() };
    create_dirs(disk.as_ref(), Path::new("/data"), &dir).map_err(|e| e.to_string())?;
    let log = FactsLog::open(Arc::clone(&disk), &dir, EPOCH).map_err(|e| e.to_string())?;
    let (files, end) = (Arc::clone(log.files()), log.end_lsn());
    let journal = Journal::open(Arc::clone(&disk), &dir, EPOCH, &journal, 4 << 20, end)
        .map_err(|e| e.to_string())?
        .journal;
    let segments = Arc::clone(journal.segments());
    let parts = (Arc::clone(&segments), log, Opener::new(event::Config::default()));
    let facts = FactsConfig::default();
    let pass = FactsPass::open(Arc::clone(&disk), &dir, EPOCH, &facts, parts, Box::new(NoWatcher))
        .map_err(|e| e.to_string())?;
    let context = Context::of_test(Arc::clone(&disk), NODE)?;
    let (sender, _) = crossbeam_channel::bounded(1);
    let doors = Quarantine::open(&context, &EngineConfig::default(), sender)?;
    let runner = |name: &str, root: &str, required: bool| {
        let config = file_config(root);
        let common = Common { required, lag_bytes_max: 4 << 10, ..config.common() };
        let parts = Parts {
            disk: Arc::clone(&disk),
            dir: PathBuf::from("/data/state"),
            node: NODE.to_owned(),
            name: name.to_owned(),
            common,
            want: Want::Kept(name.to_owned()),
            segments: Arc::clone(&segments),
            facts: Arc::clone(&files),
            refused: doors.refused(),
            reopen: None,
        };
        Runner::open(parts, config.open(&context)?)
    };
    let file = runner("file", "/data/files", true)?;
    let copy = runner("copy", "/data/copy", false)?;
    Ok(Life { journal, pass, file, copy })
}

impl Life {
    fn push(&mut self, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let payload = payload(n);
            let record = NewRecord {
                kind: event::record::Kind::Request as u8,
                flags: 0,
                kept: u16::from(!is_rejected(n)),
                rejected: u16::from(is_rejected(n)),
                generation: 1,
                position: n * 64,
                recv_ns: (START_MS + n as i64 * 500).cast_unsigned() * 1_000_000,
                payload: &payload,
            };
            self.journal.append(&record, START_MS.cast_unsigned() * 1_000_000).unwrap();
        }
        self.journal.commit(START_MS.cast_unsigned() * 1_000_000).unwrap();
        let durable = self.journal.segments().durable().get();
        while self.pass.step(durable).unwrap() {}
        self.pass.snapshot().unwrap();
        let decided = self.decided();
        while self.file.done() < decided {
            let _ = self.file.step(START_MS, true, (0, 0));
        }
    }

    fn decided(&self) -> u64 {
        self.pass.log().files().decided().get()
    }

    /// What nobody holds goes.
    fn reclaim(&mut self) {
        let decided = self.decided();
        let floors = [self.file.shared().floor(decided), self.copy.shared().floor(decided)];
        let floor = floors.into_iter().min().unwrap().min(self.pass.snapshot_lsn());
        let start = self.journal.reclaim(floor, u64::MAX / 2).unwrap();
        self.pass.log().files().reclaim(start).unwrap();
    }
}

/// A line where the second sink was parked once and has caught up with what is left.
fn parked(disk: &DoubleDisk) -> Life {
    create_dirs(disk, Path::new("/data"), Path::new("/data")).unwrap();
    let mut life = open(disk).unwrap();
    life.push(0..50);
    while life.copy.done() < life.decided() {
        let _ = life.copy.step(START_MS, true, (0, 0));
    }
    life.push(50..EVENTS);
    life.reclaim();
    assert!(life.copy.shared().parked.load(std::sync::atomic::Ordering::Relaxed));
    while life.copy.done() < life.decided() {
        assert!(!matches!(life.copy.step(START_MS, true, (0, 0)), Step::Stopped));
    }
    life
}

fn lines(disk: &DoubleDisk) -> Result<Lines, String> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Lines::open(&disk, &file_config("/data/files"), Path::new("/data"), NODE)
}

fn ask(life: &Life, disk: &DoubleDisk) -> Arc<super::Watched> {
    let state = life.copy.shared().state();
    let hole = |(from, to): &(u64, u64)| Piece { from: *from, to: *to, hole: true, missing: None };
    let pieces = state.holes.iter().map(hole).collect();
    let job = Job::new("copy", pieces, None, lines(disk));
    let watched = Arc::clone(job.watched());
    *life.copy.shared().replay.lock().unwrap() = Some(job);
    watched
}

fn there(disk: &DoubleDisk) -> BTreeMap<u64, u32> {
    let mut there = BTreeMap::new();
    delivered(disk, Path::new("/data/copy"), &mut there);
    there
}

fn kept() -> u64 {
    (0..EVENTS).filter(|n| !is_rejected(*n)).count() as u64
}

#[test]
fn a_hole_is_filled_from_files_and_the_books_close() {
    let disk = DoubleDisk::new(1);
    let mut life = parked(&disk);
    let state = life.copy.shared().state();
    assert_eq!(state.holes.len(), 1, "{state:?}");
    assert!(state.sums.skipped > 0 && state.hole_events == [state.sums.skipped], "{state:?}");
    assert!((there(&disk).len() as u64) < kept());
    let watched = ask(&life, &disk);
    while !watched.progress().over {
        life.copy.replay(START_MS);
    }
    let progress = watched.progress();
    assert_eq!((progress.failed.as_str(), progress.delivered), ("", state.sums.skipped));
    assert_eq!(progress.bytes_done, progress.bytes_all);
    let after = life.copy.shared().state();
    assert!(after.holes.is_empty() && after.refill.is_none(), "{after:?}");
    assert_eq!((after.sums.skipped, after.sums.delivered, after.done), (0, kept(), state.done));
    assert!(after.sums.balance());
    assert_eq!(there(&disk).len() as u64, kept());
    assert!(there(&disk).values().all(|times| *times == 1));
}

#[test]
fn killed_at_any_operation_a_replay_goes_on_and_nothing_comes_twice() {
    let mut all_crashes = 0;
    for seed in 0..150 {
        let mut rng = Rng(seed);
        let mut disk = DoubleDisk::new(seed);
        let mut life = parked(&disk);
        let mut crashes = 0;
        loop {
            disk.die_at(disk.operations() + 1 + rng.below(60));
            let watched = ask(&life, &disk);
            let mut now_ms = START_MS;
            while !watched.progress().over && !disk.is_dead() {
                now_ms += i64::try_from(life.copy.replay(now_ms).unwrap_or(0)).unwrap();
            }
            if !disk.is_dead() {
                assert_eq!(watched.progress().failed, "", "seed {seed}");
                break;
            }
            crashes += 1;
            disk.die_at(u64::MAX);
            disk = if rng.below(2) == 0 { disk.restart() } else { disk.reboot(rng.next_u64()) };
            life = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        let state = life.copy.shared().state();
        assert!(state.holes.is_empty() && state.sums.balance(), "seed {seed}: {state:?}");
        assert_eq!(state.sums.skipped, 0, "seed {seed}, {crashes} crashes: {state:?}");
        let there = there(&disk);
        assert_eq!(there.len() as u64, kept(), "seed {seed}");
        assert!(there.values().all(|times| *times == 1), "seed {seed}");
        all_crashes += crashes;
    }
    assert!(all_crashes > 150, "{all_crashes} crashes");
}

#[test]
fn what_is_nowhere_any_more_is_said_and_stays_skipped() {
    let disk = DoubleDisk::new(2);
    let mut life = parked(&disk);
    let before = life.copy.shared().state();
    let all = super::super::sink::folder::audit::files(
        &crate::sink::folder::DiskTree(Arc::new(disk.clone())),
        Path::new("/data/files"),
        NODE,
    )
    .unwrap();
    // All files of the hole's middle.
    let (from, to) = before.holes[0];
    let middle = (from + to) / 2;
    for ((_, _), files) in all.iter().filter(|((a, b), _)| *a <= middle && middle < *b) {
        files.iter().for_each(|path| disk.remove(path).unwrap());
    }
    let watched = ask(&life, &disk);
    while !watched.progress().over {
        life.copy.replay(START_MS);
    }
    let progress = watched.progress();
    assert!(
        progress.failed.contains("neither in the journal nor in the file sink's"),
        "{progress:?}"
    );
    let state = life.copy.shared().state();
    assert!(state.sums.balance() && state.sums.skipped > 0);
    assert_eq!(progress.delivered + state.sums.skipped, before.sums.skipped);
    // With no files at all nothing is touched.
    for ((_, _), files) in all {
        files.iter().for_each(|path| _ = disk.remove(path));
    }
    let disk = DoubleDisk::new(3);
    let mut life = parked(&disk);
    let before = life.copy.shared().state();
    let job = Job::new(
        "copy",
        vec![Piece { from: before.holes[0].0, to: before.holes[0].1, hole: true, missing: None }],
        None,
        Err("there are no files".to_owned()),
    );
    let watched = Arc::clone(job.watched());
    *life.copy.shared().replay.lock().unwrap() = Some(job);
    while !watched.progress().over {
        life.copy.replay(START_MS);
    }
    let failed = watched.progress().failed;
    assert!(
        failed.contains("is no longer in the journal") && failed.contains("no files"),
        "{failed}"
    );
    assert_eq!(life.copy.shared().state(), before);
}

#[test]
fn lines_show_what_the_journal_showed() {
    let disk = DoubleDisk::new(4);
    create_dirs(&disk, Path::new("/data"), Path::new("/data")).unwrap();
    let mut life = open(&disk).unwrap();
    life.push(0..60);
    let (segments, facts) = (life.journal.segments(), life.pass.log().files());
    let mut journal = crate::range::RangeReader::new(segments, facts, Want::Kept("file".into()));
    let mut lines = lines(&disk).unwrap();
    let to = life.decided();
    let show = |source: &mut dyn Source| {
        let mut shown = Vec::new();
        for shape in [Shape::Server, Shape::Flat, Shape::Bare] {
            let mut encoder = Encoder::new(shape, NODE, crate::fill::Fill::default());
            let passed = source.read(0, to, &mut |event| {
                let Shown::Event(event) = event else { return Ok(()) };
                let mut line = Vec::new();
                encoder.encode(event, &mut line);
                shown.push((event.lsn, event.index, String::from_utf8(line).unwrap()));
                Ok(())
            });
            assert_eq!(passed.unwrap().kept, 40);
        }
        shown
    };
    let (from_journal, from_lines) = (show(&mut journal), show(&mut lines));
    for (journal, lines) in from_journal.iter().zip(&from_lines) {
        assert_eq!(journal, lines);
    }
    assert_eq!(from_journal.len(), from_lines.len());
}
