//! Reading the tables back: every identity that should be there, once, and no other.

use super::Duplicates;
use super::deliver::identities;
use super::server::Server;
use super::table::Table;
use crate::facts::decide::Origin;
use crate::facts::{Fact, FactsReader, flag};
use crate::journal::Reader;
use crate::ledger::{Audit, Identity, IdentityRange};
use crate::sink::AuditContext;
use crate::sink::expected::differences;
use analytics::quoted;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Journal bytes looked at together: bounds memory, and gives the server questions of a size it likes.
const WINDOW_BYTES: u64 = 64 << 20;
/// Values named one by one in a question.
const NAMED_MAX: usize = 1000;

/// Compares what the tables hold with the facts.
pub(super) fn audit(
    context: &AuditContext,
    server: &Server,
    duplicates: Duplicates,
) -> Result<Audit, String> {
    let mut books = Books {
        context,
        server,
        audit: Audit {
            sink: context.name.clone(),
            from_lsn: context.segments.start_lsn().min(context.state.done),
            to_lsn: context.state.done,
            files: Table::HOMES.len() as u64,
            ..Audit::default()
        },
        redriven: BTreeMap::new(),
        surplus: Vec::new(),
        merged: 0,
    };
    let (mut from, to) = (books.audit.from_lsn, books.audit.to_lsn);
    let mut facts = FactsReader::new(Arc::clone(&context.facts), from);
    let mut journal = Reader::new(Arc::clone(&context.segments), from).with_window(64 << 10);
    let mut held: Option<Fact> = None;
    while from < to {
        let end = (from + WINDOW_BYTES).min(to);
        let mut expected = Vec::new();
        loop {
            let fact = match held.take() {
                Some(fact) => Some(fact),
                None => facts.next(to).map_err(|error| error.to_string())?,
            };
            let Some(fact) = fact else { break };
            if fact.lsn >= end {
                held = Some(fact);
                break;
            }
            let dropped = fact.has(flag::DUPLICATE) && duplicates == Duplicates::Drop;
            let skipped = context.state.holes.iter().any(|(a, b)| (*a..*b).contains(&fact.lsn));
            if !fact.has(flag::KEPT) || dropped || skipped {
                continue;
            }
            if fact.has(flag::REDRIVEN) {
                books.redriven(&fact, &mut journal)?;
            } else {
                expected.push(((fact.lsn, fact.index), fact.dup_key));
            }
        }
        books.window(from, end, &expected)?;
        from = end;
    }
    books.close()
}

struct Books<'a> {
    context: &'a AuditContext,
    server: &'a Server,
    audit: Audit,
    /// Re-driven events: they stand under their first arrival.
    redriven: BTreeMap<Identity, u64>,
    /// There and not expected where they stand.
    surplus: Vec<Identity>,
    merged: u64,
}

impl Books<'_> {
    fn redriven(&mut self, fact: &Fact, journal: &mut Reader) -> Result<(), String> {
        let origin = Origin::at(journal, fact.lsn, self.audit.to_lsn);
        if let Some(origin) = origin.map_err(|error| error.to_string())?
            && origin.sink.as_ref().is_none_or(|sink| *sink == self.context.name)
        {
            self.redriven.insert((origin.lsn, origin.index_of(fact.index)), fact.dup_key);
        }
        Ok(())
    }

    /// What stands in the tables of `[from, to)`, sorted, as often as it stands there.
    fn found(&self, condition: &str) -> Result<Vec<Identity>, String> {
        let mut found = Vec::new();
        for table in Table::HOMES {
            let name = self.server.table(table.name());
            // A profile has a row a property.
            let distinct = if table == Table::ProfileOps { "DISTINCT " } else { "" };
            let node = quoted(&self.context.node);
            let sql =
                format!("SELECT {distinct}lsn, idx FROM {name} WHERE node = {node} AND {condition}");
            found.extend(identities(self.server, &sql).map_err(|fault| fault.to_string())?);
        }
        found.sort_unstable();
        Ok(found)
    }

    fn window(&mut self, from: u64, to: u64, expected: &[(Identity, u64)]) -> Result<(), String> {
        let found = self.found(&format!("lsn >= {from} AND lsn < {to}"))?;
        let mut missing = Vec::new();
        self.audit.found += differences(
            expected,
            &found,
            |(identity, _)| identity,
            |one| missing.push(*one),
            |identity| self.surplus.push(identity),
        );
        self.audit.expected += expected.len() as u64;
        self.missing(&missing)
    }

    /// Missing identities, but for those merged into the row of a resend.
    fn missing(&mut self, missing: &[(Identity, u64)]) -> Result<(), String> {
        let mut there = HashSet::new();
        let keys: Vec<u64> = missing.iter().map(|(_, key)| *key).filter(|key| *key != 0).collect();
        for keys in keys.chunks(NAMED_MAX) {
            let keys: Vec<String> = keys.iter().map(u64::to_string).collect();
            for table in Table::HOMES {
                let name = self.server.table(table.name());
                let sql = format!(
                    "SELECT DISTINCT dup_key, toUInt32(0) FROM {name} WHERE dup_key IN ({})",
                    keys.join(", ")
                );
                let found = identities(self.server, &sql).map_err(|fault| fault.to_string())?;
                there.extend(found.into_iter().map(|(key, _)| key));
            }
        }
        for (identity, key) in missing {
            if *key != 0 && there.contains(key) {
                self.merged += 1;
                self.audit.found += 1;
            } else {
                IdentityRange::add(&mut self.audit.missing, *identity);
            }
        }
        Ok(())
    }

    /// Re-driven events, and what nobody claims.
    fn close(mut self) -> Result<Audit, String> {
        let redriven: Vec<(Identity, u64)> =
            self.redriven.iter().map(|(identity, key)| (*identity, *key)).collect();
        self.audit.expected += redriven.len() as u64;
        let mut there = HashSet::new();
        for some in redriven.chunks(NAMED_MAX) {
            let named: Vec<String> =
                some.iter().map(|((lsn, index), _)| format!("({lsn}, {index})")).collect();
            there.extend(self.found(&format!("(lsn, idx) IN ({})", named.join(", ")))?);
        }
        let mut claimed: HashSet<Identity> = HashSet::new();
        for identity in std::mem::take(&mut self.surplus) {
            // Once it is the re-driven event itself, and counted already.
            if !(self.redriven.contains_key(&identity) && claimed.insert(identity)) {
                IdentityRange::add(&mut self.audit.surplus, identity);
            }
        }
        let older = there.iter().filter(|identity| !claimed.contains(*identity)).count();
        self.audit.found += older as u64;
        let missing: Vec<(Identity, u64)> =
            redriven.into_iter().filter(|(identity, _)| !there.contains(identity)).collect();
        self.missing(&missing)?;
        if self.merged > 0 {
            self.audit.notes.push(format!("{} events stand in the row of their resend", self.merged));
        }
        let refused = self.context.state.sums.refused;
        if refused > 0 && !self.audit.missing.is_empty() {
            self.audit.notes.push(format!(
                "{refused} events were refused and are in quarantine (X002); they are among the missing"
            ));
        }
        Ok(self.audit)
    }
}
