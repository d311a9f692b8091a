//! The facts on disk: `<first lsn>.facts` beside each journal segment.
//!
//! ```text
//!   0 "TUSKFACT"   8 version u32 | epoch u32   16 first lsn u64   24 totals u64 × 10   188 crc32c of 0..188
//! 192 facts, 64 bytes each, in (lsn, index) order
//! ```

use super::{Fact, Totals};
use crate::disk::{Disk, DiskFile, Open};
use crate::journal::layout::{lsn_of_name, u32_at, u64_at};
use crate::journal::{JournalError, Watermark};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const MAGIC: &[u8; 8] = b"TUSKFACT";
const VERSION: u32 = 1;
const HEADER: usize = 192;
/// Facts read at once: 128 KiB.
const WINDOW: usize = 2048 * Fact::BYTES;

/// Files and watermark, shared by the pass and all readers.
#[derive(Debug)]
pub struct FactsFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    list: RwLock<Vec<u64>>,
    decided: Watermark,
    totals: Mutex<Totals>,
}

impl FactsFiles {
    /// Sinks may read below this lsn: facts there are durable.
    pub fn decided(&self) -> &Watermark {
        &self.decided
    }

    /// Sums of everything below [`FactsFiles::decided`], with that lsn.
    pub fn totals(&self) -> (u64, Totals) {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        (self.decided.get(), *totals)
    }

    pub(crate) fn opened_reader(&self) -> super::opened::OpenedReader {
        super::opened::OpenedReader::new(Arc::clone(&self.disk), &self.dir)
    }

    /// First lsns of the files, in order.
    pub(crate) fn firsts(&self) -> Vec<u64> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn path(&self, first_lsn: u64) -> PathBuf {
        self.dir.join(format!("{first_lsn:016x}.facts"))
    }

    /// First lsn of the file that would hold `lsn`.
    fn file_for(&self, lsn: u64) -> Option<u64> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let after = list.partition_point(|first| *first <= lsn);
        list.get(after.checked_sub(1)?).copied()
    }

    fn file_after(&self, first: u64) -> Option<u64> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.get(list.partition_point(|lsn| *lsn <= first)).copied()
    }

    /// Deletes files whose journal segment is gone: those wholly below `start_lsn`.
    ///
    /// # Errors
    /// The disk's.
    pub fn reclaim(&self, start_lsn: u64) -> std::io::Result<()> {
        loop {
            let first = {
                let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
                match list.as_slice() {
                    [first, next, ..] if *next <= start_lsn => *first,
                    _ => return Ok(()),
                }
            };
            self.list.write().unwrap_or_else(PoisonError::into_inner).retain(|lsn| *lsn != first);
            self.disk.remove(&self.path(first))?;
            let opened = self.dir.join(super::opened::name(first));
            if self.disk.size(&opened)?.is_some() {
                self.disk.remove(&opened)?;
            }
        }
    }

    /// Sums of everything below `lsn`, and where they were counted from: a file's header and its facts. `None` if those are gone.
    ///
    /// # Errors
    /// The disk's, or damaged facts.
    pub fn totals_below(self: &Arc<Self>, lsn: u64) -> Result<Option<Totals>, JournalError> {
        let (end, all) = self.totals();
        if lsn >= end {
            return Ok(Some(all));
        }
        let Some(first) = self.file_for(lsn) else { return Ok(None) };
        let file = self.disk.open(&self.path(first), Open::Read)?;
        let mut totals = read_header(file.as_ref(), &self.path(first))?.totals;
        let mut reader = FactsReader::new(Arc::clone(self), first);
        while let Some(fact) = reader.next(lsn)? {
            totals.add(&fact);
        }
        Ok(Some(totals))
    }
}

struct Header {
    epoch: u32,
    first_lsn: u64,
    totals: Totals,
}

