//! One line through the rules of the edge: the record it becomes.

use super::format::Lines;
use super::mark::Line;
use super::nginx::{self, Logged};
use super::{Options, Sample};
use crate::engine::OwnRecord;
use event::record::{Builder, CodeRef, Entry, Kind, Record, Verdict, meta};
use event::{Config, Headers, Method, Project, Request, Scratch, Watch, is_name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples kept for each code.
const SAMPLES: usize = 3;
/// Codes with samples.
const CODES_MAX: usize = 100;

/// Decides lines.
pub(crate) struct Judge {
    config: Config,
    scratch: Scratch,
    lines: Lines,
    query: Vec<u8>,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// What became of lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) kept: u64,
    pub(crate) rejected: u64,
    pub(crate) empty: u64,
    pub(crate) unfit: u64,
    pub(crate) codes: BTreeMap<String, u64>,
    pub(crate) samples: BTreeMap<String, Vec<Sample>>,
}

impl Judge {
    /// `config` is the daemon's; `options` say what the operator vouches for.
    ///
    /// # Errors
    /// A sentence: a project that cannot be.
    pub(crate) fn new(mut config: Config, options: &Options, lines: Lines) -> Result<Self, String> {
        config.seal = false;
        config.key_ops_per_s = u32::MAX;
        config.rejected_bytes_per_s = 0;
        if options.time_free {
            config.limits.late_ms_max = i64::MAX;
        }
        if options.any_token || lines == Lines::Json {
            config.projects = config.projects.map(|known| Arc::new(known.without_tokens()));
        }
        let mut query = Vec::new();
        if let Some(name) = &options.project {
            if !is_name(name.as_bytes()) {
                return Err(format!("--project: `{name}` is not 1 to 64 of A-Z a-z 0-9 _ -"));
            }
            if let Some(known) = config.projects.as_deref().filter(|k| !k.contains(name.as_bytes()))
            {
                let names: Vec<&str> = known.names().collect();
                return Err(format!(
                    "--project: there is no project `{name}`; the tokens file names {}",
                    names.join(", ")
                ));
            }
            query = format!("project={name}").into_bytes();
            if !matches!(config.project, Project::Any) {
                config.project = Project::Named(name.as_str().into());
            }
        }
        Ok(Self { config, scratch: Scratch::new(), lines, query })
    }

    /// What the lines are.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Decides one line. `line.logged_ns` is filled in where the line tells it. `None`: it holds nothing.
    pub(crate) fn line(
        &mut self,
        text: &[u8],
        mut line: Line<'_>,
        now_ns: u64,
        tally: &mut Tally,
    ) -> Option<OwnRecord> {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return None;
        }
        let (text, cut) = match text.strip_suffix(b"\0") {
            Some(start) => (start, 1),
            None => (text, 0),
        };
        let logged = match &self.lines {
            Lines::Json => None,
            Lines::Nginx(format) => Some(format.read(text)),
            Lines::NginxJson => Some(nginx::read_object(text)),
        };
        let payload = match logged {
            None => {
                let request = Request {
                    method: Method::Post,
                    path: b"/import",
                    query: &self.query,
                    headers: Headers {
                        content_type: Some(b"application/json"),
                        ..Headers::default()
                    },
                    body: text,
                    body_bytes: text.len() as u64 + cut,
                    client_ip: b"",
                    recv_ns: now_ns,
                    watch: Watch::default(),
                };
                accept(&request, &self.config, &mut self.scratch)
            }
            Some(Some(logged)) => {
                line.logged_ns = logged.time_ns;
                self.request(&logged, now_ns)
            }
            Some(None) => {
                tally.unfit += 1;
                Some(unfit(text, &self.config, now_ns))
            }
        };
        let Some(mut payload) = payload else {
            tally.empty += 1;
            return None;
        };
        let (kept, rejected) = tally.count(&payload, line.place);
        line.write(&mut payload);
        Some(OwnRecord { kind: Kind::Request, kept, rejected, payload, mark: Some(line.mark) })
    }

    fn request(&mut self, logged: &Logged, now_ns: u64) -> Option<Vec<u8>> {
        let method = match logged.method.as_slice() {
            b"GET" => Method::Get,
            b"POST" => Method::Post,
            _ => return None,
        };
        // The first of a name counts, so the URL's own project does.
        let mut query = logged.query.clone();
        if !self.query.is_empty() {
            query.extend_from_slice(if query.is_empty() { b"" } else { b"&" });
            query.extend_from_slice(&self.query);
        }
        let some = |value: &'_ Vec<u8>| (!value.is_empty()).then(|| value.clone());
        let (agent, encoding, dry_run) =
            (some(&logged.agent), some(&logged.encoding), some(&logged.dry_run));
        let request = Request {
            method,
            path: if logged.path.is_empty() { b"/" } else { &logged.path },
            query: &query,
            headers: Headers {
                user_agent: agent.as_deref(),
                content_encoding: encoding.as_deref(),
                dry_run: dry_run.as_deref(),
                ..Headers::default()
            },
            body: &logged.body,
            body_bytes: logged.body.len() as u64,
            client_ip: &logged.address,
            recv_ns: if logged.time_ns > 0 { logged.time_ns } else { now_ns },
            watch: Watch::default(),
        };
        accept(&request, &self.config, &mut self.scratch)
    }
}

