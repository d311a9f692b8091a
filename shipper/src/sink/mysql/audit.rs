//! Reading the table back: every identity that should be there, and no other.

use super::config::Config;
use super::link::Link;
use super::{row, schema};
use crate::facts::{FactsReader, flag};
use crate::ledger::{Audit, Identity, IdentityRange};
use crate::range::Source as _;
use crate::range::{RangeReader, Shown, Want};
use crate::sink::{AuditContext, DeliverError};
use mysql_async::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Events compared at a time: a few megabytes, whatever the journal holds.
const EVENTS: u32 = 50_000;
/// Rows this close to their end are neither expected nor too much: they may go while we look.
const EDGE_MS: i64 = 120_000;

/// Compares the table with the facts.
pub(super) fn audit(config: &Config, context: &AuditContext) -> Result<Audit, String> {
    let say = |error: super::link::Failure| DeliverError::from(error).to_string();
    let mut link = Link::new(config, None);
    link.up().map_err(say)?;
    schema::check(&mut link, &config.table).map_err(say)?;
    let mut audit = Audit {
        sink: context.name.clone(),
        from_lsn: context.segments.start_lsn().min(context.state.done),
        to_lsn: context.state.done,
        files: 1,
        ..Audit::default()
    };
    let mut reader = Reader {
        config,
        context,
        oldest_ms: match config.keep_hours {
            0 => i64::MIN,
            hours => crate::engine::now_ms() - i64::from(hours) * 3_600_000 + EDGE_MS,
        },
        ranges: RangeReader::new(&context.segments, &context.facts, Want::All(context.name.clone())),
        old: 0,
    };
    let returned = reader.returned(&audit)?;
    let mut from = audit.from_lsn;
    let mut facts = FactsReader::new(Arc::clone(&context.facts), from);
    while from < audit.to_lsn {
        let to = slice(&mut facts, audit.to_lsn)?;
        let mut expected = reader.expected(from, to)?;
        expected.keep.extend(returned.range((from, 0)..(to, 0)));
        let sql = format!(
            "SELECT `lsn`, `idx` FROM `{}` WHERE `node` = ? AND `lsn` >= ? AND `lsn` < ? ORDER BY `lsn`, `idx`",
            config.table
        );
        let values = vec![context.node.as_str().into(), Value::UInt(from), Value::UInt(to)];
        let found: Vec<Identity> = link.rows(&sql, values).map_err(say)?;
        compare(&expected, &found, &mut audit);
        from = to;
    }
    if reader.old > 0 {
        audit.notes.push(format!(
            "{} events are older than keep_hours ({} h); they were not checked",
            reader.old, config.keep_hours
        ));
    }
    if context.state.sums.refused > 0 {
        audit.notes.push(format!(
            "{} events were refused by the database over its life; they are in quarantine and count as missing here",
            context.state.sums.refused
        ));
    }
    Ok(audit)
}

/// The end of the next slice, a record's end.
fn slice(facts: &mut FactsReader, limit: u64) -> Result<u64, String> {
    let mut events = 0;
    while let Some(fact) = facts.next(limit).map_err(|error| error.to_string())? {
        events += 1;
        if events >= EVENTS && fact.is_last() {
            return Ok(fact.lsn + u64::from(fact.record_bytes));
        }
    }
    Ok(limit)
}

/// What a slice should hold.
#[derive(Default)]
struct Expected {
    keep: BTreeSet<Identity>,
    /// May be there or not.
    either: BTreeSet<Identity>,
}

struct Reader<'a> {
    config: &'a Config,
    context: &'a AuditContext,
    oldest_ms: i64,
    ranges: RangeReader,
    old: u64,
}

impl Reader<'_> {
    /// Identities of first arrivals in `[from, to)` that the sink writes.
    fn expected(&mut self, from: u64, to: u64) -> Result<Expected, String> {
        let (sample, oldest_ms) = (self.config.sample, self.oldest_ms);
        let holes = &self.context.state.holes;
        let (mut expected, mut old) = (Expected::default(), 0);
        self.ranges
            .read(from, to, &mut |shown| {
                let Shown::Event(event) = shown else { return Ok(()) };
                let identity = (event.lsn, event.index);
                if event.fact.has(flag::REDRIVEN) || !row::wants(event, sample) {
                    return Ok(());
                }
                let skipped = holes.iter().any(|(a, b)| (*a..*b).contains(&event.lsn));
                if event.recv_ms < oldest_ms || skipped {
                    // A hole may have been filled since.
                    old += u64::from(!skipped);
                    expected.either.insert(identity);
                } else {
                    expected.keep.insert(identity);
                }
                Ok(())
            })
            .map_err(|error| error.to_string())?;
        self.old += old;
        Ok(expected)
    }

    /// Identities that came out of quarantine: they stand with the arrivals of long ago.
    fn returned(&mut self, audit: &Audit) -> Result<BTreeSet<Identity>, String> {
        let mut facts = FactsReader::new(Arc::clone(&self.context.facts), audit.from_lsn);
        let mut records: Vec<(u64, u64)> = Vec::new();
        while let Some(fact) = facts.next(audit.to_lsn).map_err(|error| error.to_string())? {
            if fact.has(flag::REDRIVEN) && records.last().is_none_or(|last| last.0 != fact.lsn) {
                records.push((fact.lsn, fact.lsn + u64::from(fact.record_bytes)));
            }
        }
        let (sample, oldest_ms) = (self.config.sample, self.oldest_ms);
        let mut returned = BTreeSet::new();
        for (from, to) in records {
            self.ranges
                .read(from, to, &mut |shown| {
                    if let Shown::Event(event) = shown
                        && event.recv_ms >= oldest_ms
                        && row::wants(event, sample)
                    {
                        returned.insert((event.lsn, event.index));
                    }
                    Ok(())
                })
                .map_err(|error| error.to_string())?;
        }
        Ok(returned)
    }
}

/// Adds what is missing and what is too much. The key lets no identity in twice.
fn compare(expected: &Expected, found: &[Identity], audit: &mut Audit) {
    let there: BTreeSet<Identity> = found.iter().copied().collect();
    audit.expected += expected.keep.len() as u64;
    audit.found += there.intersection(&expected.keep).count() as u64;
    for identity in expected.keep.difference(&there) {
        IdentityRange::add(&mut audit.missing, *identity);
    }
    for identity in there.difference(&expected.keep).filter(|one| !expected.either.contains(one)) {
        IdentityRange::add(&mut audit.surplus, *identity);
    }
}
