//! From events to the bytes of a file, piece by piece: memory is bounded however large a range is.

use super::pack::Packer;
use super::{Compression, Format};
use crate::fill::Fill;
use crate::range::EventView;
use crate::shape::Shape;
use crate::shape::encode::Encoder;
use std::io;

/// Plain bytes gathered per file before they are packed: one frame (zstd) or member (gzip), which every reader concatenates. Small
/// enough that 64 files stay within 16 MiB.
const FRAME_BYTES: usize = 256 << 10;

/// Where finished pieces of a file go, in order.
pub(crate) type Out<'o> = dyn FnMut(&[u8]) -> io::Result<()> + 'o;

/// What the files of a sink are made with. The same events give the same bytes.
pub(crate) struct Writer {
    format: Format,
    compression: Compression,
    encoder: Encoder,
    packer: Packer,
}

/// A file in the making: what is gathered and not packed yet.
pub(crate) enum Part {
    /// JSON lines.
    Lines(Vec<u8>),
}

impl Writer {
    pub(crate) fn new(
        format: Format,
        compression: Compression,
        level: Option<i32>,
        encoder: (Shape, &str, Fill),
    ) -> io::Result<Self> {
        let (shape, node, fill) = encoder;
        Ok(Self {
            format,
            compression,
            encoder: Encoder::new(shape, node, fill),
            packer: Packer::new(compression, level)?,
        })
    }

    /// Ending of the files' names.
    pub(crate) fn extension(&self) -> &'static str {
        match self.format {
            Format::Jsonl => self.compression.jsonl_extension(),
        }
    }

    /// A new file.
    pub(crate) fn part(&self) -> Part {
        match self.format {
            Format::Jsonl => Part::Lines(Vec::new()),
        }
    }

    /// Adds an event; gives a piece out when one is full.
    pub(crate) fn push(
        &mut self,
        part: &mut Part,
        event: &EventView<'_>,
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        match part {
            Part::Lines(plain) => {
                self.encoder.encode(event, plain);
                plain.push(b'\n');
                if plain.len() >= FRAME_BYTES {
                    out(self.packer.pack(plain)?)?;
                    plain.clear();
                }
                Ok(())
            }
        }
    }

    /// Gives out what is left of a file.
    pub(crate) fn finish(&mut self, part: &mut Part, out: &mut Out<'_>) -> io::Result<()> {
        match part {
            Part::Lines(plain) => {
                if !plain.is_empty() {
                    out(self.packer.pack(plain)?)?;
                    plain.clear();
                }
                Ok(())
            }
        }
    }
}
