//! One request, from its bytes to a record and an answer.

use crate::budget::Budget;
use crate::check::{self, Context, Envelopes, JsonScratch};
use crate::decode::form::Params;
use crate::decode::gunzip::{self, Gunzip};
use crate::decode::url::{self, Plus};
use crate::decode::value::{self, Buffers, Packing};
use crate::decode::{body, crc, value::Text};
use crate::envelope::{Opener, unopened};
use crate::record::{Builder, CodeRef, Kind, meta};
use crate::reply::{self, Reply};
use crate::{Code, Config, Method, Request, settle};

/// Memory a [`Scratch`] keeps per buffer from one request to the next, in bytes.
const KEEP_BYTES: usize = 1 << 20;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its events are kept.
    Kept,
    /// Some events are kept, some rejected.
    Partial,
    /// No event is kept; what was sent is in quarantine.
    Rejected,
    /// Kept unopened: the shipper opens it.
    Sealed,
    /// Checked only (`Dry-Run: true`); nothing is held.
    DryRun,
    /// A request for remote configuration; nothing is held.
    Config,
    /// It brought nothing, or greets only (HEAD, the QR code's hand-shake); nothing is held.
    Empty,
    /// OPTIONS; nothing is held.
    Preflight,
}

impl Outcome {
    /// The value of `$tusk_result`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Partial => "partial",
            Self::Rejected => "rejected",
            Self::Sealed => "sealed",
            Self::DryRun => "dryrun",
            Self::Config => "config",
            Self::Empty | Self::Preflight => "empty",
        }
    }
}

/// A decided request. Borrows the [`Scratch`] it was decided with.
#[derive(Debug)]
pub struct Accepted<'s> {
    /// What became of it.
    pub outcome: Outcome,
    /// The kind of record to store before answering; `None`: nothing is held.
    pub store: Option<Kind>,
    /// Events kept (for the record's header).
    pub kept: u32,
    /// Events rejected (for the record's header).
    pub rejected: u32,
    /// What to answer once the record is stored.
    pub reply: Reply<'s>,
    /// The record.
    pub record: &'s Builder,
    /// The record's RAW section; empty if it has none.
    pub raw: &'s [u8],
}

impl<'s> Accepted<'s> {
    /// The record's payload as slices to copy one after the other; `heads` is scratch space.
    #[must_use]
    pub fn sections<'b>(&'b self, heads: &'b mut [[u8; 8]; 5]) -> [&'b [u8]; 15] {
        self.record.sections(self.raw, heads)
    }

    /// Size of the payload in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        settle::payload_bytes(self.record, self.raw)
    }

    /// The payload in one piece (tests, command line).
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        self.record.payload(self.raw)
    }
}

/// Memory and state that requests share: one per worker, whatever the number of locations. Allocates while its buffers grow,
/// never afterwards; what a large request took above 1 MiB a buffer is given back at the next one.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) record: Builder,
    pub(crate) json: JsonScratch,
    envelopes: Envelopes,
    opener: Opener,
    gunzip: Gunzip,
    buffers: Buffers,
    body: Vec<u8>,
    names: [Vec<u8>; 2],
    text: Vec<u8>,
    pub(crate) raw: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) rejected: Budget,
    pub(crate) requests: u64,
}

impl Scratch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Private-key operations so far, for a metric.
    #[must_use]
    pub fn key_ops(&self) -> u64 {
        self.opener.key_ops
    }

    fn clear(&mut self) {
        self.record.clear(KEEP_BYTES);
        self.envelopes.clear(KEEP_BYTES);
        self.opener.trim(KEEP_BYTES);
        self.buffers.trim(KEEP_BYTES);
        let [project, token] = &mut self.names;
        for buffer in
            [&mut self.body, project, token, &mut self.text, &mut self.raw, &mut self.reply]
        {
            buffer.clear();
            buffer.shrink_to(KEEP_BYTES);
        }
        self.json.shrink(KEEP_BYTES);
        self.json.follows = false;
    }
}

