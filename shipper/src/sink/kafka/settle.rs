//! Connecting, and deciding where to go on.

use super::client::{Fail, Reader};
use super::connect::{self, Stand};
use super::deliver::{KafkaSink, Live};
use super::position::{Decision, Found, NOTHING, decide};
use super::session::Session;
use super::{Mode, topics};
use crate::facts::{FactsReader, flag};
use std::sync::Arc;
use std::time::Instant;

impl KafkaSink {
    /// Connects, if there is no connection, and finds out where the node stands.
    pub(super) fn connect(&mut self) -> Result<(), Fail> {
        if self.live.is_some() {
            return Ok(());
        }
        let (config, limit) = (&self.config, self.limit());
        let id = connect::id(&self.node);
        let reader = Reader::open(config, &id, true)?;
        let found = connect::check_topics(config, &reader, limit)?;
        self.topics.extend(found.into_iter().map(|(topic, _)| topic));
        if config.mode != Mode::Transactional {
            let session = Session::open(config, &id, self.batch)?;
            self.live = Some(Live { session, group: None });
            return Ok(());
        }
        topics::ensure_positions(config, &reader, limit)?;
        if !self.stands.known {
            // Before the other node of this name is fenced, if there is one.
            let record = connect::record(config, &reader, connect::name(&self.node), limit)?;
            let foreign = record.filter(|record| record.node != self.node);
            let found = Found { record: foreign, ..self.found() };
            if found.record.is_some() {
                decide(&found).map_err(Fail::Stop)?;
            }
        }
        let session = Session::open(config, &id, self.batch)?;
        let group = connect::group(&reader)?;
        let stand = connect::stand(config, &reader, connect::name(&self.node), limit)?;
        self.settle(stand, &reader)?;
        self.live = Some(Live { session, group: Some(group) });
        Ok(())
    }

    fn found(&self) -> Found {
        let known = self.stands.known;
        let last = self.stands.lsn.unwrap_or(NOTHING);
        Found {
            node: self.node.clone(),
            state: self.state.clone(),
            journal: self
                .records
                .as_ref()
                .map(|r| (r.segments.start_lsn(), r.facts.decided().get())),
            take_over: self.config.take_over.clone(),
            known: known.then_some((last, self.stands.unsure)),
            ..Found::default()
        }
    }

    /// Decides from what Kafka says.
    fn settle(&mut self, stand: Stand, reader: &Reader) -> Result<(), Fail> {
        let has_offset = stand.offset.is_some();
        let mut found = Found {
            record: stand.record,
            offset: stand.offset,
            others: stand.others,
            ..self.found()
        };
        if found.record.is_none() && !self.stands.known {
            found.topics_hold = topics::hold_anything(&self.config, reader, self.limit())?;
        }
        if let Some(record) = &found.record {
            found.between = self.between(record.lsn)?;
        }
        let decision = decide(&found).map_err(Fail::Stop)?;
        let record = found.record.filter(|record| record.node == self.node);
        self.stands.lsn = match decision {
            Decision::From(lsn) => Some(lsn),
            Decision::Begin => None,
        };
        if decision == Decision::Begin && (has_offset || record.is_some()) {
            tracing::warn!(sink = "kafka", "the position in Kafka is not used: sink.kafka.take_over is set");
        }
        if let Some(record) = record.filter(|record| record.from == self.range.from) {
            let refused = record.refused.into_iter();
            self.range.refused.extend(refused.map(|(lsn, index, reason)| ((lsn, index), reason)));
        }
        self.stands.known = true;
        self.stands.unsure = None;
        // An offset that the broker forgot is committed again at the next occasion.
        self.stands.at = has_offset.then(Instant::now);
        Ok(())
    }

    /// Kept events in `[lsn, cursor of the state)` that are in no hole.
    fn between(&self, lsn: u64) -> Result<u64, Fail> {
        let (Some(records), Some(state)) = (&self.records, &self.state) else { return Ok(0) };
        let from = lsn.max(records.segments.start_lsn());
        if self.stands.known || from >= state.done {
            return Ok(0);
        }
        let mut facts = FactsReader::new(Arc::clone(&records.facts), from);
        let mut count = 0;
        let failed = |error: &dyn std::fmt::Display| Fail::Lost(format!("facts: {error}"));
        while let Some(fact) = facts.next(state.done).map_err(|error| failed(&error))? {
            let hole = state.holes.iter().any(|(a, b)| (*a..*b).contains(&fact.lsn));
            // What was re-driven may be for another sink.
            let ours = fact.has(flag::KEPT) && !fact.has(flag::ONE_SINK);
            count += u64::from(ours && !hole);
        }
        Ok(count)
    }
}
