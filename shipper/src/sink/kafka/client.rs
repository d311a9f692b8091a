//! librdkafka behind calls that end in time, and what its errors mean.

use super::Config;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failed records remembered one by one; the rest of them fail for the same reason.
const FAILED_MAX: usize = 1_000;
/// How long the reason of a failed call is listened for.
const HEAR: Duration = Duration::from_millis(100);
/// A call that the library asks to repeat is repeated after this long.
const REPEAT: Duration = Duration::from_millis(20);

/// Why something did not work, and what can be done with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    /// The transaction must be given up; the producer can go on.
    Abort(String),
    /// The producer is of no use any more, or nobody knows what the broker did.
    Lost(String),
    /// As lost, because the broker took our place away: it timed the transaction out, or another producer has our name.
    Fenced(String),
    /// The broker will never take these records, by their place in the transaction.
    Poison(Vec<(usize, String)>),
    /// A person has to look.
    Stop(String),
}

impl Fail {
    /// The sentence in it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Abort(text) | Self::Lost(text) | Self::Fenced(text) | Self::Stop(text) => {
                text.clone()
            }
            Self::Poison(failed) => {
                failed.first().map_or_else(String::new, |(_, text)| text.clone())
            }
        }
    }
}

/// What the library's threads tell us: records confirmed, records failed, the last trouble of a connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Records the broker answered for, well or not.
    answered: AtomicU64,
    /// The waiting thread is woken when `answered` gets there.
    goal: AtomicU64,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    failed: Vec<(usize, Code)>,
    trouble: Option<(Code, String)>,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records answered for so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// Waits until `goal` records are answered for; `false` when `idle` passes without any answer.
    pub(super) fn wait(&self, goal: u64, idle: Duration) -> bool {
        let mut last = (self.answered(), Instant::now());
        self.goal.store(goal, Ordering::SeqCst);
        let mut seen = self.seen();
        loop {
            let answered = self.answered.load(Ordering::SeqCst);
            if answered >= goal {
                return true;
            }
            if answered != last.0 {
                last = (answered, Instant::now());
            }
            let left = idle.saturating_sub(last.1.elapsed());
            if left.is_zero() {
                return false;
            }
            // Short enough to see progress that does not reach the goal.
            let wait = left.min(Duration::from_millis(200));
            seen = self.changed.wait_timeout(seen, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Records that failed since the last call.
    pub(super) fn take_failed(&self) -> Vec<(usize, Code)> {
        std::mem::take(&mut self.seen().failed)
    }

    /// Whether any record failed since the last [`Watch::take_failed`].
    pub(super) fn has_failed(&self) -> bool {
        !self.seen().failed.is_empty()
    }

    /// The last trouble of a connection.
    pub(super) fn trouble(&self) -> Option<(Code, String)> {
        self.seen().trouble.clone()
    }

    /// Whatever was the matter is over.
    pub(super) fn forget_trouble(&self) {
        self.seen().trouble = None;
    }

    fn note(&self, code: Code, reason: &str) {
        let seen = &mut *self.seen();
        // "All brokers are down" says less than why each of them is.
        if code != Code::AllBrokersDown || seen.trouble.is_none() {
            seen.trouble = Some((code, reason.to_owned()));
        }
    }
}

/// Receives the library's calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Events(pub(super) Arc<Watch>);

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "kafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka: {reason}");
        if let Some(code) = error.rdkafka_error_code() {
            self.0.note(code, reason);
        }
    }
}

impl ConsumerContext for Events {}

impl ProducerContext<NoCustomPartitioner> for Events {
    /// A record's place in its transaction.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        let watch = &*self.0;
        if let Err((error, _)) = result {
            let mut seen = watch.seen();
            if seen.failed.len() < FAILED_MAX {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                seen.failed.push((place, code));
            }
        }
        let answered = watch.answered.fetch_add(1, Ordering::SeqCst) + 1;
        if answered == watch.goal.load(Ordering::SeqCst) {
            // Under the lock, so that a waiter between its look and its sleep does not miss it.
            drop(watch.seen());
            watch.changed.notify_all();
        }
    }
}

/// A reader's client: positions, metadata, topics to scan.
pub(super) struct Reader {
    /// The client.
    pub(super) consumer: BaseConsumer<Events>,
    /// What its connections said.
    pub(super) watch: Arc<Watch>,
}

impl Reader {
    /// A client of `group`; `committed`: sees what is committed and no further.
    pub(super) fn open(config: &Config, group: &str, committed: bool) -> Result<Self, Fail> {
        let mut client = super::properties::client(config, group).map_err(Fail::Stop)?;
        client
            .set("group.id", group)
            .set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" })
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("fetch.error.backoff.ms", "20")
            // A scan holds as much as this per client, however large the topics are.
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", "1048576");
        let watch = Arc::new(Watch::default());
        let consumer = client
            .create_with_context(Events(Arc::clone(&watch)))
            .map_err(|error| Fail::Stop(refused(&error)))?;
        Ok(Self { consumer, watch })
    }

    /// What a call of it that failed means.
    pub(super) fn fail(&self, config: &Config, what: &str, error: &KafkaError) -> Fail {
        // Why a connection failed is heard by polling alone.
        let start = Instant::now();
        while self.watch.trouble().is_none() && start.elapsed() < HEAR {
            let _ = self.consumer.poll(Duration::from_millis(5));
        }
        Fail::Lost(explain(config, what, error, self.watch.trouble()))
    }

