//! A producer that may deliver, and its transaction.

use super::client::{
    Events, Fail, Watch, call, explain, is_fence, is_poison, may_not, refused, words,
};
use super::message::Maker;
use super::properties::{self, Batch};
use super::{Config, Mode, topics};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failures are looked for once in so many records sent.
const LOOK_EVERY: u64 = 256;
/// A full queue is waited for until so many records have left it: one wake-up for many.
const QUEUE_STEP: u64 = 512;
/// Place of the position's record in a transaction.
const POSITION: usize = usize::MAX;

/// A connected producer.
pub(super) struct Session {
    producer: ThreadedProducer<Events>,
    watch: Arc<Watch>,
    limit: Duration,
    /// Records handed to the library over its life.
    sent: u64,
    /// Records of this transaction.
    records: u64,
    began: Option<Instant>,
    /// Topic of the record sent last, for words.
    topic: String,
}

/// The position that a transaction carries.
pub(super) struct Carried<'p> {
    /// Topic of positions.
    pub(super) topic: &'p str,
    /// Key of the record.
    pub(super) key: &'p str,
    /// Its value.
    pub(super) value: &'p [u8],
    /// Offset of the group, and the group.
    pub(super) offset: Option<(&'p TopicPartitionList, &'p ConsumerGroupMetadata)>,
}

/// What became of a record that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It will be answered for.
    Queued,
    /// It is too large for us or the topic's name is none: it goes nowhere.
    Refused(String),
}

impl Session {
    /// Makes a producer; a transactional one settles what its former life left open, and fences it.
    pub(super) fn open(config: &Config, id: &str, batch: Batch) -> Result<Self, Fail> {
        let mut client = properties::client(config, id).map_err(Fail::Stop)?;
        properties::producer(config, id, batch, &mut client);
        let watch = Arc::new(Watch::default());
        let producer: ThreadedProducer<Events> = client
            .create_with_context(Events(Arc::clone(&watch)))
            .map_err(|error| Fail::Stop(refused(&error)))?;
        let limit = Duration::from_millis(config.timeout_ms.into());
        let session = Self {
            producer,
            watch,
            limit,
            sent: 0,
            records: 0,
            began: None,
            topic: String::new(),
        };
        if config.mode == Mode::Transactional {
            let init = |left| session.producer.init_transactions(left);
            call(config, "init_transactions", limit, &session.watch, init)?;
        }
        Ok(session)
    }

    /// Begins a transaction (in other modes: a count).
    pub(super) fn begin(&mut self, config: &Config) -> Result<(), Fail> {
        if config.mode == Mode::Transactional {
            let begin = |_| self.producer.begin_transaction();
            call(config, "begin_transaction", self.limit, &self.watch, begin)?;
        }
        self.began = Some(Instant::now());
        self.records = 0;
        Ok(())
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.began.is_some()
    }

    /// Whether the open transaction has run for so long.
    pub(super) fn is_older(&self, age: Duration) -> bool {
        self.began.is_some_and(|began| began.elapsed() >= age)
    }

