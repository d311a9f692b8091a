//! `GET /api/reports/NAME/export.csv|.xlsx?part=…&q=PARAMETERS&lang=…`: all rows of a part, streamed.

use std::io;
use std::sync::Arc;

use analytics::report::{MEASURES, Params, Report, Text};
use axum::body::Body;
use axum::extract::{Path, Query, State as Extract};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::built;
use super::file::{File, Out};
use crate::api::segments;
use crate::Shared;
use crate::error::Problem;
use crate::guard::Viewer;
use crate::mask;
use crate::settings::Role;

/// Chunks on their way to a slow reader.
const CHUNKS_MAX: usize = 8;
/// Longest row of an answer, bytes.
const ROW_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    part: Option<String>,
    q: Option<String>,
    lang: Option<String>,
}

/// What stands in the file beside its rows.
struct Paper {
    head: Vec<Vec<Value>>,
    english: bool,
    masked: bool,
    rows_max: u64,
}

pub(super) async fn export(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Path((name, file)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let unknown = || Problem::missing("report.unknown", "没有这个报表", "there is no such report");
    let (is_xlsx, kind) = match file.as_str() {
        "export.csv" => (false, "text/csv; charset=utf-8"),
        "export.xlsx" => (true, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        _ => return Err(unknown()),
    };
    let mut params: Value = serde_json::from_str(asked.q.as_deref().unwrap_or("{}")).map_err(|_| {
        Problem::bad("report.bad_parameter", "参数 q 应为 JSON", "parameter q is to be JSON")
    })?;
    segments::resolve(&shared, &mut params).await?;
    let params = Params(params);
    let (report, parts) = built(&shared, &name, &params)?;
    let chosen = |name: &str| asked.part.as_deref().is_none_or(|part| part == name);
    let mut part = parts.into_iter().find(|part| chosen(&part.name)).ok_or_else(unknown)?;
    let rows_max = shared.settings.export_rows_max;
    if params.0.get("limit").is_none_or(Value::is_null) {
        // A page shows the first rows, a file has all of them.
        for (_, value) in part.params.iter_mut().filter(|(name, _)| name == "limit") {
            *value = (rows_max + 1).to_string();
        }
    }
    let body = shared.clickhouse()?.stream(&part.sql, &part.params).await?;
    let english = asked.lang.as_deref().unwrap_or(shared.settings.lang) == "en";
    let masked = who.role < Role::Manage;
    let paper = Paper { head: head(report, &params, english, masked), english, masked, rows_max };
    tracing::info!(user = who.user, report = report.name, part = part.name, "rows are exported");
    let (to, from) = mpsc::channel(CHUNKS_MAX);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let broken = to.clone();
        if let Err(error) = write(&runtime, body, Out::new(to), is_xlsx, &paper) {
            // The download breaks off: half a file must not pass for a whole one.
            let _ = broken.blocking_send(Err(error));
        }
    });
    let chunks = futures_util::stream::unfold(from, |mut from: mpsc::Receiver<io::Result<Bytes>>| async {
        let chunk = from.recv().await?;
        Some((chunk, from))
    });
    let dates: String = ["from", "to"]
        .iter()
        .filter_map(|name| params.date(name).ok())
        .flat_map(|date| ["-", date])
        .collect();
    let extension = if is_xlsx { "xlsx" } else { "csv" };
    let disposition = format!("attachment; filename=\"tusk-{}{dates}.{extension}\"", report.name);
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

fn said(text: Text, english: bool) -> &'static str {
    if english { text.en } else { text.zh }
}

/// What the numbers are and what was asked: a file is read without its page.
fn head(report: &Report, params: &Params, english: bool, masked: bool) -> Vec<Vec<Value>> {
    let mut rows = vec![
        vec![json!(said(report.title, english))],
        vec![json!(said(report.definition, english))],
    ];
    for (name, value) in params.0.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text = if masked { mask::text(&text).into_owned() } else { text };
        rows.push(vec![json!(name), json!(text)]);
    }
    rows.push(Vec::new());
    rows
}

fn write(runtime: &Handle, body: Incoming, out: Out, is_xlsx: bool, paper: &Paper) -> io::Result<()> {
    let mut file = if is_xlsx { File::xlsx(out)? } else { File::csv(out)? };
    paper.head.iter().try_for_each(|row| file.row(row))?;
    let mut lines = Lines { runtime, body, rest: Vec::new(), at: 0, ended: false };
    let names: Vec<String> = lines.next()?.unwrap_or_default();
    let _types: Option<Vec<Value>> = lines.next()?;
    let called = |name: &String| {
        let measure = MEASURES.iter().find(|measure| measure.name == name);
        json!(measure.map_or(name.as_str(), |measure| said(measure.title, paper.english)))
    };
    file.row(&names.iter().map(called).collect::<Vec<Value>>())?;
    let mut written = 0;
    while let Some(mut row) = lines.next::<Value>()? {
        if written == paper.rows_max {
            let words = if paper.english {
                format!("only the first {written} rows are here")
            } else {
                format!("只导出前 {written} 行")
            };
            file.row(&[json!(words)])?;
            break;
        }
        if paper.masked {
            row.iter_mut().for_each(mask::texts);
        }
        file.row(&row)?;
        written += 1;
    }
    file.finish().map(drop)
}

/// Rows of an answer as they arrive.
struct Lines<'r> {
    runtime: &'r Handle,
    body: Incoming,
    /// What came; what lies before `at` was read.
    rest: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Lines<'_> {
    fn next<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<Option<Vec<T>>> {
        let mut seen = self.at;
        loop {
            let unseen = self.rest.get(seen..).unwrap_or_default();
            if let Some(end) = unseen.iter().position(|byte| *byte == b'\n') {
                let line = self.at..seen + end + 1;
                self.at = line.end;
                return row(self.rest.get(line).unwrap_or_default()).map(Some);
            }
            self.rest.drain(..self.at);
            self.at = 0;
            seen = self.rest.len();
            if self.ended {
                let line = std::mem::take(&mut self.rest);
                return if line.is_empty() { Ok(None) } else { row(&line).map(Some) };
            }
            if seen > ROW_BYTES_MAX {
                return Err(io::Error::other("a row is too long"));
            }
            match self.runtime.block_on(self.body.frame()) {
                None => self.ended = true,
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => {
                    self.rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
            }
        }
    }
}

fn row<T: serde::de::DeserializeOwned>(line: &[u8]) -> io::Result<Vec<T>> {
    serde_json::from_slice(line).map_err(|_| {
        tracing::warn!(said = %String::from_utf8_lossy(line.get(..300).unwrap_or(line)), "an export broke off");
        io::Error::other("ClickHouse broke the answer off")
    })
}
