//! Reading the topics of events back: which identities of a node are there, partition by partition, as far as is committed.

use super::client::{Fail, Reader, explain};
use super::{Config, topics};
use crate::ledger::Identity;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::ops::ControlFlow;
use std::time::Duration;

/// A partition and how far it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Where to go on.
    pub(super) next: i64,
    /// Its stable end when the scan began.
    pub(super) end: i64,
}

/// What a record says of the event in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it stood in the journal.
    pub(super) position: u64,
    /// Whose it is.
    pub(super) identity: Identity,
}

/// Every partition that events of ours may be in, topics with this suffix; copies of rejected events are not counted.
pub(super) fn parts(
    config: &Config,
    reader: &Reader,
    suffix: &str,
    limit: Duration,
) -> Result<Vec<Part>, Fail> {
    let mut parts = Vec::new();
    for topic in topics::present(config, reader, suffix, limit)? {
        parts.extend(of_topic(config, reader, &topic, limit)?.unwrap_or_default());
    }
    Ok(parts)
}

/// The partitions of a topic; `None` if there is no such topic.
fn of_topic(
    config: &Config,
    reader: &Reader,
    topic: &str,
    limit: Duration,
) -> Result<Option<Vec<Part>>, Fail> {
    let Some(partitions) = reader.partitions(config, topic, limit)? else { return Ok(None) };
    let part = |partition| {
        let (next, end) = reader
            .consumer
            .fetch_watermarks(topic, partition, limit)
            .map_err(|error| reader.fail(config, "asking for offsets", &error))?;
        Ok(Part { topic: topic.to_owned(), partition, next, end })
    };
    partitions.into_iter().map(part).collect::<Result<_, _>>().map(Some)
}

/// Moves each partition to the first record received at or after `from_ms`: a record's time is when its event was received.
pub(super) fn seek(
    config: &Config,
    reader: &Reader,
    parts: &mut [Part],
    from_ms: i64,
    limit: Duration,
) -> Result<(), Fail> {
    let failed = |error: KafkaError| reader.fail(config, "asking for offsets", &error);
    let mut list = TopicPartitionList::new();
    for part in parts.iter() {
        let at = Offset::Offset(from_ms.max(0));
        list.add_partition_offset(&part.topic, part.partition, at).map_err(failed)?;
    }
    let found = reader.consumer.offsets_for_times(list, limit).map_err(failed)?;
    for part in parts {
        let one = found.find_partition(&part.topic, part.partition).map(|one| one.offset());
        part.next = match one {
            Some(Offset::Offset(offset)) => offset.max(part.next),
            // Nothing as young as that.
            _ => part.end,
        };
    }
    Ok(())
}

/// Shows the records of `node` from `part.next` on, until `visit` breaks (that record is the next to be read) or its end.
pub(super) fn read(
    config: &Config,
    reader: &Reader,
    part: &mut Part,
    node: &str,
    visit: &mut dyn FnMut(Mark) -> ControlFlow<()>,
) -> Result<(), Fail> {
    let limit = Duration::from_millis(config.timeout_ms.into());
    records(config, reader, part, limit, &mut |message| {
        mark(message, node).map_or(ControlFlow::Continue(()), &mut *visit)
    })
}

/// Shows records from `part.next` on, until `visit` breaks or the end.
pub(super) fn records(
    config: &Config,
    reader: &Reader,
    part: &mut Part,
    limit: Duration,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), Fail> {
    if part.next >= part.end {
        return Ok(());
    }
    let what = format!("reading topic {}", part.topic);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&part.topic, part.partition, Offset::Offset(part.next))
        .and_then(|()| reader.consumer.assign(&list))
        .map_err(|error| reader.fail(config, &what, &error))?;
    let done = loop {
        match reader.consumer.poll(limit) {
            Some(Ok(message)) if message.offset() >= part.end => {
                part.next = part.end;
                break Ok(());
            }
            Some(Ok(message)) => {
                if visit(&message).is_break() {
                    part.next = message.offset();
                    break Ok(());
                }
                part.next = message.offset() + 1;
                if part.next >= part.end {
                    break Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                part.next = part.end;
                break Ok(());
            }
            Some(Err(error)) => break Err(reader.fail(config, &what, &error)),
            None => {
                let text =
                    explain(config, &what, &KafkaError::Canceled, reader.watch.trouble());
                break Err(Fail::Lost(text));
            }
        }
    };
    let _ = reader.consumer.unassign();
    done
}

/// Shows every value of a topic up to its stable end.
pub(super) fn values(
    config: &Config,
    topic: &str,
    visit: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), Fail> {
    let limit = Duration::from_millis(config.timeout_ms.into());
    let reader = Reader::open(config, "tusk-compare", true)?;
    let Some(parts) = of_topic(config, &reader, topic, limit)? else {
        return Err(Fail::Stop(format!("kafka: there is no topic {topic}")));
    };
    for mut part in parts {
        let mut failed = None;
        records(config, &reader, &mut part, limit, &mut |message| {
            match visit(message.payload().unwrap_or_default()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(Fail::Stop(error.to_string()));
        }
    }
    Ok(())
}

/// Identity and position of a record of `node`, from its headers; `None`: another's, or a copy of a rejected event.
fn mark(message: &BorrowedMessage<'_>, node: &str) -> Option<Mark> {
    let headers = message.headers()?;
    let (mut ours, mut lsn, mut index, mut position, mut rejected) = (false, None, None, None, false);
    let number = |value: Option<&[u8]>| std::str::from_utf8(value?).ok()?.parse::<u64>().ok();
    for header in headers.iter() {
        match header.key {
            "node" => ours = header.value == Some(node.as_bytes()),
            "lsn" => lsn = number(header.value),
            "index" => index = number(header.value),
            "position" => position = number(header.value),
            "verdict" => rejected = header.value == Some(b"rejected"),
            _ => {}
        }
    }
    if !ours || rejected {
        return None;
    }
    let identity = (lsn?, u32::try_from(index?).ok()?);
    Some(Mark { position: position.unwrap_or(identity.0), identity })
}