/// Decides one request: what is in it, what is wrong with it, what to store and what to answer.
///
/// * `request` – as received; the body may be cut at the edge's limit.
/// * `scratch` – of this worker; the result borrows it.
///
/// Any bytes are allowed; nothing fails. A request that cannot be opened is stored whole as one rejected event with its code.
pub fn accept<'s>(
    request: &Request<'_>,
    config: &Config,
    scratch: &'s mut Scratch,
) -> Accepted<'s> {
    scratch.clear();
    let nothing = match request.method {
        Method::Options => Some(Outcome::Preflight),
        _ if reply::is_config(request.path) => Some(Outcome::Config),
        Method::Head => Some(Outcome::Empty),
        Method::Get | Method::Post => None,
    };
    if let Some(outcome) = nothing {
        return nothing_held(request, outcome, scratch);
    }
    let opened = open(request, config, scratch);
    match opened {
        Opened::Empty => {
            let mut accepted = nothing_held(request, Outcome::Empty, scratch);
            if config.debug && reply::is_browser(request) {
                accepted.reply = Reply { status: 200, body: reply::Body::Html(reply::DEBUG_PAGE) };
            }
            accepted
        }
        Opened::Greeting => settle::greeting(request, scratch),
        Opened::Sealed => settle::sealed(request, config, scratch),
        Opened::Events { unopened } => settle::decided(request, config, unopened, scratch),
    }
}

pub(crate) fn nothing_held<'s>(
    request: &Request<'_>,
    outcome: Outcome,
    scratch: &'s Scratch,
) -> Accepted<'s> {
    Accepted {
        outcome,
        store: None,
        kept: 0,
        rejected: 0,
        reply: reply::plain(request, outcome),
        record: &scratch.record,
        raw: &[],
    }
}

enum Opened {
    /// There was nothing in it.
    Empty,
    /// A device greets somebody who waits for it.
    Greeting,
    /// Its envelopes are over the private-key budget.
    Sealed,
    /// The record has its entries. `unopened`: some of them stand for what could not be opened, so the request is needed.
    Events { unopened: bool },
}

/// The `k=v` part of a request, joined.
struct Asked<'a> {
    params: Params<'a>,
    /// A body that is JSON instead of a form, trimmed.
    json: Option<&'a [u8]>,
    /// Whether `data` or `data_list` came in the query.
    in_query: bool,
}

