//! Bytes of a generation file. This module is the format: change it, bump [`VERSION`].
//!
//! All numbers are little-endian.
//!
//! ```text
//!  0          4096        8192                                  8192 + capacity
//!  +----------+-----------+-------------------------------------+
//!  | identity | shared    | records                             |
//!  +----------+-----------+-------------------------------------+
//!
//!  identity, written once before the file gets its name
//!  0         8         12            16         24           32         40       48      64      72
//!  +---------+---------+-------------+----------+------------+----------+--------+-------+-------+
//!  | magic   | version | header_bytes| capacity | generation | sequence |created | boot  | crc   |
//!  | u64     | u32     | u32         | u64      | u64        | u64      |ns u64  | u8×16 | u32+0 |
//!  +---------+---------+-------------+----------+------------+----------+--------+-------+-------+
//!
//!  shared, one cache line (64 bytes) each, from 4096
//!  tail · head · durable · wake word + sleeping · heartbeat + journal_full · ack_used · lock (2 lines) · counters
//!
//!  record, at every multiple of 32 bytes
//!  0         4         8      9       10     12         14         16         24        32       32 + n   pad to 32
//!  +---------+---------+------+-------+------+----------+----------+----------+---------+--------+--------+
//!  | length  | crc32c  | kind | flags | kept | rejected | reserved | position | recv_ns | payload| any    |
//!  | u32 = n | u32     | u8   | u8    | u16  | u16      | u16 = 0  | u64      | u64     | n bytes|        |
//!  +---------+---------+------+-------+------+----------+----------+----------+---------+--------+--------+
//!  crc32c  over generation, length, kind .. reserved, recv_ns, payload, position, in this order.
//!          Without the payload for a pad.
//!  kind    0 never · 1..=254 the payload's own · 255 pad: nothing but room up to the end of the ring
//! ```

use crate::{BootId, cursors};

/// First 8 bytes of a generation file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TUSKRING");
/// Bumped on any change of this module; both sides refuse another version.
pub const VERSION: u32 = 1;
/// Bytes before the first record.
pub const HEADER_BYTES: u64 = 8192;
/// Place of the shared words.
pub const SHARED_OFFSET: u64 = 4096;
/// Bytes of the identity that carry meaning.
pub const IDENTITY_BYTES: usize = 72;
/// Records start at multiples of this; also the size of a record's header.
pub const RECORD_ALIGN_BYTES: usize = 32;
/// Header of a record.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Largest record, header included, in a ring large enough for eight of them: 16 MiB.
pub const RECORD_BYTES_MAX: u64 = 16 << 20;
/// Smallest ring, records only: 64 KiB. Directives may ask for more.
pub const SIZE_BYTES_MIN: u64 = 64 << 10;
/// Largest ring, records only: 1 TiB.
pub const SIZE_BYTES_MAX: u64 = 1 << 40;
/// Kind of a record that only fills the rest of the ring.
pub const KIND_PAD: u8 = 255;

const _: () = assert!(RECORD_ALIGN_BYTES.is_power_of_two());
const _: () = assert!(RECORD_HEADER_BYTES == RECORD_ALIGN_BYTES, "a pad header always fits");
const _: () = assert!(SHARED_OFFSET.is_multiple_of(64));
const _: () = assert!(size_of::<cursors::Line<u64>>() == 64);

/// What a producer says of a record; the ring looks at none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// What the payload is: 1 to 254.
    pub kind: u8,
    /// The payload's own flags.
    pub flags: u8,
    /// Events kept, for the ledger.
    pub kept: u16,
    /// Events rejected, for the ledger.
    pub rejected: u16,
    /// Receive time, nanoseconds since 1970.
    pub recv_ns: u64,
}

/// Header of a record as read from a file; nothing about it is believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) position: u64,
    pub(crate) meta: Meta,
    /// 0 when written; covered by the sum whatever it is.
    pub(crate) reserved: u16,
}

impl RecordHeader {
    /// The header without its position and sum, which are known only under the lock.
    pub(crate) fn new(length: u32, meta: &Meta) -> Self {
        Self { length, crc: 0, position: 0, meta: *meta, reserved: 0 }
    }

    pub(crate) fn parse(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        Self {
            length: u32_at(bytes, 0),
            crc: u32_at(bytes, 4),
            meta: Meta {
                kind: bytes[8],
                flags: bytes[9],
                kept: u16_at(bytes, 10),
                rejected: u16_at(bytes, 12),
                recv_ns: u64_at(bytes, 24),
            },
            reserved: u16_at(bytes, 14),
            position: u64_at(bytes, 16),
        }
    }

    pub(crate) fn bytes(&self) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        out[0..4].copy_from_slice(&self.length.to_le_bytes());
        out[4..8].copy_from_slice(&self.crc.to_le_bytes());
        out[8] = self.meta.kind;
        out[9] = self.meta.flags;
        out[10..12].copy_from_slice(&self.meta.kept.to_le_bytes());
        out[12..14].copy_from_slice(&self.meta.rejected.to_le_bytes());
        out[14..16].copy_from_slice(&self.reserved.to_le_bytes());
        out[16..24].copy_from_slice(&self.position.to_le_bytes());
        out[24..32].copy_from_slice(&self.meta.recv_ns.to_le_bytes());
        out
    }

    /// Sum of all but the position, which comes last so that it can be added under the lock.
    pub(crate) fn crc_before_position(&self, generation: u64, payload: &[&[u8]]) -> u32 {
        let bytes = self.bytes();
        let mut head = [0; 28];
        head[0..8].copy_from_slice(&generation.to_le_bytes());
        head[8..12].copy_from_slice(&bytes[0..4]);
        head[12..20].copy_from_slice(&bytes[8..16]);
        head[20..28].copy_from_slice(&bytes[24..32]);
        payload.iter().fold(crc32c::crc32c(&head), |crc, part| crc32c::crc32c_append(crc, part))
    }

    /// Stamps the record with its place and its sum.
    pub(crate) fn seal(&mut self, crc_before_position: u32, position: u64) {
        self.position = position;
        self.crc = crc32c::crc32c_append(crc_before_position, &position.to_le_bytes());
    }

    /// Bytes the record takes in the ring.
    pub(crate) fn step(&self) -> u64 {
        record_step(u64::from(self.length))
    }

    /// Does this stand at its own place in a ring of this capacity, as far as the header alone can tell?
    pub(crate) fn plausible(&self, position: u64, capacity: u64) -> bool {
        let room = capacity - position % capacity;
        let step = self.step();
        let fits = if self.meta.kind == KIND_PAD {
            step == room
        } else {
            self.meta.kind != 0 && step <= room.min(record_step_max(capacity))
        };
        self.position == position && fits
    }
}

