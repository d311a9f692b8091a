//! A range on its way: resent under its tokens while the server remembers them, else only what is missing, by identity.

use super::plan::{Plan, Plans};
use super::rows::{Block, Encoder, Mark, Rows};
use super::server::{Fault, Server};
use super::table::Table;
use crate::ledger::Identity;
use crate::range::Shown;
use crate::sink::{DeliverError, Range, Receipt, Refused, Replay};
use analytics::{Form, quoted};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// How long an insert whose answer was not heard is waited for before anybody asks what it did.
const LINGER: Duration = Duration::from_secs(10);
/// Identities named one by one in a question.
const NAMED_MAX: usize = 1000;
/// A range received longer ago gets its first try written down: its age alone no longer says how old its tokens are.
const FRESH_MS: i64 = 60_000;

/// What delivering needs.
pub(super) struct Work<'w> {
    pub(super) server: &'w Server,
    pub(super) plans: &'w Plans,
    pub(super) form: Form<'w>,
    pub(super) node: &'w str,
    /// How long after its first try a range is resent under its tokens, ms.
    pub(super) resend_ms_max: i64,
    /// Part of each statement's id, so that no two are alike.
    pub(super) run: &'w str,
    pub(super) statements: &'w mut u64,
}

fn unavailable(fault: &Fault) -> DeliverError {
    DeliverError::Unavailable(fault.to_string())
}

/// Reads a range into rows.
pub(super) fn encode(
    range: &mut Range<'_>,
    encoder: &mut Encoder,
    rows: &mut Rows,
) -> Result<(), DeliverError> {
    rows.clear();
    range.read(&mut |shown| {
        let Shown::Event(event) = shown else { return Ok(()) };
        if event.fact.has(crate::facts::flag::REJECTED) {
            encoder.rejected(event, rows);
        } else {
            encoder.kept(event, rows);
        }
        Ok(())
    })?;
    Ok(encoder.save()?)
}

/// The receipt of rows that are all at the target but for `refused`.
pub(super) fn receipt(rows: &Rows, mut refused: Vec<Refused>) -> Receipt {
    let events: usize = Table::HOMES.iter().map(|table| rows.block(*table).marks.len()).sum();
    let delivered = (events - refused.len().min(events)) as u64;
    refused.extend_from_slice(&rows.refused);
    refused.sort_by_key(|refused| (refused.lsn, refused.index));
    Receipt { delivered, deduplicated: rows.deduplicated, refused, ..Receipt::default() }
}

