//! A log of quarantined events: segments `<position>.q`, appended by one writer, deleted from the old end.
//!
//! ```text
//! header  0 "TUSKQUAR"   8 version u32 | epoch u32   16 first position u64   24 stored u64 | redriven u64 | discarded u64
//!        60 crc32c of 0..60
//! item    0 length u32 (multiple of 8) | crc32c u32 of 8..length   8 position u64   16 lsn u64   24 recv ms i64
//!        32 index u32 | kind u8 | zero [3]   40 payload (TLV sections of one event; empty for a mark)
//! ```
//! *Position* is the lsn of the journal record that brought the item; a range that is offered again cuts what it wrote before.

use crate::disk::{self, Disk, DiskFile, Open};
use crate::journal::layout::{lsn_of_name, u32_at, u64_at};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TUSKQUAR";
const VERSION: u32 = 1;
const HEADER: usize = 64;
/// Size of an item's header.
pub(super) const ITEM_HEADER: usize = 40;
/// A segment is closed at this size: small enough to expire in steps.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes looked at in one step while scanning.
const WINDOW: usize = 256 << 10;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// An event.
    Event = 1,
    /// Its identity was offered again with success.
    Redriven = 2,
    /// Its identity was given up.
    Discarded = 3,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Event,
            2 => Self::Redriven,
            3 => Self::Discarded,
            _ => return None,
        })
    }
}

/// Header of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemHeader {
    pub(super) position: u64,
    pub(super) lsn: u64,
    pub(super) index: u32,
    pub(super) recv_ms: i64,
    pub(super) kind: Kind,
    length: u32,
}

impl ItemHeader {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..ITEM_HEADER)?;
        let length = u32_at(bytes, 0);
        let fits = length as usize >= ITEM_HEADER && length.is_multiple_of(8);
        Some(Self {
            position: u64_at(bytes, 8),
            lsn: u64_at(bytes, 16),
            recv_ms: u64_at(bytes, 24).cast_signed(),
            index: u32_at(bytes, 32),
            kind: Kind::from_u8(bytes[36])?,
            length: fits.then_some(length)?,
        })
    }
}

/// Appends an item to a buffer of items for [`Log::append`].
pub(super) fn stage(
    position: u64,
    identity: (u64, u32),
    recv_ms: i64,
    kind: Kind,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let length = (ITEM_HEADER + payload.len()).next_multiple_of(8);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&identity.0.to_le_bytes());
    out.extend_from_slice(&recv_ms.to_le_bytes());
    out.extend_from_slice(&identity.1.to_le_bytes());
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    out.extend_from_slice(payload);
    out.resize(start + length, 0);
    let crc = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

#[derive(Clone, Debug)]
struct Segment {
    first: u64,
    bytes: u64,
    newest_ms: i64,
}

/// Counts over the life of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) stored: u64,
    pub(super) redriven: u64,
    pub(super) discarded: u64,
}

/// One log.
#[derive(Debug)]
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    epoch: u32,
    segments: Vec<Segment>,
    file: Option<Box<dyn DiskFile>>,
    counts: Counts,
    /// Decided identities, as long as their event may still be here.
    marks: HashMap<(u64, u32), Kind>,
    open: u64,
    last_position: Option<u64>,
    /// A write failed: what is in memory is not believed.
    broken: bool,
}

