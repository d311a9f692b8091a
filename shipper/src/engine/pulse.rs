//! What the live page needs beside its tap: how many events a second, always counted; whom to follow; which device greeted.

use super::Engine;
use crate::facts::{Fact, flag};
use serde::Serialize;
use shm_ring::Control;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Seconds remembered: the page shows 30 minutes.
pub const SECONDS: usize = 1_800;
/// Greetings remembered until somebody asks.
const GREETINGS_MAX: usize = 64;

/// Events that arrived in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Seconds since 1970.
    pub at: i64,
    /// Kept without a remark.
    pub good: u64,
    /// Kept with problems.
    pub problems: u64,
    /// Rejected.
    pub rejected: u64,
}

/// A device that scanned a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Greeting {
    /// What the code said.
    pub info_id: String,
    /// Who scanned it.
    pub distinct_id: String,
}

impl Greeting {
    /// A greeting's request: `POST /debug?info_id=…` with `{"distinct_id":"…"}`.
    pub(super) fn read(raw: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Body {
            distinct_id: String,
        }
        let request = event::http::parse(raw).ok()?;
        let query = std::str::from_utf8(request.query).ok()?;
        let info_id = query.split('&').find_map(|pair| pair.strip_prefix("info_id="))?;
        let body: Body = serde_json::from_slice(&request.body).ok()?;
        let fits = !body.distinct_id.is_empty() && body.distinct_id.len() <= 255;
        fits.then(|| Self { info_id: info_id.to_owned(), distinct_id: body.distinct_id })
    }
}

#[derive(Debug, Default)]
struct State {
    seconds: VecDeque<Second>,
    greetings: VecDeque<Greeting>,
}

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<State>);

impl Pulse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what was counted.
    pub(super) fn add(&self, counted: &[Second]) {
        let mut state = self.state();
        let newest = state.seconds.back().map_or(i64::MIN, |second| second.at);
        for second in counted {
            // Old arrivals come after a start that had much to catch up with; they belong to no second shown.
            if second.at < newest.saturating_sub(SECONDS as i64) {
                continue;
            }
            let at = state.seconds.partition_point(|known| known.at < second.at);
            match state.seconds.get_mut(at) {
                Some(known) if known.at == second.at => {
                    known.good += second.good;
                    known.problems += second.problems;
                    known.rejected += second.rejected;
                }
                _ => state.seconds.insert(at, *second),
            }
        }
        while state.seconds.len() > SECONDS {
            state.seconds.pop_front();
        }
    }

    pub(super) fn greet(&self, greetings: impl Iterator<Item = Greeting>) {
        let mut state = self.state();
        state.greetings.extend(greetings);
        while state.greetings.len() > GREETINGS_MAX {
            state.greetings.pop_front();
        }
    }
}

/// Adds a record's events to the second they arrived in.
pub(super) fn count(seconds: &mut Vec<Second>, facts: &[Fact]) {
    for fact in facts.iter().filter(|fact| !fact.has(flag::RECORD) && !fact.has(flag::REDRIVEN)) {
        let at = fact.recv_ms.div_euclid(1_000);
        if seconds.last().is_none_or(|last| last.at != at) {
            seconds.push(Second { at, ..Second::default() });
        }
        let Some(last) = seconds.last_mut() else { continue };
        let place = if fact.has(flag::REJECTED) {
            &mut last.rejected
        } else if fact.has(flag::PROBLEMS) {
            &mut last.problems
        } else {
            &mut last.good
        };
        *place += 1;
    }
}

impl Engine {
    /// Events a second of the last half hour, oldest first; seconds without any are left out.
    pub fn seconds(&self) -> Vec<Second> {
        self.shared.pulse.state().seconds.iter().copied().collect()
    }

    /// Devices that greeted since the last call.
    pub fn greetings(&self) -> Vec<Greeting> {
        self.shared.pulse.state().greetings.drain(..).collect()
    }

    /// Asks the edge to keep the requests of these ids whole, and one request in `sample_every` (0 = none), for `life` (at most an
    /// hour). Without ids and samples: no more.
    ///
    /// # Errors
    /// A sentence: the ring's folder cannot be written, too many ids.
    pub fn follow(&self, ids: &[String], sample_every: u32, life: Duration) -> Result<(), String> {
        let life_ns = u64::try_from(life.as_nanos()).unwrap_or(u64::MAX);
        let followed = ids.iter().map(|id| event::watch_hash(id.as_bytes())).collect();
        let expires_ns = super::now_ns().saturating_add(life_ns);
        let control = Control { followed, sample_every, expires_ns };
        shm_ring::write_control(&self.shared.config.ring_dir(), &control)
            .map_err(|error| error.to_string())
    }
}
