//! One way through a range: records into transactions.

use super::client::{Fail, Reader};
use super::deliver::KafkaSink;
use super::position::{Position, REFUSED_MAX};
use super::properties::Batch;
use super::session::{Carried, Sent};
use super::{Mode, connect, topics};
use crate::facts::flag;
use crate::range::EventView;
use std::io;
use std::time::{Duration, Instant};

/// In isolation, a record that is refused costs a transaction of this many events again.
const ISOLATED_EVENTS: u32 = 1_000;

/// One way through a range.
pub(super) struct Pass<'s> {
    pub(super) sink: &'s mut KafkaSink,
    /// Identities of the transaction's records, by place.
    places: Vec<(u64, u32)>,
    /// lsn of the event seen last.
    last: Option<u64>,
    failed: Option<Fail>,
}

impl<'s> Pass<'s> {
    pub(super) fn new(sink: &'s mut KafkaSink) -> Self {
        Self { sink, places: Vec::new(), last: None, failed: None }
    }

    /// What ended it early.
    pub(super) fn failed(&mut self) -> Option<Fail> {
        self.failed.take()
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, event: &EventView<'_>) -> io::Result<()> {
        self.try_event(event).map_err(|fail| {
            self.failed = Some(fail);
            io::Error::other("stopped")
        })
    }

    fn try_event(&mut self, event: &EventView<'_>) -> Result<(), Fail> {
        let lsn = event.fact.lsn;
        if self.last != Some(lsn) && self.is_due() {
            // All before this record; a record is never split.
            self.commit(lsn)?;
        }
        self.last = Some(lsn);
        let identity = (event.lsn, event.index);
        let sink = &mut *self.sink;
        sink.range.kept += u64::from(event.fact.has(flag::KEPT));
        if sink.stands.lsn.is_some_and(|done| lsn < done)
            || sink.range.refused.contains_key(&identity)
        {
            return Ok(());
        }
        sink.maker.make(event);
        sink.has_topic()?;
        let Some(live) = &mut sink.live else { return Err(Fail::Lost(String::new())) };
        if !live.session.is_open() {
            live.session.begin(&sink.config)?;
            self.places.clear();
        }
        let place = self.places.len();
        let topic = sink.maker.topic();
        let sent = live.session.send(&sink.config, &sink.maker, topic, place, event.recv_ms)?;
        match sent {
            Sent::Queued => self.places.push(identity),
            Sent::Refused(reason) if event.fact.has(flag::KEPT) => {
                if sink.range.refused.len() >= REFUSED_MAX {
                    return Err(Fail::Abort(too_many(&reason)));
                }
                sink.range.refused.insert(identity, reason);
            }
            // A copy: quarantine has the event.
            Sent::Refused(_) => {}
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let sink = &*self.sink;
        let max = match sink.batch {
            Batch::One => sink.events_max.min(ISOLATED_EVENTS),
            _ => sink.events_max,
        };
        let age = Duration::from_millis(sink.config.transaction_ms_max.into());
        sink.live.as_ref().is_some_and(|live| {
            live.session.is_open()
                && (self.places.len() >= max as usize || live.session.is_older(age))
        })
    }

    /// Commits what was sent, and that everything below `lsn` is done.
    pub(super) fn commit(&mut self, lsn: u64) -> Result<(), Fail> {
        self.sink.commit(lsn)?;
        self.places.clear();
        Ok(())
    }

    /// Gives the places in a failure their identities; those of a batch too large for its topic lead to isolation.
    pub(super) fn place(self, fail: Fail) -> Fail {
        let Fail::Poison(poison) = &fail else { return fail };
        let found: Vec<(u64, u32)> =
            poison.iter().filter_map(|(at, _)| self.places.get(*at).copied()).collect();
        if self.sink.isolate(poison, &found) {
            fail
        } else {
            Fail::Abort(too_many(&fail.text()))
        }
    }
}

fn too_many(reason: &str) -> String {
    format!(
        "more than {REFUSED_MAX} events of one range are refused ({reason}): that is a setting, not the events; check message_bytes_max \
         here and max.message.bytes of the topics"
    )
}

impl KafkaSink {
    /// Whether the topic of the record made last is there.
    fn has_topic(&mut self) -> Result<(), Fail> {
        if self.topics.contains(self.maker.topic()) {
            return Ok(());
        }
        let topic = self.maker.topic().to_owned();
        if super::properties::is_topic(&topic) {
            let reader = Reader::open(&self.config, &connect::id(&self.node), true)?;
            topics::ensure(&self.config, &reader, &topic, self.limit())?;
        }
        self.topics.insert(topic);
        Ok(())
    }

    /// A transaction's end, whatever is in it: everything below `lsn` is done.
    pub(super) fn commit(&mut self, lsn: u64) -> Result<(), Fail> {
        let transactional = self.config.mode == Mode::Transactional;
        let refused = self.range.refused.len() as u64;
        let position = Position {
            node: self.node.clone(),
            lsn,
            from: self.range.from,
            delivered: self.stands.delivered + self.range.kept.saturating_sub(refused),
            refused_total: self.stands.refused + refused,
            refused: self
                .range
                .refused
                .iter()
                .map(|((lsn, index), reason)| (*lsn, *index, reason.clone()))
                .collect(),
            time_ms: jiff::Timestamp::now().as_millisecond(),
        };
        let value = position.encode();
        let offset = connect::offset_of(&self.config, &self.node, lsn)?;
        let Some(live) = &mut self.live else { return Err(Fail::Lost(String::new())) };
        if !live.session.is_open() {
            live.session.begin(&self.config)?;
        }
        let carried = Carried {
            topic: &self.config.topic_positions,
            key: connect::name(&self.node),
            value: &value,
            offset: live.group.as_ref().map(|group| (&offset, group)),
        };
        if transactional {
            self.stands.unsure = Some(lsn);
        }
        live.session.commit(&self.config, transactional.then_some(&carried))?;
        if transactional {
            self.stands.lsn = Some(lsn);
            self.stands.unsure = None;
            self.stands.at = Some(Instant::now());
        }
        self.events_max =
            self.events_max.saturating_mul(2).min(self.config.transaction_events_max);
        Ok(())
    }
}
