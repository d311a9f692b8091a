//! The file sink's lines as a source of events: what the journal no longer holds.
//!
//! A line of shape `server` is the stored bytes and what the server knew. The entry (kind, spans, times) is made again by the same
//! `event::accept` as at the edge; what was decided then (kept, duplicate, session) is taken from the line.

use crate::disk::Disk;
use crate::facts::{Fact, flag};
use crate::range::{EventView, Passed, RangeError, Shown, Source};
use crate::sealed::Opener;
use crate::shape::Shape;
use crate::sink::file;
use crate::sink::folder::DiskTree;
use crate::sink::folder::audit::{files, lines_by};
use event::record::{Builder, CodeRef, Entry, Record, Verdict, flag as entry_flag, meta};
use event::{Config, Headers, Method, Project, Request, Watch};
use serde::Deserialize;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read at once from each of the up to 64 files of a range.
const READ_BYTES: usize = 64 << 10;

/// What the server knew of an event, as its line says.
#[derive(Debug, Deserialize)]
struct Server {
    lsn: u64,
    index: u32,
    recv_time: i64,
    #[serde(default)]
    project: String,
    #[serde(default)]
    ip: String,
    #[serde(default)]
    ua: String,
    #[serde(default)]
    codes: Vec<String>,
    time: Option<i64>,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    session: String,
}

/// Files of one node by range.
pub(crate) struct Lines {
    tree: DiskTree,
    ranges: Vec<((u64, u64), Vec<PathBuf>)>,
    opener: Opener,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("ranges", &self.ranges.len()).finish_non_exhaustive()
    }
}

impl Lines {
    /// Looks through the file sink's folder.
    ///
    /// # Errors
    /// A sentence: there is nothing events can be read from.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        config: &file::Config,
        data: &Path,
        node: &str,
    ) -> Result<Self, String> {
        let root = config.root.clone().unwrap_or_else(|| data.join("files"));
        let shown = root.display();
        if config.shape != Shape::Server {
            return Err(format!(
                "the files in {shown} do not hold the SDK's bytes with their identity: only `sink.file.shape = \"server\"` can be read back"
            ));
        }
        let tree = DiskTree(Arc::clone(disk));
        let found = files(&tree, &root, node).map_err(|error| format!("{shown}: {error}"))?;
        let mut ranges: Vec<_> = found.into_iter().collect();
        ranges.retain_mut(|(_, files)| {
            files.retain(|path| path.to_string_lossy().contains(".jsonl"));
            !files.is_empty()
        });
        if ranges.is_empty() {
            return Err(format!("there are no files of JSON lines of {node} in {shown}"));
        }
        let config = Config { project: Project::Any, ..Config::default() };
        Ok(Self { tree, ranges, opener: Opener::new(config) })
    }

    /// Whether any file holds events of `[from, to)`.
    pub(crate) fn reach(&self, from: u64, to: u64) -> bool {
        self.ranges.iter().any(|((first, end), _)| *first < to && from < *end)
    }

    /// Where a piece that begins at `from` may end: with the range of the next file, at most at `to`.
    pub(crate) fn end_of(&self, from: u64, to: u64) -> u64 {
        let ends = self.ranges.iter().filter(|((first, end), _)| *end > from && *first < to);
        ends.map(|((_, end), _)| *end).min().unwrap_or(to).min(to)
    }
}

impl Source for Lines {
    fn read(
        &mut self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&Shown<'_>) -> io::Result<()>,
    ) -> Result<Passed, RangeError> {
        let mut passed = Passed::default();
        for ((first, end), paths) in &self.ranges {
            if *first >= to || from >= *end {
                continue;
            }
            let whole = from <= *first && *end <= to;
            let mut streams = Vec::new();
            for path in paths {
                let reader = lines_by(&self.tree, path, READ_BYTES).map_err(|e| at(path, &e))?;
                let mut stream = Stream { path, reader, line: Vec::new(), stored: 0, server: None };
                stream.next()?;
                streams.push(stream);
            }
            // Files of one range, each in order: together in the order of their identities.
            loop {
                let next = streams.iter_mut().filter(|stream| stream.server.is_some());
                let Some(stream) = next.min_by_key(|stream| stream.identity()) else { break };
                if let Some(server) = stream.server.take() {
                    let first_arrival = (from..to).contains(&server.lsn);
                    // A re-driven event stands where it was re-driven. Which part of its range that is cannot be told any more.
                    if first_arrival || (whole && !(*first..*end).contains(&server.lsn)) {
                        let stored = stream.line.get(..stream.stored).unwrap_or_default();
                        show(&mut self.opener, stored, &server, visit)?;
                        passed.kept += u64::from(first_arrival);
                        passed.redriven += u64::from(!first_arrival);
                    }
                }
                stream.next()?;
            }
        }
        Ok(passed)
    }
}

