//! The door through which lines enter the journal of the running engine.

use super::blocks::lines;
use super::mark::{Digest, Line, Mark, chain};
use super::{Judge, Lines, Options, Report, Tally};
use crate::engine::{Append, OwnRecord, Shared, now_ms};
use crossbeam_channel::{Sender, bounded};
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Records handed to the journal at once, and their bytes.
const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;
/// How long to wait before a journal that takes nothing is asked again.
const WAIT: Duration = Duration::from_millis(200);
/// Part of the journal's cap, in per cent, that sinks may hold before imports wait: what is left belongs to requests, which cannot wait.
const HELD_PERCENT_MAX: u64 = 80;

/// Makes of a run's number that of its last line, if that has no end.
const CUT: u64 = 1 << 63;

/// Tells the caller how far it is; an error ends the import where it stands.
pub type Tell<'t> = dyn FnMut(&Report) -> Result<(), String> + 't;

/// Puts the next block into its argument and says whether another one follows; `None` after the last.
pub type Pull<'p> = dyn FnMut(&mut Vec<u8>) -> Result<Option<bool>, String> + 'p;

/// Opens imports. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Importer {
    appends: Sender<Append>,
    shared: Arc<Shared>,
    /// One import at a time: a second one of the same file must see what the first one did.
    one: Arc<Mutex<()>>,
}

impl Importer {
    pub(crate) fn new(appends: Sender<Append>, shared: Arc<Shared>) -> Self {
        Self { appends, shared, one: Arc::default() }
    }

    /// Imports one file: `blocks` gives its blocks in order, until `None`.
    /// See [`super::blocks::Blocks`]: the same lines must always give the same blocks.
    ///
    /// # Errors
    /// A sentence. What was taken until then is taken; the same import again goes on behind it.
    pub fn import(
        &self,
        options: &Options,
        blocks: &mut Pull<'_>,
        tell: &mut Tell<'_>,
    ) -> Result<Report, String> {
        let _one = self.turn(tell)?;
        let mut session = Session::new(self, options.clone())?;
        let mut block = Vec::new();
        while let Some(more) = blocks(&mut block)? {
            session.block(&block, more, tell)?;
        }
        Ok(session.report)
    }

    fn turn(&self, tell: &mut Tell<'_>) -> Result<MutexGuard<'_, ()>, String> {
        loop {
            match self.one.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            let waiting = "another import to end".to_owned();
            tell(&Report { waiting, ..Report::default() })?;
            std::thread::sleep(WAIT);
        }
    }

    /// Hands records to the journal and waits until they are durable there.
    pub(crate) fn append(&self, records: Vec<OwnRecord>, note: Option<Mark>) -> Result<(), String> {
        let (reply, answer) = bounded(1);
        let gone = || {
            "tusk is stopping; run the same import again, it goes on where it stopped".to_owned()
        };
        self.appends.send(Append { records, note, reply }).map_err(|_| gone())?;
        // Without a limit: an answer that comes too late would leave open what is in the journal.
        answer.recv().map_err(|_| gone())?.map(|_| ())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Why nothing should be appended now, if so.
    pub(crate) fn must_wait(&self) -> Option<String> {
        let (held, cap) = self.shared.held();
        (held.saturating_mul(100) >= cap.saturating_mul(HELD_PERCENT_MAX)).then(|| {
            format!("the sinks: they hold {HELD_PERCENT_MAX} % of the journal, the rest is kept for requests")
        })
    }
}

/// One file on its way in.
#[derive(Debug)]
struct Session<'i> {
    importer: &'i Importer,
    options: Options,
    judge: Option<Judge>,
    tally: Tally,
    report: Report,
    run: u64,
    /// Digest of everything before the next block; `None` before the first line.
    key: Option<Digest>,
    told: Instant,
}

/// A line of a block, and how far the file is with it.
struct Step<'b> {
    text: &'b [u8],
    mark: Mark,
}

impl<'i> Session<'i> {
    fn new(importer: &'i Importer, options: Options) -> Result<Self, String> {
        if importer.shared.imports().is_full() {
            return Err(
                "the register of imports is full (a million blocks of 4 MiB); nothing more can be imported into this data folder"
                    .to_owned(),
            );
        }
        Ok(Self {
            importer,
            options,
            judge: None,
            tally: Tally::default(),
            report: Report::default(),
            run: random(),
            key: None,
            told: Instant::now(),
        })
    }

