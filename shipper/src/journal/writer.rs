//! The journal's one writer: append in memory, commit by group.

use super::layout::{Header, RECORD_HEADER, SEGMENT_HEADER, SegmentHeader, segment_name};
use super::segments::{Segment, Segments};
use super::{JournalConfig, JournalError, recover};
use crate::disk::{Disk, DiskFile, Open};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes gathered before they are handed to the system; keeps writes large without holding much.
const WRITE_BYTES: usize = 1 << 20;
/// Capacity kept in the buffer after a commit.
const KEEP_BYTES: usize = 9 << 20;

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Kind, see [`event::record::Kind`].
    pub kind: u8,
    /// The ring's flags.
    pub flags: u8,
    /// Kept events.
    pub kept: u16,
    /// Rejected events.
    pub rejected: u16,
    /// Ring generation; 0 = the shipper's own record.
    pub generation: u64,
    /// Place in that generation; grows from record to record.
    pub position: u64,
    /// Arrival, ns since 1970.
    pub recv_ns: u64,
    /// TLV sections; at most 4 GiB - 48.
    pub payload: &'a [u8],
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It will be at this lsn once committed.
    At(u64),
    /// The journal has it already (a crash came between fdatasync and the ring's head).
    Repeated,
}

/// What recovery found.
#[derive(Debug)]
pub struct Opened {
    /// The writer.
    pub journal: Journal,
    /// Bytes of a torn tail that were cut.
    pub torn_bytes: u64,
}

/// The writer. One per journal folder (the engine holds a lock on the data folder).
#[derive(Debug)]
pub struct Journal {
    segments: Arc<Segments>,
    config: JournalConfig,
    bytes_max: u64,
    epoch: u32,
    file: Option<Box<dyn DiskFile>>,
    first_lsn: u64,
    capacity_end: u64,
    /// Everything appended since the last commit; its first byte is at `durable`.
    buffer: Vec<u8>,
    written: usize,
    durable: u64,
    positions: BTreeMap<u64, u64>,
    durable_positions: BTreeMap<u64, u64>,
    /// fdatasync calls, for metrics.
    pub fsyncs: u64,
    /// Failed ones.
    pub fsync_failures: u64,
    /// Records passed over because they were there.
    pub repeated: u64,
}

