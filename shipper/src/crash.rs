//! Crash points: journal, facts, state files, file sink and quarantine on the seeded disk, killed at any changing operation, by
//! power cut or by process death, again and again; with fdatasyncs that fail and a disk that fills up. The oracle is its own list of what was pushed and what was said to be durable.
#![allow(clippy::unwrap_used)]

use crate::disk::double::{DoubleDisk, Rng};
use crate::disk::{Disk, Open, create_dirs};
use crate::engine::EngineConfig;
use crate::facts::pass::{FactsPass, Watcher};
use crate::facts::{Fact, FactsConfig, FactsLog};
use crate::health::Health;
use crate::journal::layout::Header;
use crate::journal::{Journal, JournalConfig, JournalError, NewRecord};
use crate::quarantine::Quarantine;
use crate::range::Want;
use crate::sealed::Opener;
use crate::sink::runner::{Parts, Runner};
use crate::sink::{Common, Context, Sink, SinkConfig, file};
use crate::zone::Zone;
use event::record::{Builder, CodeRef, Entry, Kind, Span, Verdict, meta};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EPOCH: u32 = 0xfeed;
const NODE: &str = "crash-0000feed";
/// 2026-11-24 16:59:50 UTC: ten seconds before an hour ends, so that ranges span two partitions.
pub(crate) const START_MS: i64 = 1_795_539_590_000;

/// Counts for data health, as the engine's watcher does.
struct Counting(Arc<Health>);

impl Watcher for Counting {
    fn wants(&self) -> bool {
        false
    }
    fn count(&mut self, payload: &[u8], facts: &[Fact]) {
        self.0.count(payload, facts);
    }
    fn gather(&mut self, _: &Header, _: &[u8], _: &[Fact]) {}
    fn committed(&mut self, _: bool) {}
    fn restore(&mut self) {
        // A disk that cannot be read now is dead: its life ends before anything is saved.
        let _ = self.0.restore();
    }
    fn replay(&mut self, payload: &[u8], facts: &[Fact]) {
        self.0.count(payload, facts);
    }
    fn save(&mut self, lsn: u64) -> std::io::Result<()> {
        self.0.save(lsn)
    }
}

pub(crate) struct NoWatcher;

impl Watcher for NoWatcher {
    fn wants(&self) -> bool {
        false
    }
    fn count(&mut self, _: &[u8], _: &[Fact]) {}
    fn gather(&mut self, _: &Header, _: &[u8], _: &[Fact]) {}
    fn committed(&mut self, _: bool) {}
}

/// The ring, as far as it matters: what was pushed and not released. It outlives processes; a power cut may take it.
struct Ring {
    generation: u64,
    next: u64,
    waiting: Vec<(u64, u64)>,
}

/// What the test itself knows.
#[derive(Default)]
struct Oracle {
    pushed: BTreeSet<u64>,
    /// Numbers whose commit returned well.
    durable: BTreeSet<u64>,
    durable_lsn: u64,
    crashes: u64,
}

/// One life of the process.
struct Life {
    journal: Journal,
    pass: FactsPass,
    health: Arc<Health>,
    quarantine: Runner,
    doors: Quarantine,
    file: Runner,
    /// Numbers appended and not committed.
    uncommitted: Vec<u64>,
}

/// Every third event is rejected.
pub(crate) fn is_rejected(n: u64) -> bool {
    n % 3 == 2
}

