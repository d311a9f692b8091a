//! The Kafka sink: one record per event, in transactions that carry the journal's position.
//!
//! * [`message`] what a record is: topic, key, value, headers.
//! * [`client`] librdkafka behind calls that end in time, and what its errors mean.
//! * [`position`] where a node stands in Kafka, and the table that decides whether to go on from there.
//! * `session` a connection that may deliver; `deliver` what is done with a range.
//!
//! What each mode promises stands in `docs/kafka.md`.

mod audit;
mod client;
mod connect;
mod deliver;
pub mod message;
mod pass;
pub mod position;
mod probe;
mod properties;
mod replay;
mod scan;
mod session;
mod settle;
mod topics;

use super::{AuditContext, Common, Context, Sink, SinkConfig, Start};
use crate::ledger::Audit;
use crate::secret::Secret;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[sink.kafka]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap (and so bring the edge to 503) rather than be parked.
    pub required: bool,
    /// Where a new Kafka sink starts: `oldest` or `now`.
    pub start: Start,
    /// Where an optional sink is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// `host:port` of some brokers; the others are learnt from them.
    pub brokers: Vec<String>,
    /// What is promised to readers.
    pub mode: Mode,
    /// Topic of track records; `{project}` stands for the event's project. Kinds may share a topic.
    pub topic_events: String,
    /// Topic of profile records.
    pub topic_profiles: String,
    /// Topic of item and detail records.
    pub topic_items: String,
    /// Topic of copies of rejected events; empty = none.
    pub topic_rejected: String,
    /// Whether missing topics are made.
    pub create_topics: bool,
    /// Partitions of a topic made by us; 0 = the broker's default.
    pub topic_partitions: u32,
    /// Replicas of a topic made by us; 0 = the broker's default.
    pub topic_replicas: u32,
    /// Compacted topic of one partition that holds each node's position; made if it is missing.
    pub topic_positions: String,
    /// A position in Kafka that this journal may replace, see [`position`]: `<name>-<epoch>` or `none`.
    pub take_over: Option<String>,
    /// What orders and partitions events.
    pub key_by: KeyBy,
    /// How a key chooses its partition.
    pub partitioner: Partitioner,
    /// Value of a record.
    pub shape: Shape,
    /// How batches are packed.
    pub compression: Compression,
    /// Level of it; unset: the codec's own default.
    pub compression_level: Option<i32>,
    /// How long a batch may wait for company, ms.
    pub linger_ms: u32,
    /// A transaction is committed at the latest this long after its first event was received, ms …
    pub commit_ms: u64,
    /// … and while behind at this many events …
    pub transaction_events_max: u32,
    /// … or after this long, ms.
    pub transaction_ms_max: u32,
    /// After so long the broker gives up a transaction of a shipper that died, ms. Until then readers see nothing behind it.
    pub transaction_timeout_ms: u32,
    /// A range is closed at this many journal bytes.
    pub range_bytes_max: u64,
    /// Longest wait for an answer of the broker, ms.
    pub timeout_ms: u32,
    /// Memory for records that the broker has not confirmed, bytes.
    pub queue_bytes_max: u64,
    /// Largest record, bytes; a larger one goes to quarantine.
    pub message_bytes_max: u32,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// Authorities to trust, PEM; unset: the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM …
    pub cert_file: Option<PathBuf>,
    /// … its key, PEM …
    pub key_file: Option<PathBuf>,
    /// … and the key's password …
    pub key_password: Option<Secret>,
    /// … or a file that holds it.
    pub key_password_file: Option<PathBuf>,
    /// How we say who we are.
    pub sasl: Sasl,
    /// User of it …
    pub user: String,
    /// … and password …
    pub password: Option<Secret>,
    /// … or a file that holds it.
    pub password_file: Option<PathBuf>,
    /// Further settings of librdkafka, `name=value`.
    pub properties: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            required: true,
            start: Start::Oldest,
            lag_bytes_max: 0,
            brokers: Vec::new(),
            mode: Mode::Transactional,
            topic_events: "tusk.events".to_owned(),
            topic_profiles: "tusk.profiles".to_owned(),
            topic_items: "tusk.items".to_owned(),
            topic_rejected: String::new(),
            create_topics: false,
            topic_partitions: 0,
            topic_replicas: 0,
            topic_positions: "tusk.positions".to_owned(),
            take_over: None,
            key_by: KeyBy::DistinctId,
            partitioner: Partitioner::Murmur2Random,
            shape: Shape::Server,
            compression: Compression::Lz4,
            compression_level: None,
            linger_ms: 2,
            commit_ms: 20,
            transaction_events_max: 100_000,
            transaction_ms_max: 1_000,
            transaction_timeout_ms: 60_000,
            range_bytes_max: 128 << 20,
            timeout_ms: 10_000,
            queue_bytes_max: 32 << 20,
            message_bytes_max: 1_000_000,
            tls: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            key_password: None,
            key_password_file: None,
            sasl: Sasl::None,
            user: String::new(),
            password: None,
            password_file: None,
            properties: Vec::new(),
        }
    }
}

/// What is promised to readers; the table stands in `docs/kafka.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every event exactly once for a `read_committed` reader, over any crash.
    Transactional,
    /// At least once: a range under way in a crash comes again.
    Idempotent,
    /// As idempotent, and also a lost answer may double a batch; for brokers that know no idempotent producers.
    Plain,
}

/// What orders and partitions events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyBy {
    /// The user (of items: `item_id`).
    DistinctId,
    /// `anonymous_id`, which a login does not change; the user where there is none.
    Device,
}

/// How a key chooses its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// As Java clients do: joins with what they write.
    Murmur2Random,
    /// As librdkafka clients do by default.
    ConsistentRandom,
    /// As Sarama (Go) clients do.
    Fnv1aRandom,
}

/// How batches are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// Snappy
    Snappy,
    /// LZ4
    Lz4,
    /// Zstandard
    Zstd,
}

/// How we say who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sasl {
    /// Not at all, or by certificate.
    None,
    /// User and password as they are: only with `tls`.
    Plain,
    /// SCRAM-SHA-256
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SCRAM-SHA-512
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Mode {
    /// Its word in the settings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Idempotent => "idempotent",
            Self::Plain => "plain",
        }
    }
}

/// Shows every value of a topic, as far as it is committed now, by the connection settings of `config`.
///
/// # Errors
/// A sentence: settings, no such topic, the broker's, or the visitor's.
pub fn read_topic(
    config: &Config,
    topic: &str,
    visit: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), String> {
    if config.brokers.is_empty() {
        return Err("kafka: sink.kafka.brokers says which brokers to ask; the sink need not be enabled".to_owned());
    }
    scan::values(config, topic, visit).map_err(|fail| fail.text())
}

impl SinkConfig for Config {
    fn common(&self) -> Common {
        Common {
            enabled: self.enabled,
            required: self.required,
            lag_bytes_max: self.lag_bytes_max,
            range_bytes_max: self.range_bytes_max,
            range_age_ms_max: self.commit_ms,
            start: self.start,
            rejected_too: !self.topic_rejected.is_empty(),
        }
    }

    fn problems(&self) -> Vec<(String, String)> {
        properties::problems(self)
    }

    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String> {
        Ok(Box::new(deliver::KafkaSink::new(self, context)?))
    }

    fn probe(&self, context: &Context) -> Result<String, String> {
        probe::probe(self, context)
    }

    fn audit(&self, context: &AuditContext) -> Result<Audit, String> {
        audit::audit(self, context)
    }
}
