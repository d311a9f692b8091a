//! The loop every sink runs in: chooses ranges, writes them down, delivers, retries, counts. Once, for all sinks.

use super::begin::{check, first};
use super::{Common, DeliverError, Range, Receipt, Refused, Sink};
use crate::disk::Disk;
use crate::facts::{FactsFiles, FactsReader};
use crate::journal::{JournalError, Segments};
use crate::range::{Passed, RangeReader, Want};
use crate::state::State;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// First pause after a failed try; doubled up to [`RETRY_MS_MAX`].
const RETRY_MS_MIN: u64 = 100;
/// Longest pause: an outage's end is noticed within seconds, and a try each few seconds costs nobody anything.
const RETRY_MS_MAX: u64 = 5_000;

/// A cursor that passed nothing for its sink is saved after so much journal …
const UNSAVED_BYTES_MAX: u64 = 16 << 20;
/// … or so long.
const UNSAVED_MS_MAX: i64 = 5_000;

/// What others may see of a sink.
#[derive(Debug, Default)]
pub struct Shared {
    /// Word in the list.
    pub name: String,
    /// Whether it may hold the journal up to its cap.
    pub required: bool,
    /// Everything below was delivered.
    pub done: AtomicU64,
    /// As `done`, as far as the state file says so: a crash goes back here.
    pub saved: AtomicU64,
    /// An optional sink further behind than this is parked.
    pub lag_bytes_max: u64,
    /// Parked: its hole will be skipped.
    pub parked: AtomicBool,
    /// A person has to look.
    pub stopped: AtomicBool,
    /// Delivering right now.
    pub busy: AtomicBool,
    /// Ranges delivered.
    pub ranges: AtomicU64,
    /// Tries that failed.
    pub retries: AtomicU64,
    /// Receive time of the oldest undelivered record, ms; 0 = none.
    pub oldest_ms: AtomicU64,
    /// State as saved, and the last error.
    pub seen: Mutex<(State, String)>,
}

