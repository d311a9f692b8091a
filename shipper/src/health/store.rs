//! The counts themselves.

use super::table::Table;
use super::{Buckets, Counts, DAYS, HOURS, MINUTES, Snapshot, scan};
use crate::facts::{Fact, flag};
use crate::zone::{Hour, Zone};
use event::EventType;
use event::record::{CodeRef, Entry, Record, Verdict, meta};
use serde::{Deserialize, Serialize};

/// Rows of events × platform × versions: 200 events on 5 platforms in 5 versions each fit. About 600 bytes a row.
const EVENTS_MAX: usize = 5_000;
/// Events with hours and minutes. About 4 KB a row.
const SERIES_MAX: usize = 1_000;
/// Rows of codes × event × platform × app version × place. About 300 bytes a row.
const CODES_MAX: usize = 4_000;
/// Properties × event × platform. About 400 bytes a row.
const PROPERTIES_MAX: usize = 20_000;
/// Events of one second whose properties are looked into: 2 µs each, so 0.2 % of a core. Which ones is decided by their time of
/// arrival, so that a replay looks into the same.
const LOOKED_INTO_PER_SECOND: u32 = 1_000;
/// Rows that saw nothing for so long leave: what an old app version sent a month ago.
const IDLE_MS: i64 = 35 * 86_400_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// One event on one platform in one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// Identity of the last one.
    pub sample: (u64, u32),
    /// Since it is counted.
    pub total: Counts,
    /// By day.
    pub days: Buckets<Counts>,
}

/// One event on all platforms: kept (with and without problems), with problems, rejected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// By hour.
    pub hours: Buckets<[u32; 3]>,
    /// By minute.
    pub minutes: Buckets<[u32; 3]>,
}

/// One code at one place of an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CodeRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// Identity of the last one.
    pub sample: (u64, u32),
    /// Whether the last one was rejected.
    pub rejected: bool,
    /// Since it is counted.
    pub total: u64,
    /// By day.
    pub days: Buckets<u64>,
    /// By hour.
    pub hours: Buckets<u32>,
}

/// One property of an event on one platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PropertyRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// By day: how often it came as text, number, bool, list, date, null, object.
    pub days: Buckets<[u32; 7]>,
}

/// All tables.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) events: Table<EventRow>,
    pub(super) series: Table<SeriesRow>,
    pub(super) codes: Table<CodeRow>,
    pub(super) properties: Table<PropertyRow>,
    /// Records below are in the counts.
    pub(super) lsn: u64,
    pub(super) since_ms: i64,
    pub(super) until_ms: i64,
    /// The second that is being looked into, and how many events of it were.
    pub(super) looked_into: (i64, u32),
    zone: Zone,
    day: (Option<Hour>, u32),
    swept_day: u32,
}

/// What all facts of a record have in common.
struct Shared<'a> {
    record: Record<'a>,
    day: u32,
    recv_ms: i64,
}

impl Store {
    pub(super) fn new(zone: Zone) -> Self {
        Self {
            events: Table::new(EVENTS_MAX),
            series: Table::new(SERIES_MAX),
            codes: Table::new(CODES_MAX),
            properties: Table::new(PROPERTIES_MAX),
            lsn: 0,
            since_ms: 0,
            until_ms: 0,
            looked_into: (0, 0),
            zone,
            day: (None, 0),
            swept_day: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.zone.clone());
    }

    pub(super) fn total(&self) -> Counts {
        let mut total = Counts::default();
        for row in self.events.rows() {
            total.add(&row.value.total);
        }
        total
    }

    pub(super) fn snapshot(&self, now_ms: i64) -> Snapshot {
        Snapshot {
            since_ms: self.since_ms,
            until_ms: self.until_ms,
            day: self.zone.clone().hour(now_ms).days(),
            events: self.events.shown(),
            series: self.series.shown(),
            codes: self.codes.shown(),
            properties: self.properties.shown(),
        }
    }

