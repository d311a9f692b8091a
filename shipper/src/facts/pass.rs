//! The pass itself: journal in, facts out, taps fed.

use super::decide::Decider;
use super::opened::{OpenedReader, OpenedWriter};
use super::{Fact, FactsConfig, FactsLog, RULES, flag, snapshot};
use crate::disk::Disk;
use crate::journal::layout::Header;
use crate::journal::{JournalError, Read, Reader, Segments};
use crate::sealed::Opener;
use event::record::Kind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Journal bytes decided between two commits at most, so that memory and the wait of the sinks stay small.
const STEP_BYTES: u64 = 4 << 20;

/// Sees what was decided, after it is durable.
pub trait Watcher: Send {
    /// Whether it wants to see anything now; what it does not want is not gathered.
    fn wants(&self) -> bool;
    /// A record with its facts, before the commit: count here. Called for every record.
    fn count(&mut self, payload: &[u8], facts: &[Fact]);
    /// The same, only if it wants to see it: gather here.
    fn gather(&mut self, header: &Header, payload: &[u8], facts: &[Fact]);
    /// What was gathered is durable now: `true` = show it; `false` = forget it.
    fn committed(&mut self, durable: bool);
    /// Takes back what it saved, and forgets everything since.
    fn restore(&mut self) {}
    /// A record that was decided before: what it saved may lack it. Called for every record since the last save, at least.
    fn replay(&mut self, _payload: &[u8], _facts: &[Fact]) {}
    /// Writes down what it counted, everything below `lsn`. Called before the pass's own snapshot, so what it saved is never older.
    ///
    /// # Errors
    /// The disk's; there is no snapshot then.
    fn save(&mut self, _lsn: u64) -> std::io::Result<()> {
        Ok(())
    }
}

/// The facts pass.
pub struct FactsPass {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    epoch: u32,
    reader: Reader,
    log: FactsLog,
    decider: Decider,
    opener: Opener,
    opened: OpenedWriter,
    watcher: Box<dyn Watcher>,
    facts: Vec<Fact>,
    snapshot_lsn: u64,
    segments: Arc<Segments>,
    config: FactsConfig,
    broken: bool,
}

impl std::fmt::Debug for FactsPass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FactsPass").field("end_lsn", &self.log.end_lsn()).finish_non_exhaustive()
    }
}

