//! Opening a journal that may have been left at any instruction.

use super::JournalError;
use super::layout::{
    ALIGN, Header, RECORD_HEADER, SEGMENT_HEADER, SegmentHeader, lsn_of_name, segment_name,
};
use super::segments::{Segment, Segments};
use crate::disk::{Disk, DiskFile, Item, Open};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Bytes looked at in one step.
const WINDOW: usize = 1 << 20;

pub(super) struct Found {
    pub(super) segments: Vec<Segment>,
    pub(super) positions: BTreeMap<u64, u64>,
    pub(super) end_lsn: u64,
    pub(super) torn_bytes: u64,
}

/// Finds the segments, the end of the last whole record and the ring positions that are in. Only the last segment may be torn; it is
/// cut there and fdatasynced, since a record that was written but not yet synced when the process died counts as kept from now on.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    epoch: u32,
    known_durable: u64,
) -> Result<Found, JournalError> {
    // A process that died may have renamed a segment without living to sync its name; what is believed must be durable first.
    disk.sync_dir(dir)?;
    let (items, headers) = headers(disk, dir, epoch)?;
    let mut found =
        Found { segments: Vec::new(), positions: BTreeMap::new(), end_lsn: 0, torn_bytes: 0 };
    let Some(last) = items.len().checked_sub(1) else {
        // Never start again at 0 below what was handed out.
        found.end_lsn = known_durable;
        return Ok(found);
    };
    // Positions: the newest readable header, and every record since.
    let from = (0..=last).rev().find(|i| headers[*i].is_some()).unwrap_or(0);
    if let Some(header) = &headers[from] {
        found.positions.extend(header.positions.iter().copied());
    }
    for (i, (first_lsn, item)) in items.iter().enumerate() {
        let next = items.get(i + 1).map(|(lsn, _)| *lsn);
        let path = dir.join(&item.name);
        if i >= from {
            let file = disk.open(&path, Open::Write)?;
            let limit = next.unwrap_or(u64::MAX);
            let end = scan(file.as_ref(), *first_lsn, limit, known_durable, &mut found.positions)?;
            if next.is_none() {
                // What is known to have been durable keeps its place even if it cannot be read any more.
                let end = end.max(known_durable);
                found.end_lsn = end;
                found.torn_bytes = torn(file.as_ref(), *first_lsn, end)?;
                file.set_len(Segments::offset(*first_lsn, end))?;
                file.sync()?;
            }
        }
        let end_lsn = next.unwrap_or(found.end_lsn);
        if end_lsn == *first_lsn {
            // Nothing in it; the next segment replaces the file under the same name.
            continue;
        }
        let closed_ms = match headers.get(i + 1).and_then(Option::as_ref) {
            Some(next) => next.created_ns / 1_000_000,
            None => headers[i].as_ref().map_or(1, |own| own.created_ns / 1_000_000),
        };
        found.segments.push(Segment {
            first_lsn: *first_lsn,
            end_lsn,
            bytes: disk.size(&path)?.unwrap_or(0),
            closed_ms: closed_ms.max(1),
        });
    }
    Ok(found)
}

type Headers = (Vec<(u64, Item)>, Vec<Option<SegmentHeader>>);

