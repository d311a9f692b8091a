//! `<data>/imports/register`: how far each imported and followed file is in the journal, so that no line enters it twice.
//!
//! The journal is the truth: every record of a line carries its [`Mark`]. The register is what a scan of the whole journal would
//! give, up to an lsn; a start scans from there. Append-only, 64 bytes an entry:
//! ```text
//!   0 key [16] | digest [16]   32 run u64 | bytes u64 | lines u64   56 kind u32 | crc32c u32 of 0..60
//! ```
//! Kinds: 1 a mark · 2 everything below lsn `bytes` is in here · 3 `key` is forgotten. A start reads up to the first damaged entry.

use super::mark::{Digest, Line, Mark};
use crate::disk::{self, Disk, DiskFile, Open};
use crate::journal::layout::{u32_at, u64_at};
use crate::journal::{JournalError, Read, Reader, Segments};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ENTRY: usize = 64;
const MAGIC: &[u8; 8] = b"TUSKIMPT";
const MARK: u32 = 1;
const LSN: u32 = 2;
const FORGOTTEN: u32 = 3;
/// Marks held at most, about 100 bytes of memory each: a million blocks of 4 MiB, so 4 TB of imported lines.
const MARKS_MAX: usize = 1 << 20;
/// The file is written anew when it is larger than this and four times what its marks need.
const COMPACT_BYTES: u64 = 1 << 20;

/// The register.
#[derive(Debug)]
pub(crate) struct Register {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    epoch: u32,
    marks: HashMap<Digest, Vec<Mark>>,
    count: usize,
    dirty: BTreeSet<(Digest, u64)>,
    forgotten: Vec<Digest>,
    lsn: u64,
    file: Option<Box<dyn DiskFile>>,
    end: u64,
}

