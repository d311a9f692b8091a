//! Finding records in bytes that may be damaged.

use crate::{
    batch::Buffer,
    layout::{KIND_PAD, RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, RecordHeader},
    map::Map,
};
use std::ops::Range;

/// Bytes of a ring by position. No read crosses the end of the ring.
pub(crate) trait Source {
    fn copy(&self, position: u64, target: &mut [u8]);
}

/// A mapped generation.
pub(crate) struct Stable<'m>(&'m Map);

impl<'m> Stable<'m> {
    /// # Safety
    /// No producer writes the positions that will be read: they lie in `[head, tail)` and the caller is the one
    /// consumer, or no producer can be attached.
    pub(crate) unsafe fn new(map: &'m Map) -> Self {
        Self(map)
    }
}

impl Source for Stable<'_> {
    fn copy(&self, position: u64, target: &mut [u8]) {
        // SAFETY: by the contract of `new`.
        unsafe { self.0.read(position, target) };
    }
}

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record whose payload is now in the buffer.
    Record(RecordHeader, Range<usize>),
    /// Room to skip, in bytes.
    Pad(u64),
    /// Nothing valid.
    Bad,
}

/// One ring to look in.
pub(crate) struct Scan<'s, S> {
    pub(crate) source: &'s S,
    pub(crate) capacity: u64,
    pub(crate) generation: u64,
}

impl<S: Source> Scan<'_, S> {
    /// Looks at `position`, believing nothing at or after `limit`.
    pub(crate) fn at(&self, position: u64, limit: u64, buffer: &mut Buffer) -> Found {
        let header = self.header(position);
        if !header.plausible(position, self.capacity)
            || header.step() > limit.saturating_sub(position)
        {
            return Found::Bad;
        }
        if header.meta.kind == KIND_PAD {
            return if self.sums(&header, &[]) { Found::Pad(header.step()) } else { Found::Bad };
        }
        let (range, payload) = buffer.next(header.length as usize);
        self.source.copy(position + RECORD_HEADER_BYTES as u64, payload);
        if !self.sums(&header, &[payload]) {
            return Found::Bad;
        }
        Found::Record(header, range)
    }

    /// The first valid position in `from .. limit`, or `limit`.
    ///
    /// Bounded: hostile payloads full of headers could ask for a sum of megabytes at each of millions of places, so
    /// after four times the ring's size the rest counts as damaged.
    pub(crate) fn next_valid(&self, from: u64, limit: u64, buffer: &mut Buffer) -> u64 {
        let mut work_left = self.capacity.saturating_mul(4);
        let mut position = from;
        while position < limit {
            let header = self.header(position);
            if header.plausible(position, self.capacity) {
                if self.at(position, limit, buffer) != Found::Bad {
                    return position;
                }
                work_left = work_left.saturating_sub(header.step());
                if work_left == 0 {
                    return limit;
                }
            }
            position += RECORD_ALIGN_BYTES as u64;
        }
        limit
    }

    /// Positions, at or after `from`, of all valid records and pads in a ring whose head and tail are lost; in order.
    pub(crate) fn salvage(&self, from: u64, buffer: &mut Buffer) -> Vec<u64> {
        let mut positions = Vec::new();
        let mut work_left = self.capacity.saturating_mul(4);
        let mut place = 0;
        while place < self.capacity {
            let position = self.header(place).position;
            let here = position % self.capacity == place && position < u64::MAX / 4;
            if here && position >= from {
                let found = self.at(position, u64::MAX, buffer);
                work_left = work_left.saturating_sub(self.header(place).step());
                if found != Found::Bad {
                    positions.push(position);
                }
                if work_left == 0 {
                    break;
                }
            }
            place += RECORD_ALIGN_BYTES as u64;
        }
        positions.sort_unstable();
        positions
    }

    fn header(&self, position: u64) -> RecordHeader {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        self.source.copy(position, &mut bytes);
        RecordHeader::parse(&bytes)
    }

    fn sums(&self, header: &RecordHeader, payload: &[&[u8]]) -> bool {
        let mut expected = *header;
        let before = header.crc_before_position(self.generation, payload);
        expected.seal(before, header.position);
        expected.crc == header.crc
    }
}
