//! A quarantined event as bytes: the TLV sections of one event, so that it can be shown, checked again and sent on without the
//! journal it came from.

use super::Item;
use super::entry::ItemHeader;
use crate::engine::tap_event;
use crate::import::mark::Line;
use crate::range::EventView;
use event::record::{self, Builder, CodeRef, Entry, Record, Span, Verdict, flag, meta};

/// Sections of quarantine files only (tags from 0x8000 are local to a file).
pub(super) mod local {
    /// Indices u32 of further events of the same request that could not be opened either; their RAW is here.
    pub(crate) const COMPANIONS: u16 = 0x8001;
    /// crc32c u32 of each readable event of the same request, in order: what a re-drive of RAW must not send again.
    pub(crate) const READABLE: u16 = 0x8002;
    /// Where an imported line stood, `<file name>:<line>`.
    pub(crate) const PLACE: u16 = 0x8004;
    /// The reason a sink gave.
    pub(crate) const REFUSAL: u16 = 0x8003;
}

/// Whether an event could not even be read, so that only its request can be tried again.
pub(super) fn is_unopened(entry: &Entry) -> bool {
    entry.verdict == Verdict::Rejected && entry.flags & flag::NOT_OBJECT != 0
}

/// Appends a section.
pub(super) fn section(tag: u16, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&record::section_head(tag, bytes.len()));
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// The item of an event. For the first unopened event of a request RAW goes with it.
pub(super) fn payload(event: &EventView<'_>, refusal: Option<&str>) -> Vec<u8> {
    let mut builder = Builder::default();
    for id in [meta::PROJECT, meta::IP, meta::USER_AGENT, meta::PATH, meta::TOKEN, meta::TRANSPORT]
    {
        let value = event.record.meta(id);
        if !value.is_empty() {
            builder.meta(id, value, u16::MAX);
        }
    }
    builder.bytes().extend_from_slice(event.json);
    let at = Span { at: 0, len: event.entry.json.len };
    builder.entry(&Entry { json: at, ..*event.entry });
    for code in event.codes.iter().chain(event.request_codes) {
        let index = if code.index == CodeRef::REQUEST { code.index } else { 0 };
        builder.code(CodeRef { index, ..*code });
    }
    let unopened: Vec<u32> = if is_unopened(event.entry) && refusal.is_none() {
        let all = (0u32..).zip(event.record.events());
        all.filter(|(_, (entry, _))| is_unopened(entry)).map(|(i, _)| i).collect()
    } else {
        Vec::new()
    };
    let holds_raw = unopened.first() == Some(&event.fact.index);
    let mut out = builder.payload(if holds_raw { event.record.raw } else { &[] });
    if let Some(line) = Line::read(event.record.import) {
        section(local::PLACE, line.place, &mut out);
    }
    if holds_raw {
        let companions: Vec<u8> =
            unopened.iter().skip(1).flat_map(|index| index.to_le_bytes()).collect();
        let readable: Vec<u8> = event
            .record
            .events()
            .filter(|(entry, _)| !is_unopened(entry))
            .flat_map(|(_, json)| crc32c::crc32c(json).to_le_bytes())
            .collect();
        section(local::COMPANIONS, &companions, &mut out);
        section(local::READABLE, &readable, &mut out);
    }
    if let Some(reason) = refusal {
        let reason = reason.as_bytes();
        section(local::REFUSAL, reason.get(..1024).unwrap_or(reason), &mut out);
    }
    out
}

/// A section of an item; empty if absent.
pub(super) fn find(payload: &[u8], tag: u16) -> &[u8] {
    record::sections(payload).flatten().find(|(t, _)| *t == tag).map_or(&[], |(_, bytes)| bytes)
}

/// The item for people.
pub(super) fn show(header: &ItemHeader, payload: &[u8], sink: Option<&str>) -> Item {
    let record = Record::parse(payload).unwrap_or_default();
    let Some((entry, json)) = record.event(0) else { return Item::default() };
    let event = tap_event(&record, &entry, json, 0);
    let mut codes = event.codes;
    let refusal = find(payload, local::REFUSAL);
    if let Some(sink) = sink {
        codes.insert(
            0,
            crate::tap::TapCode {
                code: format!("refused:{sink}"),
                pointer: String::new(),
                detail: String::from_utf8_lossy(refusal).into_owned(),
            },
        );
    }
    Item {
        lsn: header.lsn,
        index: header.index,
        recv_ms: header.recv_ms,
        project: event.project,
        event: event.event,
        user: event.user,
        sdk: format!("{} {}", event.sdk, event.sdk_version).trim().to_owned(),
        ip: event.ip,
        codes,
        json: event.json,
        raw: String::from_utf8_lossy(record.raw).into_owned(),
        place: String::from_utf8_lossy(find(payload, local::PLACE)).into_owned(),
        sink: sink.map(str::to_owned),
    }
}
