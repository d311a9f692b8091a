//! Replay: what a parked sink missed, or what an audit found missing, is delivered after all; nothing that is there comes twice.
//!
//! The source is the journal while it is kept, then the file sink's lines ([`lines`]). The work is done on the sink's own thread,
//! between its ranges; its cursor is not moved. Killed in between, the same command goes on: a hole shrinks piece by piece, a piece is
//! written down before it is tried, and what an audit finds is asked anew.

pub(crate) mod lines;
#[cfg(test)]
mod tests;

use crate::ledger::IdentityRange;
use lines::Lines;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is to be replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The sink; `None` = every sink that has something to be replayed.
    pub sink: Option<String>,
    /// Which events.
    pub what: What,
    /// Kafka only: deliver into topics with this suffix.
    pub topic_suffix: Option<String>,
}

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// What the sink missed while it was parked.
    #[default]
    Holes,
    /// What an audit, run first, finds missing.
    Missing,
    /// What is missing of these lsns; holes they touch are replayed whole.
    Range {
        /// First lsn.
        from: u64,
        /// First lsn not meant.
        to: u64,
    },
}

/// How far a replay is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The sink.
    pub sink: String,
    /// Journal bytes to go through, gone bytes of the journal included.
    pub bytes_all: u64,
    /// Gone through.
    pub bytes_done: u64,
    /// Events that are at the target now and were not counted as delivered, or were missing.
    pub delivered: u64,
    /// Left out as duplicates or not in the sample.
    pub left_out: u64,
    /// The target will never take them; they are in quarantine.
    pub refused: u64,
    /// Why it does not go on at the moment; empty while it does.
    pub waits: String,
    /// What a person should know of the result.
    pub notes: Vec<String>,
    /// Whether it is over.
    pub over: bool,
    /// Why it ended early, or what it could not find; empty if all is well.
    pub failed: String,
}

/// Journal to go through, both ends record boundaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// A hole in the books, which closes.
    pub(crate) hole: bool,
    /// What an audit found missing in it; `None` = the sink asks its target.
    pub(crate) missing: Option<Arc<Vec<IdentityRange>>>,
}

/// A replay into one sink.
#[derive(Debug)]
pub struct Job {
    pub(crate) pieces: VecDeque<Piece>,
    pub(crate) topic_suffix: Option<String>,
    /// Where to read what the journal no longer holds, or why that cannot be.
    pub(crate) lines: Result<Lines, String>,
    shared: Arc<Watched>,
}

/// What who asked sees of a [`Job`].
#[derive(Debug, Default)]
pub struct Watched {
    cancelled: AtomicBool,
    progress: Mutex<Progress>,
}

impl Watched {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.lock().clone()
    }

    /// Ends it after the piece under way.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end, with what went wrong if anything did.
    pub(crate) fn end(&self, failed: &str) {
        let mut progress = self.lock();
        progress.over = true;
        progress.waits.clear();
        if progress.failed.is_empty() {
            failed.clone_into(&mut progress.failed);
        }
    }
}

impl Job {
    pub(crate) fn new(
        sink: &str,
        pieces: Vec<Piece>,
        topic_suffix: Option<String>,
        lines: Result<Lines, String>,
    ) -> Self {
        let progress = Progress {
            sink: sink.to_owned(),
            bytes_all: pieces.iter().map(|piece| piece.to - piece.from).sum(),
            ..Progress::default()
        };
        let shared = Watched { progress: Mutex::new(progress), ..Watched::default() };
        Self { pieces: pieces.into(), topic_suffix, lines, shared: Arc::new(shared) }
    }

    /// For whoever asked.
    pub fn watched(&self) -> &Arc<Watched> {
        &self.shared
    }
}

impl Drop for Job {
    /// Whoever waits for it hears of the end in any case.
    fn drop(&mut self) {
        if !self.shared.lock().over {
            self.shared.end("tusk stopped; the same command goes on after the next start");
        }
    }
}
