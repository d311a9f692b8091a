//! Where a sink begins: with the state it left, if that is its own, or anew.

use super::Start;
use super::runner::Parts;
use crate::disk;
use crate::state::State;
use std::path::Path;

/// The state as loaded, if it is this journal's, this target's and not ahead of the facts.
pub(super) fn check(
    state: State,
    parts: &Parts,
    target: &str,
    path: &Path,
) -> Result<State, String> {
    let path = path.display();
    if state.node != parts.node {
        return Err(format!(
            "{path} belongs to journal {}, this one is {}: restore the journal it goes with, or start this sink anew with \
             `tusk migrate --reset {}`",
            state.node, parts.node, parts.name
        ));
    }
    if state.target != target {
        return Err(format!(
            "sink {} delivered to {}, now it is to deliver to {target}: take the old setting back, or start it anew there with \
             `tusk migrate --reset {}`",
            parts.name, state.target, parts.name
        ));
    }
    let end = parts.facts.decided().get();
    if state.done > end || state.pending.is_some_and(|(from, to)| from != state.done || to > end) {
        return Err(format!(
            "{path} says {} is delivered, but the journal ends at {end}: the journal was replaced by an older one; restore the right one",
            state.done
        ));
    }
    Ok(state)
}

/// The state of a sink that has none yet.
pub(super) fn first(parts: &Parts, target: String) -> Result<State, String> {
    let (decided, totals) = parts.facts.totals();
    let start = match parts.common.start {
        Start::Oldest => parts.segments.start_lsn().min(decided),
        Start::Now => decided,
    };
    let below = match parts.facts.totals_below(start) {
        Ok(Some(below)) => below,
        Ok(None) => totals,
        Err(error) => return Err(error.to_string()),
    };
    let mut state = State { node: parts.node.clone(), target, done: start, ..State::default() };
    if start > 0 {
        // What came before this sink was born is skipped, so that its books start balanced.
        state.sums.kept = below.kept;
        state.sums.redriven = below.redriven;
        state.sums.skipped = below.kept + below.redriven;
        state.add_hole(0, start, state.sums.skipped);
    }
    disk::create_dirs(parts.disk.as_ref(), &parts.dir, &parts.dir).map_err(|e| e.to_string())?;
    Ok(state)
}
