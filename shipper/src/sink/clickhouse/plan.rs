//! How a range is being delivered, written down before it matters, so that a process that died goes on with the same blocks under
//! the same tokens.
//!
//! `<data>/state/clickhouse.plan`; a plan of another range is none.

use super::table::Table;
use crate::disk::{self, Disk};
use crate::sink::Refused;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HEAD: &str = "tusk clickhouse plan 1";
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The plan of one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) from: u64,
    pub(super) to: u64,
    /// When its first try began, ms since 1970.
    pub(super) first_ms: i64,
    /// Tokens no longer decide: what is missing is asked for, by identity.
    pub(super) repair: bool,
    /// Blocks that were halved because rows in them are refused: (table, first event, behind the last).
    pub(super) pieces: Vec<(Table, usize, usize)>,
    /// Events the server will never take.
    pub(super) refused: Vec<Refused>,
}

impl Plan {
    /// Blocks of a table with that many events.
    pub(super) fn pieces(&self, table: Table, events: usize) -> Vec<(usize, usize)> {
        let own = self.pieces.iter().filter(|piece| piece.0 == table);
        let own: Vec<(usize, usize)> = own.map(|(_, from, to)| (*from, *to)).collect();
        if own.is_empty() && events > 0 { vec![(0, events)] } else { own }
    }

    /// Puts two halves where a block was.
    pub(super) fn halve(&mut self, table: Table, events: usize, piece: (usize, usize)) {
        let mut own = self.pieces(table, events);
        let Some(at) = own.iter().position(|known| *known == piece) else { return };
        let middle = piece.0 + (piece.1 - piece.0) / 2;
        own.splice(at..=at, [(piece.0, middle), (middle, piece.1)]);
        self.set(table, &own);
    }

    /// Takes a block of one event out.
    pub(super) fn refuse(&mut self, table: Table, events: usize, piece: (usize, usize), refused: Refused) {
        let mut own = self.pieces(table, events);
        own.retain(|known| *known != piece);
        if own.is_empty() {
            // Otherwise it would mean: not halved yet.
            own.push((0, 0));
        }
        self.set(table, &own);
        self.refused.push(refused);
    }

    fn set(&mut self, table: Table, own: &[(usize, usize)]) {
        self.pieces.retain(|piece| piece.0 != table);
        self.pieces.extend(own.iter().map(|(from, to)| (table, *from, *to)));
    }

    fn text(&self) -> String {
        let mut out = format!("{HEAD}\nrange {} {} {}\n", self.from, self.to, self.first_ms);
        if self.repair {
            out.push_str("repair\n");
        }
        for (table, from, to) in &self.pieces {
            let _ = writeln!(out, "piece {} {from} {to}", table.name());
        }
        for Refused { lsn, index, reason } in &self.refused {
            let _ = writeln!(out, "refused {lsn} {index} {}", reason.replace('\n', " "));
        }
        out
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        let mut plan = Self::default();
        for line in lines {
            let mut words = line.splitn(4, ' ');
            let kind = words.next()?;
            match kind {
                "range" => {
                    plan.from = words.next()?.parse().ok()?;
                    plan.to = words.next()?.parse().ok()?;
                    plan.first_ms = words.next()?.parse().ok()?;
                }
                "repair" => plan.repair = true,
                "piece" => {
                    let name = words.next()?;
                    let table = Table::ALL.into_iter().find(|table| table.name() == name)?;
                    let from = words.next()?.parse().ok()?;
                    plan.pieces.push((table, from, words.next()?.parse().ok()?));
                }
                "refused" => {
                    let lsn = words.next()?.parse().ok()?;
                    let index = words.next()?.parse().ok()?;
                    plan.refused.push(Refused { lsn, index, reason: words.next()?.to_owned() });
                }
                _ => return None,
            }
        }
        Some(plan)
    }
}

/// Where plans are kept.
#[derive(Debug)]
pub(super) struct Plans {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Plans {
    pub(super) fn new(disk: &Arc<dyn Disk>, data: &Path) -> Self {
        Self { disk: Arc::clone(disk), path: data.join("state").join("clickhouse.plan") }
    }

    /// The plan written down, if it is of this range.
    pub(super) fn of(&self, from: u64, to: u64) -> io::Result<Option<Plan>> {
        let Some(bytes) = disk::read(self.disk.as_ref(), &self.path, FILE_BYTES_MAX)? else {
            return Ok(None);
        };
        let plan = Plan::parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
            let path = self.path.display();
            io::Error::other(format!("{path} is damaged: restore it, or remove it and run `tusk ledger --audit` afterwards"))
        })?;
        Ok(Some(plan).filter(|plan| (plan.from, plan.to) == (from, to)))
    }

    pub(super) fn save(&self, plan: &Plan) -> io::Result<()> {
        let folder = disk::parent(&self.path);
        disk::create_dirs(self.disk.as_ref(), folder, folder)?;
        disk::replace(self.disk.as_ref(), &self.path, plan.text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_and_halves_down_to_the_poison() {
        let mut plan = Plan { from: 7, to: 99, first_ms: 5, ..Plan::default() };
        assert_eq!(plan.pieces(Table::Events, 5), [(0, 5)]);
        plan.halve(Table::Events, 5, (0, 5));
        plan.halve(Table::Events, 5, (2, 5));
        assert_eq!(plan.pieces(Table::Events, 5), [(0, 2), (2, 3), (3, 5)]);
        let refused = Refused { lsn: 8, index: 1, reason: "Code: 469. of a row".into() };
        plan.refuse(Table::Events, 5, (2, 3), refused.clone());
        assert_eq!(plan.pieces(Table::Events, 5), [(0, 2), (3, 5)]);
        plan.refuse(Table::Items, 1, (0, 1), refused);
        assert_eq!(plan.pieces(Table::Items, 1), [(0, 0)]);
        plan.repair = true;
        assert_eq!(Plan::parse(&plan.text()), Some(plan));
        assert_eq!(Plan::parse("something else"), None);
    }
}