    /// The next block; `more`: another one follows.
    fn block(&mut self, block: &[u8], more: bool, tell: &mut Tell<'_>) -> Result<(), String> {
        if self.judge.is_none() {
            let Options { format, log_format, .. } = &self.options;
            if let Some(lines) = Lines::choose(*format, log_format.as_deref(), block)? {
                lines.name().clone_into(&mut self.report.format);
                let config = self.importer.shared.accept_config()?;
                self.judge = Some(Judge::new(config, &self.options, lines)?);
            }
        }
        let Some((first, _)) = lines(block).next() else { return Ok(()) };
        let key = *self.key.get_or_insert_with(|| start(&self.options.again, first));
        let mut steps = Vec::new();
        let mut digest = key;
        for (text, end) in lines(block) {
            digest = chain(&digest, text);
            let (bytes, lines) = (end as u64, steps.len() as u64 + 1);
            // A last line without its end may go on in a later import: what was before it must stay known on its own.
            let run = if block.get(end).is_some() { self.run } else { self.run ^ CUT };
            steps.push(Step { text, mark: Mark { key, run, bytes, lines, digest } });
        }
        self.key = more.then_some(digest).or(self.key);
        let before = self.report.lines;
        let (kept, rejected) = (self.tally.kept, self.tally.rejected);
        let known = self.known(&key, &steps);
        self.report.known += known as u64;
        let mut tally = std::mem::take(&mut self.tally);
        let done = self.steps(&steps, known, before, &mut tally, tell);
        self.tally = tally;
        self.report.take(&self.tally);
        let taken = self.report.lines.saturating_sub(before + known as u64);
        let (kept, rejected) = (self.tally.kept - kept, self.tally.rejected - rejected);
        self.importer.shared.count_import(taken, known as u64, kept, rejected);
        done?;
        self.report.lines = before + steps.len() as u64;
        self.report.waiting.clear();
        tell(&self.report)
    }

    /// How many lines of this block, from its start on, are in the journal.
    fn known(&self, key: &Digest, steps: &[Step<'_>]) -> usize {
        let register = self.importer.shared.imports();
        let known = register.marks(key).iter().filter_map(|mark| {
            let at = steps.partition_point(|step| step.mark.bytes < mark.bytes);
            let same =
                |step: &Step<'_>| step.mark.bytes == mark.bytes && step.mark.digest == mark.digest;
            steps.get(at).filter(|step| same(step)).map(|_| at + 1)
        });
        known.max().unwrap_or(0)
    }

    /// Lines of the block that this run has in the journal or on its way there.
    fn done(&self, key: &Digest) -> u64 {
        let register = self.importer.shared.imports();
        let marks = [self.run, self.run ^ CUT].map(|run| register.mark(key, run));
        marks.into_iter().flatten().map(|mark| mark.lines).max().unwrap_or(0)
    }

    fn steps(
        &mut self,
        steps: &[Step<'_>],
        known: usize,
        before: u64,
        tally: &mut Tally,
        tell: &mut Tell<'_>,
    ) -> Result<(), String> {
        let mut at = known;
        while at < steps.len() {
            self.wait(tell)?;
            let batch = self.batch(steps, at, before, tally);
            let end = batch.end;
            self.append(steps, batch, tell)?;
            at = end;
            self.report.lines = before + at as u64;
            self.report.take(tally);
            if self.told.elapsed() >= WAIT {
                self.told = Instant::now();
                tell(&self.report)?;
            }
        }
        Ok(())
    }

    fn batch(&mut self, steps: &[Step<'_>], from: usize, before: u64, tally: &mut Tally) -> Batch {
        let mut batch = Batch { records: Vec::new(), end: from };
        let now_ns = now_ms().max(0).cast_unsigned() * 1_000_000;
        let mut bytes = 0;
        let mut place = String::new();
        while let Some(step) = steps.get(batch.end) {
            if batch.records.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                break;
            }
            batch.end += 1;
            let Some(judge) = &mut self.judge else { continue };
            place.clear();
            use std::fmt::Write as _;
            let _ = write!(place, "{}:{}", self.options.name, before + batch.end as u64);
            let line = Line { mark: step.mark, logged_ns: 0, place: place.as_bytes() };
            if let Some(record) = judge.line(step.text, line, now_ns, tally) {
                bytes += record.payload.len();
                batch.records.push(record);
            }
        }
        batch
    }

    /// Appends a batch, however often the journal says no.
    fn append(
        &mut self,
        steps: &[Step<'_>],
        batch: Batch,
        tell: &mut Tell<'_>,
    ) -> Result<(), String> {
        let Batch { mut records, end } = batch;
        // The last line is in, whether it held something or not.
        let last = steps.get(end.wrapping_sub(1)).map(|step| step.mark);
        loop {
            let again = records.clone();
            let Err(problem) = self.importer.append(records, last) else { return Ok(()) };
            if self.importer.shared.is_stopping() {
                return Err(problem);
            }
            self.report.waiting = problem;
            tell(&self.report)?;
            std::thread::sleep(WAIT);
            // Some may be in its memory by now, to be durable with the next commit.
            let done = self.done(&last.map(|mark| mark.key).unwrap_or_default());
            records = again
                .into_iter()
                .filter(|record| record.mark.is_none_or(|mark| mark.lines > done))
                .collect();
        }
    }

    fn wait(&mut self, tell: &mut Tell<'_>) -> Result<(), String> {
        while let Some(problem) = self.importer.must_wait() {
            self.report.waiting = problem;
            tell(&self.report)?;
            std::thread::sleep(WAIT);
        }
        self.report.waiting.clear();
        Ok(())
    }
}

struct Batch {
    records: Vec<OwnRecord>,
    /// Steps done with it.
    end: usize,
}

/// Where the chain of digests begins. The first line is in it so that files that differ share no key.
fn start(again: &str, first: &[u8]) -> Digest {
    let mut digest = chain(&Digest::default(), b"tusk import 1");
    if !again.is_empty() {
        digest = chain(&digest, again.as_bytes());
    }
    chain(&digest, first)
}

/// A number no two imports share.
fn random() -> u64 {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_i64(now_ms());
    hasher.finish() | 1
}
