//! Reading identities back.

use super::failed;
use crate::sink::folder::Content;
use bytes::Bytes;
use parquet::column::reader::ColumnReader;
use parquet::data_type::{Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, FileReader as _, Length, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// Read at once.
const READ_BYTES: usize = 1 << 20;

/// Identities (lsn, index) of a file's rows, in order.
pub(in super::super) fn identities(
    file: Box<dyn Content>,
    out: &mut Vec<(u64, u32)>,
) -> io::Result<()> {
    let reader = SerializedFileReader::new(Chunks(file.into())).map_err(failed)?;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(failed)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let lsns = match column(group.as_ref(), "lsn")? {
            ColumnReader::Int64ColumnReader(mut column) => {
                let mut lsns: Vec<<Int64Type as parquet::data_type::DataType>::T> = Vec::new();
                column.read_records(rows, None, None, &mut lsns).map_err(failed)?;
                lsns
            }
            _ => return Err(not_ours()),
        };
        let indexes = match column(group.as_ref(), "idx")? {
            ColumnReader::Int32ColumnReader(mut column) => {
                let mut indexes: Vec<<Int32Type as parquet::data_type::DataType>::T> = Vec::new();
                column.read_records(rows, None, None, &mut indexes).map_err(failed)?;
                indexes
            }
            _ => return Err(not_ours()),
        };
        if lsns.len() != rows || indexes.len() != rows {
            return Err(not_ours());
        }
        let identity = |(lsn, index): (&i64, &i32)| (lsn.cast_unsigned(), index.cast_unsigned());
        out.extend(lsns.iter().zip(&indexes).map(identity));
    }
    Ok(())
}

fn column(group: &dyn RowGroupReader, name: &str) -> io::Result<ColumnReader> {
    let columns = group.metadata().columns();
    let at = columns.iter().position(|column| column.column_path().string() == name);
    group.get_column_reader(at.ok_or_else(not_ours)?).map_err(failed)
}

fn not_ours() -> io::Error {
    io::Error::other("no columns lsn and idx of our form: not written by us?")
}

struct Chunks(Arc<dyn Content>);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.bytes()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let from = From { file: Arc::clone(&self.0), at: start };
        Ok(BufReader::with_capacity(READ_BYTES, from))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = vec![0; length];
        let mut at = 0;
        while at < length {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            match self.0.read_at(rest, start + at as u64)? {
                0 => return Err(ParquetError::EOF("the file is cut off".to_owned())),
                n => at += n,
            }
        }
        Ok(bytes.into())
    }
}

struct From {
    file: Arc<dyn Content>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.file.bytes() {
            return Ok(0);
        }
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