    /// Partitions of a topic; `None` if there is no such topic.
    pub(super) fn partitions(
        &self,
        config: &Config,
        topic: &str,
        limit: Duration,
    ) -> Result<Option<Vec<i32>>, Fail> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), limit)
            .map_err(|error| self.fail(config, "asking for topics", &error))?;
        let Some(found) = metadata.topics().first() else { return Ok(None) };
        match found.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
            Some(Code::TopicAuthorizationFailed) => return Err(Fail::Lost(may_not(config, topic))),
            // A topic in the making, or without a leader.
            Some(code) => return Err(Fail::Lost(format!("topic {topic}: {}", words(code)))),
        }
        let partitions: Vec<i32> = found.partitions().iter().map(|one| one.id()).collect();
        Ok((!partitions.is_empty()).then_some(partitions))
    }
}

/// A producer could not be made of these settings.
pub(super) fn refused(error: &KafkaError) -> String {
    format!("librdkafka refuses the settings: {error}")
}

/// The broker lets us not do something with a topic.
pub(super) fn may_not(config: &Config, topic: &str) -> String {
    let user = if config.user.is_empty() { "this client" } else { &config.user };
    format!("{user} may not use topic {topic}: grant it Describe, Read and Write (kafka-acls --add)")
}

/// Calls `call` until it works, fails for good, or `limit` has passed; the library says which of the three by the error.
pub(super) fn call(
    config: &Config,
    what: &str,
    limit: Duration,
    watch: &Watch,
    call: impl Fn(Duration) -> KafkaResult<()>,
) -> Result<(), Fail> {
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        let error = match call(left) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let text = explain(config, what, &error, watch.trouble());
        match &error {
            KafkaError::Transaction(inner) if inner.is_fatal() => {
                return Err(if is_fence(inner.code()) {
                    Fail::Fenced(text)
                } else {
                    Fail::Lost(text)
                });
            }
            KafkaError::Transaction(inner) if inner.txn_requires_abort() => {
                return Err(Fail::Abort(text));
            }
            KafkaError::Transaction(inner) if !inner.is_retriable() => return Err(Fail::Lost(text)),
            // "Not done yet": of the flush within a commit, and of every call that ran out of time. The same call goes on.
            KafkaError::Transaction(_) | KafkaError::Flush(_) => {}
            _ => return Err(Fail::Lost(text)),
        }
        if start.elapsed() >= limit {
            return Err(Fail::Lost(text));
        }
        std::thread::sleep(REPEAT);
    }
}

/// Whether the broker took our place away.
pub(super) fn is_fence(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// Whether this answer is about the record alone, and final.
pub(super) fn is_poison(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::MessageBatchTooLarge
            | Code::PolicyViolation
    )
}

/// One line: what was tried, what went wrong, what to change. The library's own text only where it says more.
pub(super) fn explain(
    config: &Config,
    what: &str,
    error: &KafkaError,
    trouble: Option<(Code, String)>,
) -> String {
    let code = match error {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    };
    let silent = matches!(
        code,
        None | Some(
            Code::OperationTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::MessageTimedOut
                | Code::RequestTimedOut
        )
    );
    let brokers = config.brokers.join(", ");
    // A call that got no answer says only that; the connections know why.
    let (code, reason) = match (silent, trouble) {
        (true, Some((code, reason))) => (Some(code), reason),
        _ => (code, String::new()),
    };
    let reason = brief(&reason);
    match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => format!(
            "{brokers}: the broker refuses user `{}`: {reason}; check sink.kafka.user, password and sasl",
            config.user
        ),
        Some(Code::SSL) => format!(
            "{brokers}: no TLS connection: {reason}; check sink.kafka.ca_file, cert_file, and that this port speaks TLS"
        ),
        Some(Code::Resolve) => {
            format!("{brokers}: unknown host: {reason}; check sink.kafka.brokers")
        }
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown) if !reason.is_empty() => {
            let hint = if reason.contains("refused") {
                "is Kafka running, and is sink.kafka.brokers right?"
            } else if config.tls {
                "check sink.kafka.brokers and tls"
            } else {
                "check sink.kafka.brokers, and whether this port wants tls or sasl"
            };
            format!("{brokers}: no connection ({what}): {reason}; {hint}")
        }
        Some(Code::ClusterAuthorizationFailed | Code::TransactionalIdAuthorizationFailed) => {
            format!(
                "{brokers}: the broker forbids {what}: grant IdempotentWrite on the cluster, and Write and Describe on the transactional ids and groups `tusk-*`"
            )
        }
        Some(Code::GroupAuthorizationFailed) => {
            format!("{brokers}: the broker forbids {what}: grant Read on the groups `tusk-*`")
        }
        Some(code) if silent => {
            format!("{brokers}: no answer within {} ms ({what}: {})", config.timeout_ms, words(code))
        }
        Some(code) => format!("{brokers}: {what}: {}", words(code)),
        None => format!("{brokers}: {what}: {error}"),
    }
}

/// A code's text, which begins with its name in brackets-free words.
pub(super) fn words(code: Code) -> String {
    code.to_string()
}

/// The library's text without addresses of handles and the time since.
fn brief(reason: &str) -> String {
    let reason = reason.lines().next().unwrap_or_default();
    let reason = reason.strip_suffix(')').and_then(|r| r.rsplit_once(" (after ")).map_or(reason, |r| r.0);
    reason.trim().to_owned()
}
