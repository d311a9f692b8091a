//! Records copied out of the ring.

use crate::{
    Meta,
    layout::{RECORD_HEADER_BYTES, RecordHeader},
};
use std::ops::Range;

/// One record of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'b> {
    /// The ring generation it came from.
    pub generation: u64,
    /// Its place: bytes from the generation's beginning.
    pub position: u64,
    /// The place after it: what to release once it is durable.
    pub end: u64,
    /// What its producer said of it.
    pub meta: Meta,
    /// Its bytes.
    pub payload: &'b [u8],
}

/// A stretch of the ring without a valid record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The ring generation.
    pub generation: u64,
    /// First damaged byte.
    pub from: u64,
    /// First byte after it: what to release once the gap is written down.
    pub to: u64,
}

/// Records and gaps of one read, in reading order. Reused, it allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) buffer: Buffer,
    pub(crate) records: Vec<Entry>,
    pub(crate) gaps: Vec<Gap>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) generation: u64,
    pub(crate) position: u64,
    pub(crate) end: u64,
    pub(crate) meta: Meta,
    pub(crate) payload: Range<usize>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records, oldest first.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records.iter().map(|entry| Record {
            generation: entry.generation,
            position: entry.position,
            end: entry.end,
            meta: entry.meta,
            payload: &self.buffer.bytes[entry.payload.clone()],
        })
    }

    /// What was damaged. A gap lies before every record of its generation with a higher position.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Neither a record nor a gap?
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.gaps.is_empty()
    }

    /// Sum of the payloads' bytes.
    pub fn payload_bytes(&self) -> usize {
        self.buffer.used
    }

    /// As a read counts: payloads and headers, so that records without a payload have an end too.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.buffer.used + self.records.len() * RECORD_HEADER_BYTES
    }

    /// Adds a record whose payload is the buffer's next bytes.
    pub(crate) fn keep(&mut self, generation: u64, header: &RecordHeader, payload: Range<usize>) {
        self.buffer.used = payload.end;
        let end = header.position + header.step();
        let (position, meta) = (header.position, header.meta);
        self.records.push(Entry { generation, position, end, meta, payload });
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.buffer.used = 0;
        self.records.clear();
        self.gaps.clear();
    }
}

/// Bytes that are zeroed once, when the buffer grows, and not for every record.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Buffer {
    /// The range and place of the next `length` bytes, with whatever was there.
    pub(crate) fn next(&mut self, length: usize) -> (Range<usize>, &mut [u8]) {
        let range = self.used..self.used + length;
        if range.end > self.bytes.len() {
            self.bytes.resize(range.end.max(2 * self.bytes.len()), 0);
        }
        (range.clone(), &mut self.bytes[range])
    }
}