impl Log {
    /// Opens a log, cuts a torn end.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf, epoch: u32) -> io::Result<Self> {
        let mut log = Self {
            disk,
            dir,
            epoch,
            segments: Vec::new(),
            file: None,
            counts: Counts::default(),
            marks: HashMap::new(),
            open: 0,
            last_position: None,
            broken: false,
        };
        log.load()?;
        Ok(log)
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Events that wait for a decision.
    pub(super) fn open_events(&self) -> u64 {
        self.open
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn is_decided(&self, identity: (u64, u32)) -> bool {
        self.marks.contains_key(&identity)
    }

    fn path(&self, first: u64) -> PathBuf {
        self.dir.join(format!("{first:016x}.q"))
    }

    fn load(&mut self) -> io::Result<()> {
        self.segments.clear();
        self.marks.clear();
        self.file = None;
        self.last_position = None;
        self.counts = Counts::default();
        let items = self.disk.list(&self.dir)?;
        if !items.is_empty() {
            // Names a process made and did not live to sync.
            self.disk.sync_dir(&self.dir)?;
        }
        let mut firsts: Vec<u64> =
            items.iter().filter_map(|item| lsn_of_name(&item.name, "q")).collect();
        firsts.sort_unstable();
        for (i, first) in firsts.iter().enumerate() {
            self.load_segment(*first, i + 1 == firsts.len(), i == 0)?;
        }
        self.open = 0;
        for i in 0..self.segments.len() {
            let mut open = 0;
            self.headers(i, |log, header| {
                open += u64::from(
                    header.kind == Kind::Event
                        && !log.marks.contains_key(&(header.lsn, header.index)),
                );
            })?;
            self.open += open;
        }
        Ok(())
    }

    fn load_segment(&mut self, first: u64, is_last: bool, is_first: bool) -> io::Result<()> {
        let path = self.path(first);
        let file = self.disk.open(&path, Open::Write)?;
        let mut header = [0; HEADER];
        let n = file.read_at(&mut header, 0)?;
        let whole = n == HEADER
            && &header[..8] == MAGIC
            && u32_at(&header, 8) == VERSION
            && crc32c::crc32c(&header[..60]) == u32_at(&header, 60);
        if !whole && is_last {
            // Made and not synced when the machine died: no cursor ever passed what was in it.
            return self.disk.remove(&path);
        }
        if !whole || u32_at(&header, 12) != self.epoch {
            return Err(io::Error::other(format!(
                "{} is damaged or of another journal; move it away (its events leave the quarantine)",
                path.display()
            )));
        }
        if is_first {
            self.counts = Counts {
                stored: u64_at(&header, 24),
                redriven: u64_at(&header, 32),
                discarded: u64_at(&header, 40),
            };
        }
        let end = if is_last { whole_end(file.as_ref())? } else { file.bytes()? };
        if is_last {
            file.set_len(end)?;
            file.sync()?;
        }
        self.segments.push(Segment { first, bytes: end, newest_ms: i64::MIN });
        let at = self.segments.len() - 1;
        self.headers(at, |log, header| log.note(at, &header))?;
        if is_last {
            self.file = Some(file);
        }
        Ok(())
    }

    fn note(&mut self, segment: usize, header: &ItemHeader) {
        self.last_position = Some(header.position);
        let identity = (header.lsn, header.index);
        match header.kind {
            Kind::Event => {
                self.counts.stored += 1;
                if let Some(segment) = self.segments.get_mut(segment) {
                    segment.newest_ms = segment.newest_ms.max(header.recv_ms);
                }
            }
            Kind::Redriven => {
                self.counts.redriven += 1;
                self.marks.insert(identity, header.kind);
            }
            Kind::Discarded => {
                self.counts.discarded += 1;
                self.marks.insert(identity, header.kind);
            }
        }
    }

    /// Shows the headers of a segment's items.
    fn headers(
        &mut self,
        at: usize,
        mut visit: impl FnMut(&mut Self, ItemHeader),
    ) -> io::Result<()> {
        let Some(segment) = self.segments.get(at).cloned() else { return Ok(()) };
        let file = self.disk.open(&self.path(segment.first), Open::Read)?;
        let mut offset = HEADER as u64;
        let mut bytes = [0; ITEM_HEADER];
        while offset < segment.bytes {
            let n = file.read_at(&mut bytes, offset)?;
            let Some(header) = ItemHeader::decode(&bytes[..n]) else { break };
            offset += u64::from(header.length);
            visit(self, header);
        }
        Ok(())
    }

    /// Appends staged items of positions at or after `from`, durably. What an earlier try of the same range wrote is cut first.
    pub(super) fn append(&mut self, from: u64, staged: &[u8]) -> io::Result<()> {
        if self.broken {
            self.load()?;
            // Whatever the failed try left is cut.
            self.last_position = Some(u64::MAX);
        }
        self.broken = true;
        self.try_append(from, staged)?;
        self.broken = false;
        Ok(())
    }

    fn try_append(&mut self, from: u64, staged: &[u8]) -> io::Result<()> {
        if self.last_position.is_some_and(|last| last >= from) {
            self.cut(from)?;
        }
        let Some(first) = ItemHeader::decode(staged) else { return Ok(()) };
        let full = self.segments.last().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES);
        if full || self.file.is_none() {
            self.begin(first.position)?;
        }
        let at = self.segments.len() - 1;
        let (Some(file), Some(segment)) = (&self.file, self.segments.last_mut()) else {
            return Ok(());
        };
        file.write_at(staged, segment.bytes)?;
        file.sync()?;
        segment.bytes += staged.len() as u64;
        let mut rest = staged;
        while let Some(header) = ItemHeader::decode(rest) {
            rest = rest.get(header.length as usize..).unwrap_or_default();
            let identity = (header.lsn, header.index);
            match header.kind {
                Kind::Event => self.open += u64::from(!self.marks.contains_key(&identity)),
                // A mark whose event expired in between changes nothing.
                _ => self.open = self.open.saturating_sub(u64::from(!self.is_decided(identity))),
            }
            self.note(at, &header);
        }
        Ok(())
    }