/// Bytes a payload of `length` bytes takes in the ring.
pub(crate) fn record_step(length: u64) -> u64 {
    (RECORD_HEADER_BYTES as u64 + length).next_multiple_of(RECORD_ALIGN_BYTES as u64)
}

/// Largest record of a ring, header and alignment included.
pub(crate) fn record_step_max(capacity: u64) -> u64 {
    let eighth = capacity / 8;
    RECORD_BYTES_MAX.min(eighth - eighth % RECORD_ALIGN_BYTES as u64)
}

/// The part of the header that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) capacity: u64,
    pub(crate) generation: u64,
    /// Order of the generations in a directory.
    pub(crate) sequence: u64,
    pub(crate) created_ns: u64,
    pub(crate) boot: BootId,
}

/// Why bytes are no identity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotIdentity {
    Version(u32),
    Damaged(&'static str),
}

impl Identity {
    pub(crate) fn bytes(&self) -> [u8; IDENTITY_BYTES] {
        let mut out = [0; IDENTITY_BYTES];
        out[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        out[16..24].copy_from_slice(&self.capacity.to_le_bytes());
        out[24..32].copy_from_slice(&self.generation.to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.created_ns.to_le_bytes());
        out[48..64].copy_from_slice(&self.boot.0);
        let crc = crc32c::crc32c(&out[..64]);
        out[64..68].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn parse(bytes: &[u8; IDENTITY_BYTES], file_bytes: u64) -> Result<Self, NotIdentity> {
        if u64_at(bytes, 0) != MAGIC {
            return Err(NotIdentity::Damaged("it does not begin like a ring"));
        }
        // Before the sum, which another version may compute otherwise.
        if u32_at(bytes, 8) != VERSION {
            return Err(NotIdentity::Version(u32_at(bytes, 8)));
        }
        if u32_at(bytes, 64) != crc32c::crc32c(&bytes[..64]) || u32_at(bytes, 68) != 0 {
            return Err(NotIdentity::Damaged("the sum of its header does not match"));
        }
        let mut boot = BootId([0; 16]);
        boot.0.copy_from_slice(&bytes[48..64]);
        let identity = Self {
            capacity: u64_at(bytes, 16),
            generation: u64_at(bytes, 24),
            sequence: u64_at(bytes, 32),
            created_ns: u64_at(bytes, 40),
            boot,
        };
        if u64::from(u32_at(bytes, 12)) != HEADER_BYTES || !capacity_valid(identity.capacity) {
            return Err(NotIdentity::Damaged("its header holds impossible sizes"));
        }
        if file_bytes != HEADER_BYTES + identity.capacity {
            return Err(NotIdentity::Damaged("the file is not as long as its header says"));
        }
        Ok(identity)
    }
}

/// Can a ring have this capacity?
pub(crate) fn capacity_valid(capacity: u64) -> bool {
    (SIZE_BYTES_MIN..=SIZE_BYTES_MAX).contains(&capacity) && capacity.is_multiple_of(4096)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            capacity: SIZE_BYTES_MIN,
            generation: 7,
            sequence: 3,
            created_ns: 1,
            boot: BootId([9; 16]),
        }
    }

    #[test]
    fn an_identity_reads_back() {
        let bytes = identity().bytes();
        assert_eq!(Identity::parse(&bytes, HEADER_BYTES + SIZE_BYTES_MIN), Ok(identity()));
    }

    #[test]
    fn every_flipped_bit_of_an_identity_is_found() {
        for bit in 0..IDENTITY_BYTES * 8 {
            let mut bytes = identity().bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::parse(&bytes, HEADER_BYTES + SIZE_BYTES_MIN).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_damaged() {
        let bytes = identity().bytes();
        for length in [0, HEADER_BYTES, HEADER_BYTES + SIZE_BYTES_MIN - 1, u64::MAX] {
            assert!(matches!(Identity::parse(&bytes, length), Err(NotIdentity::Damaged(_))));
        }
    }

    #[test]
    fn a_record_header_reads_back() {
        let meta = Meta { kind: 3, flags: 4, kept: 500, rejected: 600, recv_ns: 1 << 60 };
        let mut header = RecordHeader::new(70_000, &meta);
        header.seal(99, 1 << 40);
        assert_eq!(RecordHeader::parse(&header.bytes()), header);
    }

    #[test]
    fn the_largest_record_is_an_eighth_of_the_ring_or_16_mib() {
        assert_eq!(record_step_max(64 << 10), 8 << 10);
        assert_eq!(record_step_max(100 << 12), (100 << 12) / 8);
        assert_eq!(record_step_max(1 << 30), 16 << 20);
    }
}
