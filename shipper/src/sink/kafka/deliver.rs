//! What is done with a range: transactions up to its end, each with the position in it.

use super::client::Fail;
use super::connect;
use super::message::Maker;
use super::pass::Pass;
use super::position::{NOTHING, REFUSED_MAX};
use super::properties::Batch;
use super::replay::Replayer;
use super::session::Session;
use super::{Config, Mode};
use crate::range::Shown;
use crate::sink::{Context, DeliverError, Range, Receipt, Records, Refused, Replay, Sink};
use crate::state::State;
use rdkafka::consumer::ConsumerGroupMetadata;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// An idle node's offset is committed again this often: brokers forget after days, some are set to less.
const RECOMMIT: Duration = Duration::from_secs(3600);
/// Fences this close together are another shipper's doing, not an outage's.
const FENCES_WITHIN: Duration = Duration::from_secs(600);
/// Batches are not made smaller than this for a topic that refuses large ones.
const BATCH_BYTES_MIN: u32 = 16 << 10;
/// The library's own size of a batch.
const BATCH_BYTES: u32 = 1_000_000;

/// The sink.
pub(super) struct KafkaSink {
    pub(super) config: Config,
    pub(super) node: String,
    pub(super) state: Option<State>,
    pub(super) records: Option<Records>,
    pub(super) maker: Maker,
    pub(super) live: Option<Live>,
    pub(super) replayer: Option<Replayer>,
    pub(super) stands: Stands,
    pub(super) range: InRange,
    pub(super) batch: Batch,
    pub(super) batch_bytes: u32,
    /// A transaction that timed out is tried again with half as many events.
    pub(super) events_max: u32,
    pub(super) fences: Vec<Instant>,
    pub(super) topics: HashSet<String>,
}

/// A session and what it needs beside the producer.
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) group: Option<ConsumerGroupMetadata>,
}

/// Where the node stands in Kafka.
#[derive(Debug, Default)]
pub(super) struct Stands {
    /// Whether this process knows.
    pub(super) known: bool,
    /// Everything below is committed; `None` = nothing of this journal is.
    pub(super) lsn: Option<u64>,
    /// A position whose commit had no answer.
    pub(super) unsure: Option<u64>,
    /// When it was committed last.
    pub(super) at: Option<Instant>,
    /// Events delivered and refused before the range under way.
    pub(super) delivered: u64,
    pub(super) refused: u64,
}

/// The range under way.
#[derive(Debug, Default)]
pub(super) struct InRange {
    pub(super) from: u64,
    pub(super) refused: BTreeMap<(u64, u32), String>,
    /// Kept events of it seen below the position to be committed.
    pub(super) kept: u64,
}

