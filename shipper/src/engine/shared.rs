//! What the engine's threads share: counters, problems, the stop.

use super::EngineConfig;
use super::pulse::Pulse;
use crate::disk::{self, Disk};
use crate::facts::FactsFiles;
use crate::health::Health;
use crate::import::register::Register;
use crate::journal::{Journal, Read, Reader, Segments};
use crate::sink::runner;
use crate::source::SourceStatus;
use crate::status::{ImportStatus, JournalStatus, RingStatus};
use crate::tap::Taps;
use shm_ring::Consumer;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Damaged ranges listed one by one.
const DAMAGED_MAX: usize = 100;

/// Shared by all threads of one engine.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) config: EngineConfig,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal_dir: PathBuf,
    pub(super) node: String,
    pub(super) timezone: String,
    pub(super) started_ms: i64,
    pub(super) segments: Arc<Segments>,
    pub(super) facts: Arc<FactsFiles>,
    pub(super) taps: Arc<Taps>,
    pub(super) pulse: Pulse,
    pub(super) health: Health,
    /// Every sink's window, quarantine included; set once at start.
    pub(super) sinks: OnceLock<Vec<Arc<runner::Shared>>>,
    pub(super) stop: Stop,
    pub(super) drained: AtomicBool,
    pub(super) at_cap: AtomicBool,
    pub(super) ring_records: AtomicU64,
    pub(super) ring_bytes: AtomicU64,
    /// The facts must be replayed from here after a crash.
    pub(super) snapshot_lsn: AtomicU64,
    pub(super) dedup_keys: AtomicU64,
    pub(super) dedup_evicted: AtomicU64,
    pub(super) torn_tails: u64,
    /// The journal's cap, resolved.
    pub(super) journal_bytes_max: u64,
    looks: Mutex<Looks>,
    imports: Mutex<Register>,
}

/// What one thread writes and a snapshot reads.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pub(super) ring: RingStatus,
    pub(super) journal: JournalStatus,
    pub(super) problems: BTreeMap<&'static str, String>,
    pub(super) warnings: Vec<String>,
    pub(super) damaged: Vec<String>,
    pub(super) codes: BTreeMap<[u8; 4], u64>,
    pub(super) source: SourceStatus,
    pub(super) imports: ImportStatus,
    /// All received before `.1` (ms) lies below lsn `.0`.
    pub(super) closed: (u64, i64),
}

/// The parts a [`Shared`] is made of.
pub(super) struct Parts {
    pub(super) config: EngineConfig,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal_dir: PathBuf,
    pub(super) node: String,
    pub(super) timezone: String,
    pub(super) segments: Arc<Segments>,
    pub(super) facts: Arc<FactsFiles>,
    pub(super) torn_tails: u64,
    pub(super) journal_bytes_max: u64,
    pub(super) imports: Register,
    pub(super) health: Health,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> std::io::Result<Self> {
        let damaged = disk::read(parts.disk.as_ref(), &parts.journal_dir.join("DAMAGED"), 1 << 20)?;
        let damaged = String::from_utf8_lossy(&damaged.unwrap_or_default())
            .lines()
            .map(str::to_owned)
            .collect();
        Ok(Self {
            config: parts.config,
            disk: parts.disk,
            journal_dir: parts.journal_dir,
            node: parts.node,
            timezone: parts.timezone,
            started_ms: super::now_ms(),
            segments: parts.segments,
            facts: parts.facts,
            taps: Arc::default(),
            pulse: Pulse::default(),
            health: parts.health,
            sinks: OnceLock::new(),
            stop: Stop::default(),
            drained: AtomicBool::new(false),
            at_cap: AtomicBool::new(false),
            ring_records: AtomicU64::new(0),
            ring_bytes: AtomicU64::new(0),
            snapshot_lsn: AtomicU64::new(0),
            dedup_keys: AtomicU64::new(0),
            dedup_evicted: AtomicU64::new(0),
            torn_tails: parts.torn_tails,
            journal_bytes_max: parts.journal_bytes_max,
            looks: Mutex::new(Looks { damaged, ..Looks::default() }),
            imports: Mutex::new(parts.imports),
        })
    }