fn encode_header(epoch: u32, first_lsn: u64, totals: &Totals) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&first_lsn.to_le_bytes());
    for field in totals.fields() {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.resize(HEADER - 4, 0);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn read_header(file: &dyn DiskFile, path: &Path) -> Result<Header, JournalError> {
    let mut bytes = [0; HEADER];
    let n = file.read_at(&mut bytes, 0)?;
    let whole = n == HEADER && &bytes[..8] == MAGIC && u32_at(&bytes, 8) == VERSION;
    if !whole || crc32c::crc32c(&bytes[..HEADER - 4]) != u32_at(&bytes, HEADER - 4) {
        return Err(JournalError::Foreign {
            path: path.display().to_string(),
            problem: "not a facts file of this version, or damaged; restore it from a backup"
                .to_owned(),
        });
    }
    let mut fields = [0; 10];
    for (i, field) in fields.iter_mut().enumerate() {
        *field = u64_at(&bytes, 24 + i * 8);
    }
    Ok(Header {
        epoch: u32_at(&bytes, 12),
        first_lsn: u64_at(&bytes, 16),
        totals: Totals::from_fields(fields),
    })
}

/// The writer.
#[derive(Debug)]
pub struct FactsLog {
    files: Arc<FactsFiles>,
    epoch: u32,
    file: Option<Box<dyn DiskFile>>,
    /// First lsn of the present file, and of the journal segment beside it.
    first_lsn: u64,
    at: u64,
    buffer: Vec<u8>,
    totals: Totals,
    end_lsn: u64,
    new_name: bool,
}

impl FactsLog {
    /// Opens the facts in `dir` (the journal's folder), cuts what is not whole, makes the rest durable.
    /// [`FactsLog::end_lsn`] is then the lsn up to which everything is decided.
    ///
    /// # Errors
    /// The disk's, or files of another journal.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, epoch: u32) -> Result<Self, JournalError> {
        let files = Arc::new(FactsFiles {
            disk,
            dir: dir.to_path_buf(),
            list: RwLock::default(),
            decided: Watermark::default(),
            totals: Mutex::default(),
        });
        let mut log = Self {
            files: Arc::clone(&files),
            epoch,
            file: None,
            first_lsn: 0,
            at: 0,
            buffer: Vec::new(),
            totals: Totals::default(),
            end_lsn: 0,
            new_name: false,
        };
        log.restore()?;
        Ok(log)
    }

    /// Takes the facts as they are on disk: at start, and after an error of the disk, when nothing in memory may be believed.
    ///
    /// # Errors
    /// As [`FactsLog::open`].
    pub fn restore(&mut self) -> Result<(), JournalError> {
        let files = Arc::clone(&self.files);
        // A process that died may have made a file without living to sync its name; what is believed must be durable first.
        files.disk.sync_dir(&files.dir)?;
        let items = files.disk.list(&files.dir)?;
        let mut list: Vec<u64> =
            items.iter().filter_map(|item| lsn_of_name(&item.name, "facts")).collect();
        list.sort_unstable();
        self.file = None;
        self.buffer.clear();
        self.new_name = false;
        (self.first_lsn, self.at, self.end_lsn, self.totals) = (0, 0, 0, Totals::default());
        while let Some(first) = list.last().copied() {
            if self.recover(first)? {
                break;
            }
            // Made and not yet synced when the machine died: nothing in it was ever read.
            files.disk.remove(&files.path(first))?;
            list.pop();
        }
        *files.list.write().unwrap_or_else(PoisonError::into_inner) = list;
        *files.totals.lock().unwrap_or_else(PoisonError::into_inner) = self.totals;
        files.decided.set(self.end_lsn);
        Ok(())
    }

    /// Reads the last file; `false` if it holds nothing whole.
    fn recover(&mut self, first: u64) -> Result<bool, JournalError> {
        let path = self.files.path(first);
        let file = self.files.disk.open(&path, Open::Write)?;
        let header = match read_header(file.as_ref(), &path) {
            Ok(header) => header,
            Err(JournalError::Foreign { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if header.epoch != self.epoch || header.first_lsn != first {
            return Err(JournalError::Foreign {
                path: path.display().to_string(),
                problem: "belongs to another journal; move it away".to_owned(),
            });
        }
        let (mut totals, mut record) = (header.totals, header.totals);
        let (mut at, mut whole) = (HEADER as u64, HEADER as u64);
        let mut end_lsn = 0;
        let mut bytes = vec![0; WINDOW];
        let mut last = None;
        'file: loop {
            let n = file.read_at(&mut bytes, at)?;
            for chunk in bytes[..n].chunks(Fact::BYTES) {
                let Some(fact) = Fact::decode(chunk) else { break 'file };
                if last.is_some_and(|last| (fact.lsn, fact.index.wrapping_add(1)) <= last) {
                    break 'file;
                }
                last = Some((fact.lsn, fact.index.wrapping_add(1)));
                record.add(&fact);
                at += Fact::BYTES as u64;
                if fact.is_last() {
                    (totals, whole) = (record, at);
                    end_lsn = fact.lsn + u64::from(fact.record_bytes);
                }
            }
            if n < WINDOW {
                break;
            }
        }
        if whole == HEADER as u64 {
            return Ok(false);
        }
        file.set_len(whole)?;
        file.sync()?;
        (self.totals, self.end_lsn, self.first_lsn, self.at) = (totals, end_lsn, first, whole);
        self.file = Some(file);
        Ok(true)
    }

    /// What readers share.
    pub fn files(&self) -> &Arc<FactsFiles> {
        &self.files
    }

    /// Everything below is decided (durable after [`FactsLog::commit`]).
    pub fn end_lsn(&self) -> u64 {
        self.end_lsn
    }

    /// Sums so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Appends the facts of one record, all of them, from the journal segment that starts at `segment_lsn`.
    ///
    /// # Errors
    /// The disk's; call [`FactsLog::restore`] then.
    pub fn append(&mut self, segment_lsn: u64, facts: &[Fact]) -> std::io::Result<()> {
        if self.file.is_none() || segment_lsn > self.first_lsn {
            self.flush()?;
            let path = self.files.path(segment_lsn);
            let file = self.files.disk.open(&path, Open::Create)?;
            file.write_at(&encode_header(self.epoch, segment_lsn, &self.totals), 0)?;
            self.file = Some(file);
            (self.first_lsn, self.at, self.new_name) = (segment_lsn, HEADER as u64, true);
        }
        for fact in facts {
            self.buffer.extend_from_slice(&fact.encode());
            self.totals.add(fact);
            self.end_lsn = fact.lsn + u64::from(fact.record_bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if !self.buffer.is_empty() {
            file.write_at(&self.buffer, self.at)?;
            self.at += self.buffer.len() as u64;
            self.buffer.clear();
            file.sync()?;
        }
        if self.new_name {
            file.sync()?;
            self.files.disk.sync_dir(&self.files.dir)?;
            self.new_name = false;
            let mut list = self.files.list.write().unwrap_or_else(PoisonError::into_inner);
            list.push(self.first_lsn);
        }
        Ok(())
    }

    /// Makes everything appended durable and lets the sinks read it.
    ///
    /// # Errors
    /// The disk's: nothing was published; call [`FactsLog::restore`].
    pub fn commit(&mut self) -> std::io::Result<()> {
        self.flush()?;
        *self.files.totals.lock().unwrap_or_else(PoisonError::into_inner) = self.totals;
        self.files.decided.set(self.end_lsn);
        Ok(())
    }
}

/// A cursor over the facts.
#[derive(Debug)]
pub struct FactsReader {
    files: Arc<FactsFiles>,
    from: u64,
    file: Option<(u64, Box<dyn DiskFile>)>,
    window: Vec<u8>,
    window_at: u64,
    cursor: usize,
    /// End of the record whose last fact was returned: the next fact starts there.
    end: u64,
}

impl FactsReader {
    /// A reader that starts at the first fact with an lsn of at least `lsn`.
    #[must_use]
    pub fn new(files: Arc<FactsFiles>, lsn: u64) -> Self {
        Self { files, from: lsn, file: None, window: Vec::new(), window_at: 0, cursor: 0, end: lsn }
    }

    /// Goes to the first fact with an lsn of at least `lsn`.
    pub fn seek(&mut self, lsn: u64) {
        (self.from, self.end) = (lsn, lsn);
        self.file = None;
    }

    /// The next fact below `limit`, which must not be beyond [`FactsFiles::decided`].
    ///
    /// # Errors
    /// The disk's, a damaged fact, or [`JournalError::Reclaimed`].
    pub fn next(&mut self, limit: u64) -> Result<Option<Fact>, JournalError> {
        loop {
            // Beyond the limit a fact may be half written: it is not even looked at.
            if self.end >= limit || (self.file.is_none() && !self.open(limit)?) {
                return Ok(None);
            }
            if self.cursor == self.window.len() && !self.fill(limit)? {
                return Ok(None);
            }
            let fact = match self.window.get(self.cursor..).and_then(Fact::decode) {
                Some(fact) => fact,
                None => self.again()?,
            };
            self.cursor += Fact::BYTES;
            if fact.is_last() {
                self.end = fact.lsn + u64::from(fact.record_bytes);
            }
            if fact.lsn >= self.from {
                return Ok(Some(fact));
            }
        }
    }

    /// The fact at the cursor, read anew: the window may hold a moment when it was half written.
    fn again(&mut self) -> Result<Fact, JournalError> {
        let at = self.window_at + self.cursor as u64;
        let mut bytes = [0; Fact::BYTES];
        if let Some((_, file)) = &self.file {
            file.read_at(&mut bytes, at)?;
        }
        let fact = Fact::decode(&bytes).ok_or_else(|| self.damaged())?;
        // The rest of the window is as old: drop it, so that the next call reads on from here.
        self.window.truncate(self.cursor + Fact::BYTES);
        Ok(fact)
    }

    fn damaged(&self) -> JournalError {
        let first = self.file.as_ref().map_or(0, |(first, _)| *first);
        JournalError::Foreign {
            path: self.files.path(first).display().to_string(),
            problem: "a fact is damaged; restore the file from a backup, or skip the range with `tusk migrate`".to_owned(),
        }
    }

    fn open(&mut self, limit: u64) -> Result<bool, JournalError> {
        if self.from >= limit {
            return Ok(false);
        }
        let Some(first) = self.files.file_for(self.from) else {
            let start = self.files.file_after(0).unwrap_or(limit);
            return Err(JournalError::Reclaimed { wanted: self.from, start });
        };
        let file = self.files.disk.open(&self.files.path(first), Open::Read)?;
        // Binary search for the first fact at or after `from`; facts have one size and are sorted.
        let (mut low, mut high) =
            (0, file.bytes()?.saturating_sub(HEADER as u64) / Fact::BYTES as u64);
        let mut bytes = [0; Fact::BYTES];
        while low < high {
            let middle = (low + high) / 2;
            let n = file.read_at(&mut bytes, HEADER as u64 + middle * Fact::BYTES as u64)?;
            // What is not whole is beyond the watermark.
            match Fact::decode(&bytes[..n]) {
                Some(fact) if fact.lsn < self.from => low = middle + 1,
                _ => high = middle,
            }
        }
        self.start(first, file, HEADER as u64 + low * Fact::BYTES as u64);
        Ok(true)
    }

    fn start(&mut self, first: u64, file: Box<dyn DiskFile>, at: u64) {
        self.file = Some((first, file));
        self.window.clear();
        (self.window_at, self.cursor) = (at, 0);
    }

    /// Reads on; in the next file if this one is at its end and another one holds facts below `limit`.
    fn fill(&mut self, limit: u64) -> Result<bool, JournalError> {
        loop {
            let Some((first, file)) = &self.file else { return Ok(false) };
            let at = self.window_at + self.window.len() as u64;
            self.window.resize(WINDOW, 0);
            let n = match file.read_at(&mut self.window, at) {
                Ok(n) => n - n % Fact::BYTES,
                Err(error) => {
                    self.window.clear();
                    self.cursor = 0;
                    return Err(error.into());
                }
            };
            self.window.truncate(n);
            (self.window_at, self.cursor) = (at, 0);
            if n > 0 {
                return Ok(true);
            }
            match self.files.file_after(*first) {
                Some(next) if next < limit => {
                    let file = self.files.disk.open(&self.files.path(next), Open::Read)?;
                    self.start(next, file, HEADER as u64);
                }
                _ => return Ok(false),
            }
        }
    }
}