impl Register {
    /// Reads the register and what the journal knows beyond it. `damaged`: entries behind a damaged one are given up, since the
    /// journal tells them again.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        data: &Path,
        epoch: u32,
        segments: &Arc<Segments>,
    ) -> Result<Self, JournalError> {
        let dir = data.join("imports");
        disk::create_dirs(disk.as_ref(), data, &dir)?;
        let path = dir.join("register");
        let bytes = disk::read(disk.as_ref(), &path, (MARKS_MAX * 8 * ENTRY) as u64)?;
        let mut register = Self {
            disk,
            path,
            epoch,
            marks: HashMap::new(),
            count: 0,
            dirty: BTreeSet::new(),
            forgotten: Vec::new(),
            lsn: 0,
            file: None,
            end: 0,
        };
        let bytes = bytes.unwrap_or_default();
        if bytes.len() >= ENTRY {
            register.read(&bytes)?;
        }
        register.scan(segments)?;
        // What is believed from here on must be durable, whatever the process that wrote it lived to sync.
        register.compact()?;
        Ok(register)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let foreign = |problem: &str| JournalError::Foreign {
            path: self.path.display().to_string(),
            problem: problem.to_owned(),
        };
        if &bytes[..8] != MAGIC || u32_at(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Err(foreign(
                "is no register of imports; restore it from a backup, or move it away and import nothing a second time",
            ));
        }
        if u32_at(bytes, 8) != 1 {
            return Err(foreign("was written by a newer tusk; install that version again"));
        }
        // Another journal has other lsns; what was imported stays imported.
        let same_journal = u32_at(bytes, 12) == self.epoch;
        for entry in bytes[ENTRY..].chunks_exact(ENTRY) {
            if u32_at(entry, 60) != crc32c::crc32c(&entry[..60]) {
                break;
            }
            let digest = |at: usize| {
                let mut digest = Digest::default();
                digest.copy_from_slice(&entry[at..at + 16]);
                digest
            };
            let mark = Mark {
                key: digest(0),
                digest: digest(16),
                run: u64_at(entry, 32),
                bytes: u64_at(entry, 40),
                lines: u64_at(entry, 48),
            };
            match u32_at(entry, 56) {
                MARK => self.put(mark),
                LSN if same_journal => self.lsn = mark.bytes,
                FORGOTTEN => self.drop_key(&mark.key),
                _ => {}
            }
        }
        Ok(())
    }

    /// Brings it up to the end of the journal.
    fn scan(&mut self, segments: &Arc<Segments>) -> Result<(), JournalError> {
        let end = segments.durable().get();
        let from = self.lsn.max(segments.start_lsn()).min(end);
        let mut reader = Reader::new(Arc::clone(segments), from);
        loop {
            match reader.next(end)? {
                Read::Record { header, payload } if header.generation == 0 => {
                    if let Some(line) = Line::find(payload) {
                        self.put(line.mark);
                    }
                }
                Read::Record { .. } | Read::Gap { .. } => {}
                Read::End => break,
            }
        }
        self.lsn = end;
        Ok(())
    }

    fn put(&mut self, mark: Mark) {
        let marks = self.marks.entry(mark.key).or_default();
        match marks.iter_mut().find(|known| known.run == mark.run) {
            Some(known) => *known = mark,
            None => {
                marks.push(mark);
                self.count += 1;
            }
        }
    }

    fn drop_key(&mut self, key: &Digest) {
        self.count -= self.marks.remove(key).map_or(0, |marks| marks.len());
    }

    /// Notes a mark; the caller appends its record to the journal.
    pub(crate) fn note(&mut self, mark: Mark) {
        self.put(mark);
        self.dirty.insert((mark.key, mark.run));
    }

    /// Forgets a file that is gone for good.
    pub(crate) fn forget(&mut self, key: &Digest) {
        self.drop_key(key);
        self.forgotten.push(*key);
    }

    /// What is known of a key.
    pub(crate) fn marks(&self, key: &Digest) -> &[Mark] {
        self.marks.get(key).map_or(&[], Vec::as_slice)
    }

    /// The mark of one run.
    pub(crate) fn mark(&self, key: &Digest, run: u64) -> Option<Mark> {
        self.marks(key).iter().find(|mark| mark.run == run).copied()
    }

    /// Whether it can take no more.
    pub(crate) fn is_full(&self) -> bool {
        self.count >= MARKS_MAX
    }

    /// The journal is needed from here on; `u64::MAX` while every mark is written down, when it would tell a start nothing new.
    pub(crate) fn lsn(&self) -> u64 {
        if self.dirty.is_empty() { u64::MAX } else { self.lsn }
    }

    /// Whether a save would tell anything, or spare the next start a scan of more than `bytes`.
    pub(crate) fn wants_saving(&self, durable: u64, bytes: u64) -> bool {
        !self.dirty.is_empty() || !self.forgotten.is_empty() || durable >= self.lsn + bytes
    }

    /// Writes down what is new. Called only while every noted mark's record is durable, below `durable`.
    ///
    /// # Errors
    /// The disk's; what is noted stays noted and is tried again.
    pub(crate) fn save(&mut self, durable: u64) -> io::Result<()> {
        let needed = (self.count + 2) as u64 * ENTRY as u64;
        if self.file.is_none() || (self.end > COMPACT_BYTES && self.end > 4 * needed) {
            // Written into the new file; believed only once that stands, since the journal below it may go then.
            let before = std::mem::replace(&mut self.lsn, durable);
            return self.compact().inspect_err(|_| self.lsn = before);
        }
        let mut out = Vec::new();
        for key in &self.forgotten {
            encode(FORGOTTEN, &Mark { key: *key, ..Mark::default() }, &mut out);
        }
        for (key, run) in &self.dirty {
            if let Some(mark) = self.mark(key, *run) {
                encode(MARK, &mark, &mut out);
            }
        }
        encode(LSN, &Mark { bytes: durable, ..Mark::default() }, &mut out);
        let Some(file) = &self.file else { return Ok(()) };
        let written = file.write_at(&out, self.end).and_then(|()| file.sync());
        if let Err(error) = written {
            // Nothing may be believed about this file any more: the next save writes another.
            self.file = None;
            return Err(error);
        }
        self.end += out.len() as u64;
        self.dirty.clear();
        self.forgotten.clear();
        self.lsn = durable;
        Ok(())
    }

    /// Writes the whole file anew.
    fn compact(&mut self) -> io::Result<()> {
        let mut out = Vec::with_capacity((self.count + 2) * ENTRY);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&1_u32.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.resize(60, 0);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        for mark in self.marks.values().flatten() {
            encode(MARK, mark, &mut out);
        }
        encode(LSN, &Mark { bytes: self.lsn, ..Mark::default() }, &mut out);
        disk::replace(self.disk.as_ref(), &self.path, &out)?;
        self.file = Some(self.disk.open(&self.path, Open::Write)?);
        self.end = out.len() as u64;
        self.dirty.clear();
        self.forgotten.clear();
        Ok(())
    }
}

fn encode(kind: u32, mark: &Mark, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(&mark.key);
    out.extend_from_slice(&mark.digest);
    for number in [mark.run, mark.bytes, mark.lines] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&kind.to_le_bytes());
    let crc = crc32c::crc32c(&out[from..]);
    out.extend_from_slice(&crc.to_le_bytes());
}