    /// Sealed requests between `lsn` and the end of the journal: not opened yet. What cannot be read is not counted.
    pub(super) fn sealed_waiting(&self, lsn: u64) -> u64 {
        let mut reader = Reader::new(Arc::clone(&self.segments), lsn);
        let durable = self.segments.durable().get();
        let mut sealed = 0;
        loop {
            match reader.next(durable) {
                Ok(Read::Record { header, .. }) => {
                    sealed += u64::from(header.kind == event::record::Kind::Sealed as u8);
                }
                Ok(Read::Gap { .. }) => {}
                Ok(Read::End) | Err(_) => return sealed,
            }
        }
    }

    pub(super) fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first lsn anybody needs.
    pub(super) fn floor(&self) -> u64 {
        let decided = self.facts.decided().get();
        let sinks = self.sinks.get().map_or(&[][..], Vec::as_slice);
        let floors = sinks.iter().map(|sink| sink.floor(decided));
        // An engine without sinks yet needs everything.
        let sinks = floors.min().unwrap_or(0);
        let imports = self.imports().lsn();
        sinks.min(decided).min(self.snapshot_lsn.load(Ordering::Relaxed)).min(imports)
    }

    /// How far imported and followed files are.
    pub(crate) fn imports(&self) -> MutexGuard<'_, Register> {
        self.imports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the journal that somebody needs, and its cap.
    pub(crate) fn held(&self) -> (u64, u64) {
        let floor = self.floor().max(self.segments.start_lsn());
        (self.segments.durable().get().saturating_sub(floor), self.journal_bytes_max)
    }

    /// How lines of files are judged: as sealed and re-driven requests.
    pub(crate) fn accept_config(&self) -> Result<event::Config, String> {
        self.config.accept_config().map_err(|error| error.to_string())
    }

    /// Sleeps, not beyond a stop.
    pub(crate) fn sleep(&self, wait: Duration) {
        self.stop.sleep(wait);
    }

    /// How the followed files are.
    pub(crate) fn set_source(&self, status: &SourceStatus) {
        self.looks().source.clone_from(status);
    }

    /// Counts what an import did since it counted last.
    pub(crate) fn count_import(&self, lines: u64, known: u64, kept: u64, rejected: u64) {
        let imports = &mut self.looks().imports;
        imports.lines += lines;
        imports.known += known;
        imports.kept += kept;
        imports.rejected += rejected;
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.requested()
    }

    /// Sets or clears a problem that lasts.
    pub(crate) fn set_problem(&self, what: &'static str, problem: Option<String>) {
        let mut looks = self.looks();
        match problem {
            Some(text) => _ = looks.problems.insert(what, text),
            None => _ = looks.problems.remove(what),
        }
    }

    /// Something that happened once; the last 100 are kept for whoever logs.
    pub(super) fn warn(&self, what: &str, text: &str) {
        let mut looks = self.looks();
        if looks.warnings.len() >= DAMAGED_MAX {
            looks.warnings.remove(0);
        }
        looks.warnings.push(format!("{what}: {text}"));
    }

    /// Writes a damaged range of the ring down before its room is given back.
    pub(super) fn note_ring_gap(&self, generation: u64, from: u64, to: u64) {
        let text = {
            let mut looks = self.looks();
            looks.ring.damaged_gaps += 1;
            looks.ring.damaged_bytes += to - from;
            if looks.damaged.len() >= DAMAGED_MAX {
                // The two oldest become one line, so that the sum stays.
                let sum: u64 = looks.damaged.drain(..2).map(|line| damaged_bytes(&line)).sum();
                looks.damaged.insert(0, format!("ring older [0,{sum})"));
            }
            looks.damaged.push(format!("ring {generation:016x} [{from},{to})"));
            looks.damaged.join("\n") + "\n"
        };
        let path = self.journal_dir.join("DAMAGED");
        if let Err(error) = disk::replace(self.disk.as_ref(), &path, text.as_bytes()) {
            self.warn("journal", &format!("DAMAGED: {error}"));
        }
    }