    fn begin(&mut self, first: u64) -> io::Result<()> {
        disk::create_dirs(self.disk.as_ref(), disk::parent(&self.dir), &self.dir)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&self.epoch.to_le_bytes());
        for field in [first, self.counts.stored, self.counts.redriven, self.counts.discarded] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        header.resize(60, 0);
        let crc = crc32c::crc32c(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        let file = self.disk.open(&self.path(first), Open::Create)?;
        file.write_at(&header, 0)?;
        self.disk.sync_dir(&self.dir)?;
        self.file = Some(file);
        self.segments.push(Segment { first, bytes: HEADER as u64, newest_ms: i64::MIN });
        Ok(())
    }

    /// Forgets items of positions at or after `from`.
    fn cut(&mut self, from: u64) -> io::Result<()> {
        self.file = None;
        while let Some(last) = self.segments.last().cloned() {
            let path = self.path(last.first);
            if last.first >= from {
                self.disk.remove(&path)?;
                self.disk.sync_dir(&self.dir)?;
                self.segments.pop();
                continue;
            }
            let (mut end, mut reached) = (HEADER as u64, false);
            let at = self.segments.len() - 1;
            self.headers(at, |_, header| {
                reached |= header.position >= from;
                end += if reached { 0 } else { u64::from(header.length) };
            })?;
            let file = self.disk.open(&path, Open::Write)?;
            file.set_len(end)?;
            file.sync()?;
            break;
        }
        self.load()
    }

    /// Deletes whole old segments: those whose newest event is older than `oldest_ms`, and the oldest one if `pressed`.
    /// Returns whether one was deleted. The segment being written stays.
    pub(super) fn expire(&mut self, oldest_ms: i64, pressed: bool) -> io::Result<bool> {
        let [first, _, ..] = self.segments.as_slice() else { return Ok(false) };
        if !pressed && first.newest_ms >= oldest_ms {
            return Ok(false);
        }
        let first = first.first;
        let mut open = 0;
        let mut gone = Vec::new();
        self.headers(0, |log, header| {
            let identity = (header.lsn, header.index);
            if header.kind == Kind::Event {
                if log.is_decided(identity) {
                    gone.push(identity);
                } else {
                    open += 1;
                }
            }
        })?;
        self.disk.remove(&self.path(first))?;
        self.segments.remove(0);
        self.open = self.open.saturating_sub(open);
        for identity in gone {
            self.marks.remove(&identity);
        }
        Ok(true)
    }

    /// Shows open events, oldest first, with their payloads. `visit` returns `false` to end the walk.
    pub(super) fn walk(&self, visit: &mut dyn FnMut(&ItemHeader, &[u8]) -> bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        for segment in &self.segments {
            let file = self.disk.open(&self.path(segment.first), Open::Read)?;
            let (mut at, mut from) = (HEADER as u64, HEADER as u64);
            bytes.clear();
            while at < segment.bytes {
                let inside = (at - from) as usize;
                let header = bytes.get(inside..).and_then(ItemHeader::decode);
                let whole = header.filter(|header| bytes.len() >= inside + header.length as usize);
                let Some(header) = whole else {
                    let want = header.map_or(WINDOW, |h| WINDOW.max(h.length as usize));
                    bytes.resize(want, 0);
                    let n = file.read_at(&mut bytes, at)?;
                    bytes.truncate(n);
                    from = at;
                    let got = ItemHeader::decode(&bytes)
                        .is_some_and(|header| n >= header.length as usize || n == want);
                    if !got {
                        break;
                    }
                    continue;
                };
                at += u64::from(header.length);
                if header.kind != Kind::Event || self.is_decided((header.lsn, header.index)) {
                    continue;
                }
                let item = &bytes[inside..inside + header.length as usize];
                let holds = crc32c::crc32c(&item[8..]) == u32_at(item, 4);
                if holds && !visit(&header, &item[ITEM_HEADER..]) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Where the last whole item of a segment ends.
fn whole_end(file: &dyn DiskFile) -> io::Result<u64> {
    let mut at = HEADER as u64;
    let mut head = [0; ITEM_HEADER];
    let size = file.bytes()?;
    loop {
        let n = file.read_at(&mut head, at)?;
        let Some(header) = ItemHeader::decode(&head[..n]) else { return Ok(at) };
        if at + u64::from(header.length) > size {
            return Ok(at);
        }
        let mut item = vec![0; header.length as usize];
        let n = file.read_at(&mut item, at)?;
        if n < item.len() || crc32c::crc32c(&item[8..]) != u32_at(&item, 4) {
            return Ok(at);
        }
        at += u64::from(header.length);
    }
}
