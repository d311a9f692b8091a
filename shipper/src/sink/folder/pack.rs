//! Packing a piece of a file: one gzip member or one zstd frame, or the bytes as they are. Same input, same bytes.

use super::Compression;
use std::io::{self, Write};

/// zstd level if none is set: the cheapest byte for its CPU.
const ZSTD_LEVEL: i32 = 1;
/// gzip level if none is set.
const GZIP_LEVEL: i32 = 4;

impl Compression {
    /// Ending of the names of JSON lines.
    pub(super) fn jsonl_extension(self) -> &'static str {
        match self {
            Self::None | Self::Snappy => "jsonl",
            Self::Gzip => "jsonl.gz",
            Self::Zstd => "jsonl.zst",
        }
    }
}

/// Packs pieces into a reused buffer.
pub(super) struct Packer {
    kind: Kind,
    out: Vec<u8>,
}

enum Kind {
    None,
    Gzip(flate2::Compression),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    pub(super) fn new(compression: Compression, level: Option<i32>) -> io::Result<Self> {
        let kind = match compression {
            Compression::None | Compression::Snappy => Kind::None,
            Compression::Gzip => {
                let level = level.unwrap_or(GZIP_LEVEL).clamp(1, 9).cast_unsigned();
                Kind::Gzip(flate2::Compression::new(level))
            }
            Compression::Zstd => {
                let mut zstd = zstd::bulk::Compressor::new(level.unwrap_or(ZSTD_LEVEL))?;
                // A reader notices damage; costs a few per cent of the packing.
                zstd.include_checksum(true)?;
                Kind::Zstd(zstd)
            }
        };
        Ok(Self { kind, out: Vec::new() })
    }

    /// The packed form of `plain`.
    pub(super) fn pack<'a>(&'a mut self, plain: &'a [u8]) -> io::Result<&'a [u8]> {
        self.out.clear();
        match &mut self.kind {
            Kind::None => return Ok(plain),
            Kind::Gzip(level) => {
                // No name and no time in the header: the same events give the same bytes.
                let mut gzip = flate2::GzBuilder::new().mtime(0).write(&mut self.out, *level);
                gzip.write_all(plain)?;
                gzip.finish()?;
            }
            Kind::Zstd(zstd) => {
                self.out.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, &mut self.out)?;
            }
        }
        Ok(&self.out)
    }
}