fn open(request: &Request<'_>, config: &Config, scratch: &mut Scratch) -> Opened {
    let limits = &config.limits;
    let recv_ms = i64::try_from(request.recv_ns / 1_000_000).unwrap_or(i64::MAX);
    let Scratch {
        record,
        json,
        envelopes,
        opener,
        gunzip,
        buffers,
        body,
        names: [project, token],
        text,
        ..
    } = scratch;
    let query = Params::parse(request.query);
    let mut transport =
        [if request.method == Method::Get { b'G' } else { b'P' }, b'-', Packing::Plain as u8];
    let whole = if cut(request, config) {
        Err(Code::L001)
    } else {
        unpacked(request, limits.inflated_bytes_max, gunzip, body)
    };
    let asked = whole.map(|whole| join(query, whole));
    let params = asked.as_ref().map_or(query, |asked| asked.params);
    let url_project = url::decode(params.project.unwrap_or_default(), Plus::Blank, project);
    let url_token = url::decode(params.token.unwrap_or_default(), Plus::Blank, token);
    let context = Context {
        limits,
        recv_ms,
        flush_time: None,
        url_project,
        url_token,
        project: &config.project,
        projects: config.projects.as_deref(),
        dup_hash_key: config.dup_hash_key,
        inside_envelope: false,
        followed: request.watch.followed,
    };
    let mut failed = false;
    let mut fail = |code: Code, detail: &[u8], record: &mut Builder| {
        failed = true;
        unopened(code, detail, recv_ms, record);
    };
    match asked {
        Err(code) => fail(code, b"", record),
        Ok(asked) if is_handshake(request, &asked) => {
            let id = asked.params.info_id.unwrap_or_default();
            if request.watch.followed.binary_search(&check::watch_hash(id)).is_err() {
                return Opened::Empty;
            }
            facts(request, &context, transport, record);
            return Opened::Greeting;
        }
        Ok(asked) => {
            let mut values = Values::of(&asked, text);
            if values.is_empty() {
                if request.body.is_empty() && !asked.in_query {
                    return Opened::Empty;
                }
                let is_form =
                    request.body.is_empty() || memchr::memchr(b'=', request.body).is_some();
                fail(if is_form { Code::E101 } else { Code::E108 }, b"", record);
            }
            let mut left = limits.inflated_bytes_max;
            while let Some((name, raw, encoded)) = values.next() {
                transport[1] = name;
                let options = value::Options { encoded, crc: values.crc, inflated_bytes_max: left };
                let opened = value::open(raw, options, gunzip, buffers);
                let read = opened.and_then(|text| {
                    transport[2] = text.packing as u8;
                    left = left.saturating_sub(text.json.len());
                    checksum(&text, config, record)?;
                    read(&text, &context, json, envelopes, record)
                });
                if let Err(code) = read {
                    let is_json = matches!(code, Code::J001 | Code::J006 | Code::J008);
                    fail(code, if is_json { &json.near } else { b"" }, record);
                }
            }
        }
    }
    if !envelopes.list().is_empty() {
        transport[2] = shape(envelopes, transport[1]);
        let parts = (&mut *json, &mut *gunzip);
        match opener.open(envelopes, config, &context, request.recv_ns, parts, record) {
            Ok(bad) => failed |= bad > 0,
            Err(_over_budget) => {
                record.clear_events();
                facts(request, &context, transport, record);
                return Opened::Sealed;
            }
        }
    }
    facts(request, &context, transport, record);
    Opened::Events { unopened: failed }
}

pub(crate) fn cut(request: &Request<'_>, config: &Config) -> bool {
    request.body_bytes > request.body.len() as u64
        || request.body.len() > config.limits.body_bytes_max
}

/// The body without gzip around it; no SDK of this family compresses whole bodies, gateways and hand-written clients do.
fn unpacked<'b>(
    request: &Request<'b>,
    limit: usize,
    gunzip: &mut Gunzip,
    out: &'b mut Vec<u8>,
) -> Result<&'b [u8], Code> {
    let gzip = gunzip::is_gzip(request.body);
    match request.headers.content_encoding {
        Some(name)
            if !gzip
                && !request.body.is_empty()
                && ![&b"gzip"[..], b"x-gzip", b"identity", b""]
                    .iter()
                    .any(|known| name.trim_ascii().eq_ignore_ascii_case(known)) =>
        {
            Err(Code::E102)
        }
        _ if !gzip => Ok(request.body),
        _ => match gunzip.unpack(request.body, limit, out) {
            Ok(()) => Ok(out),
            Err(gunzip::Error::Damaged) => Err(Code::E104),
            Err(gunzip::Error::Cut) => Err(Code::E107),
            Err(gunzip::Error::TooLarge) => Err(Code::E106),
        },
    }
}

fn join<'a>(query: Params<'a>, body: &'a [u8]) -> Asked<'a> {
    let in_query = query.data.is_some() || query.data_list.is_some();
    let trimmed = value::trim(body);
    if value::is_json(trimmed) {
        return Asked { params: query, json: Some(trimmed), in_query };
    }
    Asked { params: Params::union(Params::parse(body), query), json: None, in_query }
}

/// The QR code's greeting: `{"distinct_id":"…"}` posted to the debug URL with `info_id` in the query.
fn is_handshake(request: &Request<'_>, asked: &Asked<'_>) -> bool {
    let greets = |json: &[u8]| memchr::memmem::find(json, b"\"type\"").is_none();
    request.method == Method::Post
        && asked.params.info_id.is_some()
        && asked.params.data.is_none()
        && asked.params.data_list.is_none()
        && asked.json.is_none_or(greets)
}

