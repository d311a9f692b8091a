//! Reading the topics back: every identity that should be there, once, and no other.
//!
//! Within a partition the records of a node stand in the order of the journal, but for what was replayed. So the journal is taken in
//! windows, and each partition is read as far as the window reaches: memory is bounded by a window and by what stands out of order.

use super::client::{Fail, Reader};
use super::scan::{self, Part};
use super::{Config, connect};
use crate::facts::FactsReader;
use crate::ledger::{Audit, Identity, IdentityRange};
use crate::sink::AuditContext;
use crate::sink::expected::compare;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Events compared at once.
const WINDOW_EVENTS: u64 = 1_000_000;
/// Records out of order remembered at most.
const LATE_MAX: usize = 4_000_000;

/// Compares what the topics hold with the facts.
pub(super) fn audit(config: &Config, context: &AuditContext) -> Result<Audit, String> {
    try_audit(config, context).map_err(|fail| fail.text())
}

fn try_audit(config: &Config, context: &AuditContext) -> Result<Audit, Fail> {
    let limit = Duration::from_millis(config.timeout_ms.into());
    let reader = Reader::open(config, &connect::id(&context.node), true)?;
    let mut parts = scan::parts(config, &reader, "", limit)?;
    let start = context.segments.start_lsn().min(context.state.done);
    let done = context.state.done;
    let mut audit = Audit {
        sink: context.name.clone(),
        from_lsn: start,
        to_lsn: done,
        files: parts.len() as u64,
        ..Audit::default()
    };
    let mut late = Late::default();
    let mut from = start;
    while from < done {
        let to = window(context, from, done).map_err(Fail::Stop)?;
        let mut found = Vec::new();
        for part in &mut parts {
            gather(config, &reader, part, context, (from, to), &mut found, &mut late)?;
        }
        found.sort_unstable();
        compare(context, from, to, &found, &mut audit).map_err(Fail::Stop)?;
        from = to;
    }
    // What was delivered of the range under way, and what was replayed.
    let mut beyond = Vec::new();
    for part in &mut parts {
        gather(config, &reader, part, context, (done, u64::MAX), &mut beyond, &mut late)?;
    }
    close(&mut audit, context, late, &beyond);
    Ok(audit)
}

/// Records that do not stand where the journal's order would have them.
#[derive(Default)]
struct Late {
    identities: BTreeMap<Identity, u32>,
    older: u64,
    forgotten: u64,
}

/// Identities of a partition with positions in the window; the first beyond it is where the next window goes on.
fn gather(
    config: &Config,
    reader: &Reader,
    part: &mut Part,
    context: &AuditContext,
    (from, to): (u64, u64),
    found: &mut Vec<Identity>,
    late: &mut Late,
) -> Result<(), Fail> {
    let start = context.segments.start_lsn();
    scan::read(config, reader, part, &context.node, &mut |mark| {
        if mark.position >= to {
            return ControlFlow::Break(());
        }
        if mark.position >= from {
            found.push(mark.identity);
        } else if mark.position < start {
            late.older += 1;
        } else if late.identities.len() < LATE_MAX {
            *late.identities.entry(mark.identity).or_default() += 1;
        } else {
            late.forgotten += 1;
        }
        ControlFlow::Continue(())
    })
}

/// End of a window that begins at `from`.
fn window(context: &AuditContext, from: u64, to: u64) -> Result<u64, String> {
    let mut facts = FactsReader::new(Arc::clone(&context.facts), from);
    let mut count = 0;
    while let Some(fact) = facts.next(to).map_err(|error| error.to_string())? {
        count += 1;
        if fact.is_last() && count >= WINDOW_EVENTS {
            return Ok(fact.lsn + u64::from(fact.record_bytes));
        }
    }
    Ok(to)
}

/// Gives late ones their places: what they fill is no longer missing, what is left of them is too much.
fn close(audit: &mut Audit, context: &AuditContext, late: Late, beyond: &[Identity]) {
    let Late { mut identities, older, forgotten } = late;
    let mut missing: Vec<IdentityRange> = Vec::new();
    for run in &audit.missing {
        // A run is of one record: its indices are neighbours.
        for index in run.first.1..=run.last.1 {
            let identity = (run.first.0, index);
            match identities.get_mut(&identity) {
                Some(count) => {
                    audit.found += 1;
                    *count -= 1;
                    if *count == 0 {
                        identities.remove(&identity);
                    }
                }
                None => IdentityRange::add(&mut missing, identity),
            }
        }
    }
    audit.missing = missing;
    let mut surplus: Vec<Identity> = audit
        .surplus
        .iter()
        .flat_map(|run| (run.first.1..=run.last.1).map(|index| (run.first.0, index)))
        .collect();
    for (identity, count) in identities {
        surplus.extend(std::iter::repeat_n(identity, count as usize));
    }
    let pending = context.state.pending.map_or(audit.to_lsn, |(_, to)| to);
    let (under_way, too_far): (Vec<_>, Vec<_>) =
        beyond.iter().copied().partition(|identity| identity.0 < pending);
    if !under_way.is_empty() {
        audit.notes.push(format!("{} events of the range under way are there already", under_way.len()));
    }
    surplus.extend(too_far);
    surplus.sort_unstable();
    audit.surplus.clear();
    for identity in surplus {
        IdentityRange::add(&mut audit.surplus, identity);
    }
    if older > 0 {
        audit.notes.push(format!(
            "{older} records are older than the journal, which starts at {}; they were not checked",
            audit.from_lsn
        ));
    }
    if forgotten > 0 {
        audit.notes.push(format!(
            "{forgotten} records out of order were not looked at, more than {LATE_MAX} of them"
        ));
    }
}
