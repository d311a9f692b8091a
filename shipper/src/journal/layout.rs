//! The journal's bytes. Little-endian.
//!
//! ```text
//! <first lsn, 16 hex>.seg:
//!      0  "TUSKJRNL"                    8  major u16 | minor u16 | header bytes u32
//!     16  epoch u32 | generations u32  24  first lsn u64             32  created ns u64
//!     40  { generation u64 | position u64 } × generations            4092  crc32c of bytes 0..4092
//!   4096  records; the file offset of lsn L is 4096 + L - first lsn
//!
//! record, 8-byte aligned:
//!      0  length u32 (header + payload) 4  kind u8 | flags u8         6  kept u16 | rejected u16
//!     10  zero u16                     12  crc32c u32 of 0..12 and 16..length
//!     16  lsn u64                      24  ring generation u64       32  ring position u64      40  recv ns u64
//!     48  payload (TLV sections), length a multiple of 8
//! ```

/// First bytes of a segment.
pub const MAGIC: &[u8; 8] = b"TUSKJRNL";
/// Same major = readable. A reader reads its own major and the one before.
pub const MAJOR: u16 = 1;
/// Grows with compatible additions.
pub const MINOR: u16 = 0;
/// Size of a segment's header.
pub const SEGMENT_HEADER: usize = 4096;
/// Size of a record's header.
pub const RECORD_HEADER: usize = 48;
/// Ring generations a segment header can name; the ring keeps far fewer alive.
pub const GENERATIONS_MAX: usize = 250;
/// Kind of records that only the journal holds and no section describes; readers pass them over.
pub const ALIGN: usize = 8;

const _: () = assert!(RECORD_HEADER.is_multiple_of(ALIGN) && SEGMENT_HEADER.is_multiple_of(ALIGN));
const _: () = assert!(40 + GENERATIONS_MAX * 16 <= SEGMENT_HEADER - 4);

/// A record's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Header and payload, bytes.
    pub length: u32,
    /// [`event::record::Kind`] as a byte; unknown kinds are carried.
    pub kind: u8,
    /// The ring's flags.
    pub flags: u8,
    /// Kept events.
    pub kept: u16,
    /// Rejected events.
    pub rejected: u16,
    /// Where it is.
    pub lsn: u64,
    /// Ring generation it came from; 0 = written by the shipper.
    pub generation: u64,
    /// Its place in that generation.
    pub position: u64,
    /// Arrival, ns since 1970.
    pub recv_ns: u64,
}

impl Header {
    /// The header's bytes with the crc over them and `payload`.
    #[must_use]
    pub fn encode(&self, payload: &[u8]) -> [u8; RECORD_HEADER] {
        let mut out = [0; RECORD_HEADER];
        out[..4].copy_from_slice(&self.length.to_le_bytes());
        out[4] = self.kind;
        out[5] = self.flags;
        out[6..8].copy_from_slice(&self.kept.to_le_bytes());
        out[8..10].copy_from_slice(&self.rejected.to_le_bytes());
        out[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        out[24..32].copy_from_slice(&self.generation.to_le_bytes());
        out[32..40].copy_from_slice(&self.position.to_le_bytes());
        out[40..48].copy_from_slice(&self.recv_ns.to_le_bytes());
        let crc = crc(&out, payload);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the start of `bytes` if it claims to lie at `lsn` and its length can be; the crc is not looked at.
    #[must_use]
    pub fn peek(bytes: &[u8], lsn: u64) -> Option<Self> {
        let head: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        let header = Self {
            length: u32_at(head, 0),
            kind: head[4],
            flags: head[5],
            kept: u16::from_le_bytes([head[6], head[7]]),
            rejected: u16::from_le_bytes([head[8], head[9]]),
            lsn: u64_at(head, 16),
            generation: u64_at(head, 24),
            position: u64_at(head, 32),
            recv_ns: u64_at(head, 40),
        };
        let length = header.length as usize;
        (header.lsn == lsn && length >= RECORD_HEADER && length.is_multiple_of(ALIGN))
            .then_some(header)
    }

    /// Whether the crc in `record` (header and payload, whole) holds.
    #[must_use]
    pub fn crc_holds(record: &[u8]) -> bool {
        match record.split_first_chunk::<RECORD_HEADER>() {
            Some((head, payload)) => u32_at(head, 12) == crc(head, payload),
            None => false,
        }
    }
}

fn crc(head: &[u8; RECORD_HEADER], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&head[..12]);
    let crc = crc32c::crc32c_append(crc, &head[16..]);
    crc32c::crc32c_append(crc, payload)
}

/// A little-endian u32 at `at`; 0 if it does not fit.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes)
}

