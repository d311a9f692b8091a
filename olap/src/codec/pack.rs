//! HTTP content encodings and block framing, both ways.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::block;

/// A body's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// gzip
    Gzip,
    /// deflate (zlib)
    Deflate,
    /// zstd
    Zstd,
    /// LZ4 frames
    Lz4,
    /// ClickHouse's own blocks (`compress=1`), no HTTP encoding.
    Blocks,
}

impl Encoding {
    /// The one named in `Content-Encoding`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.trim() {
            "" | "identity" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "zstd" => Self::Zstd,
            "lz4" => Self::Lz4,
            _ => return None,
        })
    }

    /// The first of ours that `Accept-Encoding` lists and does not exclude.
    #[must_use]
    pub fn accepted(list: &str) -> Self {
        let offers = |wanted: &str| {
            list.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                name == wanted && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
            })
        };
        let ours = [
            ("zstd", Self::Zstd),
            ("lz4", Self::Lz4),
            ("gzip", Self::Gzip),
            ("deflate", Self::Deflate),
        ];
        ours.into_iter().find(|(name, _)| offers(name)).map_or(Self::Plain, |(_, found)| found)
    }

    /// For `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Blocks => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }
}

/// The plain bytes of a packed body.
///
/// # Errors
/// A decoder that cannot be made.
pub fn unpack<'r>(
    source: Box<dyn Read + 'r>,
    encoding: Encoding,
) -> io::Result<Box<dyn Read + 'r>> {
    Ok(match encoding {
        Encoding::Plain => source,
        Encoding::Gzip => Box::new(MultiGzDecoder::new(source)),
        Encoding::Deflate => Box::new(ZlibDecoder::new(source)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(source)?),
        Encoding::Lz4 => Box::new(FrameDecoder::new(source)),
        Encoding::Blocks => Box::new(block::Blocks::new(source)),
    })
}

/// Packs an answer piece by piece: what was put in so far can be read by the client at once.
pub struct Packer(Inner);

enum Inner {
    Plain,
    Blocks,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// A packer of that encoding, at the level that costs least.
    ///
    /// # Errors
    /// An encoder that cannot be made.
    pub fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(Self(match encoding {
            Encoding::Plain => Inner::Plain,
            Encoding::Blocks => Inner::Blocks,
            Encoding::Gzip => Inner::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Encoding::Deflate => Inner::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
            Encoding::Zstd => {
                Inner::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 1)?))
            }
            Encoding::Lz4 => Inner::Lz4(Box::new(FrameEncoder::new(Vec::new()))),
        }))
    }

    /// What goes on the wire for a piece.
    ///
    /// # Errors
    /// The encoder's.
    pub fn pack(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Inner::Plain => Ok(piece.to_vec()),
            Inner::Blocks => Ok(block::pack(piece)),
            Inner::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Inner::Deflate(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Inner::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Inner::Lz4(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// What ends the body.
    ///
    /// # Errors
    /// The encoder's.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Inner::Plain | Inner::Blocks => Ok(Vec::new()),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Deflate(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
            Inner::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_comes_back_piece_by_piece() {
        let pieces: Vec<Vec<u8>> =
            (0..5u8).map(|piece| vec![piece; 300_000 * usize::from(piece % 3)]).collect();
        for encoding in [
            Encoding::Plain,
            Encoding::Gzip,
            Encoding::Deflate,
            Encoding::Zstd,
            Encoding::Lz4,
            Encoding::Blocks,
        ] {
            let mut packer = Packer::new(encoding).unwrap();
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend(packer.pack(piece).unwrap());
            }
            wire.extend(packer.finish().unwrap());
            let mut out = Vec::new();
            unpack(Box::new(&wire[..]), encoding).unwrap().read_to_end(&mut out).unwrap();
            assert_eq!(out, pieces.concat(), "{encoding:?}");
        }
    }

    #[test]
    fn the_header_chooses() {
        assert_eq!(Encoding::accepted("gzip, deflate, br"), Encoding::Gzip);
        assert_eq!(Encoding::accepted("zstd;q=0, deflate"), Encoding::Deflate);
        assert_eq!(Encoding::accepted("br"), Encoding::Plain);
        assert_eq!(Encoding::named("br"), None);
    }
}
