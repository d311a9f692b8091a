//! Replay inside the loop: a piece between two ranges, on the sink's own thread, without moving its cursor.

use super::{RETRY_MS_MAX, RETRY_MS_MIN, Runner, journal};
use crate::facts::FactsReader;
use crate::range::{Passed, Source};
use crate::replay::{Job, Piece};
use crate::sink::{DeliverError, Range, Receipt, Replay};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// The replay under way.
pub(super) struct Refill {
    job: Job,
    /// What is left of the first piece; its begin moves.
    piece: Option<Piece>,
    /// Parts of the hole under way that no file covers.
    gaps: Vec<(u64, u64)>,
    retry_ms: u64,
    /// Not before, ms.
    not_before_ms: i64,
}

impl Refill {
    fn new(job: Job) -> Self {
        Self { job, piece: None, gaps: Vec::new(), retry_ms: 0, not_before_ms: 0 }
    }
}

impl Runner {
    /// Replays one piece if one is asked for. `None`: there is nothing to do; else ms until the next.
    pub fn replay(&mut self, now_ms: i64) -> Option<u64> {
        if self.refill.is_none() {
            let asked = self.shared.replay.lock().unwrap_or_else(PoisonError::into_inner).take();
            let job = asked?;
            self.shared.note_replaying(true);
            self.refill = Some(Refill::new(job));
        }
        let mut refill = self.refill.take()?;
        let wait_ms = u64::try_from(refill.not_before_ms - now_ms).unwrap_or(0);
        let cancelled = refill.job.watched().is_cancelled();
        if wait_ms > 0 && !cancelled {
            self.refill = Some(refill);
            return Some(wait_ms);
        }
        let done = if cancelled {
            Err(DeliverError::Stop("given up by whoever asked for it".to_owned()))
        } else {
            self.next_piece(&mut refill)
        };
        match done {
            Ok(true) => {
                refill.retry_ms = 0;
                refill.job.watched().lock().waits.clear();
            }
            Ok(false) => {
                refill.job.watched().end("");
                self.shared.note_replaying(false);
                return None;
            }
            Err(DeliverError::Unavailable(error)) => {
                refill.job.watched().lock().waits = error;
                refill.retry_ms = (refill.retry_ms * 2).clamp(RETRY_MS_MIN, RETRY_MS_MAX);
                refill.not_before_ms = now_ms.saturating_add_unsigned(refill.retry_ms);
            }
            Err(DeliverError::Stop(error)) => {
                refill.job.watched().end(&error);
                self.shared.note_replaying(false);
                return None;
            }
        }
        let wait_ms = refill.retry_ms;
        self.refill = Some(refill);
        Some(wait_ms)
    }

    /// The sink itself is in trouble: a replay waits and says why, or ends if the sink stopped or nobody wants it any more.
    pub fn hold_replay(&mut self) {
        let asked = self.shared.replay.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = asked {
            self.shared.note_replaying(true);
            self.refill = Some(Refill::new(job));
        }
        let Some(refill) = self.refill.take() else { return };
        let watched = refill.job.watched();
        let error = self.shared.last_error();
        if watched.is_cancelled() || self.shared.stopped.load(Ordering::Relaxed) {
            watched.end(&format!("the sink itself does not deliver: {error}"));
            self.shared.note_replaying(false);
            return;
        }
        watched.lock().waits = error;
        self.refill = Some(refill);
    }

    /// `false`: all is done.
    fn next_piece(&mut self, refill: &mut Refill) -> Result<bool, DeliverError> {
        if refill.piece.is_none() {
            let Some(piece) = refill.job.pieces.pop_front() else { return Ok(false) };
            refill.gaps.clear();
            refill.piece = Some(piece);
        }
        let Some(piece) = refill.piece.clone() else { return Ok(false) };
        let start = self.parts.segments.start_lsn();
        let to = self.cut_piece(&piece, refill, start)?;
        let replay = Replay {
            topic_suffix: refill.job.topic_suffix.clone(),
            missing: piece.missing.as_deref().cloned(),
        };
        if piece.hole && self.state.refill != Some((piece.from, to)) {
            // Written down before it is tried, as any range.
            let before = self.state.refill.replace((piece.from, to));
            if let Err(error) = self.save() {
                self.state.refill = before;
                return Err(error);
            }
        }
        let source: &mut dyn Source = match &mut refill.job.lines {
            Ok(lines) if piece.from < start => lines,
            _ => &mut self.reader,
        };
        let mut range = Range { from: piece.from, to, reader: source, passed: Passed::default() };
        let receipt = self.sink.replay(&mut range, &replay)?;
        self.shared.is_let_go()?;
        if !receipt.refused.is_empty() {
            let put = self.parts.refused.put(&self.parts.name, &mut range, &receipt.refused);
            put.map_err(DeliverError::Unavailable)?;
        }
        if piece.hole {
            self.close_hole(&piece, to, &receipt, refill)?;
        } else if !receipt.refused.is_empty() {
            // They were counted as delivered.
            let refused = receipt.refused.len() as u64;
            let sums = &mut self.state.sums;
            let moved = refused.min(sums.delivered);
            sums.delivered -= moved;
            sums.refused += moved;
            self.save()?;
        }
        {
            let mut progress = refill.job.watched().lock();
            progress.bytes_done += to - piece.from;
            progress.delivered += receipt.delivered;
            progress.left_out += receipt.deduplicated + receipt.sampled_out;
            progress.refused += receipt.refused.len() as u64;
        }
        refill.piece = (to < piece.to).then_some(Piece { from: to, ..piece });
        Ok(true)
    }

