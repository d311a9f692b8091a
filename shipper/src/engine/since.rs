//! The ledger since a moment: differences of the facts' cumulative sums.

use super::report::windows;
use super::shared::Shared;
use crate::facts::{FactsFiles, FactsReader, Totals};
use crate::journal::JournalError;
use crate::ledger::{Since, SinceSink};
use std::sync::Arc;

pub(super) fn since(shared: &Shared, since_ms: i64) -> Result<Since, String> {
    count(shared, since_ms).map_err(|error| error.to_string())
}

fn count(shared: &Shared, since_ms: i64) -> Result<Since, JournalError> {
    // Cursors first: what is decided in between is waiting, never missing.
    let cursors: Vec<_> =
        windows(shared).iter().map(|w| (w.name.clone(), w.state().done)).collect();
    let (to_lsn, all) = shared.facts.totals();
    let (from_lsn, whole) = first_since(&shared.facts, since_ms, to_lsn)?;
    let before = below(&shared.facts, from_lsn)?;
    let stored = |totals: &Totals| totals.kept + totals.redriven;
    let mut since = Since {
        node: shared.node.clone(),
        since_ms,
        from_lsn,
        to_lsn,
        whole,
        received: (all.kept + all.rejected) - (before.kept + before.rejected),
        kept: all.kept - before.kept,
        rejected: all.rejected - before.rejected,
        duplicates: all.duplicates - before.duplicates,
        redriven: all.redriven - before.redriven,
        sinks: Vec::new(),
    };
    for (name, cursor) in cursors.into_iter().filter(|(name, _)| name != "quarantine") {
        let passed = stored(&below(&shared.facts, cursor.max(from_lsn))?) - stored(&before);
        let waiting = (stored(&all) - stored(&before)).saturating_sub(passed);
        since.sinks.push(SinceSink { name, passed, waiting });
    }
    Ok(since)
}

fn below(facts: &Arc<FactsFiles>, lsn: u64) -> Result<Totals, JournalError> {
    let start = facts.firsts().first().copied().unwrap_or_default();
    let totals = facts.totals_below(lsn)?;
    totals.ok_or(JournalError::Reclaimed { wanted: lsn, start })
}

/// lsn of the first record received at or after `since_ms`, and whether older ones are known, so that none is left out.
fn first_since(
    facts: &Arc<FactsFiles>,
    since_ms: i64,
    end: u64,
) -> Result<(u64, bool), JournalError> {
    let firsts = facts.firsts();
    let first_of = |lsn: u64| FactsReader::new(Arc::clone(facts), lsn).next(end);
    let mut start = None;
    for &lsn in firsts.iter().rev() {
        if first_of(lsn)?.is_some_and(|fact| fact.recv_ms < since_ms) {
            start = Some(lsn);
            break;
        }
    }
    let oldest = firsts.first().copied().unwrap_or_default();
    let mut reader = FactsReader::new(Arc::clone(facts), start.unwrap_or(oldest));
    while let Some(fact) = reader.next(end)? {
        if fact.recv_ms >= since_ms {
            return Ok((fact.lsn, start.is_some() || oldest == 0));
        }
    }
    Ok((end, true))
}
