//! Gzip (RFC 1952), one member, bounded.

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Why a gzip text could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// Not gzip, or its checksum or length is wrong.
    Damaged,
    /// It ends too early.
    Cut,
    /// More than the limit comes out of it.
    TooLarge,
}

/// Whether `bytes` start as gzip does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// An inflater that is reset, never made anew: its tables are the dearest part of a small batch.
pub(crate) struct Gunzip(Decompress);

impl Default for Gunzip {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

impl std::fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gunzip")
    }
}

impl Gunzip {
    /// Unpacks `bytes` into `out` (overwritten), at most `limit` bytes. What follows the first member is ignored.
    pub(crate) fn unpack(
        &mut self,
        bytes: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        out.clear();
        let body = header(bytes)?;
        self.0.reset(false);
        // The last four bytes say how much comes out, if they are the trailer and if they are true: a hint, no more. Deflate
        // packs at most 1,032 to 1, so a lie cannot make us reserve more than a bomb could fill.
        let promised = match body.last_chunk::<4>() {
            Some(size) => u32::from_le_bytes(*size) as usize,
            None => 0,
        };
        let plausible = body.len().saturating_mul(1032).min(limit).saturating_add(1);
        out.reserve(promised.saturating_add(1).clamp(64, plausible.max(64)));
        let trailer = loop {
            let rest = body.get(self.consumed()..).unwrap_or_default();
            let before = (rest.len(), out.len());
            match self.0.decompress_vec(rest, out, FlushDecompress::Finish) {
                Ok(Status::StreamEnd) => break body.get(self.consumed()..).unwrap_or_default(),
                Ok(Status::Ok | Status::BufError) => {}
                Err(_) => return Err(Error::Damaged),
            }
            if out.len() > limit {
                return Err(Error::TooLarge);
            }
            let left = body.len().saturating_sub(self.consumed());
            if out.len() < out.capacity() && (left == 0 || (left, out.len()) == before) {
                return Err(Error::Cut);
            }
            if out.len() == out.capacity() {
                out.reserve(out.len().clamp(1024, (limit - out.len() + 1).max(1024)));
            }
        };
        if out.len() > limit {
            return Err(Error::TooLarge);
        }
        let (sum, size) = match *trailer {
            [a, b, c, d, e, f, g, h, ..] => {
                (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
            }
            _ => return Err(Error::Cut),
        };
        let mut crc = Crc::new();
        crc.update(out);
        // The stored size is the length modulo 2^32; `limit` keeps us below that.
        if crc.sum() == sum && u32::try_from(out.len()) == Ok(size) {
            Ok(())
        } else {
            Err(Error::Damaged)
        }
    }

    fn consumed(&self) -> usize {
        usize::try_from(self.0.total_in()).unwrap_or(usize::MAX)
    }
}

/// Skips the member's header with all its optional fields.
fn header(bytes: &[u8]) -> Result<&[u8], Error> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let Some((&[magic1, magic2, method, flags, ..], mut rest)) = bytes.split_first_chunk::<10>()
    else {
        return Err(if is_gzip(bytes) { Error::Cut } else { Error::Damaged });
    };
    if (magic1, magic2, method) != (0x1f, 0x8b, 8) || flags & 0xe0 != 0 {
        return Err(Error::Damaged);
    }
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(Error::Cut)?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..).ok_or(Error::Cut)?;
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            let end = memchr::memchr(0, rest).ok_or(Error::Cut)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let (stored, after) = rest.split_first_chunk::<2>().ok_or(Error::Cut)?;
        let mut crc = Crc::new();
        crc.update(&bytes[..bytes.len() - rest.len()]);
        if crc.sum() & 0xffff != u32::from(u16::from_le_bytes(*stored)) {
            return Err(Error::Damaged);
        }
        rest = after;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use flate2::read::GzDecoder;
    use flate2::{Compression, GzBuilder};

    use super::*;
    use crate::testing::Random;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let mut out = vec![1, 2, 3];
        Gunzip::default().unpack(bytes, limit, &mut out).map(|()| out)
    }

    #[test]
    fn equals_a_fresh_decoder_at_every_size() {
        let mut random = Random::new(9);
        let mut gunzip = Gunzip::default();
        let mut out = Vec::new();
        for round in 0..400 {
            let bytes = random.text(b"abc{}\":,0\x00\xff", round * 40);
            gunzip.unpack(&gzip(&bytes), 1 << 20, &mut out).unwrap();
            assert_eq!(out, bytes);
            if round % 50 == 0 {
                out = Vec::new(); // from a cold buffer too
            }
        }
    }

    #[test]
    fn mutants_are_accepted_exactly_when_the_naive_decoder_does() {
        let mut random = Random::new(10);
        let whole = gzip(&random.text(b"{\"a\":1}, ", 600));
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut mutant = whole.clone();
            for _ in 0..=random.below(2) {
                let at = random.below(mutant.len());
                match random.below(3) {
                    0 => mutant[at] ^= 1 << random.below(8),
                    1 => mutant.truncate(at + 1),
                    _ => mutant.insert(at, random.below(256) as u8),
                }
            }
            let mut naive = Vec::new();
            let want = GzDecoder::new(&mutant[..]).read_to_end(&mut naive).is_ok();
            match unpack(&mutant, 1 << 20) {
                Ok(out) => {
                    accepted += 1;
                    assert!(want, "we accept {mutant:?}");
                    assert_eq!(out, naive);
                }
                Err(_) => assert!(!want, "we refuse {mutant:?}"),
            }
        }
        assert!(accepted > 100, "only {accepted} mutants accepted: the test explores nothing");
    }

    #[test]
    fn every_optional_header_field_is_skipped() {
        let mut encoder = GzBuilder::new()
            .filename("batch.json")
            .comment("by hand")
            .extra(vec![1, 2, 3, 4, 5])
            .mtime(7)
            .write(Vec::new(), Compression::fast());
        encoder.write_all(b"[1]").unwrap();
        let mut packed = encoder.finish().unwrap();
        packed.extend_from_slice(b"trailing");
        assert_eq!(unpack(&packed, 100).unwrap(), b"[1]");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b'['; 50 << 20]);
        assert!(bomb.len() < 60_000);
        let mut out = Vec::new();
        assert_eq!(Gunzip::default().unpack(&bomb, 1 << 20, &mut out), Err(Error::TooLarge));
        assert!(out.capacity() <= 3 << 20, "{} bytes reserved", out.capacity());
        assert_eq!(unpack(&gzip(&[7; 1000]), 1000).unwrap().len(), 1000);
        assert_eq!(unpack(&gzip(&[7; 1001]), 1000), Err(Error::TooLarge));
    }

    #[test]
    fn a_false_size_cannot_make_us_reserve() {
        let mut packed = gzip(b"{}");
        let end = packed.len();
        packed[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut out = Vec::new();
        assert_eq!(Gunzip::default().unpack(&packed, 1 << 30, &mut out), Err(Error::Damaged));
        assert!(out.capacity() < 64 << 10, "{} bytes reserved", out.capacity());
    }

    #[test]
    fn every_cut_is_told_as_one() {
        let whole = gzip(b"{\"event\":\"Buy\"}");
        for end in 2..whole.len() {
            assert_eq!(unpack(&whole[..end], 1000), Err(Error::Cut), "at {end}");
        }
        assert_eq!(unpack(b"PK\x03\x04aaaaaaaa", 1000), Err(Error::Damaged));
    }
}
