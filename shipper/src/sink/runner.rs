//! The loop every sink runs in: chooses ranges, writes them down, delivers, retries, counts. Once, for all sinks.

mod cut;
mod refill;
mod window;

pub use window::Shared;

use self::cut::Cut;
use super::begin::{check, first};
use super::{Common, DeliverError, Range, Receipt, Refused, Sink};
use crate::disk::Disk;
use crate::facts::{FactsFiles, FactsReader};
use crate::journal::{JournalError, Segments};
use crate::range::{Passed, RangeReader, Want};
use crate::state::{State, StateFile};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// First pause after a failed try; doubled up to [`RETRY_MS_MAX`].
const RETRY_MS_MIN: u64 = 100;
/// Longest pause: an outage's end is noticed within seconds, and a try each few seconds costs nobody anything.
const RETRY_MS_MAX: u64 = 5_000;

/// A range shorter than this is cut for the sake of latency: the time its first record waited for the journal counts too.
const RECEIPT_AGE_MS: u64 = 1_000;

/// A cursor that passed nothing for its sink is saved after so much journal …
const UNSAVED_BYTES_MAX: u64 = 16 << 20;
/// … or so long.
const UNSAVED_MS_MAX: i64 = 5_000;
/// A delivered range is written down together with the next one, if that comes so soon: a sink that commits fifty times a second then
/// saves once for each range. A crash in between offers the delivered range once more, as a crash before the save always did.
const DELIVERED_MS_MAX: i64 = 100;

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
    /// Opens the sink again after a stop, as a restart would; `None` = only a restart can.
    pub reopen: Option<Reopen>,
}

/// Opens a sink whose state is this.
pub type Reopen = Box<dyn Fn(State) -> Result<Box<dyn Sink>, String> + Send>;