pub(crate) fn payload(n: u64) -> Vec<u8> {
    let mut b = Builder::default();
    b.meta(meta::PROJECT, if n.is_multiple_of(5) { b"shop" } else { b"news" }, 64);
    let json = format!(r#"{{"n":{n},"event":"E"}}"#);
    b.bytes().extend_from_slice(json.as_bytes());
    let rejected = is_rejected(n);
    b.entry(&Entry {
        json: Span { at: 0, len: json.len() as u32 },
        verdict: if rejected { Verdict::Rejected } else { Verdict::Kept },
        kind: 1,
        flags: 0,
        codes: u32::from(rejected),
        time_ms: START_MS,
        sent_ms: START_MS,
        dup_key: 0,
        event: Span { at: json.len() as u32 - 3, len: 1 },
        id: Span::default(),
        project: Span::default(),
        lib: Span::default(),
        lib_version: Span::default(),
        app_version: Span::default(),
    });
    if rejected {
        b.code(CodeRef { index: 0, code: *b"N101", pointer: b"", detail: b"" });
    }
    b.payload(&[])
}

fn config() -> (JournalConfig, EngineConfig, file::Config) {
    let journal = JournalConfig { segment_bytes: 8 << 10, keep_hours: 0, ..Default::default() };
    let file = file::Config {
        compression: file::Compression::None,
        range_age_ms_max: 100,
        range_bytes_max: 2 << 10,
        success_grace_s: 0,
        ..Default::default()
    };
    (journal, EngineConfig::default(), file)
}

fn open(disk: &DoubleDisk) -> Result<Life, String> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (journal_config, engine, file_config) = config();
    let dir = PathBuf::from("/data/journal");
    let say = |error: JournalError| error.to_string();
    create_dirs(disk.as_ref(), Path::new("/data"), &dir).map_err(|e| e.to_string())?;
    let log = FactsLog::open(Arc::clone(&disk), &dir, EPOCH).map_err(say)?;
    let files = Arc::clone(log.files());
    let end = log.end_lsn();
    let journal = Journal::open(Arc::clone(&disk), &dir, EPOCH, &journal_config, 96 << 10, end)
        .map_err(say)?
        .journal;
    let segments = Arc::clone(journal.segments());
    let opener = Opener::new(event::Config::default());
    let parts = (Arc::clone(&segments), log, opener);
    let zone = Zone::named("UTC")?;
    let health = Arc::new(Health::new(Arc::clone(&disk), &dir, EPOCH, zone));
    let pass = FactsPass::open(
        Arc::clone(&disk),
        &dir,
        EPOCH,
        &FactsConfig::default(),
        parts,
        Box::new(Counting(Arc::clone(&health))),
    )
    .map_err(say)?;
    let context = Context::of_test(Arc::clone(&disk), NODE)?;
    let (sender, _) = crossbeam_channel::bounded(1);
    let doors = Quarantine::open(&context, &engine, sender)?;
    let runner = |name: &str, common: Common, want: Want, sink: Box<dyn Sink>| {
        let parts = Parts {
            disk: Arc::clone(&disk),
            dir: PathBuf::from("/data/state"),
            node: NODE.to_owned(),
            name: name.to_owned(),
            common,
            want,
            segments: Arc::clone(&segments),
            facts: Arc::clone(&files),
            refused: doors.refused(),
            reopen: None,
        };
        Runner::open(parts, sink)
    };
    let (common, sink) = doors.sink();
    let quarantine = runner("quarantine", common, Want::Quarantine, sink)?;
    let sink = file_config.open(&context)?;
    let file = runner("file", file_config.common(), Want::Kept("file".to_owned()), sink)?;
    Ok(Life { journal, pass, health, quarantine, doors, file, uncommitted: Vec::new() })
}

impl Life {
    /// Ring → journal; every record is offered again until it is released.
    fn drain(&mut self, ring: &Ring, now_ms: i64) {
        for (position, n) in &ring.waiting {
            let payload = payload(*n);
            let record = NewRecord {
                kind: Kind::Request as u8,
                flags: 0,
                kept: u16::from(!is_rejected(*n)),
                rejected: u16::from(is_rejected(*n)),
                generation: ring.generation,
                position: *position,
                recv_ns: (START_MS + (*n as i64) * 500).cast_unsigned() * 1_000_000,
                payload: &payload,
            };
            if self.journal.append(&record, now_ms.cast_unsigned() * 1_000_000).is_err() {
                return;
            }
            self.uncommitted.push(*n);
        }
    }

    fn commit(&mut self, ring: &mut Ring, oracle: &mut Oracle, now_ms: i64) {
        let Ok(durable) = self.journal.commit(now_ms.cast_unsigned() * 1_000_000) else { return };
        assert!(durable >= oracle.durable_lsn, "durable went back");
        oracle.durable_lsn = durable;
        oracle.durable.extend(self.uncommitted.drain(..));
        let released = self.journal.durable_positions().get(&ring.generation).copied();
        ring.waiting.retain(|(position, _)| released.is_none_or(|r| *position > r));
    }

