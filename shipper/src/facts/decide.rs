//! The decisions: a pure function of the records shown so far, in lsn order.

use super::dup::DupWindow;
use super::session::Sessions;
use super::{Fact, FactsConfig, RULES, flag};
use crate::journal::layout::{Header, u32_at, u64_at};
use crate::journal::{JournalError, Read, Reader};
use crate::shape::members::{self, Members, names};
use event::record::{self, Entry, Kind, Record, Verdict, meta, tag};
use memchr::memmem::{Finder, FinderRev};

/// Record types 1 to 4 are events of a user; profiles and items make no session.
const LAST_EVENT_KIND: u8 = 4;

/// Whose arrival a re-driven record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// lsn of the first arrival.
    pub lsn: u64,
    /// Its index there.
    pub index: u32,
    /// When it arrived, ns.
    pub recv_ns: u64,
    /// The one sink it is for; `None` = all.
    pub sink: Option<String>,
}

impl Origin {
    /// The ORIGIN section's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sink = self.sink.as_deref().unwrap_or_default().as_bytes();
        let mut out = Vec::with_capacity(24 + sink.len());
        out.extend_from_slice(&self.lsn.to_le_bytes());
        out.extend_from_slice(&self.recv_ns.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&u32::try_from(sink.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(sink);
        out
    }

    /// The ORIGIN section of a payload.
    #[must_use]
    pub fn find(payload: &[u8]) -> Option<Self> {
        let (_, bytes) = record::sections(payload).flatten().find(|(t, _)| *t == tag::ORIGIN)?;
        let sink = bytes.get(24..24 + u32_at(bytes, 20) as usize)?;
        Some(Self {
            lsn: u64_at(bytes, 0),
            recv_ns: u64_at(bytes, 8),
            index: u32_at(bytes, 16),
            sink: (!sink.is_empty()).then(|| String::from_utf8_lossy(sink).into_owned()),
        })
    }

    /// That of the record at `lsn`, which is read anew; `None` where there is none any more.
    ///
    /// # Errors
    /// The journal's.
    pub(crate) fn at(
        journal: &mut Reader,
        lsn: u64,
        to: u64,
    ) -> Result<Option<Self>, JournalError> {
        journal.seek(lsn);
        Ok(match journal.next(to)? {
            Read::Record { payload, .. } => Self::find(payload),
            Read::Gap { .. } | Read::End => None,
        })
    }

    /// Index of the `k`-th event that came out of one rejected arrival: a request that opens at last may hold many. Arrivals have
    /// fewer than 2^14 events, so these never meet another identity.
    #[must_use]
    pub fn index_of(&self, k: u32) -> u32 {
        self.index | (k << 14)
    }
}

/// State of the decisions.
#[derive(Debug)]
pub struct Decider {
    pub(super) window: DupWindow,
    pub(super) sessions: Sessions,
    device: DeviceFinder,
}

impl Decider {
    /// An empty state.
    #[must_use]
    pub fn new(config: &FactsConfig) -> Self {
        Self {
            window: DupWindow::new(config.dedup_window_s, config.dedup_keys_max),
            sessions: Sessions::new(config.session_gap_s, config.session_devices_max),
            device: DeviceFinder::new(),
        }
    }