/// A little-endian u64 at `at`; 0 if it does not fit.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes)
}

/// A segment's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The journal's epoch.
    pub epoch: u32,
    /// lsn of the first record.
    pub first_lsn: u64,
    /// When it was made, ns since 1970.
    pub created_ns: u64,
    /// Last position of each live ring generation in earlier segments.
    pub positions: Vec<(u64, u64)>,
}

impl SegmentHeader {
    /// Its 4 KiB.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        // Newest last: if there were ever too many, the oldest are the ones to forget.
        let skip = self.positions.len().saturating_sub(GENERATIONS_MAX);
        let positions = &self.positions[skip..];
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&MAJOR.to_le_bytes());
        out.extend_from_slice(&MINOR.to_le_bytes());
        out.extend_from_slice(&(SEGMENT_HEADER as u32).to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&(positions.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.first_lsn.to_le_bytes());
        out.extend_from_slice(&self.created_ns.to_le_bytes());
        for (generation, position) in positions {
            out.extend_from_slice(&generation.to_le_bytes());
            out.extend_from_slice(&position.to_le_bytes());
        }
        out.resize(SEGMENT_HEADER - 4, 0);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads it back.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER) else {
            return Err("too short for a segment".to_owned());
        };
        if &bytes[..8] != MAGIC {
            return Err("not a journal segment".to_owned());
        }
        let major = u16::from_le_bytes([bytes[8], bytes[9]]);
        if major != MAJOR && major != MAJOR - 1 {
            return Err(format!(
                "format {major}; this tusk reads {MAJOR} and the one before: use the tusk that wrote it"
            ));
        }
        if crc32c::crc32c(&bytes[..SEGMENT_HEADER - 4]) != u32_at(bytes, SEGMENT_HEADER - 4) {
            return Err("the segment's header is damaged".to_owned());
        }
        let count = (u32_at(bytes, 20) as usize).min(GENERATIONS_MAX);
        Ok(Self {
            epoch: u32_at(bytes, 16),
            first_lsn: u64_at(bytes, 24),
            created_ns: u64_at(bytes, 32),
            positions: (0..count)
                .map(|i| (u64_at(bytes, 40 + i * 16), u64_at(bytes, 48 + i * 16)))
                .collect(),
        })
    }
}

/// Name of the segment that starts at `first_lsn`.
#[must_use]
pub fn segment_name(first_lsn: u64) -> String {
    format!("{first_lsn:016x}.seg")
}

/// The first lsn in a name `<16 hex>.<extension>`.
#[must_use]
pub fn lsn_of_name(name: &str, extension: &str) -> Option<u64> {
    let hex = name.strip_suffix(extension)?.strip_suffix('.')?;
    let lsn = (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok()).flatten();
    // No journal gets there; sums of an lsn and a size stay within 64 bits.
    lsn.filter(|lsn| *lsn <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_written() {
        let header = Header {
            length: 56,
            kind: 1,
            flags: 2,
            kept: 3,
            rejected: 4,
            lsn: 4096,
            generation: u64::MAX,
            position: 7,
            recv_ns: 9,
        };
        let mut record = header.encode(b"payload!").to_vec();
        record.extend_from_slice(b"payload!");
        assert_eq!(Header::peek(&record, 4096), Some(header));
        assert_eq!(Header::peek(&record, 4104), None);
        assert!(Header::crc_holds(&record));
        for at in 0..record.len() {
            record[at] ^= 1;
            assert!(!Header::crc_holds(&record) || Header::peek(&record, 4096).is_none(), "{at}");
            record[at] ^= 1;
        }
        let segment = SegmentHeader {
            epoch: 5,
            first_lsn: 6,
            created_ns: 7,
            positions: vec![(1, 2), (3, 4)],
        };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
    }

    #[test]
    fn names_carry_their_lsn() {
        assert_eq!(lsn_of_name(&segment_name(0xabc), "seg"), Some(0xabc));
        assert_eq!(lsn_of_name("0000000000000abc.facts", "seg"), None);
        assert_eq!(lsn_of_name("abc.seg", "seg"), None);
    }
}
