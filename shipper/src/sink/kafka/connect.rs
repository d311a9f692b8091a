//! Finding out where a node stands: topic of positions, group, topics of events.

use super::client::{Fail, Reader};
use super::position::{Committed, Position};
use super::scan::{self, Part};
use super::{Config, topics};
use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// First look at the end of the topic of positions goes so far back; each further one eight times as far.
const LOOK_BACK: i64 = 1_000;

/// What Kafka says about a node.
#[derive(Debug)]
pub(super) struct Stand {
    /// The record under the node's key.
    pub(super) record: Option<Position>,
    /// The group's offset.
    pub(super) offset: Option<Committed>,
    /// Whether another node has a record.
    pub(super) others: bool,
}

/// Group and transactional id of a node.
pub(super) fn id(node: &str) -> String {
    format!("tusk-{}", name(node))
}

/// `<name>` of `<name>-<epoch>`: the key of its position.
pub(super) fn name(node: &str) -> &str {
    node.rsplit_once('-').map_or(node, |(name, _)| name)
}

/// Reads where `key` stands. Only what is committed counts: an open transaction of the node was settled by `init_transactions`.
pub(super) fn stand(
    config: &Config,
    reader: &Reader,
    key: &str,
    limit: Duration,
) -> Result<Stand, Fail> {
    let offset = offset(config, reader, limit)?;
    let topic = &config.topic_positions;
    // Another node's open transaction hides what is behind it, our own position too.
    let all = Reader::open(config, "tusk-watermarks", false)?;
    let start = Instant::now();
    let (low, high) = watermarks(config, &all, topic, limit)?;
    loop {
        let (_, stable) = watermarks(config, reader, topic, limit)?;
        let (record, others) = last(config, reader, topic, key, (low, stable.min(high)), limit)?;
        let agree = match (&record, &offset) {
            (Some(record), Some(offset)) => record.lsn == offset.lsn,
            _ => false,
        };
        if stable >= high || agree {
            return Ok(Stand { record, offset, others });
        }
        if start.elapsed() >= limit {
            return Err(Fail::Lost(format!(
                "topic {topic} has an open transaction of another shipper, which hides our position; it ends by itself within its \
                 transaction_timeout_ms"
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The record under `key` as far as it is to be seen at once, without waiting for anybody's transaction.
pub(super) fn record(
    config: &Config,
    reader: &Reader,
    key: &str,
    limit: Duration,
) -> Result<Option<Position>, Fail> {
    let topic = &config.topic_positions;
    let seen = watermarks(config, reader, topic, limit)?;
    Ok(last(config, reader, topic, key, seen, limit)?.0)
}

fn watermarks(
    config: &Config,
    reader: &Reader,
    topic: &str,
    limit: Duration,
) -> Result<(i64, i64), Fail> {
    reader
        .consumer
        .fetch_watermarks(topic, 0, limit)
        .map_err(|error| reader.fail(config, "asking for offsets", &error))
}

/// The offset of the reader's group.
fn offset(config: &Config, reader: &Reader, limit: Duration) -> Result<Option<Committed>, Fail> {
    let mut list = TopicPartitionList::new();
    list.add_partition(&config.topic_positions, 0);
    let failed = |error: &KafkaError| reader.fail(config, "reading the group's offset", error);
    let found = reader.consumer.committed_offsets(list, limit).map_err(|error| failed(&error))?;
    let Some(one) = found.find_partition(&config.topic_positions, 0) else { return Ok(None) };
    one.error().map_err(|error| failed(&error))?;
    Ok(match one.offset() {
        Offset::Offset(lsn) => {
            Some(Committed { lsn: lsn.cast_unsigned(), node: one.metadata().to_owned() })
        }
        _ => None,
    })
}

/// Group and offset as a transaction takes them.
pub(super) fn offset_of(
    config: &Config,
    node: &str,
    lsn: u64,
) -> Result<TopicPartitionList, Fail> {
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(i64::try_from(lsn).unwrap_or(i64::MAX));
    list.add_partition_offset(&config.topic_positions, 0, offset)
        .map_err(|error| Fail::Stop(format!("offset {lsn}: {error}")))?;
    if let Some(mut one) = list.find_partition(&config.topic_positions, 0) {
        one.set_metadata(node);
    }
    Ok(list)
}

/// The group's metadata as a transaction takes it.
pub(super) fn group(reader: &Reader) -> Result<ConsumerGroupMetadata, Fail> {
    let group = reader.consumer.group_metadata();
    group.ok_or_else(|| Fail::Stop("librdkafka knows no group".to_owned()))
}

/// The last record under `key` in `[low, end)`, looked for from the end; and whether any other key was met.
fn last(
    config: &Config,
    reader: &Reader,
    topic: &str,
    key: &str,
    (low, end): (i64, i64),
    limit: Duration,
) -> Result<(Option<Position>, bool), Fail> {
    let (mut to, mut step, mut others) = (end, LOOK_BACK, false);
    while to > low {
        let from = to.saturating_sub(step).max(low);
        let mut found = None;
        positions(config, reader, topic, (from, to), limit, &mut |record_key, value| {
            if record_key == key.as_bytes() {
                found = Some(Position::decode(value));
            } else {
                others = true;
            }
        })?;
        match found {
            Some(Ok(position)) => return Ok((Some(position), others)),
            Some(Err(problem)) => return Err(Fail::Stop(problem)),
            None => {}
        }
        (to, step) = (from, step.saturating_mul(8));
    }
    Ok((None, others))
}

/// Shows key and value of the committed records of `[from, to)` of partition 0.
fn positions(
    config: &Config,
    reader: &Reader,
    topic: &str,
    (from, to): (i64, i64),
    limit: Duration,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Fail> {
    let mut part = Part { topic: topic.to_owned(), partition: 0, next: from, end: to };
    scan::records(config, reader, &mut part, limit, &mut |message| {
        visit(message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        ControlFlow::Continue(())
    })
}

/// Checks what does not depend on the node: topics there, topic of positions right.
pub(super) fn check_topics(
    config: &Config,
    reader: &Reader,
    limit: Duration,
) -> Result<Vec<(String, usize)>, Fail> {
    let mut found = Vec::new();
    for topic in topics::constant(config) {
        let partitions = topics::ensure(config, reader, topic, limit)?;
        found.push((topic.to_owned(), partitions.len()));
    }
    Ok(found)
}