fn headers(disk: &dyn Disk, dir: &Path, epoch: u32) -> Result<Headers, JournalError> {
    let mut items = Vec::new();
    for item in disk.list(dir)? {
        if item.name.ends_with(".seg.tmp") {
            disk.remove(&dir.join(&item.name))?;
        } else if let Some(lsn) = lsn_of_name(&item.name, "seg") {
            items.push((lsn, item));
        }
    }
    items.sort_by_key(|(lsn, _)| *lsn);
    let mut headers = Vec::new();
    for (lsn, item) in &items {
        let path = dir.join(segment_name(*lsn));
        let foreign =
            |problem: String| JournalError::Foreign { path: path.display().to_string(), problem };
        let file = disk.open(&dir.join(&item.name), Open::Read)?;
        let mut bytes = vec![0; SEGMENT_HEADER];
        let n = file.read_at(&mut bytes, 0)?;
        match SegmentHeader::decode(&bytes[..n]) {
            Ok(header) if header.epoch != epoch => {
                return Err(foreign(format!(
                    "belongs to epoch {:08x}, this journal is {epoch:08x}: it was copied here; move it away",
                    header.epoch
                )));
            }
            Ok(header) if header.first_lsn != *lsn => {
                return Err(foreign(
                    "was renamed; give it its name back or move it away".to_owned(),
                ));
            }
            Ok(header) => headers.push(Some(header)),
            Err(problem) if problem.starts_with("format") => return Err(foreign(problem)),
            // A damaged header costs its own knowledge only: records carry their place themselves.
            Err(_) => headers.push(None),
        }
    }
    Ok((items, headers))
}

/// Walks the records of a segment up to `limit`, notes ring positions, returns where the last whole record ends.
fn scan(
    file: &dyn DiskFile,
    first_lsn: u64,
    limit: u64,
    known_durable: u64,
    positions: &mut BTreeMap<u64, u64>,
) -> io::Result<u64> {
    let size = file.bytes()?.saturating_sub(SEGMENT_HEADER as u64);
    let limit = limit.min(first_lsn + size);
    let mut window = Window { file, first_lsn, limit, at: first_lsn, bytes: Vec::new() };
    let mut lsn = first_lsn;
    let mut end = first_lsn;
    while lsn < limit {
        if let Some(header) = window.record(lsn)? {
            if header.generation != 0 {
                let last = positions.entry(header.generation).or_insert(header.position);
                *last = header.position.max(*last);
            }
            lsn += u64::from(header.length);
            end = lsn;
        } else if lsn < known_durable {
            lsn += ALIGN as u64;
        } else {
            break;
        }
    }
    Ok(end)
}

/// Bytes after `end` that are not zero, up to the last of them: what a crash left behind.
fn torn(file: &dyn DiskFile, first_lsn: u64, end: u64) -> io::Result<u64> {
    let mut at = Segments::offset(first_lsn, end);
    let (start, mut last) = (at, at);
    let mut bytes = vec![0; WINDOW];
    loop {
        let n = file.read_at(&mut bytes, at)?;
        if n == 0 {
            return Ok(last - start);
        }
        match bytes[..n].iter().rposition(|byte| *byte != 0) {
            Some(i) => last = at + i as u64 + 1,
            // Writes are at most a group long; a clean megabyte ends the search, not 64 of them at each start.
            None => return Ok(last - start),
        }
        at += n as u64;
    }
}

/// A window onto a segment that moves forward.
struct Window<'f> {
    file: &'f dyn DiskFile,
    first_lsn: u64,
    limit: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The header of the whole, valid record at `lsn`, if there is one.
    fn record(&mut self, lsn: u64) -> io::Result<Option<Header>> {
        let Some(header) =
            self.ensure(lsn, RECORD_HEADER)?.and_then(|head| Header::peek(head, lsn))
        else {
            return Ok(None);
        };
        if lsn + u64::from(header.length) > self.limit {
            return Ok(None);
        }
        let record = self.ensure(lsn, header.length as usize)?;
        Ok(record.is_some_and(Header::crc_holds).then_some(header))
    }

    fn ensure(&mut self, lsn: u64, n: usize) -> io::Result<Option<&[u8]>> {
        let inside = lsn >= self.at && lsn + n as u64 <= self.at + self.bytes.len() as u64;
        if !inside {
            self.at = lsn;
            self.bytes.resize(n.max(WINDOW), 0);
            let got = self.file.read_at(&mut self.bytes, Segments::offset(self.first_lsn, lsn))?;
            self.bytes.truncate(got);
        }
        let from = (lsn - self.at) as usize;
        Ok(self.bytes.get(from..from + n))
    }
}
