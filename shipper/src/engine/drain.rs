//! Ring → journal → release: the one thread that empties the ring.

use super::shared::Shared;
use crate::import::mark::Mark;
use crate::journal::{Appended, Journal, JournalError, NewRecord};
use crossbeam_channel::{Receiver, Sender};
use shm_ring::{Batch, Consumer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Payload bytes taken from the ring at once.
const BATCH_BYTES: usize = 1 << 20;
/// How long the drain looks away from a ring it has just read; a small part of the ring at any rate of requests.
const NAP: Duration = Duration::from_millis(4);
/// Longest sleep: the heartbeat must be younger than 200 ms.
const SLEEP_MS: u64 = 100;
/// How often segments nobody needs are looked for.
const RECLAIM_MS: u64 = 1000;

/// Journal that a start may have to read again for the sake of imports.
const IMPORT_SCAN_BYTES: u64 = 16 << 20;

/// A record of the shipper's own (re-drive, discard, imported line).
#[derive(Clone, Debug)]
pub(crate) struct OwnRecord {
    pub(crate) kind: event::record::Kind,
    pub(crate) kept: u16,
    pub(crate) rejected: u16,
    pub(crate) payload: Vec<u8>,
    /// Of an imported line: how far its file is with it.
    pub(crate) mark: Option<Mark>,
}

/// Asks the drain to append records durably.
pub(crate) struct Append {
    pub(crate) records: Vec<OwnRecord>,
    /// How far a file is with them, lines that hold nothing included.
    pub(crate) note: Option<Mark>,
    /// Gets the durable lsn, or a sentence.
    pub(crate) reply: Sender<Result<u64, String>>,
}

/// The drain's state.
pub(super) struct Drain {
    pub(super) journal: Journal,
    pub(super) ring: PathBuf,
    pub(super) shared: Arc<Shared>,
    pub(super) appends: Receiver<Append>,
    consumer: Option<Consumer>,
    batch: Batch,
    /// Records of `batch` that are in the journal's memory.
    taken: usize,
    /// Ring positions to release at the next commit.
    release: BTreeMap<u64, u64>,
    /// When the oldest uncommitted record was appended.
    since: Option<Instant>,
    reclaimed: Instant,
    saved: Instant,
    opened: Instant,
    retry_at: Option<Instant>,
}

impl Drain {
    pub(super) fn new(
        journal: Journal,
        ring: PathBuf,
        shared: Arc<Shared>,
        appends: Receiver<Append>,
    ) -> Self {
        let now = Instant::now();
        Self {
            journal,
            ring,
            shared,
            appends,
            consumer: None,
            batch: Batch::new(),
            taken: 0,
            release: BTreeMap::new(),
            since: None,
            reclaimed: now,
            saved: now,
            opened: now.checked_sub(Duration::from_secs(10)).unwrap_or(now),
            retry_at: None,
        }
    }

    /// Runs until stopped, and then until the ring is empty or the deadline has come.
    pub(super) fn run(mut self) {
        loop {
            // Asked before the turn: after the stop one whole turn looks at the ring, which may have come just now.
            let stopping = self.shared.stop.requested();
            self.turn();
            if stopping && (self.is_empty() || self.shared.stop.is_late()) {
                self.commit();
                break;
            }
        }
        self.shared.drained.store(self.is_empty(), Ordering::Relaxed);
        self.shared.stop.drain_done();
        self.journal.segments().durable().wake();
    }

    fn is_empty(&self) -> bool {
        self.taken == self.batch.len()
            && self.journal.uncommitted_bytes() == 0
            && self.consumer.as_ref().is_none_or(|ring| !ring.wait(Duration::ZERO))
    }

    fn turn(&mut self) {
        self.attach();
        if let Some(ring) = &self.consumer {
            ring.heartbeat();
        }
        self.shared.note_ring(self.consumer.as_ref(), &self.journal);
        self.reclaim();
        self.answer_appends();
        if let Some(at) = self.retry_at {
            // The disk refused: nothing is drained until it takes what is here.
            let now = Instant::now();
            if at > now {
                std::thread::sleep((at - now).min(Duration::from_millis(SLEEP_MS)));
                return;
            }
            self.retry_at = None;
            if self.journal.uncommitted_bytes() > 0 {
                self.commit();
                return;
            }
        }
        let more = self.take();
        if self.commit_is_due(more) {
            self.commit();
        } else if !more {
            self.rest();
        }
    }

    fn attach(&mut self) {
        let lately = self.opened.elapsed() < Duration::from_millis(500);
        if self.consumer.is_some() || (lately && !self.shared.stop.requested()) {
            return;
        }
        self.opened = Instant::now();
        match Consumer::open(&self.ring) {
            Ok(mut ring) => {
                // A ring whose header is older than the journal (power loss) or lost is read from here on.
                for (&generation, &position) in self.journal.durable_positions() {
                    ring.release(generation, position);
                }
                for problem in ring.take_problems() {
                    self.shared.warn("ring", &problem.to_string());
                }
                self.shared.set_problem("ring", None);
                self.consumer = Some(ring);
            }
            Err(error) => self.shared.set_problem("ring", Some(error.to_string())),
        }
    }

    /// Moves records from the ring into the journal's memory. Returns whether there is more to take at once.
    fn take(&mut self) -> bool {
        let mut more = false;
        if self.taken == self.batch.len() {
            self.taken = 0;
            self.batch.clear();
            let Some(ring) = &mut self.consumer else { return false };
            match ring.read(&mut self.batch, BATCH_BYTES) {
                Ok(outcome) => more = outcome.more,
                Err(error) => {
                    self.shared.set_problem("ring", Some(error.to_string()));
                    return false;
                }
            }
            for problem in ring.take_problems() {
                self.shared.warn("ring", &problem.to_string());
            }
            for gap in self.batch.gaps() {
                self.shared.note_ring_gap(gap.generation, gap.from, gap.to);
            }
        }
        let now_ns = super::now_ns();
        let (mut records, mut bytes) = (0, 0);
        let mut failed = None;
        for record in self.batch.records().skip(self.taken) {
            let new = NewRecord {
                kind: record.meta.kind,
                flags: record.meta.flags,
                kept: record.meta.kept,
                rejected: record.meta.rejected,
                generation: record.generation,
                position: record.position,
                recv_ns: record.meta.recv_ns,
                payload: record.payload,
            };
            match self.journal.append(&new, now_ns) {
                Ok(Appended::At(_) | Appended::Repeated) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            self.taken += 1;
            records += 1;
            bytes += record.payload.len() as u64;
            let end = self.release.entry(record.generation).or_default();
            *end = record.end.max(*end);
        }
        // Only with all of the batch: a gap may lie after records that the journal could not take yet.
        let gaps = if failed.is_none() { self.batch.gaps() } else { &[] };
        for gap in gaps {
            let end = self.release.entry(gap.generation).or_default();
            *end = gap.to.max(*end);
        }
        if records > 0 || !gaps.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        self.shared.ring_records.fetch_add(records, Ordering::Relaxed);
        self.shared.ring_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(error) = failed {
            self.refused(&error);
            return false;
        }
        more
    }

    /// The journal cannot take more now.
    fn refused(&mut self, error: &JournalError) {
        // The reason first: whoever sees the flag finds it.
        self.shared.set_problem("journal", Some(error.to_string()));
        self.shared.at_cap.store(matches!(error, JournalError::AtCap(_)), Ordering::Relaxed);
        if let Some(ring) = &self.consumer {
            ring.set_full_hint(true);
        }
        self.retry_at = Some(Instant::now() + Duration::from_millis(RECLAIM_MS / 4));
    }

    fn commit_is_due(&self, more: bool) -> bool {
        let Some(since) = self.since else { return false };
        let config = &self.shared.config.journal;
        let acknowledged = self.consumer.as_ref().is_some_and(Consumer::journal_ack_used);
        let (ms, bytes) = if acknowledged {
            (config.ack_fsync_ms, config.ack_fsync_bytes)
        } else {
            (config.fsync_ms, config.fsync_bytes)
        };
        let due = since.elapsed() >= Duration::from_millis(ms)
            || self.journal.uncommitted_bytes() >= bytes;
        due || (!more && self.shared.stop.requested())
    }

    fn commit(&mut self) {
        let started = Instant::now();
        match self.journal.commit(super::now_ns()) {
            Ok(_) => {
                self.shared.note_fsync(started.elapsed(), &self.journal);
                self.since = None;
                self.save_imports();
                if self.taken == self.batch.len() || self.retry_at.is_none() {
                    self.shared.at_cap.store(false, Ordering::Relaxed);
                    self.shared.set_problem("journal", None);
                    if let Some(ring) = &self.consumer {
                        ring.set_full_hint(false);
                    }
                }
                if let Some(ring) = &mut self.consumer {
                    for (generation, end) in std::mem::take(&mut self.release) {
                        ring.release(generation, end);
                    }
                }
            }
            Err(error) => {
                self.shared.note_fsync(started.elapsed(), &self.journal);
                self.refused(&error);
            }
        }
    }

    /// Sleeps until there is something to do.
    fn rest(&mut self) {
        let config = &self.shared.config.journal;
        let left = match self.since {
            Some(since) => {
                let acknowledged = self.consumer.as_ref().is_some_and(Consumer::journal_ack_used);
                let ms = if acknowledged { config.ack_fsync_ms } else { config.fsync_ms };
                Duration::from_millis(ms).saturating_sub(since.elapsed())
            }
            None => Duration::from_millis(SLEEP_MS),
        };
        let left = left.min(Duration::from_millis(SLEEP_MS));
        if self.since.is_some() && !self.shared.stop.requested() {
            // Requests keep coming: a nap makes the workers' wake-up calls, a microsecond each, unneeded.
            std::thread::sleep(left.min(NAP));
            return;
        }
        match &self.consumer {
            Some(ring) => {
                let woken = ring.wait(left);
                if !woken && self.since.is_none() {
                    // Nothing came, nothing is under way: all that was received is in the journal.
                    self.shared.note_empty(self.journal.segments().durable().get());
                }
            }
            None => {
                std::thread::sleep(left);
                self.shared.note_empty(self.journal.segments().durable().get());
            }
        }
    }

    fn reclaim(&mut self) {
        if self.reclaimed.elapsed() < Duration::from_millis(RECLAIM_MS) && self.retry_at.is_none() {
            return;
        }
        self.reclaimed = Instant::now();
        self.save_imports();
        let floor = self.shared.floor();
        match self.journal.reclaim(floor, super::now_ms().cast_unsigned()) {
            Ok(start) => {
                if let Err(error) = self.shared.facts.reclaim(start) {
                    self.shared.warn("facts", &error.to_string());
                }
            }
            Err(error) => self.shared.warn("journal", &error.to_string()),
        }
        if let Some(ring) = &mut self.consumer {
            match ring.retire_empty() {
                Ok(0) => {}
                Ok(_) => {
                    let live: Vec<u64> = ring.known_generations().collect();
                    self.journal.retain_generations(&live);
                }
                Err(error) => self.shared.warn("ring", &error.to_string()),
            }
        }
        self.shared.note_journal(&self.journal, floor);
    }

    /// Writes down, about each second, how far imports are; only while all they noted is durable.
    fn save_imports(&mut self) {
        if self.journal.uncommitted_bytes() > 0
            || self.saved.elapsed() < Duration::from_millis(RECLAIM_MS)
        {
            return;
        }
        let durable = self.journal.segments().durable().get();
        let mut imports = self.shared.imports();
        if imports.wants_saving(durable, IMPORT_SCAN_BYTES) {
            self.saved = Instant::now();
            if let Err(error) = imports.save(durable) {
                drop(imports);
                self.shared.warn("imports", &error.to_string());
            }
        }
    }

    fn answer_appends(&mut self) {
        while let Ok(append) = self.appends.try_recv() {
            let now_ns = super::now_ns();
            let mut done = Ok(());
            for record in &append.records {
                let new = NewRecord {
                    kind: record.kind as u8,
                    flags: 0,
                    kept: record.kept,
                    rejected: record.rejected,
                    generation: 0,
                    position: 0,
                    recv_ns: now_ns,
                    payload: &record.payload,
                };
                done = self.journal.append(&new, now_ns).map(|_| ());
                if done.is_err() {
                    break;
                }
                // Noted before it is durable: the register is saved only when all that is noted is.
                if let Some(mark) = record.mark {
                    self.shared.imports().note(mark);
                }
            }
            if let (Ok(()), Some(mark)) = (&done, append.note) {
                self.shared.imports().note(mark);
            }
            let committed = done.and_then(|()| self.journal.commit(now_ns));
            if let Err(error) = &committed {
                self.refused(error);
            }
            let _ = append.reply.send(committed.map_err(|error| error.to_string()));
        }
    }
}