    pub(super) fn count(&mut self, payload: &[u8], facts: &[Fact]) {
        let Some(first) = facts.first() else { return };
        if first.lsn < self.lsn {
            return;
        }
        self.lsn = first.lsn + 1;
        let record = Record::parse(payload).unwrap_or_default();
        let recv_ms = first.recv_ms;
        let hour = self.zone.hour(recv_ms);
        if self.day.0 != Some(hour) {
            self.day = (Some(hour), hour.days());
            self.sweep();
        }
        let shared = Shared { record, day: self.day.1, recv_ms };
        if self.since_ms == 0 {
            self.since_ms = recv_ms;
        }
        self.until_ms = self.until_ms.max(recv_ms);
        let mut troubled = false;
        for fact in facts.iter().filter(|fact| !fact.has(flag::RECORD)) {
            let Some((entry, json)) = record.event(fact.index as usize) else { continue };
            troubled |= fact.has(flag::REJECTED | flag::PROBLEMS | flag::DUPLICATE);
            self.count_event(&shared, fact, &entry, json);
        }
        // A request that held no event at all may have codes of its own.
        if troubled || record.is_empty() {
            self.count_codes(&shared, facts);
        }
    }

    fn count_event(&mut self, shared: &Shared<'_>, fact: &Fact, entry: &Entry, json: &[u8]) {
        let rejected = fact.has(flag::REJECTED);
        let redriven = fact.has(flag::REDRIVEN);
        if redriven && (rejected || fact.has(flag::ONE_SINK)) {
            // Back in quarantine, or known to all sinks but one: nothing new was received.
            return;
        }
        let name = Names::of(&shared.record, entry, json);
        let add = |counts: &mut Counts| {
            if redriven {
                counts.redriven += 1;
                return;
            }
            match entry.verdict {
                Verdict::Kept => counts.kept += 1,
                Verdict::Problems => counts.problems += 1,
                Verdict::Rejected => counts.rejected += 1,
            }
            counts.duplicates += u64::from(fact.has(flag::DUPLICATE));
        };
        let words = [name.project, name.event, name.lib, name.lib_version, name.app_version];
        let row = self.events.row(&words, rejected);
        add(&mut row.total);
        row.days.at(shared.day, DAYS).map(add);
        seen(&mut row.first_ms, &mut row.last_ms, shared.recv_ms);
        if redriven {
            return;
        }
        row.sample = (fact.lsn, fact.index);
        let row = self.series.row(&[name.project, name.event], rejected);
        seen(&mut row.first_ms, &mut row.last_ms, shared.recv_ms);
        let hours = row.hours.at(bucket(shared.recv_ms, HOUR_MS), HOURS);
        let minutes = row.minutes.at(bucket(shared.recv_ms, MINUTE_MS), MINUTES);
        for sums in hours.into_iter().chain(minutes) {
            sums[0] += u32::from(!rejected);
            sums[1] += u32::from(fact.has(flag::PROBLEMS));
            sums[2] += u32::from(rejected);
        }
        if !rejected {
            self.look_into(shared, &name, json);
        }
    }

    fn look_into(&mut self, shared: &Shared<'_>, name: &Names<'_>, json: &[u8]) {
        let second = shared.recv_ms / 1000;
        if self.looked_into.0 != second {
            self.looked_into = (second, 0);
        }
        if self.looked_into.1 >= LOOKED_INTO_PER_SECOND {
            return;
        }
        self.looked_into.1 += 1;
        let mut note = |property: &[u8], kind: usize| {
            let row = self.properties.row(&[name.project, name.event, name.lib, property], false);
            seen(&mut row.first_ms, &mut row.last_ms, shared.recv_ms);
            if let Some(sums) = row.days.at(shared.day, DAYS)
                && let Some(sum) = sums.get_mut(kind)
            {
                *sum += 1;
            }
        };
        note(b"", 0);
        scan::properties(json, note);
    }