fn accept(request: &Request<'_>, config: &Config, scratch: &mut Scratch) -> Option<Vec<u8>> {
    let accepted = event::accept(request, config, scratch);
    accepted.store.is_some().then(|| accepted.payload())
}

/// A line the log format does not fit: kept whole, as one rejected event, like a request that is neither a form nor JSON.
fn unfit(text: &[u8], config: &Config, now_ns: u64) -> Vec<u8> {
    let text = text.get(..config.limits.raw_bytes_max).unwrap_or(text);
    let mut builder = Builder::default();
    builder.meta(meta::PROJECT, config.project.fallback(), 64);
    builder.entry(&Entry::unopened((now_ns / 1_000_000).cast_signed()));
    builder.code(CodeRef { index: 0, code: *b"E108", pointer: b"", detail: b"" });
    let request = Request {
        method: Method::Post,
        path: b"/import",
        query: b"",
        headers: Headers::default(),
        body: text,
        body_bytes: text.len() as u64,
        client_ip: b"",
        recv_ns: now_ns,
        watch: Watch::default(),
    };
    let mut raw = Vec::new();
    event::http::write(&request, usize::MAX, &mut raw);
    builder.payload(&raw)
}

impl Tally {
    /// Counts a record's events; returns how many are kept and rejected.
    fn count(&mut self, payload: &[u8], place: &[u8]) -> (u16, u16) {
        let record = Record::parse(payload).unwrap_or_default();
        let (mut kept, mut rejected) = (0_u16, 0_u16);
        for (index, (entry, _)) in (0_u32..).zip(record.events()) {
            if entry.verdict != Verdict::Rejected {
                kept += 1;
                continue;
            }
            rejected += 1;
            let Some(code) = record.codes().find(|code| code.index == index) else { continue };
            let name = String::from_utf8_lossy(&code.code).into_owned();
            *self.codes.entry(name.clone()).or_default() += 1;
            if self.samples.len() >= CODES_MAX && !self.samples.contains_key(&name) {
                continue;
            }
            let samples = self.samples.entry(name).or_default();
            if samples.len() < SAMPLES {
                samples.push(Sample {
                    place: String::from_utf8_lossy(place).into_owned(),
                    pointer: String::from_utf8_lossy(code.pointer).into_owned(),
                    detail: String::from_utf8_lossy(code.detail).into_owned(),
                });
            }
        }
        self.events += u64::from(kept) + u64::from(rejected);
        self.kept += u64::from(kept);
        self.rejected += u64::from(rejected);
        (kept, rejected)
    }
}