    /// Hands over the record made last. `place`: its number in the transaction.
    pub(super) fn send(
        &mut self,
        config: &Config,
        maker: &Maker,
        topic: &str,
        place: usize,
        time_ms: i64,
    ) -> Result<Sent, Fail> {
        if !properties::is_topic(topic) {
            return Ok(Sent::Refused(format!("`{topic}` cannot be a topic's name")));
        }
        if self.topic != topic {
            topic.clone_into(&mut self.topic);
        }
        let mut headers = OwnedHeaders::new_with_capacity(12);
        for (key, value) in maker.headers() {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = BaseRecord::with_opaque_to(topic, place)
            .payload(maker.value())
            .headers(headers)
            .timestamp(time_ms);
        if let Some(key) = maker.key() {
            record = record.key(key);
        }
        self.hand_over(config, record)
    }

    fn hand_over(
        &mut self,
        config: &Config,
        mut record: BaseRecord<'_, [u8], [u8], usize>,
    ) -> Result<Sent, Fail> {
        loop {
            let error = match self.producer.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    self.records += 1;
                    if self.records.is_multiple_of(LOOK_EVERY) && self.watch.has_failed() {
                        return Err(self.failure(config));
                    }
                    return Ok(Sent::Queued);
                }
                Err((error, back)) => {
                    record = back;
                    error
                }
            };
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) => self.make_room(config)?,
                Some(Code::MessageSizeTooLarge) => {
                    return Ok(Sent::Refused(format!(
                        "{} bytes, larger than sink.kafka.message_bytes_max = {}",
                        record.payload.map_or(0, <[u8]>::len),
                        config.message_bytes_max
                    )));
                }
                _ if self.watch.has_failed() => return Err(self.failure(config)),
                _ => return Err(self.broken(config, "sending", &error)),
            }
        }
    }

    fn make_room(&mut self, config: &Config) -> Result<(), Fail> {
        let goal = self.sent.min(self.watch.answered() + QUEUE_STEP);
        let moved = self.watch.wait(goal, 2 * self.limit);
        if self.watch.has_failed() {
            return Err(self.failure(config));
        }
        if moved { Ok(()) } else { Err(self.silence(config)) }
    }

    /// Waits until every record is answered for. The library's own flush would wait in steps of 100 ms.
    fn drain(&mut self, config: &Config) -> Result<(), Fail> {
        let all = self.watch.wait(self.sent, 2 * self.limit);
        if self.watch.has_failed() {
            return Err(self.failure(config));
        }
        if !all {
            return Err(self.silence(config));
        }
        // The last answer was heard a moment before the library counts it as heard.
        let start = Instant::now();
        while self.producer.in_flight_count() > 0 && start.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_micros(30));
        }
        Ok(())
    }

    /// Makes what was sent durable; a transaction with the position in it.
    pub(super) fn commit(
        &mut self,
        config: &Config,
        carried: Option<&Carried<'_>>,
    ) -> Result<(), Fail> {
        if let Some(carried) = carried {
            let record: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to(carried.topic, POSITION)
                    .key(carried.key.as_bytes())
                    .payload(carried.value);
            if let Sent::Refused(reason) = self.hand_over(config, record)? {
                return Err(Fail::Abort(format!("the position's record: {reason}")));
            }
            // While the records are on their way.
            if let Some((offset, group)) = carried.offset {
                let send = |left| self.producer.send_offsets_to_transaction(offset, group, left);
                call(config, "sending the offset", self.limit, &self.watch, send)?;
            }
        }
        self.drain(config)?;
        if config.mode == Mode::Transactional {
            let commit = |left| self.producer.commit_transaction(left);
            call(config, "commit_transaction", self.limit, &self.watch, commit)?;
        }
        self.began = None;
        self.watch.forget_trouble();
        Ok(())
    }

    /// Gives the open transaction up, so that the producer can begin another.
    pub(super) fn abort(&mut self, config: &Config) -> Result<(), Fail> {
        if config.mode != Mode::Transactional {
            return Err(Fail::Lost("nothing can be taken back in this mode".to_owned()));
        }
        if self.began.take().is_some() {
            let abort = |left| self.producer.abort_transaction(left);
            call(config, "abort_transaction", self.limit, &self.watch, abort)?;
            // What was thrown away is answered for too.
            if !self.watch.wait(self.sent, self.limit) {
                return Err(self.silence(config));
            }
        }
        let _ = self.watch.take_failed();
        Ok(())
    }

    /// Records that no answer came for.
    fn silence(&self, config: &Config) -> Fail {
        let error = KafkaError::MessageProduction(Code::MessageTimedOut);
        Fail::Lost(explain(config, "sending", &error, self.watch.trouble()))
    }

    /// A call failed that is none of a transaction.
    fn broken(&self, config: &Config, what: &str, error: &KafkaError) -> Fail {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            let text = format!("{}: {what}: {reason}", config.brokers.join(", "));
            return if is_fence(code) { Fail::Fenced(text) } else { Fail::Lost(text) };
        }
        Fail::Abort(explain(config, what, error, self.watch.trouble()))
    }

    /// What the failed records mean together.
    fn failure(&mut self, config: &Config) -> Fail {
        // An answer for a batch comes record by record.
        std::thread::sleep(Duration::from_millis(20));
        let failed = self.watch.take_failed();
        let poison: Vec<_> = failed.iter().filter(|(_, code)| is_poison(*code)).collect();
        if !poison.is_empty() {
            let reason = |code: Code| format!("the broker refuses it: {}", words(code));
            return Fail::Poison(poison.iter().map(|(at, code)| (*at, reason(*code))).collect());
        }
        let ended = |code: Code| matches!(code, Code::PurgeQueue | Code::PurgeInflight);
        let code = failed.iter().map(|(_, code)| *code).find(|code| !ended(*code));
        match code {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                Fail::Abort(topics::missing(&self.topic))
            }
            Some(Code::TopicAuthorizationFailed) => Fail::Abort(may_not(config, &self.topic)),
            Some(code) => self.broken(config, "sending", &KafkaError::MessageProduction(code)),
            None => self.broken(config, "sending", &KafkaError::MessageProduction(Code::PurgeQueue)),
        }
    }
}
