//! The counts on disk: `journal/facts.health`, JSON: a head line, then one line a row. Replaced whole; its last line tells that it is
//! complete.

use super::store::Store;
use super::table::{Row, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    epoch: u32,
    lsn: u64,
    since_ms: i64,
    until_ms: i64,
    looked_into: (i64, u32),
}

/// Its bytes.
pub(super) fn save(store: &Store, epoch: u32) -> io::Result<Vec<u8>> {
    let head = Head {
        version: VERSION,
        epoch,
        lsn: store.lsn,
        since_ms: store.since_ms,
        until_ms: store.until_ms,
        looked_into: store.looked_into,
    };
    let mut out = Vec::new();
    line("head", &head, &mut out)?;
    rows("event", &store.events, &mut out)?;
    rows("series", &store.series, &mut out)?;
    rows("code", &store.codes, &mut out)?;
    rows("property", &store.properties, &mut out)?;
    let crc = crc32c::crc32c(&out);
    line("end", &crc, &mut out)?;
    Ok(out)
}

fn rows<V: Serialize + Default>(tag: &str, table: &Table<V>, out: &mut Vec<u8>) -> io::Result<()> {
    table.rows().iter().try_for_each(|row| line(tag, row, out))
}

fn line<T: Serialize>(tag: &str, value: &T, out: &mut Vec<u8>) -> io::Result<()> {
    write!(out, "{tag} ")?;
    serde_json::to_writer(&mut *out, value).map_err(io::Error::other)?;
    out.push(b'\n');
    Ok(())
}

/// Fills an empty store. After an error it is empty again; a file of another journal counts as none.
pub(super) fn load(store: &mut Store, bytes: &[u8], epoch: u32) -> Result<(), String> {
    let done = fill(store, bytes, epoch);
    if !matches!(done, Ok(true)) {
        store.clear();
    }
    done.map(|_| ())
}

fn fill(store: &mut Store, bytes: &[u8], epoch: u32) -> Result<bool, String> {
    let damaged = || "is damaged".to_owned();
    let body = bytes.strip_suffix(b"\n").ok_or_else(damaged)?;
    let last = memchr::memrchr(b'\n', body).map_or(0, |at| at + 1);
    let crc: u32 = parse(body.get(last..).unwrap_or_default(), "end")?.ok_or_else(damaged)?;
    let body = bytes.get(..last).unwrap_or_default();
    if crc32c::crc32c(body) != crc {
        return Err(damaged());
    }
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let head: Head = parse(lines.next().unwrap_or_default(), "head")?.ok_or_else(damaged)?;
    if head.version != VERSION {
        return Err(format!("is of version {}, this tusk reads {VERSION}", head.version));
    }
    if head.epoch != epoch {
        return Ok(false);
    }
    (store.lsn, store.since_ms, store.until_ms) = (head.lsn, head.since_ms, head.until_ms);
    store.looked_into = head.looked_into;
    for line in lines {
        let _ = put("event", &mut store.events, line)?
            || put("series", &mut store.series, line)?
            || put("code", &mut store.codes, line)?
            || put("property", &mut store.properties, line)?;
    }
    Ok(true)
}

fn put<V: DeserializeOwned + Default>(
    tag: &str,
    table: &mut Table<V>,
    line: &[u8],
) -> Result<bool, String> {
    let row: Option<Row<V>> = parse(line, tag)?;
    Ok(row.map(|row| table.put(row)).is_some())
}

/// The value behind `tag`; `None` if the line begins with another word.
fn parse<T: DeserializeOwned>(line: &[u8], tag: &str) -> Result<Option<T>, String> {
    let Some(rest) = line.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" "))
    else {
        return Ok(None);
    };
    serde_json::from_slice(rest).map(Some).map_err(|error| error.to_string())
}
