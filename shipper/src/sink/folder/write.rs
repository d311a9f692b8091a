//! From events to the bytes of a file, piece by piece: memory is bounded however large a range is.

use super::pack::Packer;
use super::parquet::{Form, Table};
use super::{Compression, Format};
use crate::columns::{Columns, Conflict};
use crate::range::EventView;
use crate::shape::Shape;
use crate::shape::encode::Encoder;
use crate::sink::Context;
use std::io;

/// Plain bytes gathered per file before they are packed: one frame (zstd) or member (gzip), which every reader concatenates. Small
/// enough that 64 files stay within 16 MiB.
const FRAME_BYTES: usize = 256 << 10;
/// Properties whose types are remembered, as in the ClickHouse sink.
const TYPES_MAX: usize = 100_000;

/// Where finished pieces of a file go, in order.
pub(crate) type Out<'o> = dyn FnMut(&[u8]) -> io::Result<()> + 'o;

/// How files are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// The sink's word; it remembers types of its own.
    pub(crate) sink: &'static str,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    pub(crate) level: Option<i32>,
    /// Of JSON lines.
    pub(crate) shape: Shape,
    /// Of Parquet: whether the stored bytes are a column.
    pub(crate) json_column: bool,
    /// Of Parquet: plain bytes of a row group.
    pub(crate) row_group_bytes: usize,
}

/// What the files of a sink are made with. The same events give the same bytes.
pub(crate) struct Writer(Kind);

enum Kind {
    Lines { compression: Compression, encoder: Box<Encoder>, packer: Packer },
    Parquet { form: Form, columns: Box<Columns> },
}

/// A file in the making: what is gathered and not given out yet.
pub(crate) enum Part {
    /// JSON lines.
    Lines(Vec<u8>),
    /// Columns.
    Parquet(Box<Table>),
}

impl Writer {
    pub(crate) fn new(recipe: &Recipe, context: &Context) -> io::Result<Self> {
        let Recipe { sink, format, compression, level, shape, json_column, row_group_bytes } =
            *recipe;
        let (node, fill) = (context.node.as_str(), context.fill.clone());
        Ok(Self(match format {
            Format::Jsonl => Kind::Lines {
                compression,
                encoder: Box::new(Encoder::new(shape, node, fill)),
                packer: Packer::new(compression, level)?,
            },
            Format::Parquet => Kind::Parquet {
                form: Form::new(node, (compression, level), json_column, row_group_bytes)?,
                columns: Box::new(Columns::open(
                    &context.disk,
                    &context.data,
                    sink,
                    node,
                    fill,
                    (Conflict::Convert, TYPES_MAX),
                )?),
            },
        }))
    }

    /// Ending of the files' names.
    pub(crate) fn extension(&self) -> &'static str {
        match &self.0 {
            Kind::Lines { compression, .. } => compression.jsonl_extension(),
            Kind::Parquet { .. } => PARQUET,
        }
    }

    /// A new file.
    pub(crate) fn part(&self) -> Part {
        match &self.0 {
            Kind::Lines { .. } => Part::Lines(Vec::new()),
            Kind::Parquet { form, .. } => Part::Parquet(Box::new(Table::new(form))),
        }
    }

    /// Adds an event; gives a piece out when one is full.
    pub(crate) fn push(
        &mut self,
        part: &mut Part,
        event: &EventView<'_>,
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        match (part, &mut self.0) {
            (Part::Lines(plain), Kind::Lines { encoder, packer, .. }) => {
                encoder.encode(event, plain);
                plain.push(b'\n');
                if plain.len() >= FRAME_BYTES {
                    out(packer.pack(plain)?)?;
                    plain.clear();
                }
                Ok(())
            }
            (Part::Parquet(table), Kind::Parquet { columns, .. }) => {
                table.push(event, columns.read(event), out)
            }
            _ => Err(io::Error::other("a file of another format: a bug")),
        }
    }

    /// Gives out what is left of a file. Call it when the whole range was read: types that were learned become durable here, before
    /// any file that rests on them gets its name.
    pub(crate) fn finish(&mut self, part: &mut Part, out: &mut Out<'_>) -> io::Result<()> {
        match (part, &mut self.0) {
            (Part::Lines(plain), Kind::Lines { packer, .. }) => {
                if !plain.is_empty() {
                    out(packer.pack(plain)?)?;
                    plain.clear();
                }
                Ok(())
            }
            (Part::Parquet(table), Kind::Parquet { columns, .. }) => {
                columns.save()?;
                table.finish(out)
            }
            _ => Err(io::Error::other("a file of another format: a bug")),
        }
    }
}

/// Ending of Parquet files, whatever packs their columns.
pub(super) const PARQUET: &str = "parquet";
