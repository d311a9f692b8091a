//! Parquet: preset properties typed, every other one in one of three maps, and the stored bytes beside them. Any engine reads it.
//!
//! The same events give the same bytes: the writer's name is fixed, row groups are cut by plain size alone. Memory: one row group per
//! open file, about one and a half times `row_group_bytes`. Encodings are those of Parquet 1.0, which every reader knows.

mod batch;
mod fields;
mod read;

use super::Compression;
use super::write::Out;
use crate::columns::{Preset, Row as Columns, Type};
use crate::facts::flag;
use crate::range::EventView;
use batch::{Leaf, Row, leaves};
use event::EventType;
use fields::{Field, fields, message};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use std::io;
use std::sync::Arc;

pub(super) use read::identities;

/// Stands in every file; fixed, so that another build writes the same bytes. Readers want this form.
const CREATED_BY: &str = "tusk version 1.0.0 (build 0)";
/// zstd level if none is set.
const ZSTD_LEVEL: i32 = 1;

/// What the files of a sink are made by.
#[derive(Clone)]
pub(super) struct Form {
    schema: TypePtr,
    properties: Arc<WriterProperties>,
    fields: Arc<[Field]>,
    node: Arc<[u8]>,
    json: bool,
    row_group_bytes: usize,
}

impl Form {
    pub(super) fn new(
        node: &str,
        (compression, level): (Compression, Option<i32>),
        json: bool,
        row_group_bytes: usize,
    ) -> io::Result<Self> {
        let fields = fields(json);
        let schema = parse_message_type(&message(&fields)).map_err(failed)?;
        let codec = match compression {
            Compression::None | Compression::Gzip => Codec::UNCOMPRESSED,
            Compression::Snappy => Codec::SNAPPY,
            Compression::Zstd => {
                let level = ZstdLevel::try_new(level.unwrap_or(ZSTD_LEVEL)).map_err(failed)?;
                Codec::ZSTD(level)
            }
        };
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(codec)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(None)
            .set_max_row_group_bytes(None);
        for field in fields.iter().filter(|field| !field.words) {
            let path = ColumnPath::from(field.name);
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            if field.name == "json" {
                let none = EnabledStatistics::None;
                properties = properties.set_column_statistics_enabled(path, none);
            }
        }
        Ok(Self {
            schema: Arc::new(schema),
            properties: Arc::new(properties.build()),
            fields: fields.into(),
            node: node.as_bytes().into(),
            json,
            row_group_bytes,
        })
    }
}

/// A file in the making.
pub(crate) struct Table {
    form: Form,
    leaves: Vec<Leaf>,
    bytes: usize,
    rows: usize,
    /// Made with the first row group.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
}

impl Table {
    pub(super) fn new(form: &Form) -> Self {
        Self { form: form.clone(), leaves: leaves(&form.fields), bytes: 0, rows: 0, writer: None }
    }

    /// Adds an event; a row group that is full is given out.
    pub(super) fn push(
        &mut self,
        event: &EventView<'_>,
        columns: Columns<'_>,
        out: &mut Out<'_>,
    ) -> io::Result<()> {
        let mut row = Row::new(&mut self.leaves, &mut self.bytes);
        fill(&mut row, &self.form, event, columns);
        self.rows += 1;
        if self.bytes < self.form.row_group_bytes {
            return Ok(());
        }
        self.flush(out)
    }

    /// Ends the file.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        if self.rows > 0 {
            self.flush(out)?;
        }
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        writer.finish().map_err(failed)?;
        out(writer.inner_mut())
    }

    fn flush(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let Form { schema, properties, .. } = &self.form;
                let (schema, properties) = (Arc::clone(schema), Arc::clone(properties));
                let new = SerializedFileWriter::new(Vec::new(), schema, properties);
                self.writer.insert(new.map_err(failed)?)
            }
        };
        let mut group = writer.next_row_group().map_err(failed)?;
        for leaf in &mut self.leaves {
            let column = group.next_column().map_err(failed)?;
            let column = column.ok_or_else(|| io::Error::other("more columns than the schema"))?;
            leaf.write(column).map_err(failed)?;
        }
        group.close().map_err(failed)?;
        (self.bytes, self.rows) = (0, 0);
        writer.flush()?;
        out(writer.inner())?;
        // What was given out; the writer counts positions by itself.
        writer.inner_mut().clear();
        Ok(())
    }
}

/// One row, in the order of [`fields`].
fn fill(row: &mut Row<'_>, form: &Form, event: &EventView<'_>, columns: Columns<'_>) {
    let (fact, entry) = (event.fact, event.entry);
    let kind = EventType::from_u8(entry.kind);
    row.text(&form.node);
    row.long(event.lsn.cast_signed());
    row.int(event.index.cast_signed());
    row.long(event.recv_ms);
    row.long(fact.time_ms);
    row.some_long((entry.sent_ms != i64::MIN).then_some(entry.sent_ms));
    row.text(kind.as_str().as_bytes());
    row.some_text(columns.event());
    row.some_long((fact.dup_key != 0).then_some(fact.dup_key.cast_signed()));
    row.bool(fact.has(flag::DUPLICATE));
    row.some_long((columns.track_id() != 0).then_some(columns.track_id()));
    row.some_text(columns.id());
    row.some_text(columns.login_id());
    row.some_text(columns.anonymous_id());
    row.some_text(columns.original_id());
    row.some_text(columns.item_type());
    row.text_map(columns.identities());
    for preset in Preset::ALL {
        let number = || columns.number(*preset);
        match preset.kind() {
            Type::Word | Type::Text => row.some_text(columns.text(*preset)),
            #[expect(clippy::cast_possible_truncation, reason = "whole and fits, by its type")]
            Type::Int => row.some_int(number().map(|value| value as i32)),
            Type::Float => row.some_double(number()),
            Type::Bool => row.some_bool(number().map(|value| value == 1.0)),
        }
    }
    row.list(columns.codes().iter().map(<[u8; 4]>::as_slice));
    row.list(columns.conflicts());
    // Of an event they are the names in the maps and of the presets; of an operation on a profile they are what it touches.
    let profile =
        (EventType::ProfileSet as u8..=EventType::ProfileDelete as u8).contains(&entry.kind);
    row.list(columns.names().filter(|_| profile));
    row.text_map(columns.str());
    row.number_map(columns.num());
    row.list_map(columns.arr());
    if form.json {
        row.some_text(event.json);
    }
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(format!("Parquet: {error}"))
}
