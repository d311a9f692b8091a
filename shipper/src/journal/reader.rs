//! Reading the journal in lsn order, never beyond what the caller says is durable.

use super::JournalError;
use super::layout::{ALIGN, Header, RECORD_HEADER};
use super::segments::Segments;
use crate::disk::DiskFile;
use std::sync::Arc;

/// Bytes read at once.
const WINDOW: usize = 512 << 10;

/// What the reader met.
#[derive(Debug)]
pub enum Read<'a> {
    /// A whole record.
    Record {
        /// Its header.
        header: Header,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Bytes that are no record: `[from,to)` is damaged.
    Gap {
        /// First damaged lsn.
        from: u64,
        /// Next record or the segment's end.
        to: u64,
    },
    /// Nothing more below the limit.
    End,
}

/// A cursor over the journal. Every reader has its own.
#[derive(Debug)]
pub struct Reader {
    segments: Arc<Segments>,
    at: u64,
    segment: Option<Here>,
    window: Vec<u8>,
    window_lsn: u64,
    window_bytes: usize,
    /// Of the list of segments, when it was last looked at.
    version: u64,
}

#[derive(Debug)]
struct Here {
    first_lsn: u64,
    end_lsn: u64,
    file: Box<dyn DiskFile>,
}

impl Reader {
    /// A reader at `lsn`, which must be the start of a record or the end of the journal.
    #[must_use]
    pub fn new(segments: Arc<Segments>, lsn: u64) -> Self {
        Self {
            segments,
            at: lsn,
            segment: None,
            window: Vec::new(),
            window_lsn: 0,
            window_bytes: WINDOW,
            version: 0,
        }
    }

    /// Reads less at once: for readers that want only a record here and there.
    #[must_use]
    pub fn with_window(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes;
        self
    }

    /// Where it stands.
    #[must_use]
    pub fn lsn(&self) -> u64 {
        self.at
    }

    /// Goes elsewhere.
    pub fn seek(&mut self, lsn: u64) {
        self.at = lsn;
    }

    /// First lsn of the segment the last record or gap came from.
    #[must_use]
    pub fn segment_lsn(&self) -> u64 {
        self.segment.as_ref().map_or(self.at, |here| here.first_lsn)
    }

    /// The next record or gap below `limit`, which must not be beyond `durable`.
    ///
    /// # Errors
    /// [`JournalError::Reclaimed`], or the disk's.
    pub fn next(&mut self, limit: u64) -> Result<Read<'_>, JournalError> {
        if self.at >= limit {
            return Ok(Read::End);
        }
        self.enter()?;
        let stop = self.segment.as_ref().map_or(limit, |here| here.end_lsn.min(limit));
        let lsn = self.at;
        let Some(header) = self.valid(lsn, stop)? else {
            let to = self.search(lsn, stop)?;
            self.at = to;
            return Ok(Read::Gap { from: lsn, to });
        };
        self.at = lsn + u64::from(header.length);
        let from = (lsn - self.window_lsn) as usize;
        let payload = self.window.get(from + RECORD_HEADER..from + header.length as usize);
        Ok(Read::Record { header, payload: payload.unwrap_or_default() })
    }

    fn enter(&mut self) -> Result<(), JournalError> {
        let lsn = self.at;
        let inside = |here: &Here| here.first_lsn <= lsn && lsn < here.end_lsn;
        // The end of the segment being written is not known: it is asked for again when the list has changed.
        let version = self.segments.version();
        if version == self.version && self.segment.as_ref().is_some_and(inside) {
            return Ok(());
        }
        self.version = version;
        let Some((first_lsn, end_lsn)) = self.segments.find(lsn) else {
            return Err(JournalError::Reclaimed { wanted: lsn, start: self.segments.start_lsn() });
        };
        match &mut self.segment {
            Some(here) if here.first_lsn == first_lsn => here.end_lsn = end_lsn,
            _ => {
                let file = self.segments.open(first_lsn)?;
                self.segment = Some(Here { first_lsn, end_lsn, file });
                self.window.clear();
            }
        }
        Ok(())
    }

    fn valid(&mut self, lsn: u64, stop: u64) -> Result<Option<Header>, JournalError> {
        if lsn + RECORD_HEADER as u64 > stop {
            return Ok(None);
        }
        let Some(header) = Header::peek(self.load(lsn, RECORD_HEADER, stop)?, lsn) else {
            return Ok(None);
        };
        if lsn + u64::from(header.length) > stop {
            return Ok(None);
        }
        let record = self.load(lsn, header.length as usize, stop)?;
        Ok(Header::crc_holds(record).then_some(header))
    }

    /// The first valid record after `lsn`, or `stop`.
    fn search(&mut self, lsn: u64, stop: u64) -> Result<u64, JournalError> {
        let mut at = lsn + ALIGN as u64;
        while at < stop {
            if self.valid(at, stop)?.is_some() {
                return Ok(at);
            }
            at += ALIGN as u64;
        }
        Ok(stop)
    }

    /// `n` bytes at `lsn`, from the window if it holds them; shorter at the end of the file.
    fn load(&mut self, lsn: u64, n: usize, stop: u64) -> Result<&[u8], JournalError> {
        let end = self.window_lsn + self.window.len() as u64;
        if lsn < self.window_lsn || lsn + n as u64 > end {
            let Some(here) = &self.segment else { return Ok(&[]) };
            // Never past `stop`: what lies there may still be on its way.
            let want = (stop - lsn).min(self.window_bytes.max(n) as u64) as usize;
            if self.window.capacity() > 4 * WINDOW && want <= WINDOW {
                self.window = Vec::new();
            }
            self.window.resize(want, 0);
            self.window_lsn = lsn;
            let offset = Segments::offset(here.first_lsn, lsn);
            let got = match here.file.read_at(&mut self.window, offset) {
                Ok(got) => got,
                Err(error) => {
                    self.window.clear();
                    return Err(error.into());
                }
            };
            self.window.truncate(got);
        }
        let from = (lsn - self.window_lsn) as usize;
        Ok(self.window.get(from..from + n).unwrap_or_default())
    }
}