/// The values to open, in order: name for TRANSPORT, bytes, whether they are percent-encoded.
struct Values<'a> {
    list: [Option<(u8, &'a [u8], bool)>; 2],
    crc: Option<i32>,
}

impl<'a> Values<'a> {
    fn of(asked: &Asked<'a>, text: &'a mut Vec<u8>) -> Self {
        if let Some(json) = asked.json {
            let body = body::read(json, text);
            return Self { list: body.values, crc: body.crc.or_else(|| crc_of(&asked.params)) };
        }
        let value = |name, raw: Option<&'a [u8]>| {
            raw.filter(|raw| !raw.is_empty()).map(|raw| (name, raw, true))
        };
        let list = [value(b'l', asked.params.data_list), value(b'd', asked.params.data)];
        Self { list, crc: crc_of(&asked.params) }
    }

    fn is_empty(&self) -> bool {
        self.list.iter().all(Option::is_none)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8], bool)> {
        self.list.iter_mut().find_map(Option::take)
    }
}

fn crc_of(params: &Params<'_>) -> Option<i32> {
    if let Some(crc) = params.crc.and_then(crc::number) {
        return Some(crc);
    }
    let ext = params.ext?;
    if ext.len() > 1024 {
        return None; // nobody's ext; not worth the copy
    }
    let mut plain = [0; 1024];
    crc::in_ext(url::decode_small(ext, &mut plain))
}

fn checksum(text: &Text<'_>, config: &Config, record: &mut Builder) -> Result<(), Code> {
    if text.crc_agrees {
        return Ok(());
    }
    if config.crc_strict {
        return Err(Code::E111);
    }
    let (index, code) = (CodeRef::REQUEST, Code::E110.bytes());
    record.code(CodeRef { index, code, pointer: b"", detail: b"" });
    Ok(())
}

fn read(
    text: &Text<'_>,
    context: &Context<'_>,
    json: &mut JsonScratch,
    envelopes: &mut Envelopes,
    record: &mut Builder,
) -> Result<(), Code> {
    match check::events(text.json, context, json, envelopes, record) {
        Ok(_) => Ok(()),
        // A value without padding whose JSON stops early lost its end on the way.
        Err(fault) if text.unpadded && fault.reason == Code::J008 => Err(Code::E105),
        Err(fault) => Err(fault.code),
    }
}

/// The byte of TRANSPORT for the shape of the first envelope (PROTOCOL §2.4).
fn shape(envelopes: &Envelopes, parameter: u8) -> u8 {
    match envelopes.list().first() {
        Some(envelope) if envelope.key_id.is_some() => b'4',
        Some(envelope) if envelope.single => b'2',
        Some(_) if parameter == b'd' => b'3',
        _ => b'1',
    }
}

/// META: what is known of the request beside its events.
fn facts(request: &Request<'_>, context: &Context<'_>, transport: [u8; 3], record: &mut Builder) {
    let project = match context.url_project {
        b"" => context.project.fallback(),
        named => named,
    };
    record.meta(meta::PROJECT, project, 64);
    record.meta(meta::IP, request.client_ip, 64);
    if let Some(agent) = request.headers.user_agent {
        record.meta(meta::USER_AGENT, agent, 1024);
    }
    record.meta(meta::PATH, request.path, 256);
    let refused = |code: CodeRef<'_>| code.code.first() == Some(&b'A');
    if record.rejected() > 0 && record.codes().any(refused) {
        record.meta(meta::TOKEN, context.url_token, 256);
    }
    record.meta(meta::TRANSPORT, &transport, 3);
    let bytes =
        if request.body_bytes > 0 { request.body_bytes } else { request.query.len() as u64 };
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    record.meta(meta::WIRE_BYTES, &bytes.to_le_bytes(), 4);
}