    /// Where the next piece ends.
    fn cut_piece(
        &mut self,
        piece: &Piece,
        refill: &mut Refill,
        start: u64,
    ) -> Result<u64, DeliverError> {
        let undecided = self.state.refill.filter(|_| piece.hole);
        let to = match undecided {
            Some((from, to)) if from == piece.from && to <= piece.to => return Ok(to),
            Some((from, _)) if piece.from < from && from < piece.to => from,
            _ => piece.to,
        };
        if piece.from < start {
            let gone = to.min(start);
            let lines = refill.job.lines.as_ref().map_err(|reason| {
                DeliverError::Stop(format!(
                    "[{:016x}, {gone:016x}) is no longer in the journal, which starts at {start:016x}, and {reason}",
                    piece.from
                ))
            })?;
            if !lines.reach(piece.from, gone) {
                if piece.from == self.first_of_hole(piece) && !lines.reach(piece.from, piece.to) {
                    return Err(DeliverError::Stop(format!(
                        "[{:016x}, {gone:016x}) is neither in the journal, which starts at {start:016x}, nor in the file sink's files",
                        piece.from
                    )));
                }
                refill.gaps.push((piece.from, gone));
            }
            return Ok(lines.end_of(piece.from, gone));
        }
        let mut facts = FactsReader::new(Arc::clone(&self.parts.facts), piece.from);
        let (mut end, mut events) = (piece.from, 0u64);
        let mut partitions = std::collections::HashSet::new();
        while let Some(fact) = facts.next(to).map_err(journal)? {
            if self.parts.want.event(&fact) {
                events += 1;
                partitions.insert(self.sink.partition(&fact));
                if partitions.len() > self.sink.partitions_max() && end > piece.from {
                    break;
                }
            }
            if fact.is_last() {
                end = fact.lsn + u64::from(fact.record_bytes);
                if end - piece.from >= self.parts.common.range_bytes_max
                    || events >= self.sink.events_max()
                {
                    break;
                }
            }
        }
        // Facts without a record to end with: the rest holds nothing.
        Ok(if end > piece.from { end.min(to) } else { to })
    }

    fn first_of_hole(&self, piece: &Piece) -> u64 {
        let holes = &self.state.holes;
        holes.iter().find(|hole| hole.1 == piece.to).map_or(piece.from, |hole| hole.0)
    }

    /// Moves what came from `skipped` to what became of it, and the hole's begin to `to`, in one save.
    fn close_hole(
        &mut self,
        piece: &Piece,
        to: u64,
        receipt: &Receipt,
        refill: &Refill,
    ) -> Result<(), DeliverError> {
        let Some(at) = self.state.holes.iter().position(|hole| hole.0 == piece.from) else {
            return Err(DeliverError::Stop(format!(
                "the hole at {:016x} is gone: another replay filled it",
                piece.from
            )));
        };
        let before = self.state.clone();
        let state = &mut self.state;
        state.hole_events.resize(state.holes.len(), 0);
        let refused = receipt.refused.len() as u64;
        let came = receipt.delivered + receipt.deduplicated + receipt.sampled_out + refused;
        let sums = &mut state.sums;
        if came > sums.skipped {
            return Err(DeliverError::Stop(format!(
                "[{:016x}, {to:016x}) brought {came} events, but only {} are skipped in all; nothing was moved in the books",
                piece.from, sums.skipped
            )));
        }
        sums.skipped -= came;
        sums.delivered += receipt.delivered;
        sums.deduplicated += receipt.deduplicated;
        sums.sampled_out += receipt.sampled_out;
        sums.refused += refused;
        state.refill = None;
        state.holes[at].0 = to;
        state.hole_events[at] = state.hole_events[at].saturating_sub(came);
        if to >= state.holes[at].1 {
            state.holes.remove(at);
            let left = state.hole_events.remove(at);
            if left > 0 {
                // Where no file reaches a later replay may find one again.
                for (i, gap) in refill.gaps.iter().enumerate() {
                    state.holes.insert(at + i, *gap);
                    state.hole_events.insert(at + i, if i == 0 { left } else { 0 });
                }
                let mut progress = refill.job.watched().lock();
                progress.failed = format!(
                    "{left} events of the hole that ends at {to:016x} are neither in the journal nor in the file sink's files; they stay skipped"
                );
            }
        }
        if let Err(error) = self.save() {
            self.state = before;
            return Err(error);
        }
        Ok(())
    }
}