impl Journal {
    /// Opens the journal in `dir`, cuts a torn tail, makes what is left durable. `known_durable` is an lsn below which everything was
    /// durable before (the end of the facts): damage below it is a gap, above it a torn tail. `bytes_max` is the resolved cap.
    ///
    /// # Errors
    /// The disk's, or files that are not this journal's.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        epoch: u32,
        config: &JournalConfig,
        bytes_max: u64,
        known_durable: u64,
    ) -> Result<Opened, JournalError> {
        let found = recover::recover(disk.as_ref(), dir, epoch, known_durable)?;
        let segments = Segments::new(disk, dir.to_path_buf(), found.segments, found.end_lsn);
        let journal = Self {
            segments: Arc::new(segments),
            config: config.clone(),
            bytes_max,
            epoch,
            file: None,
            first_lsn: 0,
            capacity_end: 0,
            buffer: Vec::new(),
            written: 0,
            durable: found.end_lsn,
            durable_positions: found.positions.clone(),
            positions: found.positions,
            fsyncs: 0,
            fsync_failures: 0,
            repeated: 0,
        };
        Ok(Opened { journal, torn_bytes: found.torn_bytes })
    }

    /// What readers share.
    pub fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Bytes appended and not committed.
    pub fn uncommitted_bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// The resolved cap.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Last durable position of each ring generation: the ring may be released up to there.
    pub fn durable_positions(&self) -> &BTreeMap<u64, u64> {
        &self.durable_positions
    }

    /// Forgets generations whose ring file is gone.
    pub fn retain_generations(&mut self, live: &[u64]) {
        self.durable_positions.retain(|generation, _| live.contains(generation));
        self.positions.retain(|generation, _| live.contains(generation));
    }

    /// Appends a record in memory. `now_ns` is written into a new segment's header.
    ///
    /// # Errors
    /// [`JournalError::AtCap`] or the disk's; the record was not taken and may be offered again.
    pub fn append(
        &mut self,
        record: &NewRecord<'_>,
        now_ns: u64,
    ) -> Result<Appended, JournalError> {
        if record.generation != 0
            && self.positions.get(&record.generation).is_some_and(|last| record.position <= *last)
        {
            self.repeated += 1;
            return Ok(Appended::Repeated);
        }
        let padding = record.payload.len().next_multiple_of(8) - record.payload.len();
        let length = RECORD_HEADER + record.payload.len() + padding;
        let Ok(length32) = u32::try_from(length) else {
            return Err(JournalError::Disk(std::io::Error::other("a record over 4 GiB")));
        };
        if self.file.is_none()
            || self.durable + (self.buffer.len() + length) as u64 > self.capacity_end
        {
            self.commit(now_ns)?;
            self.begin_segment(length as u64, now_ns)?;
        }
        let lsn = self.durable + self.buffer.len() as u64;
        let header = Header {
            length: length32,
            kind: record.kind,
            flags: record.flags,
            kept: record.kept,
            rejected: record.rejected,
            lsn,
            generation: record.generation,
            position: record.position,
            recv_ns: record.recv_ns,
        };
        if padding == 0 {
            self.buffer.extend_from_slice(&header.encode(record.payload));
            self.buffer.extend_from_slice(record.payload);
        } else {
            let mut payload = record.payload.to_vec();
            payload.resize(record.payload.len() + padding, 0);
            self.buffer.extend_from_slice(&header.encode(&payload));
            self.buffer.extend_from_slice(&payload);
        }
        if record.generation != 0 {
            self.positions.insert(record.generation, record.position);
        }
        if self.buffer.len() - self.written >= WRITE_BYTES {
            // An error here shows again, and is dealt with, at the commit.
            let _ = self.write_out();
        }
        Ok(Appended::At(lsn))
    }

    /// fdatasync of everything appended; returns the new durable lsn. A failed fdatasync is not retried on the same file: the segment
    /// is closed at the last durable byte and everything since goes into a new one.
    ///
    /// # Errors
    /// The disk's, if the new segment fails too: nothing is lost, call again later, and drain nothing until it works.
    pub fn commit(&mut self, now_ns: u64) -> Result<u64, JournalError> {
        if self.buffer.is_empty() {
            return Ok(self.durable);
        }
        if self.file.is_none() {
            self.begin_segment(self.buffer.len() as u64, now_ns)?;
        }
        if self.sync_out().is_err() {
            self.fsync_failures += 1;
            self.close_segment(now_ns);
            self.begin_segment(self.buffer.len() as u64, now_ns)?;
            if let Err(error) = self.sync_out() {
                self.fsync_failures += 1;
                self.close_segment(now_ns);
                return Err(error.into());
            }
        }
        self.durable += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(KEEP_BYTES);
        self.written = 0;
        self.durable_positions.clone_from(&self.positions);
        self.segments.durable().set(self.durable);
        Ok(self.durable)
    }

    fn write_out(&mut self) -> std::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let at = Segments::offset(self.first_lsn, self.durable + self.written as u64);
        file.write_at(&self.buffer[self.written..], at)?;
        self.written = self.buffer.len();
        Ok(())
    }

    fn sync_out(&mut self) -> std::io::Result<()> {
        self.write_out()?;
        self.fsyncs += 1;
        self.file.as_ref().map_or(Ok(()), |file| file.sync())
    }

    /// Closes the present segment at `durable`. What lies behind in the file is bounded by the next segment's first lsn.
    fn close_segment(&mut self, now_ns: u64) {
        let Some(file) = self.file.take() else { return };
        self.written = 0;
        let used = Segments::offset(self.first_lsn, self.durable);
        // Gives the reserve back; only space is lost if it fails.
        let cut = file.set_len(used).is_ok();
        let mut list = self.segments.write();
        if let Some(last) = list.last_mut() {
            last.end_lsn = self.durable;
            last.closed_ms = now_ns / 1_000_000;
            last.bytes = if cut { used } else { last.bytes };
            if last.first_lsn == self.durable {
                // Empty: the next segment has the same name and replaces the file.
                list.pop();
            }
        }
    }

    /// Makes the segment that starts at `durable` with room for at least `room` bytes.
    fn begin_segment(&mut self, room: u64, now_ns: u64) -> Result<(), JournalError> {
        let bytes = self.config.segment_bytes.max(SEGMENT_HEADER as u64 + room);
        if self.segments.bytes() + bytes > self.bytes_max {
            return Err(JournalError::AtCap(self.bytes_max));
        }
        self.close_segment(now_ns);
        let path = self.path(self.durable);
        let mut tmp = path.clone().into_os_string();
        tmp.push(".tmp");
        let tmp = PathBuf::from(tmp);
        let header = SegmentHeader {
            epoch: self.epoch,
            first_lsn: self.durable,
            created_ns: now_ns,
            positions: self.durable_positions.iter().map(|(g, p)| (*g, *p)).collect(),
        };
        let disk = self.segments.disk.as_ref();
        let made = (|| {
            let file = disk.open(&tmp, Open::Create)?;
            file.allocate(bytes)?;
            file.write_at(&header.encode(), 0)?;
            file.sync()?;
            disk.rename(&tmp, &path)?;
            disk.sync_dir(&self.segments.dir)?;
            Ok::<_, std::io::Error>(file)
        })();
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // A full disk must not be held full by our own unfinished file.
                let _ = disk.remove(&tmp);
                return Err(error.into());
            }
        };
        self.file = Some(file);
        self.first_lsn = self.durable;
        self.capacity_end = self.durable + bytes - SEGMENT_HEADER as u64;
        let segment = Segment { first_lsn: self.durable, end_lsn: u64::MAX, bytes, closed_ms: 0 };
        self.segments.write().push(segment);
        Ok(())
    }

    fn path(&self, first_lsn: u64) -> PathBuf {
        self.segments.dir.join(segment_name(first_lsn))
    }

    /// Deletes closed segments that nobody needs: wholly below `floor`, and older than `keep_hours` or in the way of the next segment.
    /// Returns the first lsn left.
    ///
    /// # Errors
    /// The disk's.
    pub fn reclaim(&mut self, floor: u64, now_ms: u64) -> Result<u64, JournalError> {
        let keep_ms = u64::from(self.config.keep_hours) * 3_600_000;
        let reserve = self.config.segment_bytes;
        let mut removed = false;
        loop {
            let pressed = self.segments.bytes() + reserve > self.bytes_max;
            let first = {
                let list = self.segments.read();
                match list.as_slice() {
                    // The newest stays even if it is closed and read: it knows how far each ring generation is journaled.
                    [first, _, ..] => first.clone(),
                    _ => break,
                }
            };
            let old = first.closed_ms.saturating_add(keep_ms) <= now_ms;
            if first.end_lsn > floor || !(pressed || old) {
                break;
            }
            // Out of the list first: a reader that asks for it then gets `Reclaimed`, not a missing file.
            self.segments.write().remove(0);
            self.segments.disk.remove(&self.path(first.first_lsn))?;
            removed = true;
        }
        if removed {
            self.segments.disk.sync_dir(&self.segments.dir)?;
        }
        Ok(self.segments.start_lsn())
    }
}
