//! An item of a quarantine log.
//!
//! ```text
//!  0 length u32 (multiple of 8) | crc32c u32 of 8..length   8 position u64   16 lsn u64   24 recv ms i64
//! 32 index u32 | kind u8 | zero [3]   40 payload (TLV sections of one event; empty for a mark)
//! ```

use crate::journal::layout::{u32_at, u64_at};

/// Size of an item's header.
pub(super) const ITEM_HEADER: usize = 40;

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
    pub(super) length: u32,
}

impl ItemHeader {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
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

/// Appends an item to a buffer of items for [`super::log::Log::append`].
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