impl KafkaSink {
    pub(super) fn new(config: &Config, context: &Context) -> Result<Self, String> {
        // A password that cannot be read is found before the first connection.
        super::properties::client(config, "tusk")?;
        let sums = context.state.as_ref().map(|state| state.sums).unwrap_or_default();
        Ok(Self {
            config: config.clone(),
            node: context.node.clone(),
            state: context.state.clone(),
            records: context.records.clone(),
            maker: Maker::new(config, &context.node, context.fill.clone()),
            live: None,
            replayer: None,
            stands: Stands { delivered: sums.delivered, refused: sums.refused, ..Stands::default() },
            range: InRange { from: NOTHING, ..InRange::default() },
            batch: Batch::Default,
            batch_bytes: BATCH_BYTES,
            events_max: config.transaction_events_max,
            fences: Vec::new(),
            topics: HashSet::new(),
        })
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms.into())
    }

    /// Enters a range; the same again if it is tried again.
    fn enter(&mut self, from: u64) {
        if self.range.from == from {
            return;
        }
        let refused = self.range.refused.len() as u64;
        self.stands.delivered += self.range.kept.saturating_sub(refused);
        self.stands.refused += refused;
        self.range = InRange { from, ..InRange::default() };
        if self.batch == Batch::One {
            // The range with the refused record is over.
            self.batch = match self.batch_bytes {
                BATCH_BYTES => Batch::Default,
                bytes => Batch::Bytes(bytes),
            };
            self.live = None;
        }
    }

    fn try_deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, Fail> {
        self.connect()?;
        let to = range.to;
        self.range.kept = 0;
        let mut pass = Pass::new(self);
        let read = range.read(&mut |shown| match shown {
            Shown::Event(event) => pass.event(event),
            Shown::Decision { .. } => Ok(()),
        });
        if let Some(fail) = pass.failed() {
            return Err(pass.place(fail));
        }
        let passed = read.map_err(|error| Fail::Abort(error.to_string()))?;
        if pass.sink.stands.lsn.is_none_or(|lsn| lsn < to)
            && let Err(fail) = pass.commit(to)
        {
            return Err(pass.place(fail));
        }
        let refused: Vec<Refused> = self
            .range
            .refused
            .iter()
            .map(|((lsn, index), reason)| Refused {
                lsn: *lsn,
                index: *index,
                reason: reason.clone(),
            })
            .collect();
        let events = passed.kept + passed.redriven;
        Ok(Receipt {
            delivered: events.saturating_sub(refused.len() as u64),
            refused,
            ..Receipt::default()
        })
    }

    /// What a failure leaves usable, and what is said of it.
    fn give_up(&mut self, fail: Fail) -> DeliverError {
        if let Fail::Stop(text) = fail {
            self.live = None;
            return DeliverError::Stop(text);
        }
        if matches!(fail, Fail::Abort(_) | Fail::Poison(_))
            && let Some(live) = &mut self.live
            && live.session.abort(&self.config).is_err()
        {
            self.live = None;
        }
        // What is missing may be there the next time.
        self.topics.clear();
        let mut text = fail.text();
        match fail {
            Fail::Lost(_) => {
                self.live = None;
                self.events_max = (self.events_max / 2).max(1);
            }
            Fail::Fenced(_) => {
                self.live = None;
                text = self.fenced(&text);
            }
            Fail::Abort(_) | Fail::Poison(_) | Fail::Stop(_) => {}
        }
        tracing::debug!(sink = "kafka", "{text}");
        DeliverError::Unavailable(text)
    }

    fn fenced(&mut self, text: &str) -> String {
        self.fences.retain(|at| at.elapsed() < FENCES_WITHIN);
        self.fences.push(Instant::now());
        let name = connect::name(&self.node);
        let text = match self.fences.len() {
            1 => format!("{text}; the broker gave our place away (a transaction that took too long, or another shipper with node `{name}`): \
                          a new producer takes over"),
            times => format!(
                "{text}; fenced {times} times within 10 minutes: a second shipper with node `{name}` runs against this Kafka; stop it, or \
                 give it another `node`"
            ),
        };
        tracing::warn!(sink = "kafka", "{text}");
        text
    }

    /// Narrows down which records are refused. `false`: too many are.
    pub(super) fn isolate(&mut self, poison: &[(usize, String)], found: &[(u64, u32)]) -> bool {
        if self.batch != Batch::One {
            // The broker's answer was for a whole batch.
            self.batch = Batch::One;
            self.live = None;
            return true;
        }
        for (identity, (_, reason)) in found.iter().zip(poison) {
            self.range.refused.insert(*identity, reason.clone());
        }
        self.range.refused.len() <= REFUSED_MAX
    }
}

impl Sink for KafkaSink {
    fn target(&self) -> String {
        let Config { topic_events, topic_profiles, topic_items, topic_positions, mode, .. } =
            &self.config;
        format!(
            "kafka topics {topic_events}, {topic_profiles}, {topic_items}, {} by {topic_positions}",
            mode.word()
        )
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        self.enter(range.from);
        let start = Instant::now();
        loop {
            let (batch, refused) = (self.batch, self.range.refused.len());
            let fail = match self.try_deliver(range) {
                Ok(receipt) => {
                    if self.batch == Batch::One && self.range.refused.is_empty() {
                        // No record was at fault: batches are too large for the topic.
                        self.batch_bytes = (self.batch_bytes / 2).max(BATCH_BYTES_MIN);
                    }
                    return Ok(receipt);
                }
                Err(fail) => fail,
            };
            let narrowed = matches!(fail, Fail::Poison(_))
                && (self.batch != batch || self.range.refused.len() > refused);
            let error = self.give_up(fail);
            // A step towards the record at fault is no failed try.
            if !narrowed || start.elapsed() > 4 * self.limit() {
                return Err(error);
            }
        }
    }

    fn replay(
        &mut self,
        range: &mut Range<'_>,
        replay: &Replay,
    ) -> Result<Receipt, DeliverError> {
        let replayer = self.replayer.get_or_insert_with(|| Replayer::new(&self.config, &self.node));
        replayer.replay(&mut self.maker, range, replay)
    }

    fn tick(&mut self, _: i64, _: i64) -> Result<(), DeliverError> {
        let done = self.connect().and_then(|()| {
            let due = self.stands.at.is_none_or(|at| at.elapsed() >= RECOMMIT);
            match self.stands.lsn {
                Some(lsn) if self.config.mode == Mode::Transactional && due => self.commit(lsn),
                _ => Ok(()),
            }
        });
        done.map_err(|fail| self.give_up(fail))
    }
}