impl Work<'_> {
    /// Delivers rows of `[from, to)`; `tried` says that they may have been sent before.
    pub(super) fn deliver(
        &mut self,
        (from, to): (u64, u64),
        rows: &Rows,
        tried: bool,
        now_ms: i64,
    ) -> Result<Receipt, DeliverError> {
        let mut plan = match self.plans.of(from, to)? {
            Some(plan) => plan,
            None => {
                let known = now_ms - rows.newest_ms <= FRESH_MS;
                // Of a fresh range the age of its events is the age of its tokens, or more. One tried before without a plan was fresh.
                let first_ms = if known || tried { rows.newest_ms } else { now_ms };
                let plan = Plan { from, to, first_ms, ..Plan::default() };
                if !known {
                    self.plans.save(&plan)?;
                }
                plan
            }
        };
        if tried {
            self.wait_for_own()?;
            if !plan.repair && now_ms - plan.first_ms > self.resend_ms_max {
                plan.repair = true;
                self.plans.save(&plan)?;
                tracing::warn!(from, to, "ClickHouse: tokens may be forgotten; asking what is missing");
            }
        }
        for table in Table::ALL {
            if plan.repair {
                break;
            }
            self.send(table, rows, &mut plan, tried)?;
        }
        if plan.repair {
            let refused = self.repair(&plan, rows, &Replay::default())?;
            return Ok(receipt(rows, refused));
        }
        if tried {
            self.compare_counts(&rows.block(Table::Events).marks)?;
        }
        Ok(receipt(rows, plan.refused))
    }

    /// Makes the days' roll-ups anew where they count other than the table has. A server that is killed may remember a token whose rows
    /// never came; in the table that is seen by identity, in a view only by its sum.
    fn compare_counts(&self, marks: &[Mark]) -> Result<(), DeliverError> {
        let days: BTreeSet<u16> = marks.iter().map(|mark| mark.day).collect();
        let node = quoted(self.node);
        for day in days {
            let rollups = analytics::rollups(&self.form).into_iter();
            let sums = rollups.map(|rollup| ("sum(events)", self.server.table(&rollup.table)));
            let events = ("count()", self.server.table(Table::Events.name()));
            let counts = std::iter::once(events).chain(sums).map(|(what, table)| {
                format!("(SELECT {what} FROM {table} WHERE day = toDate({day}) AND node = {node})")
            });
            let counts: Vec<String> = counts.collect();
            let sql = format!("SELECT length(arrayDistinct([{}]))", counts.join(", "));
            let different = self.server.ask(&sql).map_err(|fault| unavailable(&fault))?;
            if different.first().and_then(|line| line.first()).is_some_and(|cell| cell != "1") {
                tracing::warn!(day, "ClickHouse: a roll-up lost or doubled rows; made anew");
                self.heal(day)?;
                self.rebuild(day)?;
            }
        }
        Ok(())
    }

    /// Sends a table's blocks under their tokens; sets `repair` where that would not be enough.
    fn send(
        &mut self,
        table: Table,
        rows: &Rows,
        plan: &mut Plan,
        tried: bool,
    ) -> Result<(), DeliverError> {
        let block = rows.block(table);
        let events = block.marks.len();
        let mut todo = plan.pieces(table, events);
        todo.reverse();
        while let Some(piece) = todo.pop() {
            let bytes = block.slice(piece.0, piece.1);
            if bytes.is_empty() {
                continue;
            }
            let whole = piece == (0, events);
            let token = self.token(plan, table, (!whole).then_some(piece));
            match self.insert(table, bytes, &token) {
                Ok(()) => {}
                Err(Fault::Rows(reason)) => {
                    self.wait_for_own()?;
                    let marks = block.marks.get(piece.0..piece.1).unwrap_or_default();
                    if !self.present(table, marks, (plan.from, plan.to))?.is_empty() {
                        let (from, to) = (plan.from, plan.to);
                        tracing::warn!(from, to, reason, "ClickHouse: stored in part; asking what is missing");
                        plan.repair = true;
                        self.plans.save(plan)?;
                        return Ok(());
                    }
                    if let ([mark], true) = (marks, Table::HOMES.contains(&table)) {
                        let refused = Refused { lsn: mark.lsn, index: mark.index, reason };
                        plan.refuse(table, events, piece, refused);
                    } else if marks.len() > 1 {
                        plan.halve(table, events, piece);
                        let middle = piece.0 + (piece.1 - piece.0) / 2;
                        todo.extend([(middle, piece.1), (piece.0, middle)]);
                    } else {
                        // A copy; its event is at home elsewhere.
                        tracing::warn!(table = table.name(), reason, "a copy was refused");
                    }
                    // Before a half is tried: after a crash the same halves go under the same tokens.
                    self.plans.save(plan)?;
                }
                Err(fault) => return Err(unavailable(&fault)),
            }
        }
        if tried && Table::HOMES.contains(&table) && !self.is_whole(table, block, plan)? {
            let (from, to, table) = (plan.from, plan.to, table.name());
            tracing::warn!(from, to, table, "ClickHouse: not there once after a resend; asking what is missing");
            plan.repair = true;
            self.plans.save(plan)?;
        }
        Ok(())
    }

    /// Whether a block that may have been sent twice stands there once: the server may have forgotten the token early.
    fn is_whole(&self, table: Table, block: &Block, plan: &Plan) -> Result<bool, DeliverError> {
        let wanted = block.marks.iter().filter(|mark| {
            !plan.refused.iter().any(|gone| (gone.lsn, gone.index) == (mark.lsn, mark.index))
        });
        let there = self.count(table, &block.marks, (plan.from, plan.to))?;
        let wanted = wanted.count() as u64;
        // A profile has a row a property.
        Ok(there.1 == wanted && (there.0 == wanted || table == Table::ProfileOps))
    }

    /// Inserts what is missing of the rows and makes the touched days' roll-ups anew; gives what was refused.
    pub(super) fn repair(
        &mut self,
        plan: &Plan,
        rows: &Rows,
        replay: &Replay,
    ) -> Result<Vec<Refused>, DeliverError> {
        let mut refused = Vec::new();
        for table in Table::HOMES {
            let block = rows.block(table);
            let looked = |mark: &Mark| replay.is_missing(mark.lsn, mark.index);
            let marks: Vec<Mark> = block.marks.iter().copied().filter(looked).collect();
            if marks.is_empty() {
                continue;
            }
            let there = self.present(table, &marks, (plan.from, plan.to))?;
            let missing: Vec<usize> = (0..block.marks.len())
                .filter(|at| {
                    let mark = &block.marks[*at];
                    looked(mark) && !there.contains(&(mark.lsn, mark.index))
                })
                .collect();
            self.insert_missing(table, block, &missing, plan, &mut refused)?;
            if table == Table::Events {
                let days: BTreeSet<u16> = marks.iter().map(|mark| mark.day).collect();
                for day in days {
                    self.heal(day)?;
                    self.rebuild(day)?;
                }
            }
        }
        // Idempotent by their keys.
        for table in [Table::IdMap, Table::BadEvents] {
            let block = rows.block(table);
            if !block.bytes.is_empty() {
                let token = self.token(plan, table, Some((0, block.marks.len())));
                match self.insert(table, &block.bytes, &token) {
                    Ok(()) => {}
                    Err(Fault::Rows(reason)) => {
                        tracing::warn!(table = table.name(), reason, "copies were refused");
                    }
                    Err(fault) => return Err(unavailable(&fault)),
                }
            }
        }
        Ok(refused)
    }

    /// Halves until what is refused stands alone. Needs no plan: a later try asks again what is there.
    fn insert_missing(
        &mut self,
        table: Table,
        block: &Block,
        missing: &[usize],
        plan: &Plan,
        refused: &mut Vec<Refused>,
    ) -> Result<(), DeliverError> {
        let mut todo = vec![missing];
        while let Some(part) = todo.pop() {
            if part.is_empty() {
                continue;
            }
            let bytes: Vec<u8> =
                part.iter().flat_map(|at| block.slice(*at, at + 1)).copied().collect();
            // The same missing rows again are the same insert, should its answer be lost.
            let hash = part.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, at| {
                (hash ^ *at as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
            });
            let token = format!("{}:missing:{hash:016x}", self.token(plan, table, None));
            match self.insert(table, &bytes, &token) {
                Ok(()) => {}
                Err(Fault::Rows(reason)) => {
                    self.wait_for_own()?;
                    let marks: Vec<Mark> =
                        part.iter().filter_map(|at| block.marks.get(*at).copied()).collect();
                    let there = self.present(table, &marks, (plan.from, plan.to))?;
                    if !there.is_empty() {
                        return Err(DeliverError::Unavailable(format!(
                            "{}: {reason}; {} of {} rows were stored before, the rest is tried again",
                            self.server.table(table.name()),
                            there.len(),
                            marks.len()
                        )));
                    }
                    match marks.as_slice() {
                        [mark] => {
                            let (lsn, index) = (mark.lsn, mark.index);
                            refused.push(Refused { lsn, index, reason });
                        }
                        _ => {
                            let (first, second) = part.split_at(part.len() / 2);
                            todo.extend([second, first]);
                        }
                    }
                }
                Err(fault) => return Err(unavailable(&fault)),
            }
        }
        Ok(())
    }

    fn token(&self, plan: &Plan, table: Table, piece: Option<(usize, usize)>) -> String {
        let (node, Plan { from, to, .. }) = (self.node, plan);
        let piece = piece.map_or_else(String::new, |(from, to)| format!(":{from}-{to}"));
        format!("{node}:{from:016x}-{to:016x}:{}{piece}", table.name())
    }

    fn insert(&mut self, table: Table, rows: &[u8], token: &str) -> Result<(), Fault> {
        *self.statements += 1;
        let id = format!("{}{}-{}", self.id_prefix(), self.run, self.statements);
        self.server.insert((table.name(), &table.columns()), rows, token, &id)
    }

    fn id_prefix(&self) -> String {
        format!("tusk-{}-", self.node)
    }

    /// Waits until no insert of ours runs any more: one whose answer was lost may still take effect.
    fn wait_for_own(&self) -> Result<(), DeliverError> {
        let prefix = quoted(&self.id_prefix());
        let sql = format!(
            "SELECT count() FROM system.processes WHERE startsWith(query_id, {prefix}) OR startsWith(Settings['log_comment'], {prefix})"
        );
        let start = std::time::Instant::now();
        loop {
            let running = self.server.ask(&sql).map_err(|fault| unavailable(&fault))?;
            let running = running.first().and_then(|line| line.first()).map_or("0", String::as_str);
            if running == "0" {
                return Ok(());
            }
            if start.elapsed() > LINGER {
                return Err(DeliverError::Unavailable(format!(
                    "{} still works on an insert of ours whose answer was lost; waiting for it",
                    self.server.access().url
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Conditions that together cover these events: one for those of the range itself, further ones for re-driven events, which keep
    /// the identity of their first arrival.
    fn conditions(&self, table: Table, marks: &[Mark], (from, to): (u64, u64)) -> Vec<String> {
        let node = quoted(self.node);
        let days = |marks: &mut dyn Iterator<Item = &Mark>| match table {
            Table::Events => {
                let days: BTreeSet<String> =
                    marks.map(|mark| format!("toDate({})", mark.day)).collect();
                let days: Vec<String> = days.into_iter().collect();
                format!(" AND day IN ({})", days.join(", "))
            }
            _ => String::new(),
        };
        let own = |mark: &&Mark| (from..to).contains(&mark.lsn);
        let mut conditions = Vec::new();
        if marks.iter().any(|mark| own(&mark)) {
            let days = days(&mut marks.iter().filter(own));
            conditions.push(format!("node = {node} AND lsn >= {from} AND lsn < {to}{days}"));
        }
        let others: Vec<&Mark> = marks.iter().filter(|mark| !own(mark)).collect();
        for some in others.chunks(NAMED_MAX) {
            let days = days(&mut some.iter().copied());
            let named: Vec<String> =
                some.iter().map(|mark| format!("({}, {})", mark.lsn, mark.index)).collect();
            let named = named.join(", ");
            conditions.push(format!("node = {node} AND (lsn, idx) IN ({named}){days}"));
        }
        conditions
    }

    /// Which of these events are there.
    fn present(
        &self,
        table: Table,
        marks: &[Mark],
        range: (u64, u64),
    ) -> Result<HashSet<Identity>, DeliverError> {
        let mut there = HashSet::new();
        for condition in self.conditions(table, marks, range) {
            let sql =
                format!("SELECT DISTINCT lsn, idx FROM {} WHERE {condition}", self.server.table(table.name()));
            there.extend(identities(self.server, &sql).map_err(|fault| unavailable(&fault))?);
        }
        // A range of which only a part was looked at has more.
        let wanted: HashSet<Identity> = marks.iter().map(|mark| (mark.lsn, mark.index)).collect();
        there.retain(|identity| wanted.contains(identity));
        Ok(there)
    }

    /// Rows and different identities there.
    fn count(&self, table: Table, marks: &[Mark], range: (u64, u64)) -> Result<(u64, u64), DeliverError> {
        let mut sums = (0, 0);
        for condition in self.conditions(table, marks, range) {
            let sql = format!(
                "SELECT count(), uniqExact(lsn, idx) FROM {} WHERE {condition}",
                self.server.table(table.name())
            );
            let answer = self.server.ask(&sql).map_err(|fault| unavailable(&fault))?;
            let cell = |at: usize| answer.first().and_then(|line| line.get(at)?.parse::<u64>().ok());
            sums.0 += cell(0).unwrap_or(0);
            sums.1 += cell(1).unwrap_or(0);
        }
        Ok(sums)
    }

    /// Merges a day in which rows of ours stand twice; does nothing where there are none.
    fn heal(&self, day: u16) -> Result<(), DeliverError> {
        let (table, node) = (self.server.table(Table::Events.name()), quoted(self.node));
        let sql = format!(
            "SELECT count() > uniqExact(lsn, idx) FROM {table} WHERE day = toDate({day}) AND node = {node}"
        );
        let twice = self.server.ask(&sql).map_err(|fault| unavailable(&fault))?;
        if twice.first().and_then(|line| line.first()).is_some_and(|cell| cell == "1") {
            let day = self.date(day)?;
            let sql = format!("OPTIMIZE TABLE {table} PARTITION {day} FINAL");
            self.server.execute(&sql).map_err(|fault| unavailable(&fault))?;
        }
        Ok(())
    }

    fn date(&self, day: u16) -> Result<String, DeliverError> {
        let answer = self.server.ask(&format!("SELECT toDate({day})"));
        let answer = answer.map_err(|fault| unavailable(&fault))?;
        Ok(quoted(answer.first().and_then(|line| line.first()).map_or("", String::as_str)))
    }

    /// Makes this node's part of a day's roll-ups from the events, and puts it in place at once. Nobody else writes to that part.
    fn rebuild(&self, day: u16) -> Result<(), DeliverError> {
        if self.form.cluster.is_some() {
            tracing::warn!(day, "roll-ups of a cluster are not made anew; see docs/clickhouse.md");
            return Ok(());
        }
        let day = self.date(day)?;
        let (node, suffix) = (quoted(self.node), self.node.replace('-', "_"));
        for rollup in analytics::rollups(&self.form) {
            let table = self.server.table(&rollup.table);
            let stage = format!("{table}_of_{suffix}");
            let select = rollup.select.replace("{day}", &day).replace("{node}", &node);
            let run = |sql: String| self.server.execute(&sql).map_err(|fault| unavailable(&fault));
            run(format!("DROP TABLE IF EXISTS {stage} SYNC"))?;
            run(format!("CREATE TABLE {stage} AS {table}"))?;
            run(format!("INSERT INTO {stage} {select}"))?;
            let some = self.server.ask(&format!("SELECT count() FROM {stage}"));
            let some = some.map_err(|fault| unavailable(&fault))?;
            if some.first().and_then(|line| line.first()).is_some_and(|cell| cell != "0") {
                run(format!("ALTER TABLE {table} REPLACE PARTITION ({day}, {node}) FROM {stage}"))?;
            } else {
                run(format!("ALTER TABLE {table} DROP PARTITION ({day}, {node})"))?;
            }
            run(format!("DROP TABLE {stage} SYNC"))?;
        }
        // The copies of client events: what is there already merges away.
        for refill in analytics::refills(&self.form) {
            let sql = refill.replace("{day}", &day).replace("{node}", &node);
            self.server.execute(&sql).map_err(|fault| unavailable(&fault))?;
        }
        Ok(())
    }
}

/// Identities a question gives as (UInt64, UInt32).
pub(super) fn identities(server: &Server, sql: &str) -> Result<Vec<Identity>, Fault> {
    let bytes = server.ask_bytes(sql, "RowBinary")?;
    let one = |row: &[u8]| {
        let (lsn, index) = row.split_at_checked(8)?;
        Some((u64::from_le_bytes(lsn.try_into().ok()?), u32::from_le_bytes(index.try_into().ok()?)))
    };
    Ok(bytes.chunks_exact(12).filter_map(one).collect())
}
