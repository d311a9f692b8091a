//! Planning a replay: which journal to go through for which sink.

use super::report::{audit, windows};
use super::shared::Shared;
use crate::facts::decide::Origin;
use crate::facts::{FactsReader, flag};
use crate::journal::{JournalError, Reader};
use crate::ledger::IdentityRange;
use crate::replay::lines::Lines;
use crate::replay::{Ask, Job, Piece, Watched, What};
use crate::sink::runner;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

/// Journal bytes between two missing records that are gone through together rather than apart.
const NEAR_BYTES: u64 = 1 << 20;
/// A piece found by an audit is at most so long.
const PIECE_BYTES: u64 = 16 << 20;

/// Starts what is asked for; nothing to do is an empty list.
pub(super) fn start(shared: &Shared, ask: &Ask) -> Result<Vec<Arc<Watched>>, String> {
    let sinks: Vec<&Arc<runner::Shared>> =
        windows(shared).iter().filter(|sink| sink.name != "quarantine").collect();
    if let Some(name) = &ask.sink
        && !sinks.iter().any(|sink| sink.name == *name)
    {
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        return Err(format!("no sink named `{name}`; there is {}", names.join(", ")));
    }
    let meant = |sink: &runner::Shared| ask.sink.as_ref().is_none_or(|name| *name == sink.name);
    let mut jobs = Vec::new();
    for sink in sinks.into_iter().filter(|sink| meant(sink)) {
        if sink.stopped.load(Relaxed) {
            return Err(format!(
                "sink {} is stopped: {}; mend that, then `systemctl reload tusk`, then replay",
                sink.name,
                sink.last_error()
            ));
        }
        if sink.is_replaying() {
            return Err(format!("a replay into {} is under way; wait for it", sink.name));
        }
        let pieces = pieces(shared, sink, ask)?;
        if !pieces.is_empty() {
            let lines = Lines::open(
                &shared.disk,
                &shared.config.sink.file,
                &shared.config.data,
                &shared.node,
            );
            jobs.push((sink, Job::new(&sink.name, pieces, ask.topic_suffix.clone(), lines)));
        }
    }
    let mut watched = Vec::new();
    for (sink, job) in jobs {
        watched.push(Arc::clone(job.watched()));
        *sink.replay.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
    }
    // The sinks' threads sleep on this.
    shared.facts.decided().wake();
    Ok(watched)
}

fn pieces(shared: &Shared, sink: &runner::Shared, ask: &Ask) -> Result<Vec<Piece>, String> {
    let state = sink.state();
    let hole = |(from, to): &(u64, u64)| Piece { from: *from, to: *to, hole: true, missing: None };
    let holes = || state.holes.iter().map(hole);
    Ok(match ask.what {
        What::Holes => {
            let mut holes: Vec<Piece> = holes().collect();
            // What a crash left undecided first.
            let at = state.refill.map_or(u64::MAX, |(from, _)| from);
            holes.sort_by_key(|piece| !(piece.from <= at && at < piece.to));
            holes
        }
        What::Missing => missing(shared, sink, 0, u64::MAX)?,
        What::Range { from, to } => {
            if from >= to || from >= state.done {
                return Err(format!(
                    "{} is at {:016x}: name a range below that, first lsn first",
                    sink.name, state.done
                ));
            }
            let mut pieces: Vec<Piece> =
                holes().filter(|piece| piece.from < to && from < piece.to).collect();
            let to = to.min(state.done);
            if ask.topic_suffix.is_some() {
                // Other topics: what stands in the usual ones does not matter.
                pieces.push(Piece { from, to, hole: false, missing: None });
            } else {
                pieces.extend(missing(shared, sink, from, to)?);
            }
            pieces
        }
    })
}

/// What an audit finds missing in `[from, to)`, as pieces of journal.
fn missing(
    shared: &Shared,
    sink: &runner::Shared,
    from: u64,
    to: u64,
) -> Result<Vec<Piece>, String> {
    let audit = audit(shared, &sink.name)?;
    if audit.missing.is_empty() {
        return Ok(Vec::new());
    }
    let from = from.max(audit.from_lsn).max(shared.segments.start_lsn());
    let missing = Arc::new(audit.missing);
    place(shared, &missing, from, to.min(audit.to_lsn)).map_err(|error| error.to_string())
}

/// The records that hold these identities.
fn place(
    shared: &Shared,
    missing: &Arc<Vec<IdentityRange>>,
    from: u64,
    to: u64,
) -> Result<Vec<Piece>, JournalError> {
    let is_missing = |lsn: u64, index: u32| {
        let at = missing.partition_point(|run| run.last < (lsn, index));
        missing.get(at).is_some_and(|run| run.first <= (lsn, index))
    };
    let mut facts = FactsReader::new(Arc::clone(&shared.facts), from);
    let mut journal = Reader::new(Arc::clone(&shared.segments), from).with_window(64 << 10);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut wanted = false;
    let mut origin = None;
    while let Some(fact) = facts.next(to)? {
        if fact.has(flag::KEPT) && !wanted {
            wanted = if fact.has(flag::REDRIVEN) {
                if origin.as_ref().is_none_or(|(lsn, _)| *lsn != fact.lsn) {
                    origin = Some((fact.lsn, Origin::at(&mut journal, fact.lsn, to)?));
                }
                let origin = origin.as_ref().and_then(|(_, origin)| origin.as_ref());
                origin.is_some_and(|o| is_missing(o.lsn, o.index_of(fact.index)))
            } else {
                is_missing(fact.lsn, fact.index)
            };
        }
        if !fact.is_last() {
            continue;
        }
        let end = fact.lsn + u64::from(fact.record_bytes);
        if std::mem::take(&mut wanted) {
            match pieces.last_mut() {
                Some(piece)
                    if fact.lsn - piece.to <= NEAR_BYTES && end - piece.from <= PIECE_BYTES =>
                {
                    piece.to = end;
                }
                _ => pieces.push(Piece {
                    from: fact.lsn,
                    to: end,
                    hole: false,
                    missing: Some(Arc::clone(missing)),
                }),
            }
        }
    }
    Ok(pieces)
}
