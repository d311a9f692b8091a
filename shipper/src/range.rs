//! Events of a closed range: journal records joined with their facts.

use crate::facts::decide::Origin;
use crate::facts::opened::OpenedReader;
use crate::facts::{Fact, FactsFiles, FactsReader, flag};
use crate::import::mark::Line;
use crate::journal::layout::Header;
use crate::journal::{JournalError, Read, Reader, Segments};
use event::record::{CodeRef, Entry, Kind, Record};
use std::sync::Arc;

/// One event with everything known about it. Borrowed; copied nowhere.
#[derive(Debug)]
pub struct EventView<'a> {
    /// Identity: lsn of its first arrival …
    pub lsn: u64,
    /// … and index there.
    pub index: u32,
    /// Arrival, ms; a re-driven event keeps that of its first arrival, an imported one that of its log line.
    pub recv_ms: i64,
    /// What was decided.
    pub fact: &'a Fact,
    /// Its entry.
    pub entry: &'a Entry,
    /// Its stored bytes.
    pub json: &'a [u8],
    /// Its record, for META and RAW.
    pub record: &'a Record<'a>,
    /// Its own codes.
    pub codes: &'a [CodeRef<'a>],
    /// Codes of its request.
    pub request_codes: &'a [CodeRef<'a>],
}

impl EventView<'_> {
    /// Effective project: its own, else that of the request.
    #[must_use]
    pub fn project(&self) -> &[u8] {
        match self.entry.project.of(self.json) {
            [] => self.record.meta(event::record::meta::PROJECT),
            name => name,
        }
    }
}

/// What passed a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Kept first arrivals.
    pub kept: u64,
    /// Re-driven events for this sink.
    pub redriven: u64,
    /// Rejected first arrivals.
    pub rejected: u64,
    /// Events whose record turned out damaged since they were decided: shown to nobody.
    pub lost: u64,
}

/// What a reader wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Kept and re-driven events, for the sink of this name.
    Kept(String),
    /// As `Kept`, and rejected events as copies.
    All(String),
    /// Rejected events, and the records of re-drives and discards.
    Quarantine,
}

impl Want {
    /// Whether this fact is of an event to be shown (a re-drive for one sink is decided at the record).
    #[must_use]
    pub fn event(&self, fact: &Fact) -> bool {
        match self {
            Self::Kept(_) => fact.has(flag::KEPT),
            Self::All(_) => fact.has(flag::KEPT) || fact.has(flag::REJECTED),
            Self::Quarantine => fact.has(flag::REJECTED),
        }
    }

    /// Whether this fact makes its record one to be read.
    #[must_use]
    pub fn shows(&self, fact: &Fact) -> bool {
        let decision = || fact.has(flag::REDRIVEN) || (fact.has(flag::RECORD) && fact.count == 0);
        self.event(fact) || (*self == Self::Quarantine && decision() && !fact.has(flag::GAP))
    }

    /// Whether this fact is of an event that stands in the books of who reads.
    fn counts(&self, fact: &Fact) -> bool {
        match self {
            Self::Quarantine => fact.has(flag::REJECTED),
            Self::Kept(_) | Self::All(_) => fact.has(flag::KEPT),
        }
    }

    fn sink(&self) -> Option<&str> {
        match self {
            Self::Kept(sink) | Self::All(sink) => Some(sink),
            Self::Quarantine => None,
        }
    }

    fn record(&self, facts: &[Fact]) -> bool {
        facts.iter().any(|fact| self.shows(fact))
    }
}

/// What is shown.
#[derive(Debug)]
pub enum Shown<'a> {
    /// An event.
    Event(&'a EventView<'a>),
    /// A re-drive or discard record ([`Want::Quarantine`] only).
    Decision {
        /// Its kind.
        kind: Kind,
        /// Its lsn.
        lsn: u64,
        /// Its payload.
        payload: &'a [u8],
    },
}

/// Why a range could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The journal or the facts.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The visitor gave up.
    #[error(transparent)]
    Visitor(#[from] std::io::Error),
}

/// What the events of a range are read from.
pub trait Source: Send {
    /// Shows the events of `[from, to)` to `visit`, in order; the same again when asked again.
    ///
    /// # Errors
    /// [`RangeError`].
    fn read(
        &mut self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&Shown<'_>) -> std::io::Result<()>,
    ) -> Result<Passed, RangeError>;
}

/// A reader of ranges; one per sink.
#[derive(Debug)]
pub struct RangeReader {
    journal: Reader,
    facts: FactsReader,
    opened: OpenedReader,
    group: Vec<Fact>,
    next: Option<Fact>,
    want: Want,
}

impl RangeReader {
    /// A reader over these files.
    #[must_use]
    pub fn new(segments: &Arc<Segments>, facts: &Arc<FactsFiles>, want: Want) -> Self {
        let journal = Reader::new(Arc::clone(segments), 0);
        // Rejected events are few: no use in reading half a megabyte for each.
        let journal =
            if want == Want::Quarantine { journal.with_window(64 << 10) } else { journal };
        Self {
            journal,
            facts: FactsReader::new(Arc::clone(facts), 0),
            opened: facts.opened_reader(),
            group: Vec::new(),
            next: None,
            want,
        }
    }