impl FactsPass {
    /// Restores the state (snapshot, then replay of the journal up to the last fact) and stands ready to go on.
    ///
    /// # Errors
    /// The disk's, or damaged files.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        epoch: u32,
        config: &FactsConfig,
        parts: (Arc<Segments>, FactsLog, Opener),
        watcher: Box<dyn Watcher>,
    ) -> Result<Self, JournalError> {
        let (segments, log, opener) = parts;
        let mut pass = Self {
            reader: Reader::new(Arc::clone(&segments), log.end_lsn()),
            opened: OpenedWriter::new(Arc::clone(&disk), dir),
            decider: Decider::new(config),
            config: config.clone(),
            segments,
            disk,
            dir: dir.to_path_buf(),
            epoch,
            log,
            opener,
            watcher,
            facts: Vec::new(),
            snapshot_lsn: 0,
            broken: false,
        };
        pass.load()?;
        Ok(pass)
    }

    /// Takes everything as it is on disk, after an error of the disk: nothing in memory may be believed then.
    fn restore(&mut self) -> Result<(), JournalError> {
        self.log.restore()?;
        self.opened = OpenedWriter::new(Arc::clone(&self.disk), &self.dir);
        self.load()
    }

    fn load(&mut self) -> Result<(), JournalError> {
        let end = self.log.end_lsn();
        self.watcher.restore();
        self.decider = Decider::new(&self.config);
        let (window, sessions) = (&mut self.decider.window, &mut self.decider.sessions);
        let saved = snapshot::load(self.disk.as_ref(), &self.dir, self.epoch, window, sessions)?;
        let mut from = saved.unwrap_or(0);
        if from > end {
            // The facts were cut below the snapshot: what it knows too much would mark its own events as resends.
            self.decider = Decider::new(&self.config);
            from = 0;
        }
        self.snapshot_lsn = from;
        self.reader.seek(from.max(self.segments.start_lsn()).min(end));
        self.replay(end)
    }

    fn replay(&mut self, end: u64) -> Result<(), JournalError> {
        let mut sealed = super::FactsReader::new(Arc::clone(self.log.files()), self.reader.lsn());
        let mut opened = OpenedReader::new(Arc::clone(&self.disk), &self.dir);
        loop {
            let (header, payload) = match self.reader.next(end)? {
                Read::End => return Ok(()),
                Read::Gap { .. } => continue,
                Read::Record { header, payload } => (header, payload),
            };
            if header.kind == Kind::Sealed as u8 {
                let payload = payload_of(&mut sealed, &mut opened, &header, &self.reader, end)?;
                if let Some((at, payload)) = payload {
                    self.decider.decide(&header, &payload, Some(at), &mut self.facts);
                    self.watcher.replay(&payload, &self.facts);
                }
            } else {
                self.decider.decide(&header, payload, None, &mut self.facts);
                self.watcher.replay(payload, &self.facts);
            }
        }
    }

    /// What readers share.
    pub fn log(&self) -> &FactsLog {
        &self.log
    }

    /// Keys in the duplicate window, and how many left it early.
    pub fn window(&self) -> (u64, u64) {
        (self.decider.window.len() as u64, self.decider.window.evicted)
    }

    /// The journal must be kept from here on, so that a start can replay.
    pub fn snapshot_lsn(&self) -> u64 {
        self.snapshot_lsn
    }

    /// Decides what is new below `durable`, at most a few MiB, and makes it durable. Returns whether there is more.
    ///
    /// # Errors
    /// The disk's: nothing was published; the next step takes everything as it is on disk first.
    pub fn step(&mut self, durable: u64) -> Result<bool, JournalError> {
        if self.broken {
            self.restore()?;
        }
        // Until all of it went well.
        self.broken = true;
        let from = self.log.end_lsn();
        let done = self.gather(from, durable);
        let done = done.and_then(|()| {
            self.opened.sync()?;
            Ok(self.log.commit()?)
        });
        self.watcher.committed(done.is_ok());
        done?;
        self.broken = false;
        Ok(self.log.end_lsn() < durable)
    }

    fn gather(&mut self, from: u64, limit: u64) -> Result<(), JournalError> {
        let watched = self.watcher.wants();
        while self.log.end_lsn() < from + STEP_BYTES {
            let (header, payload) = match self.reader.next(limit)? {
                Read::End => break,
                Read::Gap { from, to } => {
                    self.gap(from, to)?;
                    continue;
                }
                Read::Record { header, payload } => (header, payload),
            };
            if header.kind == Kind::Sealed as u8 {
                let payload = self.opener.open(&header, payload);
                let segment = self.reader.segment_lsn();
                let at = self.opened.append(segment, header.lsn, &payload)?;
                self.decider.decide(&header, &payload, Some(at), &mut self.facts);
                self.watcher.count(&payload, &self.facts);
                if watched {
                    self.watcher.gather(&header, &payload, &self.facts);
                }
            } else {
                self.decider.decide(&header, payload, None, &mut self.facts);
                self.watcher.count(payload, &self.facts);
                if watched {
                    self.watcher.gather(&header, payload, &self.facts);
                }
            }
            self.log.append(self.reader.segment_lsn(), &self.facts)?;
        }
        Ok(())
    }

    fn gap(&mut self, from: u64, to: u64) -> Result<(), JournalError> {
        let fact = Fact {
            lsn: from,
            index: Fact::RECORD,
            flags: RULES | flag::RECORD | flag::GAP,
            record_bytes: u32::try_from(to - from).unwrap_or(u32::MAX),
            ..Fact::default()
        };
        Ok(self.log.append(self.reader.segment_lsn(), &[fact])?)
    }

    /// Writes the state down, so that the next start replays from here.
    ///
    /// # Errors
    /// The disk's; the old snapshot stands.
    pub fn snapshot(&mut self) -> Result<(), JournalError> {
        if self.broken {
            return Ok(());
        }
        let lsn = self.log.end_lsn();
        self.watcher.save(lsn)?;
        let (window, sessions) = (&self.decider.window, &self.decider.sessions);
        snapshot::save(self.disk.as_ref(), &self.dir, self.epoch, lsn, window, sessions)?;
        self.snapshot_lsn = lsn;
        Ok(())
    }
}

/// Offset and payload of a sealed record that was opened before.
fn payload_of(
    facts: &mut super::FactsReader,
    opened: &mut OpenedReader,
    header: &Header,
    reader: &Reader,
    end: u64,
) -> Result<Option<(u64, Vec<u8>)>, JournalError> {
    facts.seek(header.lsn);
    match facts.next(end)? {
        Some(fact) if fact.lsn == header.lsn && fact.has(flag::SEALED) => {
            let payload = opened.read(reader.segment_lsn(), header.lsn, fact.dup_key)?;
            Ok(Some((fact.dup_key, payload)))
        }
        _ => Ok(None),
    }
}