    fn step(&mut self, rng: &mut Rng, now_ms: i64) {
        let durable = self.journal.segments().durable().get();
        match rng.below(8) {
            0..=2 => _ = self.pass.step(durable),
            3 | 4 => _ = self.file.step(now_ms, rng.below(2) == 0, (0, 0)),
            5 => _ = self.quarantine.step(now_ms, rng.below(2) == 0, (0, 0)),
            6 => {
                let decided = self.pass.log().files().decided().get();
                let floor = [
                    self.file.shared().floor(decided),
                    self.quarantine.shared().floor(decided),
                    self.pass.snapshot_lsn(),
                ];
                let floor = floor.into_iter().min().unwrap();
                if let Ok(start) = self.journal.reclaim(floor, now_ms.cast_unsigned()) {
                    let _ = self.pass.log().files().reclaim(start);
                }
            }
            _ => _ = self.pass.snapshot(),
        }
    }

    fn finish(&mut self, ring: &mut Ring, oracle: &mut Oracle, now_ms: i64) {
        let mut rounds = 0;
        while !ring.waiting.is_empty() {
            self.drain(ring, now_ms);
            self.commit(ring, oracle, now_ms);
            self.settle(now_ms);
            rounds += 1;
            assert!(rounds < 1000, "the ring does not drain");
        }
        self.settle(now_ms);
    }

    fn settle(&mut self, now_ms: i64) {
        let durable = self.journal.segments().durable().get();
        while self.pass.step(durable).unwrap() {}
        let decided = self.pass.log().files().decided().get();
        assert_eq!(decided, durable);
        for runner in [&mut self.file, &mut self.quarantine] {
            let mut steps = 0;
            while runner.done() < decided {
                let step = runner.step(now_ms, true, (0, 0));
                assert_ne!(
                    step,
                    crate::sink::runner::Step::Stopped,
                    "{}",
                    runner.shared().last_error()
                );
                steps += 1;
                assert!(steps < 1000, "{step:?} {}", runner.shared().last_error());
            }
        }
        self.pass.snapshot().unwrap();
        let floor = decided;
        let start = self.journal.reclaim(floor, now_ms.cast_unsigned()).unwrap();
        self.pass.log().files().reclaim(start).unwrap();
    }
}

/// Numbers in all final files, with how often.
pub(crate) fn delivered(disk: &dyn Disk, folder: &Path, out: &mut BTreeMap<u64, u32>) {
    for item in disk.list(folder).unwrap() {
        let path = folder.join(&item.name);
        if item.dir {
            delivered(disk, &path, out);
        } else if item.name.starts_with("part-") {
            let file = disk.open(&path, Open::Read).unwrap();
            let mut bytes = vec![0; item.bytes as usize];
            file.read_at(&mut bytes, 0).unwrap();
            for line in String::from_utf8(bytes).unwrap().lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                *out.entry(value["n"].as_u64().unwrap()).or_default() += 1;
            }
        }
    }
}

/// One disk through several crashes. Returns the number of crashes.
fn run(seed: u64, lives: u64) -> u64 {
    let mut rng = Rng(seed);
    let mut disk = DoubleDisk::new(seed);
    create_dirs(&disk, Path::new("/data"), Path::new("/data")).unwrap();
    let mut oracle = Oracle::default();
    let mut ring = Ring { generation: 1, next: 0, waiting: Vec::new() };
    let mut number = 0;
    let mut now_ms = START_MS;
    let keeps_ring = rng.below(2) == 0;
    let syncs_fail = rng.below(3) == 0;
    let fills_up = rng.below(4) == 0;
    for _ in 0..lives {
        disk.die_at(disk.operations() + 1 + rng.below(250));
        if syncs_fail {
            disk.fail_sync_at(disk.operations() + 1 + rng.below(200));
        }
        // A failed fdatasync may stop the start; whoever watches the process starts it again.
        let opened = open(&disk).or_else(|_| open(&disk));
        if let Ok(mut life) = opened {
            while !disk.is_dead() {
                now_ms += 50;
                if fills_up && rng.below(8) == 0 {
                    let full = rng.below(2) == 0;
                    disk.set_free_bytes(if full { rng.below(20_000) } else { u64::MAX });
                }
                for _ in 0..rng.below(6) {
                    ring.waiting.push((ring.next, number));
                    oracle.pushed.insert(number);
                    (ring.next, number) = (ring.next + 64, number + 1);
                }
                life.drain(&ring, now_ms);
                if rng.below(3) > 0 {
                    life.commit(&mut ring, &mut oracle, now_ms);
                }
                for _ in 0..rng.below(12) {
                    life.step(&mut rng, now_ms);
                }
            }
        }
        assert!(disk.is_dead(), "opening failed without a crash: {}", open(&disk).err().unwrap());
        oracle.crashes += 1;
        if rng.below(3) == 0 {
            disk = disk.restart();
        } else {
            disk = disk.reboot(rng.next_u64());
            if !keeps_ring {
                // What was not durable is gone with the ring; the workers start a new generation.
                ring = Ring { generation: ring.generation + 1, next: 0, waiting: Vec::new() };
            }
        }
    }
    disk.die_at(u64::MAX);
    disk.fail_sync_at(u64::MAX);
    disk.set_free_bytes(u64::MAX);
    let mut life = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    life.finish(&mut ring, &mut oracle, now_ms);
    check(seed, &disk, &life, &oracle, keeps_ring);
    oracle.crashes
}

