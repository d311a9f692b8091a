//! Events of a range as rows, one block per table, in ClickHouse's RowBinary.

use super::row::{One, bad};
use super::table::Table;
use super::Duplicates;
use crate::columns::{Columns, Scope, scope};
use crate::facts::flag;
use crate::range::EventView;
use crate::sink::Refused;
use crate::zone::{Hour, Zone};
use event::EventType;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

const DAY_MS: i64 = 86_400_000;
/// How far ahead of its arrival an event may stand on its own day.
const AHEAD_MS: i64 = 3_600_000;
/// Bindings of ids sent lately and not sent again; a binding is written each time somebody logged in does something.
const BOUND_MAX: usize = 200_000;

/// Where the rows of one event end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) lsn: u64,
    pub(super) index: u32,
    /// Days since 1970 of its partition.
    pub(super) day: u16,
    /// Behind its last row in the block's bytes.
    pub(super) end: usize,
}

/// Rows of one table.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// One per event, in order.
    pub(super) marks: Vec<Mark>,
}

impl Block {
    /// Bytes of the events `from..to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> &[u8] {
        let at = |event: usize| match event.checked_sub(1) {
            None => 0,
            Some(before) => self.marks.get(before).map_or(0, |mark| mark.end),
        };
        self.bytes.get(at(from)..at(to)).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
    }

    fn mark(&mut self, event: &EventView<'_>, day: u16) {
        let end = self.bytes.len();
        self.marks.push(Mark { lsn: event.lsn, index: event.index, day, end });
    }
}

/// What a range became. Its buffers are used again for the next.
#[derive(Debug, Default)]
pub(super) struct Rows {
    blocks: [Block; Table::ALL.len()],
    /// Left out as an SDK's resend.
    pub(super) deduplicated: u64,
    /// Left out for the type of a property.
    pub(super) refused: Vec<Refused>,
    /// Receive time of the newest, ms.
    pub(super) newest_ms: i64,
    /// Bindings in this range's block.
    bound: Vec<u64>,
}

impl Rows {
    pub(super) fn block(&self, table: Table) -> &Block {
        &self.blocks[table as usize]
    }

    pub(super) fn clear(&mut self) {
        self.blocks.iter_mut().for_each(Block::clear);
        self.deduplicated = 0;
        self.refused.clear();
        self.newest_ms = 0;
        self.bound.clear();
    }
}

/// Makes rows of events.
#[derive(Debug)]
pub(super) struct Encoder {
    columns: Columns,
    node: String,
    node_hash: u64,
    zone: Zone,
    keep_ms: Option<i64>,
    duplicates: Duplicates,
    /// Bindings delivered lately, by hash.
    known: HashSet<u64>,
    hasher: RandomState,
    days: (Hour, u16),
}

