//! The end of a request: what of it is stored, within which bounds, and what is answered.

use crate::accept::{Accepted, Outcome, Scratch, cut, nothing_held};
use crate::envelope::unopened;
use crate::record::{Builder, CodeRef, Kind};
use crate::reply::{self, Reply};
use crate::{Code, Config, Request, VerdictMode, http, verdict};

/// A request kept for the shipper to open.
pub(crate) fn sealed<'s>(
    request: &Request<'_>,
    config: &Config,
    scratch: &'s mut Scratch,
) -> Accepted<'s> {
    scratch.record.clear_events();
    http::write(request, usize::MAX, &mut scratch.raw);
    if payload_bytes(&scratch.record, &scratch.raw) > config.limits.record_bytes_max {
        return too_large(request, config, scratch);
    }
    let dry = is_dry_run(request);
    let outcome = if dry { Outcome::DryRun } else { Outcome::Sealed };
    Accepted {
        outcome,
        store: (!dry).then_some(Kind::Sealed),
        kept: 0,
        rejected: 0,
        reply: reply::plain(request, outcome),
        record: &scratch.record,
        raw: &scratch.raw,
    }
}

/// The QR code's greeting, kept for whoever shows that code: a record without events, the request as its RAW.
pub(crate) fn greeting<'s>(request: &Request<'_>, scratch: &'s mut Scratch) -> Accepted<'s> {
    const GREETING_BYTES_MAX: usize = 4 << 10; // an id and a short head
    http::write(request, GREETING_BYTES_MAX, &mut scratch.raw);
    let mut accepted = nothing_held(request, Outcome::Empty, scratch);
    accepted.store = Some(Kind::Request);
    accepted.raw = &scratch.raw;
    accepted
}

/// A request that does not fit into a record: its beginning, rejected.
fn too_large<'s>(request: &Request<'_>, config: &Config, scratch: &'s mut Scratch) -> Accepted<'s> {
    replaced(request, Code::L002, config.limits.raw_bytes_max, scratch);
    finish(request, config, scratch)
}

/// Puts one rejected entry with `code` in the place of all entries.
fn replaced(request: &Request<'_>, code: Code, raw_bytes: usize, scratch: &mut Scratch) {
    let recv_ms = i64::try_from(request.recv_ns / 1_000_000).unwrap_or(i64::MAX);
    scratch.record.clear_events();
    unopened(code, b"", recv_ms, &mut scratch.record);
    http::write(request, raw_bytes, &mut scratch.raw);
}

/// A request whose events are decided: adds RAW where it is needed and keeps within the bounds.
pub(crate) fn decided<'s>(
    request: &Request<'_>,
    config: &Config,
    unopened: bool,
    scratch: &'s mut Scratch,
) -> Accepted<'s> {
    let limits = &config.limits;
    if scratch.record.count() == 0 {
        return nothing_held(request, Outcome::Empty, scratch); // an empty list
    }
    if unopened {
        let limit = if cut(request, config) { limits.raw_bytes_max } else { usize::MAX };
        http::write(request, limit, &mut scratch.raw);
    } else if watched(request, scratch) {
        http::write(request, limits.record_bytes_max / 4, &mut scratch.raw);
    }
    if payload_bytes(&scratch.record, &scratch.raw) > limits.record_bytes_max {
        // Better whole and unopened than cut: the shipper's records may be larger.
        return if config.seal {
            sealed(request, config, scratch)
        } else {
            too_large(request, config, scratch)
        };
    }
    finish(request, config, scratch)
}

/// Exactly `true`: the web SDK sends `false` where it wants to store, and nobody else sends anything but `true`.
fn is_dry_run(request: &Request<'_>) -> bool {
    request.headers.dry_run == Some(b"true")
}

fn watched(request: &Request<'_>, scratch: &mut Scratch) -> bool {
    let every = u64::from(request.watch.sample_every);
    scratch.requests = scratch.requests.wrapping_add(1);
    scratch.json.follows || every > 0 && scratch.requests.is_multiple_of(every)
}

fn finish<'s>(request: &Request<'_>, config: &Config, scratch: &'s mut Scratch) -> Accepted<'s> {
    let dry = is_dry_run(request);
    if !dry && scratch.record.rejected() > 0 {
        within_budget(request, config, scratch);
    }
    let (kept, rejected) = (scratch.record.kept(), scratch.record.rejected());
    let outcome = match (dry, kept, rejected) {
        (true, ..) => Outcome::DryRun,
        (_, _, 0) => Outcome::Kept,
        (_, 0, _) => Outcome::Rejected,
        _ => Outcome::Partial,
    };
    let plain = reply::plain(request, outcome);
    let reply = if config.debug && reply::is_debug(request.path) && rejected > 0 {
        verdict::debug(&scratch.record, &mut scratch.reply);
        Reply { status: 400, body: reply::Body::Json(&scratch.reply) }
    } else if asked_for_verdict(request, config, &scratch.record) {
        verdict::json(&scratch.record, &mut scratch.reply);
        Reply { status: 200, body: reply::Body::Json(&scratch.reply) }
    } else {
        plain
    };
    Accepted {
        outcome,
        store: (!dry).then_some(Kind::Request),
        kept,
        rejected,
        reply,
        record: &scratch.record,
        raw: &scratch.raw,
    }
}

/// Rejected bytes are kept at a bounded rate, so that nobody can fill the disk with rubbish.
fn within_budget(request: &Request<'_>, config: &Config, scratch: &mut Scratch) {
    let rate = config.rejected_bytes_per_s;
    let all_rejected = scratch.record.kept() == 0;
    let bytes =
        if all_rejected { payload_bytes(&scratch.record, &scratch.raw) } else { scratch.raw.len() };
    if rate == 0 || scratch.rejected.spend(request.recv_ns, rate, bytes as u64) {
        return;
    }
    let short = config.limits.raw_bytes_over_budget;
    if bytes <= short {
        return; // it is as short as it would become
    }
    if all_rejected {
        scratch.raw.clear();
        replaced(request, Code::L009, short, scratch);
    } else {
        scratch.raw.truncate(short);
        let (index, code) = (CodeRef::REQUEST, Code::L009.bytes());
        scratch.record.code(CodeRef { index, code, pointer: b"", detail: b"" });
    }
}

fn asked_for_verdict(request: &Request<'_>, config: &Config, record: &Builder) -> bool {
    match (config.verdict, request.headers.verdict) {
        (VerdictMode::Always, _) => true,
        (VerdictMode::Asked, Some(token)) => {
            let projects = config.projects.as_deref();
            projects.is_none_or(|projects| projects.is_token(record.project(), token.trim_ascii()))
        }
        _ => false,
    }
}

pub(crate) fn payload_bytes(record: &Builder, raw: &[u8]) -> usize {
    let raw = if raw.is_empty() { 0 } else { 8 + raw.len().next_multiple_of(8) };
    record.payload_bytes() + raw
}
