//! ClickHouse's own block framing (`compress=1`, `decompress=1`):
//! checksum (16, CityHash128 1.0.2 of the rest) · method (1) · packed size with this head of 9 (4, LE) · plain size (4, LE) · data.

use std::io::{self, Read};

use cityhash_rs::cityhash_102_128;

const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const PLAIN: u8 = 0x02;
/// Head of a block behind its checksum.
const HEAD: usize = 9;
const CHECKSUM: usize = 16;
/// Largest block taken, packed or plain, in bytes: the engine's own limit is 1 GiB, clients send 1 MiB or less; this is what one
/// request can make us hold.
const BLOCK_BYTES_MAX: usize = 128 << 20;
/// Plain bytes of a block we write.
const BLOCK_BYTES: usize = 1 << 20;

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

/// Takes blocks apart.
#[derive(Debug)]
pub struct Blocks<R> {
    source: R,
    plain: Vec<u8>,
    at: usize,
}

impl<R: Read> Blocks<R> {
    /// Reads blocks from `source`.
    pub fn new(source: R) -> Self {
        Self { source, plain: Vec::new(), at: 0 }
    }

    /// Reads the next block; false at the end.
    fn block(&mut self) -> io::Result<bool> {
        let mut head = [0; CHECKSUM + HEAD];
        if self.source.read(&mut head[..1])? == 0 {
            return Ok(false);
        }
        self.source.read_exact(&mut head[1..])?;
        let (checksum, head) = head.split_at(CHECKSUM);
        let size = |at: usize| {
            let bytes = head[at..at + 4].try_into().unwrap_or_default();
            usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let (packed, plain) = (size(1), size(5));
        if !(HEAD..=BLOCK_BYTES_MAX).contains(&packed) || plain > BLOCK_BYTES_MAX {
            return Err(bad(
                "a compressed block is larger than 128 MiB or has no size: is the body in blocks of ClickHouse's own compression?",
            ));
        }
        let mut block = head.to_vec();
        // Grows with what comes, not with what is promised.
        let body = (packed - HEAD) as u64;
        if self.source.by_ref().take(body).read_to_end(&mut block)? as u64 != body {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a compressed block is cut off",
            ));
        }
        if checksum_of(&block) != checksum {
            return Err(bad("checksum of a compressed block does not match"));
        }
        let data = &block[HEAD..];
        self.at = 0;
        self.plain = match head[0] {
            LZ4 => {
                lz4_flex::block::decompress(data, plain).map_err(|error| bad(&error.to_string()))?
            }
            ZSTD => zstd::bulk::decompress(data, plain)?,
            PLAIN => data.to_vec(),
            method => {
                return Err(bad(&format!("unknown method {method:#04x} of a compressed block")));
            }
        };
        if self.plain.len() != plain {
            return Err(bad("a compressed block has not the size it names"));
        }
        Ok(true)
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if !self.block()? {
                return Ok(0);
            }
        }
        let count = out.len().min(self.plain.len() - self.at);
        out[..count].copy_from_slice(&self.plain[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn checksum_of(block: &[u8]) -> [u8; CHECKSUM] {
    let hash = cityhash_102_128(block);
    let mut bytes = [0; CHECKSUM];
    bytes[..8].copy_from_slice(&((hash >> 64) as u64).to_le_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    bytes[8..].copy_from_slice(&(hash as u64).to_le_bytes());
    bytes
}

/// Packs `data` into LZ4 blocks.
#[must_use]
pub fn pack(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 2 + 64);
    for plain in data.chunks(BLOCK_BYTES) {
        let packed = lz4_flex::block::compress(plain);
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let mut block = Vec::with_capacity(HEAD + packed.len());
        block.push(LZ4);
        block.extend_from_slice(&size(HEAD + packed.len()));
        block.extend_from_slice(&size(plain.len()));
        block.extend_from_slice(&packed);
        out.extend_from_slice(&checksum_of(&block));
        out.extend_from_slice(&block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Blocks::new(packed).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn blocks_come_back() {
        let data: Vec<u8> = (0..3_000_000u32).map(|number| (number / 7).to_le_bytes()[0]).collect();
        let packed = pack(&data);
        assert!(packed.len() < data.len() / 2);
        assert_eq!(unpack(&packed).unwrap(), data);
        assert_eq!(unpack(&[]).unwrap(), b"");
    }

    #[test]
    fn a_damaged_block_is_refused_and_costs_no_memory() {
        let packed = pack(b"hello hello hello");
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1;
            assert!(unpack(&damaged).is_err(), "byte {at}");
            assert!(at == 0 || unpack(&packed[..at]).is_err(), "cut at {at}");
        }
        let mut huge = packed.clone();
        huge[21..25].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack(&huge).is_err());
    }
}
