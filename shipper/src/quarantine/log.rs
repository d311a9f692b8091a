//! A log of quarantined events: segments `<position>.q`, appended, deleted from the old end.
//!
//! ```text
//! header  0 "TUSKQUAR"   8 version u32 | epoch u32   16 first position u64   24 stored u64 | redriven u64 | discarded u64
//!        60 crc32c of 0..60
//! ```
//! then items, see [`super::entry`]. *Position* is the lsn of the journal record that brought an item. The edge's log is written in the
//! journal's order, and a range that is offered again cuts what it wrote before. A sink's log is written by the sink and by the decisions
//! on what it refused, each at its own place in the journal: what is offered again is known by identity and position.

use super::entry::{ITEM_HEADER, ItemHeader, Kind};
use crate::disk::{self, Disk, DiskFile, Open};
use crate::journal::layout::{lsn_of_name, u32_at, u64_at};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TUSKQUAR";
const VERSION: u32 = 1;
const HEADER: usize = 64;
/// A segment is closed at this size: small enough to expire in steps.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes looked at in one step while scanning.
const WINDOW: usize = 256 << 10;

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
    /// Decided identities and the position of their last decision, as long as their event may still be here.
    marks: HashMap<(u64, u32), u64>,
    /// Of a log that two write, a sink's refusals and the decisions on them, each at its own pace and a replay at an old place: positions
    /// of events, by which what comes again after a crash is known. `None`: one writes, in order, and what comes again replaces.
    seen: Option<HashMap<(u64, u32), Vec<u64>>>,
    open: u64,
    last_position: Option<u64>,
    /// A write failed: what is in memory is not believed.
    broken: bool,
}

impl Log {
    /// Opens a log, cuts a torn end.
    /// `ordered`: one writes, in the journal's order.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        epoch: u32,
        ordered: bool,
    ) -> io::Result<Self> {
        let mut log = Self {
            disk,
            dir,
            epoch,
            segments: Vec::new(),
            file: None,
            counts: Counts::default(),
            marks: HashMap::new(),
            seen: (!ordered).then(HashMap::new),
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

    /// Whether an event was decided after it came: one that is re-driven and refused again waits again.
    fn is_settled(&self, header: &ItemHeader) -> bool {
        let mark = self.marks.get(&(header.lsn, header.index));
        mark.is_some_and(|decided| *decided > header.position)
    }

    fn path(&self, first: u64) -> PathBuf {
        self.dir.join(format!("{first:016x}.q"))
    }

    fn load(&mut self) -> io::Result<()> {
        self.segments.clear();
        self.marks.clear();
        self.seen = self.seen.is_some().then(HashMap::new);
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
                open += u64::from(header.kind == Kind::Event && !log.is_settled(&header));
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
                if let Some(seen) = &mut self.seen {
                    seen.entry(identity).or_default().push(header.position);
                }
                if let Some(segment) = self.segments.get_mut(segment) {
                    segment.newest_ms = segment.newest_ms.max(header.recv_ms);
                }
            }
            Kind::Redriven => {
                self.counts.redriven += 1;
                self.mark(identity, header.position);
            }
            Kind::Discarded => {
                self.counts.discarded += 1;
                self.mark(identity, header.position);
            }
        }
    }

    fn mark(&mut self, identity: (u64, u32), position: u64) {
        let decided = self.marks.entry(identity).or_default();
        *decided = position.max(*decided);
    }

    /// Whether an item that is offered is here from a former try.
    fn is_here(&self, header: &ItemHeader) -> bool {
        let Some(seen) = &self.seen else { return false };
        let identity = (header.lsn, header.index);
        if header.kind == Kind::Event {
            return seen.get(&identity).is_some_and(|all| all.contains(&header.position));
        }
        self.marks.get(&identity).is_some_and(|decided| *decided >= header.position)
    }

    /// How many events a decision settles.
    fn settles(&self, header: &ItemHeader) -> u64 {
        let identity = (header.lsn, header.index);
        let Some(seen) = &self.seen else {
            // Decisions are made on events that wait; a second one means that its event was rejected again.
            return u64::from(self.marks.get(&identity).is_none_or(|at| *at < header.position));
        };
        let before = self.marks.get(&identity).copied().unwrap_or(0);
        let positions = seen.get(&identity).map_or(&[][..], Vec::as_slice);
        positions.iter().filter(|at| (before..header.position).contains(at)).count() as u64
    }

    /// What of the staged items is not here yet.
    fn fresh(&self, staged: &[u8]) -> Vec<u8> {
        let (mut fresh, mut rest) = (Vec::new(), staged);
        while let Some(header) = ItemHeader::decode(rest) {
            let (item, after) =
                rest.split_at_checked(header.length as usize).unwrap_or((rest, &[]));
            if !self.is_here(&header) {
                fresh.extend_from_slice(item);
            }
            rest = after;
        }
        fresh
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

    /// Appends staged items of positions at or after `from`, durably. What an earlier try of the same range wrote is cut first, or where
    /// two write, not written again.
    pub(super) fn append(&mut self, from: u64, staged: &[u8]) -> io::Result<()> {
        if self.broken {
            self.load()?;
            // Whatever the failed try left is cut.
            self.last_position = Some(u64::MAX);
        }
        self.broken = true;
        if self.seen.is_some() {
            let fresh = self.fresh(staged);
            self.write(&fresh)?;
        } else {
            self.try_append(from, staged)?;
        }
        self.broken = false;
        Ok(())
    }

    fn try_append(&mut self, from: u64, staged: &[u8]) -> io::Result<()> {
        if self.last_position.is_some_and(|last| last >= from) {
            self.cut(from)?;
        }
        self.write(staged)
    }

    fn write(&mut self, staged: &[u8]) -> io::Result<()> {
        let Some(first) = ItemHeader::decode(staged) else { return Ok(()) };
        let full = self.segments.last().is_none_or(|segment| segment.bytes >= SEGMENT_BYTES);
        if full || self.file.is_none() {
            let after = self.segments.last().map_or(0, |segment| segment.first + 1);
            self.begin(first.position.max(after))?;
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
            match header.kind {
                Kind::Event => self.open += u64::from(!self.is_settled(&header)),
                _ => self.open = self.open.saturating_sub(self.settles(&header)),
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
                if log.is_settled(&header) {
                    gone.push((identity, header.position));
                } else {
                    open += 1;
                }
            }
        })?;
        self.disk.remove(&self.path(first))?;
        self.segments.remove(0);
        self.open = self.open.saturating_sub(open);
        for (identity, position) in gone {
            let all = self.seen.as_mut().and_then(|seen| seen.get_mut(&identity));
            let left = all.map_or(0, |all| {
                all.retain(|at| *at != position);
                all.len()
            });
            // Its decision goes with its last event.
            if left == 0 {
                if let Some(seen) = &mut self.seen {
                    seen.remove(&identity);
                }
                self.marks.remove(&identity);
            }
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
                if header.kind != Kind::Event || self.is_settled(&header) {
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