impl Encoder {
    pub(super) fn new(
        columns: Columns,
        node: &str,
        zone: Zone,
        keep_days: u32,
        duplicates: Duplicates,
    ) -> Self {
        let node_hash = node.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            columns,
            node: node.to_owned(),
            node_hash,
            zone,
            keep_ms: (keep_days > 0).then(|| i64::from(keep_days) * DAY_MS),
            duplicates,
            known: HashSet::new(),
            hasher: RandomState::new(),
            days: (Hour { year: 1970, month: 1, day: 1, hour: 0 }, 0),
        }
    }

    /// Makes durable what the rows rest on; before any of them is sent.
    pub(super) fn save(&mut self) -> std::io::Result<()> {
        self.columns.save()
    }

    /// The rows were delivered: their bindings need not be sent again soon.
    pub(super) fn delivered(&mut self, rows: &Rows) {
        if self.known.len() + rows.bound.len() > BOUND_MAX {
            self.known.clear();
        }
        self.known.extend(&rows.bound);
    }

    /// Days since 1970 of a moment in the project's zone.
    pub(super) fn day(&mut self, ms: i64) -> u16 {
        let hour = Hour { hour: 0, ..self.zone.hour(ms) };
        if self.days.0 != hour {
            self.days = (hour, days_from_civil(hour));
        }
        self.days.1
    }

    /// Adds an event that was kept.
    pub(super) fn kept(&mut self, event: &EventView<'_>, rows: &mut Rows) {
        rows.newest_ms = rows.newest_ms.max(event.fact.recv_ms);
        let duplicate = event.fact.has(flag::DUPLICATE);
        if duplicate && self.duplicates == Duplicates::Drop {
            rows.deduplicated += 1;
            return;
        }
        let (day, filed) = self.place(event);
        let sdk = event.fact.dup_key;
        let dup_key = if sdk == 0 || duplicate { self.hash(event) } else { sdk };
        let row = self.columns.read(event);
        if let Some(reason) = row.refused() {
            let reason = reason.to_owned();
            rows.refused.push(Refused { lsn: event.lsn, index: event.index, reason });
            return;
        }
        let one = One { event, row, node: &self.node, day, filed, dup_key, duplicate };
        let kind = EventType::from_u8(event.entry.kind);
        let table = match scope(kind) {
            Scope::Event => Table::Events,
            Scope::User => Table::ProfileOps,
            Scope::Item => Table::Items,
        };
        let block = &mut rows.blocks[table as usize];
        match table {
            Table::Events => one.event(kind, &mut block.bytes),
            Table::ProfileOps => one.profile(kind, &mut block.bytes),
            _ => one.item(kind, &mut block.bytes),
        }
        block.mark(event, day);
        if table == Table::Events {
            let bound = &mut rows.bound;
            let mut fresh = |binding: &[&[u8]; 3]| {
                let hash = self.hasher.hash_one(binding);
                let fresh = !self.known.contains(&hash) && !bound.contains(&hash);
                if fresh {
                    bound.push(hash);
                }
                fresh
            };
            let block = &mut rows.blocks[Table::IdMap as usize];
            one.bindings(kind, &mut fresh, &mut block.bytes);
            if block.marks.last().map_or(0, |mark| mark.end) < block.bytes.len() {
                block.mark(event, day);
            }
        }
    }

    /// Adds a copy of an event that was rejected.
    pub(super) fn rejected(&mut self, event: &EventView<'_>, rows: &mut Rows) {
        rows.newest_ms = rows.newest_ms.max(event.fact.recv_ms);
        let day = self.day(event.recv_ms);
        let block = &mut rows.blocks[Table::BadEvents as usize];
        bad(event, &self.node, &mut block.bytes);
        block.mark(event, day);
    }

    /// The day an event is filed under, and whether that is the day of arrival for want of a better one (T003).
    fn place(&mut self, event: &EventView<'_>) -> (u16, bool) {
        let (time, recv) = (event.fact.time_ms, event.recv_ms);
        let low = self.keep_ms.map_or(0, |keep| recv.saturating_sub(keep)).max(0);
        let own = (low..=recv.saturating_add(AHEAD_MS)).contains(&time);
        (self.day(if own { time } else { recv }), !own)
    }

    /// Stands for an identity where the SDK sent none.
    fn hash(&self, event: &EventView<'_>) -> u64 {
        // splitmix64 over node, lsn and index.
        let mut hash = self.node_hash;
        for part in [event.lsn, u64::from(event.index)] {
            hash = hash.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
            hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            hash ^= hash >> 31;
        }
        hash
    }
}

/// Days since 1970-01-01 of a civil day; what a `Date` cannot hold becomes its nearest end.
fn days_from_civil(day: Hour) -> u16 {
    let (year, month) = (i64::from(day.year), i64::from(day.month));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day.day) - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    u16::try_from(days.max(0)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_by_the_calendar() {
        let mut zone = Zone::named("UTC").unwrap();
        for day in 0..40_000u16 {
            let hour = zone.hour(i64::from(day) * DAY_MS + 5);
            assert_eq!(days_from_civil(hour), day);
        }
        let before = Hour { year: 1969, month: 12, day: 31, hour: 0 };
        assert_eq!(days_from_civil(before), 0);
        assert_eq!(days_from_civil(Hour { year: 9999, ..before }), u16::MAX);
    }
}