impl Shared {
    /// State as saved last.
    pub fn state(&self) -> State {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Why the last try failed; empty when it went well.
    pub fn last_error(&self) -> String {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// The first lsn it needs; `u64::MAX` = it holds nothing. An optional sink that is too far behind is parked here, by whoever asks,
    /// since it may hang in a call to its target.
    pub fn floor(&self, decided: u64) -> u64 {
        let done = self.done.load(Ordering::Relaxed);
        if !self.required && decided.saturating_sub(done) > self.lag_bytes_max {
            self.parked.store(true, Ordering::Relaxed);
            return u64::MAX;
        }
        self.parked.store(false, Ordering::Relaxed);
        self.saved.load(Ordering::Relaxed)
    }

    fn set_error(&self, error: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 = error.to_owned();
    }
}

/// Takes what a target refused, durably, before the cursor passes.
pub trait RefusedStore: Send {
    /// Stores refused events of a range. Called again with the same after a crash.
    ///
    /// # Errors
    /// A sentence; the range is tried again.
    fn put(&mut self, sink: &str, range: &mut Range<'_>, refused: &[Refused])
    -> Result<(), String>;
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A range was delivered: step again at once.
    Delivered,
    /// Nothing to do before this many ms, or new facts.
    Idle(u64),
    /// The target failed: step again after this many ms.
    Retry(u64),
    /// A person has to look; the message is in [`Shared`].
    Stopped,
}

/// Everything a runner is made of.
pub struct Parts {
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Folder of the state files.
    pub dir: PathBuf,
    /// `<name>-<epoch>`.
    pub node: String,
    /// Word in the list.
    pub name: String,
    /// Its settings, with `lag_bytes_max` resolved.
    pub common: Common,
    /// What it wants to see.
    pub want: Want,
    /// The journal.
    pub segments: Arc<Segments>,
    /// The facts.
    pub facts: Arc<FactsFiles>,
    /// Where refused events go.
    pub refused: Box<dyn RefusedStore>,
}

/// The loop's state. Driven by [`Runner::step`].
pub struct Runner {
    parts: Parts,
    path: PathBuf,
    sink: Box<dyn Sink>,
    state: State,
    shared: Arc<Shared>,
    reader: RangeReader,
    cut: Cut,
    retry_ms: u64,
    ticked_ms: i64,
    saved_ms: i64,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("name", &self.parts.name).finish_non_exhaustive()
    }
}

/// The range being gathered.
struct Cut {
    facts: FactsReader,
    end: u64,
    partitions: HashSet<u64>,
    last_partition: Option<u64>,
    /// When its first record was seen, ms.
    since_ms: Option<i64>,
    /// Receive time of its first record.
    first_recv_ms: i64,
    full: bool,
    /// Whether it holds anything the sink wants to see.
    wanted: bool,
}

impl Cut {
    fn restart(&mut self, at: u64) {
        self.facts.seek(at);
        self.end = at;
        self.partitions.clear();
        self.last_partition = None;
        self.since_ms = None;
        self.first_recv_ms = 0;
        self.full = false;
        self.wanted = false;
    }
}

impl Runner {
    /// Opens the sink's state.
    ///
    /// # Errors
    /// A sentence: the disk's, a damaged state, another journal's, another target.
    pub fn open(parts: Parts, sink: Box<dyn Sink>) -> Result<Self, String> {
        let path = parts.dir.join(format!("{}.state", parts.name));
        let disk = parts.disk.as_ref();
        let target = sink.target();
        let state = match State::load(disk, &path).map_err(|e| e.to_string())? {
            Some(state) => check(state, &parts, &target, &path)?,
            None => first(&parts, target, &path)?,
        };
        let shared = Arc::new(Shared {
            name: parts.name.clone(),
            required: parts.common.required,
            done: AtomicU64::new(state.done),
            saved: AtomicU64::new(state.done),
            lag_bytes_max: parts.common.lag_bytes_max,
            seen: Mutex::new((state.clone(), String::new())),
            ..Shared::default()
        });
        let reader = RangeReader::new(&parts.segments, &parts.facts, parts.want.clone());
        let mut cut = Cut {
            facts: FactsReader::new(Arc::clone(&parts.facts), 0),
            end: 0,
            partitions: HashSet::new(),
            last_partition: None,
            since_ms: None,
            first_recv_ms: 0,
            full: false,
            wanted: false,
        };
        cut.restart(state.done);
        Ok(Self {
            parts,
            path,
            sink,
            state,
            shared,
            reader,
            cut,
            retry_ms: 0,
            ticked_ms: 0,
            saved_ms: 0,
        })
    }

    /// What others may see.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Everything below was delivered.
    pub fn done(&self) -> u64 {
        self.state.done
    }

    /// One step. `now_ms`: the clock; `drain`: close ranges at once; `closed`: everything received before `.1` (ms) lies below lsn `.0`.
    pub fn step(&mut self, now_ms: i64, drain: bool, closed: (u64, i64)) -> Step {
        match self.try_step(now_ms, drain, closed) {
            Ok(step) => {
                if step == Step::Delivered {
                    self.retry_ms = 0;
                    self.shared.set_error("");
                }
                step
            }
            Err(DeliverError::Unavailable(error)) => {
                self.shared.set_error(&error);
                self.shared.retries.fetch_add(1, Ordering::Relaxed);
                self.retry_ms = (self.retry_ms * 2).clamp(RETRY_MS_MIN, RETRY_MS_MAX);
                Step::Retry(self.retry_ms)
            }
            Err(DeliverError::Stop(error)) => {
                self.shared.set_error(&error);
                self.shared.stopped.store(true, Ordering::Relaxed);
                Step::Stopped
            }
        }
    }

    fn try_step(
        &mut self,
        now_ms: i64,
        drain: bool,
        closed: (u64, i64),
    ) -> Result<Step, DeliverError> {
        self.skip_hole()?;
        if self.state.pending.is_none() {
            if let Some(wait_ms) = self.choose(now_ms, drain)? {
                self.tick(now_ms, closed)?;
                return Ok(Step::Idle(wait_ms));
            }
            if !self.cut.wanted {
                self.pass(now_ms, drain)?;
                return Ok(Step::Delivered);
            }
            self.state.pending = Some((self.state.done, self.cut.end));
            if let Err(error) = self.save() {
                // Not written down, so not tried.
                self.state.pending = None;
                return Err(error);
            }
        }
        self.deliver()?;
        Ok(Step::Delivered)
    }

    /// Extends the range; `Some(ms)`: not closed yet, look again then.
    fn choose(&mut self, now_ms: i64, drain: bool) -> Result<Option<u64>, DeliverError> {
        let limit = self.parts.facts.decided().get();
        let max = self.parts.common.range_bytes_max;
        while !self.cut.full {
            let Some(fact) = self.cut.facts.next(limit).map_err(journal)? else { break };
            if self.cut.since_ms.is_none() {
                self.cut.since_ms = Some(now_ms);
                self.cut.first_recv_ms = fact.recv_ms;
                self.shared.oldest_ms.store(fact.recv_ms.max(1).cast_unsigned(), Ordering::Relaxed);
            }
            self.cut.wanted |= self.parts.want.shows(&fact);
            if self.parts.want.event(&fact) {
                let partition = self.sink.partition(&fact);
                // Neighbours mostly share theirs.
                if self.cut.last_partition != Some(partition) {
                    self.cut.partitions.insert(partition);
                    self.cut.last_partition = Some(partition);
                }
                let full = self.cut.partitions.len() > self.sink.partitions_max();
                // A single record is never split, however many partitions it spans.
                if full && self.cut.end > self.state.done && fact.lsn >= self.cut.end {
                    self.cut.full = true;
                    break;
                }
            }
            if fact.is_last() {
                self.cut.end = fact.lsn + u64::from(fact.record_bytes);
                let bytes = self.cut.end - self.state.done;
                let spread = self.cut.partitions.len() >= self.sink.partitions_max();
                self.cut.full = bytes >= max || (spread && self.cut.partitions.len() > 1);
            }
        }
        if self.cut.end == self.state.done {
            self.shared.oldest_ms.store(0, Ordering::Relaxed);
            return Ok(Some(1000));
        }
        let age = self.cut.since_ms.map_or(0, |since| (now_ms - since).max(0)).cast_unsigned();
        let bytes = self.cut.end - self.state.done;
        let age_max = self.parts.common.range_age_ms_max;
        let age_max = self.sink.age_ms_max(bytes).unwrap_or(age_max);
        if self.cut.full || drain || age >= age_max {
            return Ok(None);
        }
        Ok(Some((age_max - age).min(1000)))
    }

    fn deliver(&mut self) -> Result<(), DeliverError> {
        let Some((from, to)) = self.state.pending else { return Ok(()) };
        let mut range = Range { from, to, reader: &mut self.reader, passed: Passed::default() };
        self.shared.busy.store(true, Ordering::Relaxed);
        let delivered = self.sink.deliver(&mut range);
        self.shared.busy.store(false, Ordering::Relaxed);
        let receipt = delivered?;
        let passed = range.passed;
        if !receipt.refused.is_empty() {
            self.parts
                .refused
                .put(&self.parts.name, &mut range, &receipt.refused)
                .map_err(DeliverError::Unavailable)?;
        }
        self.finish(to, &passed, &receipt)
    }

    fn finish(&mut self, to: u64, passed: &Passed, receipt: &Receipt) -> Result<(), DeliverError> {
        let mut next = self.state.clone();
        let sums = &mut next.sums;
        if self.parts.want != Want::Quarantine {
            sums.kept += passed.kept + passed.lost;
            sums.redriven += passed.redriven;
            sums.skipped += passed.lost;
            sums.delivered += receipt.delivered;
            sums.deduplicated += receipt.deduplicated;
            sums.sampled_out += receipt.sampled_out;
            sums.refused += receipt.refused.len() as u64;
            if !sums.balance() {
                return Err(DeliverError::Stop(format!(
                    "range [{},{to}): {passed:?} passed, but the sink says {} delivered, {} deduplicated, {} left out, {} refused: a bug; \
                     nothing was moved on",
                    self.state.done,
                    receipt.delivered,
                    receipt.deduplicated,
                    receipt.sampled_out,
                    receipt.refused.len()
                )));
            }
        }
        next.done = to;
        next.pending = None;
        next.save(self.parts.disk.as_ref(), &self.path)?;
        self.state = next;
        self.shared.saved.store(to, Ordering::Relaxed);
        self.shared.ranges.fetch_add(1, Ordering::Relaxed);
        self.publish();
        self.cut.restart(to);
        Ok(())
    }

    /// Passes a range without anything for this sink. The state file follows now and then: a crash reads the same nothing again.
    fn pass(&mut self, now_ms: i64, drain: bool) -> Result<(), DeliverError> {
        self.state.done = self.cut.end;
        self.cut.restart(self.state.done);
        let unsaved = self.state.done - self.shared.saved.load(Ordering::Relaxed);
        // Nor may it hold more than a part of a small journal.
        let unsaved_max = UNSAVED_BYTES_MAX.min(self.parts.common.lag_bytes_max / 8);
        if drain || unsaved >= unsaved_max || now_ms - self.saved_ms >= UNSAVED_MS_MAX {
            self.saved_ms = now_ms;
            return self.save();
        }
        self.publish();
        Ok(())
    }

    fn save(&mut self) -> Result<(), DeliverError> {
        self.state.save(self.parts.disk.as_ref(), &self.path)?;
        self.shared.saved.store(self.state.done, Ordering::Relaxed);
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        self.shared.done.store(self.state.done, Ordering::Relaxed);
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0 = self.state.clone();
    }

    /// A parked sink whose next records were deleted goes on at the oldest kept; what it missed is its hole.
    fn skip_hole(&mut self) -> Result<(), DeliverError> {
        let start = self.parts.segments.start_lsn();
        if start <= self.state.done {
            return Ok(());
        }
        let below = self.parts.facts.totals_below(start).map_err(journal)?;
        let Some(below) = below else {
            return Err(DeliverError::Unavailable(
                "the facts of the hole's end are not there".into(),
            ));
        };
        let mut next = self.state.clone();
        let seen = next.sums.kept + next.sums.redriven;
        let all = below.kept + below.redriven;
        // Re-drives for this sink alone are not in the totals of all; they can only make the hole look smaller.
        let hole = all.saturating_sub(seen);
        let kept = below.kept.saturating_sub(next.sums.kept).min(hole);
        next.sums.kept += kept;
        next.sums.redriven += hole - kept;
        next.sums.skipped += hole;
        next.add_hole(next.done, start);
        next.done = start;
        next.pending = None;
        next.save(self.parts.disk.as_ref(), &self.path)?;
        self.state = next;
        self.shared.saved.store(start, Ordering::Relaxed);
        self.publish();
        self.cut.restart(start);
        Ok(())
    }

    fn tick(&mut self, now_ms: i64, closed: (u64, i64)) -> Result<(), DeliverError> {
        if now_ms - self.ticked_ms < 1000 {
            return Ok(());
        }
        self.ticked_ms = now_ms;
        let closed_ms = if self.state.done >= closed.0 {
            closed.1
        } else if self.cut.end > self.state.done {
            // Receive times of several workers are out of order by moments, not by a minute.
            self.cut.first_recv_ms - 60_000
        } else {
            0
        };
        self.sink.tick(now_ms, closed_ms)
    }
}

fn journal(error: JournalError) -> DeliverError {
    DeliverError::Unavailable(error.to_string())
}
