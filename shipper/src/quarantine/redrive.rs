//! Checking a quarantined event again, and the journal records that say what was decided.

use super::Item;
use super::item::{self, is_unopened, local, section};
use super::store::EDGE;
use crate::engine::OwnRecord;
use crate::facts::decide::Origin;
use crate::journal::layout::u32_at;
use crate::sealed::Opener;
use event::record::{self, Builder, CodeRef, Entry, Kind, Record, Span, Verdict, meta, tag};
use event::{Headers, Method, Request, Watch};

/// What checking again showed.
pub(super) enum Offer {
    /// It passes now.
    Passes {
        /// The record to append.
        record: OwnRecord,
        /// Identities it settles.
        identities: u64,
        /// Events it brings.
        events: u64,
    },
    /// Still rejected, for these codes.
    Rejected(Vec<String>),
    /// Its request stands under another identity, which settles this one too.
    Companion,
}

/// Checks one event again.
pub(super) fn offer(opener: &mut Opener, log: &str, item: &Item, payload: &[u8]) -> Offer {
    let record = Record::parse(payload).unwrap_or_default();
    let Some((entry, json)) = record.event(0) else { return Offer::Rejected(Vec::new()) };
    let recv_ns = item.recv_ms.max(0).cast_unsigned() * 1_000_000;
    let mut origin = Origin { lsn: item.lsn, index: item.index, recv_ns, sink: None };
    if log != EDGE {
        // What a sink refused was valid all the time; only that sink is offered it again.
        origin.sink = Some(log.to_owned());
        let mut plain = strip(payload);
        section(tag::ORIGIN, &origin.encode(), &mut plain);
        return passes(plain, 1, 0, 1);
    }
    if !is_unopened(&entry) {
        let Some(checked) = again(opener, &record, json, recv_ns) else {
            return Offer::Rejected(Vec::new());
        };
        return settle(&checked, &[], &[], &origin);
    }
    if record.raw.is_empty() {
        let has_leader = record::sections(payload).flatten().any(|(t, _)| t == local::READABLE);
        return if has_leader { Offer::Rejected(Vec::new()) } else { Offer::Companion };
    }
    let Some(checked) = opener.raw(record.raw, &record, recv_ns) else {
        return Offer::Rejected(Vec::new());
    };
    let readable = item::find(payload, local::READABLE);
    let companions = item::find(payload, local::COMPANIONS);
    settle(&checked, readable, companions, &origin)
}

/// The sections of a quarantine item that any reader of records knows.
fn strip(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    for (tag, bytes) in record::sections(payload).flatten().filter(|(t, _)| *t < 0x8000) {
        section(tag, bytes, &mut out);
    }
    out
}

/// One readable event through `accept`, as if its SDK had sent it alone.
fn again(opener: &mut Opener, record: &Record<'_>, json: &[u8], recv_ns: u64) -> Option<Vec<u8>> {
    let mut query = Vec::new();
    let token = record.meta(meta::TOKEN);
    if !token.is_empty() {
        query.extend_from_slice(b"token=");
        for byte in token {
            query.extend_from_slice(format!("%{byte:02x}").as_bytes());
        }
    }
    let user_agent = record.meta(meta::USER_AGENT);
    let request = Request {
        method: Method::Post,
        path: b"/sa",
        query: &query,
        headers: Headers {
            user_agent: (!user_agent.is_empty()).then_some(user_agent),
            content_type: Some(b"application/json"),
            ..Headers::default()
        },
        body: json,
        body_bytes: json.len() as u64,
        client_ip: record.meta(meta::IP),
        recv_ns,
        watch: Watch::default(),
    };
    opener.decide(&request, record)
}

/// What of a request decided again is new: its events without those that were readable the first time.
fn settle(checked: &[u8], readable: &[u8], companions: &[u8], origin: &Origin) -> Offer {
    let record = Record::parse(checked).unwrap_or_default();
    let mut known = readable.chunks_exact(4).map(|crc| u32_at(crc, 0)).peekable();
    let mut fresh = Vec::new();
    for (index, (entry, json)) in (0u32..).zip(record.events()) {
        if known.peek() == Some(&crc32c::crc32c(json)) {
            known.next();
        } else {
            fresh.push((index, entry, json));
        }
    }
    let kept = fresh.iter().filter(|(_, entry, _)| entry.verdict != Verdict::Rejected).count();
    // Half-opened is not opened: RAW must stay with whatever it still holds.
    if kept == 0 || fresh.iter().any(|(_, entry, _)| is_unopened(entry)) {
        let wanted = |code: &CodeRef<'_>| {
            code.index == CodeRef::REQUEST || fresh.iter().any(|(index, ..)| *index == code.index)
        };
        let mut codes: Vec<String> = record
            .codes()
            .filter(wanted)
            .map(|code| String::from_utf8_lossy(&code.code).into_owned())
            .collect();
        codes.sort();
        codes.dedup();
        return Offer::Rejected(codes);
    }
    let mut builder = Builder::default();
    for id in [
        meta::PROJECT,
        meta::IP,
        meta::USER_AGENT,
        meta::PATH,
        meta::TOKEN,
        meta::TRANSPORT,
        meta::WIRE_BYTES,
    ] {
        let value = record.meta(id);
        if !value.is_empty() {
            builder.meta(id, value, u16::MAX);
        }
    }
    for (new, (old, entry, json)) in (0u32..).zip(&fresh) {
        let at = u32::try_from(builder.bytes().len()).unwrap_or(u32::MAX);
        builder.bytes().extend_from_slice(json);
        builder.entry(&Entry { json: Span { at, len: entry.json.len }, ..*entry });
        for code in record.codes().filter(|code| code.index == *old) {
            builder.code(CodeRef { index: new, ..code });
        }
    }
    let mut payload = builder.payload(&[]);
    section(tag::ORIGIN, &origin.encode(), &mut payload);
    let mut identities = Vec::new();
    for index in companions.chunks_exact(4) {
        identities.extend_from_slice(&origin.lsn.to_le_bytes());
        identities.extend_from_slice(index);
        identities.extend_from_slice(&[0; 4]);
    }
    let settled = 1 + companions.len() as u64 / 4;
    if !identities.is_empty() {
        section(tag::IDENTITIES, &identities, &mut payload);
    }
    passes(payload, kept, fresh.len() - kept, settled)
}

fn passes(payload: Vec<u8>, kept: usize, rejected: usize, identities: u64) -> Offer {
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let record = OwnRecord {
        kind: Kind::Redrive,
        kept: count(kept),
        rejected: count(rejected),
        payload,
        mark: None,
    };
    Offer::Passes { record, identities, events: kept as u64 }
}

/// The record that gives one event up.
pub(super) fn discard(log: &str, item: &Item) -> OwnRecord {
    let mut payload = Vec::new();
    if log != EDGE {
        let origin =
            Origin { lsn: item.lsn, index: item.index, recv_ns: 0, sink: Some(log.to_owned()) };
        section(tag::ORIGIN, &origin.encode(), &mut payload);
    }
    let mut identity = item.lsn.to_le_bytes().to_vec();
    identity.extend_from_slice(&item.index.to_le_bytes());
    identity.extend_from_slice(&[0; 4]);
    section(tag::IDENTITIES, &identity, &mut payload);
    OwnRecord { kind: Kind::Discard, kept: 0, rejected: 0, payload, mark: None }
}