/// The loop's state. Driven by [`Runner::step`].
pub struct Runner {
    parts: Parts,
    file: StateFile,
    sink: Box<dyn Sink>,
    state: State,
    /// When a range was delivered that the state file does not know of, ms.
    unsaved_ms: Option<i64>,
    shared: Arc<Shared>,
    reader: RangeReader,
    cut: Cut,
    retry_ms: u64,
    ticked_ms: i64,
    saved_ms: i64,
    refill: Option<refill::Refill>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("name", &self.parts.name).finish_non_exhaustive()
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
            None => first(&parts, target)?,
        };
        // A process that died may have written it without living to sync it: what is believed must be durable first.
        let mut file = StateFile::new(&path);
        file.save(disk, &state).map_err(|e| e.to_string())?;
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
            events: 0,
            wanted: false,
        };
        cut.restart(state.done);
        // A range under way is not cut again: its age is known from here.
        if let Ok(Some(fact)) = cut.facts.next(parts.facts.decided().get()) {
            shared.oldest_ms.store(fact.recv_ms.max(1).cast_unsigned(), Ordering::Relaxed);
            cut.restart(state.done);
        }
        Ok(Self {
            parts,
            file,
            sink,
            state,
            unsaved_ms: None,
            shared,
            reader,
            cut,
            retry_ms: 0,
            ticked_ms: 0,
            saved_ms: 0,
            refill: None,
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

    /// After a stop: opens the sink again and tries what stopped it. `false`: it cannot be opened, the reason is in [`Shared`].
    pub fn resume(&mut self) -> bool {
        let Some(reopen) = &self.parts.reopen else { return false };
        let opened = reopen(self.state.clone()).and_then(|sink| {
            let target = sink.target();
            if target == self.state.target {
                Ok(sink)
            } else {
                Err(format!("it was to deliver to {}, now to {target}", self.state.target))
            }
        });
        match opened {
            Ok(sink) => {
                self.sink = sink;
                self.cut.restart(self.state.done);
                self.retry_ms = 0;
                self.shared.stopped.store(false, Ordering::Relaxed);
                true
            }
            Err(error) => {
                self.shared.set_error(&error);
                false
            }
        }
    }

    /// Writes down what was delivered and is not yet.
    ///
    /// # Errors
    /// The disk's; the next life offers a delivered range once more.
    pub fn close(&mut self) -> Result<(), DeliverError> {
        if self.unsaved_ms.is_some() || self.shared.saved.load(Ordering::Relaxed) < self.state.done
        {
            self.save()?;
        }
        Ok(())
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
                let left_ms = self.settle(now_ms, drain)?;
                return Ok(Step::Idle(wait_ms.min(left_ms)));
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
        self.deliver(now_ms)?;
        if drain {
            self.close()?;
        }
        Ok(Step::Delivered)
    }

    /// Saves a delivered range that no next one followed; ms until it is time to.
    fn settle(&mut self, now_ms: i64, drain: bool) -> Result<u64, DeliverError> {
        let Some(since_ms) = self.unsaved_ms else { return Ok(u64::MAX) };
        let left_ms = DELIVERED_MS_MAX - (now_ms - since_ms).max(0);
        if drain || left_ms <= 0 {
            self.save()?;
            return Ok(u64::MAX);
        }
        Ok(left_ms.unsigned_abs())
    }

    /// Extends the range; `Some(ms)`: not closed yet, look again then.
    fn choose(&mut self, now_ms: i64, drain: bool) -> Result<Option<u64>, DeliverError> {
        let limit = self.parts.facts.decided().get();
        let max = self.parts.common.range_bytes_max;
        let events_max = self.sink.events_max();
        while !self.cut.full {
            let Some(fact) = self.cut.facts.next(limit).map_err(journal)? else { break };
            if self.cut.since_ms.is_none() {
                self.cut.since_ms = Some(now_ms);
                self.cut.first_recv_ms = fact.recv_ms;
                self.shared.oldest_ms.store(fact.recv_ms.max(1).cast_unsigned(), Ordering::Relaxed);
            }
            self.cut.wanted |= self.parts.want.shows(&fact);
            if self.parts.want.event(&fact) {
                self.cut.events += 1;
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
                self.cut.full = bytes >= max
                    || self.cut.events >= events_max
                    || (spread && self.cut.partitions.len() > 1);
            }
        }
        if self.cut.end == self.state.done {
            self.shared.oldest_ms.store(0, Ordering::Relaxed);
            return Ok(Some(1000));
        }
        let bytes = self.cut.end - self.state.done;
        let age_max = self.parts.common.range_age_ms_max;
        let age_max = self.sink.age_ms_max(bytes).unwrap_or(age_max);
        let mut since_ms = self.cut.since_ms.unwrap_or(now_ms);
        if age_max < RECEIPT_AGE_MS {
            since_ms = since_ms.min(self.cut.first_recv_ms);
        }
        let age = (now_ms - since_ms).max(0).cast_unsigned();
        if self.cut.full || drain || age >= age_max {
            return Ok(None);
        }
        Ok(Some((age_max - age).min(1000)))
    }

    fn deliver(&mut self, now_ms: i64) -> Result<(), DeliverError> {
        let Some((from, to)) = self.state.pending else { return Ok(()) };
        let mut range = Range { from, to, reader: &mut self.reader, passed: Passed::default() };
        self.shared.busy.store(true, Ordering::Relaxed);
        let delivered = self.sink.deliver(&mut range);
        self.shared.busy.store(false, Ordering::Relaxed);
        let receipt = delivered?;
        let passed = range.passed;
        self.shared.is_let_go()?;
        if !receipt.refused.is_empty() {
            self.parts
                .refused
                .put(&self.parts.name, &mut range, &receipt.refused)
                .map_err(DeliverError::Unavailable)?;
        }
        self.finish(to, &passed, &receipt)?;
        self.unsaved_ms.get_or_insert(now_ms);
        Ok(())
    }

    /// The state file follows, see [`DELIVERED_MS_MAX`].
    fn finish(&mut self, to: u64, passed: &Passed, receipt: &Receipt) -> Result<(), DeliverError> {
        let mut sums = self.state.sums;
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
        self.state.sums = sums;
        self.state.done = to;
        self.state.pending = None;
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
        self.shared.is_let_go()?;
        self.file.save(self.parts.disk.as_ref(), &self.state)?;
        self.unsaved_ms = None;
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
        let before = self.state.clone();
        let sums = &mut self.state.sums;
        let seen = sums.kept + sums.redriven;
        let all = below.kept + below.redriven;
        // Re-drives for this sink alone are not in the totals of all; they can only make the hole look smaller.
        let hole = all.saturating_sub(seen);
        let kept = below.kept.saturating_sub(sums.kept).min(hole);
        sums.kept += kept;
        sums.redriven += hole - kept;
        sums.skipped += hole;
        self.state.add_hole(before.done, start, hole);
        self.state.done = start;
        // It may have reached the target all the same: a replay offers it first, just as it was.
        self.state.refill = self.state.pending.take().or(before.refill);
        if let Err(error) = self.save() {
            self.state = before;
            return Err(error);
        }
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