    pub(super) fn note_ring(&self, ring: Option<&Consumer>, journal: &Journal) {
        let mut looks = self.looks();
        let status = &mut looks.ring;
        status.attached = ring.is_some();
        let (mut generations, mut used, mut capacity) = (0, 0, 0);
        for info in ring.iter().flat_map(|ring| ring.generations()) {
            generations += 1;
            used += info.tail.saturating_sub(info.released);
            capacity = info.capacity_bytes;
        }
        (status.generations, status.used_bytes, status.capacity_bytes) =
            (generations, used, capacity);
        status.alarm_percent = alarm(used, capacity);
        looks.journal.repeated_records = journal.repeated;
    }

    pub(super) fn note_fsync(&self, took: Duration, journal: &Journal) {
        let mut looks = self.looks();
        let status = &mut looks.journal;
        status.fsyncs = journal.fsyncs;
        status.fsync_failures = journal.fsync_failures;
        status.fsync_us_max =
            status.fsync_us_max.max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn note_journal(&self, journal: &Journal, floor: u64) {
        let mut looks = self.looks();
        let status = &mut looks.journal;
        status.bytes = self.segments.bytes();
        status.bytes_max = journal.bytes_max();
        status.segments = self.segments.count() as u64;
        status.start_lsn = self.segments.start_lsn();
        status.held_bytes =
            self.segments.durable().get().saturating_sub(floor.max(status.start_lsn));
        status.alarm_percent = alarm(status.held_bytes, status.bytes_max);
    }

    /// The ring was found empty: whatever is received from now on is later.
    pub(super) fn note_empty(&self, durable: u64) {
        // A worker may still be copying what it stamped a moment ago.
        let ms = super::now_ms() - 2000;
        self.looks().closed = (durable, ms);
    }
}

/// Length of the range in a line of DAMAGED.
pub(super) fn damaged_bytes(line: &str) -> u64 {
    let range = line.rsplit_once('[').map_or("", |(_, range)| range.trim_end_matches(')'));
    let Some((from, to)) = range.split_once(',') else { return 0 };
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(to).saturating_sub(number(from))
}

/// Highest of the alarms 50, 80, 95 per cent that `used` has passed.
pub(super) fn alarm(used: u64, of: u64) -> u8 {
    let percent = used.saturating_mul(100).checked_div(of).unwrap_or(0);
    [95, 80, 50].into_iter().find(|level| percent >= u64::from(*level)).unwrap_or(0)
}

/// How the threads are told to end: the drain first, then the facts, then the sinks.
#[derive(Debug, Default)]
pub(super) struct Stop {
    state: Mutex<StopState>,
    changed: Condvar,
    requested: AtomicBool,
}

#[derive(Debug, Default)]
struct StopState {
    deadline: Option<Instant>,
    drain_done: bool,
    facts_done: bool,
}

impl Stop {
    fn state(&self) -> MutexGuard<'_, StopState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn request(&self, timeout: Duration) {
        self.state().deadline.get_or_insert(Instant::now() + timeout);
        self.requested.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    pub(super) fn requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    pub(super) fn is_late(&self) -> bool {
        self.state().deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn drain_done(&self) {
        self.state().drain_done = true;
        self.changed.notify_all();
    }

    pub(super) fn is_drain_done(&self) -> bool {
        self.state().drain_done
    }

    pub(super) fn facts_done(&self) {
        self.state().facts_done = true;
        self.changed.notify_all();
    }

    pub(super) fn is_facts_done(&self) -> bool {
        self.state().facts_done
    }

    /// Sleeps, but not beyond a stop's deadline, nor at all once a stop is requested.
    pub(super) fn sleep(&self, wait: Duration) {
        let state = self.state();
        if !self.requested() {
            drop(self.changed.wait_timeout(state, wait));
        }
    }
}
