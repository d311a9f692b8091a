//! What should be at a target, and how it differs from what is there: the common part of audits.

use super::AuditContext;
use crate::facts::decide::Origin;
use crate::facts::{FactsReader, flag};
use crate::journal::Reader;
use crate::ledger::{Audit, Identity, IdentityRange};
use std::sync::Arc;

/// Adds what is missing and what is too much in `[from, to)`; `found` is sorted.
pub(super) fn compare(
    context: &AuditContext,
    from: u64,
    to: u64,
    found: &[Identity],
    audit: &mut Audit,
) -> Result<(), String> {
    let skipped = |lsn: u64| context.state.holes.iter().any(|(a, b)| (*a..*b).contains(&lsn));
    let mut expected = if from < to { expected(context, from, to)? } else { Vec::new() };
    expected.retain(|(position, _)| !skipped(*position));
    let mut expected: Vec<Identity> = expected.into_iter().map(|(_, identity)| identity).collect();
    expected.sort_unstable();
    audit.expected += expected.len() as u64;
    let Audit { found: count, missing, surplus, .. } = audit;
    *count += differences(
        &expected,
        found,
        |identity| identity,
        |identity| IdentityRange::add(missing, *identity),
        |identity| IdentityRange::add(surplus, identity),
    );
    Ok(())
}

/// Walks two sorted lists: shows each of `expected` that is not in `found`, and each of `found` that is not expected, or not once more.
/// Returns how many different identities are in `found`.
pub(super) fn differences<E>(
    expected: &[E],
    found: &[Identity],
    identity: impl Fn(&E) -> &Identity,
    mut missing: impl FnMut(&E),
    mut surplus: impl FnMut(Identity),
) -> u64 {
    let (mut e, mut f) = (expected.iter().peekable(), found.iter().peekable());
    let (mut last, mut count) = (None, 0);
    loop {
        let want = e.peek().map(|one| identity(one));
        match (want, f.peek()) {
            (None, None) => return count,
            (Some(want), Some(have)) if want == *have => {
                count += 1;
                last = f.next();
                e.next();
            }
            (Some(want), have) if have.is_none_or(|have| want < *have) => {
                e.next().into_iter().for_each(&mut missing);
            }
            (_, Some(have)) => {
                // Also a second copy of one that was found.
                count += u64::from(last != Some(*have));
                surplus(**have);
                last = f.next();
            }
            (Some(_), None) => {}
        }
    }
}

/// Positions and identities of the events of `[from, to)` that are for this sink.
pub(super) fn expected(
    context: &AuditContext,
    from: u64,
    to: u64,
) -> Result<Vec<(u64, Identity)>, String> {
    let mut facts = FactsReader::new(Arc::clone(&context.facts), from);
    let mut journal = Reader::new(Arc::clone(&context.segments), from).with_window(64 << 10);
    let mut out = Vec::new();
    let mut origin: Option<(u64, Option<Origin>)> = None;
    while let Some(fact) = facts.next(to).map_err(|error| error.to_string())? {
        if !fact.has(flag::KEPT) {
            continue;
        }
        if !fact.has(flag::REDRIVEN) {
            out.push((fact.lsn, (fact.lsn, fact.index)));
            continue;
        }
        if origin.as_ref().is_none_or(|(lsn, _)| *lsn != fact.lsn) {
            let read = Origin::at(&mut journal, fact.lsn, to).map_err(|error| error.to_string())?;
            origin = Some((fact.lsn, read));
        }
        if let Some((_, Some(origin))) = &origin
            && origin.sink.as_ref().is_none_or(|sink| *sink == context.name)
        {
            out.push((fact.lsn, (origin.lsn, origin.index_of(fact.index))));
        }
    }
    Ok(out)
}