    /// Decides one record. `payload` is the record's, or for a sealed one what it turned out to hold; `opened_at` is then its offset.
    /// `out` is replaced.
    pub fn decide(
        &mut self,
        header: &Header,
        payload: &[u8],
        opened_at: Option<u64>,
        out: &mut Vec<Fact>,
    ) {
        out.clear();
        let record = Record::parse(payload).unwrap_or_default();
        let kind = Kind::from_u8(header.kind);
        let origin = if kind == Some(Kind::Redrive) { Origin::find(payload) } else { None };
        let holds_events = matches!(kind, Some(Kind::Request | Kind::Sealed)) || origin.is_some();
        let count = if holds_events { record.events().count() as u32 } else { 0 };
        let recv_ms = (header.recv_ns / 1_000_000).cast_signed();
        let base = Fact {
            lsn: header.lsn,
            index: Fact::RECORD,
            count,
            flags: RULES,
            recv_ms,
            time_ms: recv_ms,
            record_bytes: header.length,
            ..Fact::default()
        };
        let sealed = if opened_at.is_some() { flag::SEALED } else { 0 };
        if count == 0 || sealed != 0 {
            let flags = RULES | flag::RECORD | sealed;
            out.push(Fact { flags, dup_key: opened_at.unwrap_or(0), ..base });
        }
        let default_project = crc32c::crc32c(record.meta(meta::PROJECT));
        for (index, (entry, json)) in (0..count).zip(record.events()) {
            let project = match entry.project.of(json) {
                [] => default_project,
                name => crc32c::crc32c(name),
            };
            let mut fact = Fact { index, project, time_ms: entry.time_ms, ..base };
            fact.flags |= sealed | entry_flags(&entry);
            fact.dup_key = entry.dup_key;
            match &origin {
                Some(origin) => {
                    fact.flags |= flag::REDRIVEN;
                    fact.flags |= if origin.sink.is_some() { flag::ONE_SINK } else { 0 };
                }
                None if fact.has(flag::KEPT) => self.relate(&entry, json, &mut fact),
                None => {}
            }
            out.push(fact);
        }
    }

    /// Duplicate mark and session of a kept first arrival.
    fn relate(&mut self, entry: &Entry, json: &[u8], fact: &mut Fact) {
        #[expect(clippy::cast_possible_truncation, reason = "seconds fit until 2106")]
        let second = (fact.recv_ms / 1000).max(0) as u32;
        if entry.flags & record::flag::TRACK_ID != 0 && self.window.seen(entry.dup_key, second) {
            // A resend belongs to the session its first arrival opened; it opens none.
            fact.flags |= flag::DUPLICATE;
            return;
        }
        let client_event = entry.kind >= 1
            && entry.kind <= LAST_EVENT_KIND
            && entry.flags & record::flag::SERVER_SDK == 0;
        if client_event
            && self.sessions.is_on()
            && let Some(device) = self.device.find(json)
        {
            let fresh = ((fact.lsn << 14) | u64::from(fact.index)) + 1;
            fact.session = self.sessions.assign(device, entry.time_ms, fresh);
        }
    }
}

fn entry_flags(entry: &Entry) -> u32 {
    let mut flags = match entry.verdict {
        Verdict::Kept => flag::KEPT,
        Verdict::Problems => flag::KEPT | flag::PROBLEMS,
        Verdict::Rejected => flag::REJECTED,
    };
    if entry.flags & record::flag::TIME_CORRECTED != 0 {
        flags |= flag::CORRECTED;
    }
    if entry.flags & record::flag::SERVER_SDK != 0 {
        flags |= flag::SERVER_SDK;
    }
    flags
}

/// Finds the device of an event.
#[derive(Debug)]
struct DeviceFinder {
    own_session: Finder<'static>,
    anonymous_id: FinderRev<'static>,
}

impl DeviceFinder {
    fn new() -> Self {
        Self {
            own_session: Finder::new("\"$event_session_id\""),
            anonymous_id: FinderRev::new("\"anonymous_id\""),
        }
    }

    /// Hash of the device (`anonymous_id`, which a login does not change) of an event whose SDK counts no sessions itself.
    fn find(&self, json: &[u8]) -> Option<u64> {
        let at = self.anonymous_id.rfind(json)?;
        if self.own_session.find(json).is_some() {
            return None;
        }
        // Mostly it stands behind the properties, so that little is left to look at.
        let id = match members::value_if_outermost(json, at) {
            Some(value) => value,
            None => {
                Members::new(json, 0).find(|m| names(&json[m.name.clone()], "anonymous_id"))?.value
            }
        };
        let id = json.get(id)?;
        // FNV-1a of the id as it stands, quotes and all.
        (id.len() > 2 && id[0] == b'"').then(|| event::watch_hash(id))
    }
}