/// A file under way.
struct Stream<'p> {
    path: &'p Path,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Length of the stored bytes, which `line` starts with.
    stored: usize,
    server: Option<Server>,
}

impl Stream<'_> {
    fn identity(&self) -> (u64, u32) {
        self.server.as_ref().map_or((u64::MAX, u32::MAX), |server| (server.lsn, server.index))
    }

    fn next(&mut self) -> io::Result<()> {
        self.line.clear();
        self.server = None;
        if self.reader.read_until(b'\n', &mut self.line).map_err(|e| at(self.path, &e))? == 0 {
            return Ok(());
        }
        let problem = || io::Error::other("a line of another shape than `server`, or cut");
        let (stored, server) =
            split(&mut self.line).ok_or_else(problem).map_err(|e| at(self.path, &e))?;
        (self.stored, self.server) = (stored, Some(server));
        Ok(())
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Takes `_server`, which we wrote last, from a line, and leaves the stored bytes at its start.
fn split(line: &mut Vec<u8>) -> Option<(usize, Server)> {
    const MARK: &[u8] = b"\"_server\":";
    let at = memchr::memmem::rfind(line, MARK)?;
    let end = memchr::memrchr(b'}', line)?;
    let server = serde_json::from_slice(line.get(at + MARK.len()..end)?).ok()?;
    let at = if line.get(at.checked_sub(1)?) == Some(&b',') { at - 1 } else { at };
    line.truncate(at);
    line.push(b'}');
    Some((line.len(), server))
}

fn show(
    opener: &mut Opener,
    stored: &[u8],
    server: &Server,
    visit: &mut dyn FnMut(&Shown<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut builder = Builder::default();
    builder.meta(meta::PROJECT, server.project.as_bytes(), u16::MAX);
    builder.meta(meta::IP, server.ip.as_bytes(), u16::MAX);
    builder.meta(meta::USER_AGENT, server.ua.as_bytes(), u16::MAX);
    let facts = builder.payload(&[]);
    let told = Record::parse(&facts).unwrap_or_default();
    let request = Request {
        method: Method::Post,
        path: b"/sa",
        query: b"",
        headers: Headers {
            user_agent: (!server.ua.is_empty()).then_some(server.ua.as_bytes()),
            content_type: Some(b"application/json"),
            ..Headers::default()
        },
        body: stored,
        body_bytes: stored.len() as u64,
        client_ip: server.ip.as_bytes(),
        recv_ns: server.recv_time.max(0).cast_unsigned().saturating_mul(1_000_000),
        watch: Watch::default(),
    };
    let payload = opener.decide(&request, &told).unwrap_or_default();
    let checked = Record::parse(&payload).unwrap_or_default();
    // It was kept then, whatever today's rules say.
    let (entry, json, record) = match checked.event(0) {
        Some((entry, json)) if !json.is_empty() => (entry, json, &checked),
        _ => (Entry::unopened(server.recv_time), stored, &told),
    };
    let verdict = if server.codes.is_empty() { Verdict::Kept } else { Verdict::Problems };
    let time_ms = server.time.unwrap_or(entry.time_ms);
    let entry = Entry { verdict, time_ms, flags: entry.flags & !entry_flag::NOT_OBJECT, ..entry };
    let project = match entry.project.of(json) {
        [] => server.project.as_bytes(),
        name => name,
    };
    let mut flags = flag::KEPT;
    for (bit, is) in [
        (flag::PROBLEMS, !server.codes.is_empty()),
        (flag::DUPLICATE, server.duplicate),
        (flag::CORRECTED, server.time.is_some()),
        (flag::SERVER_SDK, entry.flags & entry_flag::SERVER_SDK != 0),
    ] {
        flags |= if is { bit } else { 0 };
    }
    let session = server.session.rsplit('-').next().unwrap_or_default();
    let fact = Fact {
        lsn: server.lsn,
        index: server.index,
        count: server.index.saturating_add(1),
        flags,
        project: crc32c::crc32c(project),
        time_ms,
        recv_ms: server.recv_time,
        dup_key: entry.dup_key,
        session: u64::from_str_radix(session, 16).unwrap_or(0),
        record_bytes: 0,
    };
    let codes: Vec<CodeRef<'_>> = server
        .codes
        .iter()
        // D001 is in the flags.
        .filter(|code| *code != "D001")
        .filter_map(|code| {
            let code = code.as_bytes().try_into().ok()?;
            Some(CodeRef { index: 0, code, pointer: b"", detail: b"" })
        })
        .collect();
    visit(&Shown::Event(&EventView {
        lsn: server.lsn,
        index: server.index,
        recv_ms: server.recv_time,
        fact: &fact,
        entry: &entry,
        json,
        record,
        codes: &codes,
        request_codes: &[],
    }))
}
