//! Watching the facts pass: counts for data health, feeds the taps.

use super::pulse::{self, Greeting, Second};
use super::shared::Shared;
use crate::facts::decide::Origin;
use crate::facts::pass::Watcher;
use crate::facts::{Fact, flag};
use crate::journal::layout::Header;
use crate::tap::{TapCode, TapEvent};
use event::EventType;
use event::record::{CodeRef, Entry, Kind, Record, Verdict, meta};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest request shown whole; what is longer is told by its size.
const RAW_BYTES_MAX: usize = 512 << 10;

pub(super) struct Watch {
    shared: Arc<Shared>,
    events: Vec<TapEvent>,
    codes: BTreeMap<[u8; 4], u64>,
    seconds: Vec<Second>,
    greetings: Vec<Greeting>,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (events, seconds, greetings) = (Vec::new(), Vec::new(), Vec::new());
        Self { shared, events, codes: BTreeMap::new(), seconds, greetings }
    }
}

impl Watcher for Watch {
    fn wants(&self) -> bool {
        self.shared.taps.subscribers() > 0
    }

    fn restore(&mut self) {
        if let Err(problem) = self.shared.health.restore() {
            self.shared.warn("health", &problem);
        }
    }

    fn replay(&mut self, payload: &[u8], facts: &[Fact]) {
        self.shared.health.count(payload, facts);
    }

    fn save(&mut self, lsn: u64) -> std::io::Result<()> {
        self.shared.health.save(lsn)
    }

    fn count(&mut self, payload: &[u8], facts: &[Fact]) {
        self.shared.health.count(payload, facts);
        pulse::count(&mut self.seconds, facts);
        let troubled = flag::REJECTED | flag::PROBLEMS | flag::DUPLICATE;
        if !facts.iter().any(|fact| fact.has(troubled)) {
            return;
        }
        let duplicates = facts.iter().filter(|fact| fact.has(flag::DUPLICATE)).count() as u64;
        if duplicates > 0 {
            *self.codes.entry(*b"D001").or_default() += duplicates;
        }
        for code in Record::parse(payload).unwrap_or_default().codes() {
            *self.codes.entry(code.code).or_default() += 1;
        }
    }

    fn gather(&mut self, header: &Header, payload: &[u8], facts: &[Fact]) {
        let record = Record::parse(payload).unwrap_or_default();
        let redriven = header.kind == Kind::Redrive as u8;
        let origin = if redriven { Origin::find(payload) } else { None };
        if record.is_empty() && header.kind == Kind::Request as u8 {
            self.greetings.extend(Greeting::read(record.raw));
        }
        let raw: Option<Arc<[u8]>> = (!record.raw.is_empty() && record.raw.len() <= RAW_BYTES_MAX)
            .then(|| record.raw.into());
        for fact in facts.iter().filter(|fact| !fact.has(flag::RECORD)) {
            let Some((entry, json)) = record.event(fact.index as usize) else { continue };
            let mut event = tap_event(&record, &entry, json, fact.index);
            event.node.clone_from(&self.shared.node);
            (event.lsn, event.index, event.recv_ms) = match &origin {
                Some(origin) => {
                    let recv_ms = (origin.recv_ns / 1_000_000).cast_signed();
                    (origin.lsn, origin.index_of(fact.index), recv_ms)
                }
                None => (fact.lsn, fact.index, fact.recv_ms),
            };
            event.raw.clone_from(&raw);
            event.duplicate = fact.has(flag::DUPLICATE);
            if event.duplicate {
                event.codes.push(TapCode { code: "D001".to_owned(), ..TapCode::default() });
            }
            event.shorten();
            self.events.push(event);
        }
    }

    fn committed(&mut self, durable: bool) {
        if durable {
            if !self.codes.is_empty() {
                let mut looks = self.shared.looks();
                for (code, count) in std::mem::take(&mut self.codes) {
                    *looks.codes.entry(code).or_default() += count;
                }
            }
            self.shared.pulse.add(&self.seconds);
            self.shared.pulse.greet(self.greetings.drain(..));
            for event in self.events.drain(..) {
                self.shared.taps.offer(event);
            }
        }
        self.seconds.clear();
        self.greetings.clear();
        self.codes.clear();
        self.events.clear();
        self.events.shrink_to(1024);
    }
}

/// What a record says of one of its events. Identity and times of arrival are for the caller to fill in.
pub(crate) fn tap_event(record: &Record<'_>, entry: &Entry, json: &[u8], index: u32) -> TapEvent {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let project = match entry.project.of(json) {
        [] => record.meta(meta::PROJECT),
        name => name,
    };
    let own = record.codes().filter(|code| code.index == index);
    let of_request = record.codes().filter(|code| code.index == CodeRef::REQUEST);
    TapEvent {
        time_ms: entry.time_ms,
        project: text(project),
        kind: EventType::from_u8(entry.kind).as_str().to_owned(),
        event: text(entry.event.of(json)),
        user: text(entry.id.of(json)),
        sdk: text(entry.lib.of(json)),
        sdk_version: text(entry.lib_version.of(json)),
        app_version: text(entry.app_version.of(json)),
        ip: text(record.meta(meta::IP)),
        verdict: match entry.verdict {
            Verdict::Kept => "kept",
            Verdict::Problems => "problems",
            Verdict::Rejected => "rejected",
        },
        codes: own.chain(of_request).map(tap_code).collect(),
        path: text(record.meta(meta::PATH)),
        agent: text(record.meta(meta::USER_AGENT)),
        transport: text(record.meta(meta::TRANSPORT)),
        wire_bytes: record
            .meta(meta::WIRE_BYTES)
            .first_chunk()
            .map_or(0, |b| u32::from_le_bytes(*b)),
        of: u32::try_from(record.len()).unwrap_or(u32::MAX),
        sent_ms: (entry.sent_ms != i64::MIN).then_some(entry.sent_ms),
        json: text(json),
        ..TapEvent::default()
    }
}

pub(crate) fn tap_code(code: CodeRef<'_>) -> TapCode {
    TapCode {
        code: String::from_utf8_lossy(&code.code).into_owned(),
        pointer: String::from_utf8_lossy(code.pointer).into_owned(),
        detail: String::from_utf8_lossy(code.detail).into_owned(),
    }
}