fn check(seed: u64, disk: &DoubleDisk, life: &Life, oracle: &Oracle, keeps_ring: bool) {
    let mut there = BTreeMap::new();
    delivered(disk, Path::new("/data/files"), &mut there);
    let mut quarantined = BTreeMap::new();
    for item in life.doors.show(&crate::quarantine::Filter::default(), usize::MAX).unwrap() {
        let value: serde_json::Value = serde_json::from_str(&item.json).unwrap();
        *quarantined.entry(value["n"].as_u64().unwrap()).or_insert(0u32) += 1;
    }
    let must = if keeps_ring { &oracle.pushed } else { &oracle.durable };
    for n in must {
        let (place, other) =
            if is_rejected(*n) { (&quarantined, &there) } else { (&there, &quarantined) };
        assert_eq!(place.get(n), Some(&1), "seed {seed}: {n}, durable and not there exactly once");
        assert_eq!(other.get(n), None, "seed {seed}: {n} is in the wrong place");
    }
    for (n, times) in there.iter().chain(&quarantined) {
        assert!(
            *times == 1 && oracle.pushed.contains(n),
            "seed {seed}: {n} is there {times} times"
        );
    }
    let state = life.file.shared().state();
    assert!(state.sums.balance(), "seed {seed}: {:?}", state.sums);
    assert_eq!(state.sums.delivered, there.len() as u64, "seed {seed}");
    let (_, totals) = life.pass.log().files().totals();
    assert_eq!(totals.kept, there.len() as u64, "seed {seed}");
    assert_eq!(totals.rejected, quarantined.len() as u64, "seed {seed}");
    assert_eq!(totals.gaps, 0, "seed {seed}: a crash is no damage");
    let counted = life.health.total();
    let decided = (totals.kept, totals.rejected);
    assert_eq!((counted.kept, counted.rejected), decided, "seed {seed}: data health");
    let [stored, _, _, open] = life.doors.edge();
    assert_eq!((stored, open), (totals.rejected, totals.rejected), "seed {seed}");
}

/// Crash points a run of the tests goes through; `TUSK_CRASHES` sets another number, `TUSK_SEED` runs one seed again.
const CRASHES: u64 = 10_000;

#[test]
fn nothing_durable_is_lost_and_nothing_is_there_twice_at_any_crash_point() {
    if let Some(seed) = std::env::var("TUSK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        run(seed, 10);
        return;
    }
    let wanted = std::env::var("TUSK_CRASHES").ok().and_then(|n| n.parse().ok());
    let wanted: u64 = wanted.unwrap_or(CRASHES);
    let threads = 2;
    let counts: Vec<u64> = std::thread::scope(|scope| {
        let runs = (0..threads).map(|thread| {
            scope.spawn(move || {
                let (mut crashes, mut seed) = (0, thread);
                while crashes < wanted / threads {
                    crashes += run(seed, 10);
                    seed += threads;
                }
                crashes
            })
        });
        runs.collect::<Vec<_>>().into_iter().map(|run| run.join().unwrap()).collect()
    });
    let crashes: u64 = counts.iter().sum();
    println!("crash points: {crashes}");
    assert!(crashes >= wanted);
}
