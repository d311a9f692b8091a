//! What the edge hands in. Everything `accept` may depend on is here or in [`crate::Config`]: no clock, no I/O,
//! so a recorded request gives the same result for ever.

/// HTTP method, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET: data in the query.
    Get,
    /// HEAD: as GET, answered without a body.
    Head,
    /// POST: data in body or query.
    Post,
    /// OPTIONS: CORS preflight, holds nothing.
    Options,
}

/// One HTTP request. All slices are as on the wire, still percent-encoded.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Method.
    pub method: Method,
    /// Path without the query.
    pub path: &'a [u8],
    /// Query without `?`; empty if there is none.
    pub query: &'a [u8],
    /// The headers that matter.
    pub headers: Headers<'a>,
    /// Body, de-chunked; at most the edge's `tusk_max_body` bytes of it.
    pub body: &'a [u8],
    /// Size of the whole body in bytes; larger than `body.len()` if the edge cut it.
    pub body_bytes: u64,
    /// Client address as text (after nginx's realip).
    pub client_ip: &'a [u8],
    /// Arrival, nanoseconds since 1970-01-01 UTC.
    pub recv_ns: u64,
    /// What the shipper asked to be watched.
    pub watch: Watch<'a>,
}

/// Headers the decoder looks at; `None` where absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `Content-Type`: kept for the record, never trusted.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Host`.
    pub host: Option<&'a [u8]>,
    /// `Origin`.
    pub origin: Option<&'a [u8]>,
    /// `Dry-Run`: exactly `true` means check but do not store.
    pub dry_run: Option<&'a [u8]>,
    /// `X-Tusk-Verdict: <project token>` asks for verdicts in the answer.
    pub verdict: Option<&'a [u8]>,
}

/// Followed devices and the sample rate, from `ring.ctl`; default = nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch<'a> {
    /// Sorted hashes ([`crate::watch_hash`]) of followed ids: a request with one of them keeps its raw bytes.
    pub followed: &'a [u64],
    /// Keep raw bytes of one request in this many; 0 = none.
    pub sample_every: u32,
}