    fn count_codes(&mut self, shared: &Shared<'_>, facts: &[Fact]) {
        for code in shared.record.codes() {
            let fact = facts.iter().find(|fact| fact.index == code.index);
            let Some(fact) = fact.or(facts.first()) else { continue };
            self.count_code(shared, fact, code.code, place(&code));
        }
        for fact in facts.iter().filter(|fact| fact.has(flag::DUPLICATE)) {
            self.count_code(shared, fact, *b"D001", &[]);
        }
    }

    fn count_code(&mut self, shared: &Shared<'_>, fact: &Fact, code: [u8; 4], place: &[u8]) {
        if fact.has(flag::REDRIVEN) {
            return;
        }
        let event = shared.record.event(fact.index as usize);
        let name = match &event {
            Some((entry, json)) => Names::of(&shared.record, entry, json),
            None => Names { project: shared.record.meta(meta::PROJECT), ..Names::default() },
        };
        let words = [name.project, &code, name.event, name.lib, name.app_version, place];
        let row = self.codes.row(&words, fact.has(flag::REJECTED));
        seen(&mut row.first_ms, &mut row.last_ms, shared.recv_ms);
        row.sample = (fact.lsn, fact.index);
        row.rejected = fact.has(flag::REJECTED);
        row.total += 1;
        if let Some(sum) = row.days.at(shared.day, DAYS) {
            *sum += 1;
        }
        if let Some(sum) = row.hours.at(bucket(shared.recv_ms, HOUR_MS), HOURS) {
            *sum += 1;
        }
    }

    /// Once a day: what is long gone makes room. Its sums stay, under `(other)`.
    fn sweep(&mut self) {
        if self.swept_day == self.day.1 {
            return;
        }
        self.swept_day = self.day.1;
        let limit = self.until_ms - IDLE_MS;
        if limit <= 0 {
            return;
        }
        for row in self.events.drop_rows(|row| row.last_ms < limit) {
            let other = super::OTHER.as_bytes();
            let project = row.key.first().map_or(&[][..], |word| word.as_bytes());
            let to = self.events.row(&[project, other, other, other, other], false);
            to.total.add(&row.value.total);
            seen(&mut to.first_ms, &mut to.last_ms, row.value.last_ms);
        }
        self.series.drop_rows(|row| row.last_ms < limit);
        self.codes.drop_rows(|row| row.last_ms < limit);
        self.properties.drop_rows(|row| row.last_ms < limit);
    }
}

/// The words an event is counted by.
#[derive(Clone, Copy, Default)]
struct Names<'a> {
    project: &'a [u8],
    event: &'a [u8],
    lib: &'a [u8],
    lib_version: &'a [u8],
    app_version: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(record: &Record<'a>, entry: &Entry, json: &'a [u8]) -> Self {
        let project = match entry.project.of(json) {
            [] => record.meta(meta::PROJECT),
            name => name,
        };
        let event = match entry.event.of(json) {
            // Profiles, items: the type is all the name they have.
            [] if entry.kind != 0 => EventType::from_u8(entry.kind).as_str().as_bytes(),
            name => name,
        };
        Self {
            project,
            event,
            lib: entry.lib.of(json),
            lib_version: entry.lib_version.of(json),
            app_version: entry.app_version.of(json),
        }
    }
}

fn seen(first_ms: &mut i64, last_ms: &mut i64, ms: i64) {
    *first_ms = if *first_ms == 0 { ms } else { (*first_ms).min(ms) };
    *last_ms = (*last_ms).max(ms);
}

fn bucket(ms: i64, span_ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(span_ms)).unwrap_or(0)
}

/// A pointer without what is below its second step: `/properties/tags/3` is the property `tags`.
fn place<'a>(code: &CodeRef<'a>) -> &'a [u8] {
    let steps = code.pointer.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = steps.map(|(at, _)| at).nth(2).unwrap_or(code.pointer.len());
    code.pointer.get(..end).unwrap_or_default()
}