    /// Gathers the facts of the next record.
    fn next_group(&mut self, to: u64) -> Result<bool, JournalError> {
        self.group.clear();
        loop {
            let fact = match self.next.take() {
                Some(fact) => fact,
                None => match self.facts.next(to)? {
                    Some(fact) => fact,
                    None => return Ok(!self.group.is_empty()),
                },
            };
            if self.group.first().is_some_and(|first| first.lsn != fact.lsn) {
                self.next = Some(fact);
                return Ok(true);
            }
            let last = fact.is_last();
            self.group.push(fact);
            if last {
                return Ok(true);
            }
        }
    }
}

impl Source for RangeReader {
    /// Both ends are record boundaries; `to` is not beyond what is decided.
    fn read(
        &mut self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(&Shown<'_>) -> std::io::Result<()>,
    ) -> Result<Passed, RangeError> {
        self.facts.seek(from);
        self.next = None;
        let mut passed = Passed::default();
        while self.next_group(to)? {
            let Some(first) = self.group.first().copied() else { break };
            if first.has(flag::GAP) || !self.want.record(&self.group) {
                // Counted all the same: facts are the books.
                passed.rejected += self
                    .group
                    .iter()
                    .filter(|f| f.has(flag::REJECTED) && !f.has(flag::REDRIVEN))
                    .count() as u64;
                continue;
            }
            self.journal.seek(first.lsn);
            let (header, payload) = match self.journal.next(to)? {
                Read::Record { header, payload } => (header, payload),
                Read::Gap { .. } | Read::End => {
                    // Damaged after it was decided.
                    let events = self.group.iter().filter(|fact| self.want.counts(fact));
                    passed.lost += events.count() as u64;
                    continue;
                }
            };
            if first.has(flag::SEALED) {
                let segment = self.journal.segment_lsn();
                let payload = self.opened.read(segment, first.lsn, first.dup_key)?;
                show(&self.want, &self.group, &header, &payload, &mut passed, visit)?;
            } else {
                show(&self.want, &self.group, &header, payload, &mut passed, visit)?;
            }
        }
        Ok(passed)
    }
}

fn show(
    want: &Want,
    facts: &[Fact],
    header: &Header,
    payload: &[u8],
    passed: &mut Passed,
    visit: &mut dyn FnMut(&Shown<'_>) -> std::io::Result<()>,
) -> Result<(), RangeError> {
    let kind = Kind::from_u8(header.kind);
    if let (Want::Quarantine, Some(kind @ (Kind::Redrive | Kind::Discard))) = (want, kind) {
        visit(&Shown::Decision { kind, lsn: header.lsn, payload })?;
    }
    let origin = if kind == Some(Kind::Redrive) { Origin::find(payload) } else { None };
    if let (Some(sink), Some(Some(only))) = (want.sink(), origin.as_ref().map(|o| &o.sink))
        && sink != only
    {
        return Ok(());
    }
    // An imported line arrived when it was logged; its record, and with it its folder, is of today.
    let record = Record::parse(payload).unwrap_or_default();
    let logged_ms = Line::read(record.import).filter(|line| line.logged_ns > 0);
    let logged_ms = logged_ms.map(|line| (line.logged_ns / 1_000_000).cast_signed());
    // In the order of their events; those of the request come last.
    let mut codes: Vec<CodeRef<'_>> = record.codes().collect();
    codes.sort_by_key(|code| code.index);
    let request_from = codes.partition_point(|code| code.index != CodeRef::REQUEST);
    let (own, request_codes) = codes.split_at(request_from);
    let mut at = 0;
    for fact in facts {
        passed.rejected += u64::from(fact.has(flag::REJECTED) && origin.is_none());
        if !want.event(fact) {
            continue;
        }
        let Some((entry, json)) = record.event(fact.index as usize) else {
            passed.lost += u64::from(want.counts(fact));
            continue;
        };
        while own.get(at).is_some_and(|code| code.index < fact.index) {
            at += 1;
        }
        let from = at;
        while own.get(at).is_some_and(|code| code.index == fact.index) {
            at += 1;
        }
        let (lsn, index, recv_ms) = match &origin {
            Some(origin) => {
                let recv_ms = (origin.recv_ns / 1_000_000).cast_signed();
                (origin.lsn, origin.index_of(fact.index), recv_ms)
            }
            None => (fact.lsn, fact.index, logged_ms.unwrap_or(fact.recv_ms)),
        };
        let view = EventView {
            lsn,
            index,
            recv_ms,
            fact,
            entry: &entry,
            json,
            record: &record,
            codes: own.get(from..at).unwrap_or_default(),
            request_codes,
        };
        visit(&Shown::Event(&view))?;
        if fact.has(flag::KEPT) {
            passed.kept += u64::from(origin.is_none());
            passed.redriven += u64::from(origin.is_some());
        }
    }
    Ok(())
}
