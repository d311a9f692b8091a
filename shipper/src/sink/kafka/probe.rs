//! A look at the cluster for `tusk check`.

use super::client::{Fail, Reader};
use super::{Config, Mode, connect, topics};
use crate::sink::Context;
use rdkafka::consumer::Consumer as _;
use std::time::{Duration, Instant};

/// All of it takes no longer.
const LIMIT: Duration = Duration::from_secs(9);

/// Connects, changes nothing, and says what it found.
pub(super) fn probe(config: &Config, context: &Context) -> Result<String, String> {
    look(config, &context.node).map_err(|fail| fail.text())
}

fn look(config: &Config, node: &str) -> Result<String, Fail> {
    let start = Instant::now();
    // Each call has the rest of the time; a slow broker is one that would not do.
    let left = || LIMIT.saturating_sub(start.elapsed()).max(Duration::from_millis(100));
    let reader = Reader::open(config, &connect::id(node), true)?;
    let all = reader
        .consumer
        .fetch_metadata(None, left())
        .map_err(|error| reader.fail(config, "asking for brokers", &error))?;
    let mut found = Vec::new();
    for topic in topics::constant(config) {
        match reader.partitions(config, topic, left())? {
            Some(partitions) => found.push(format!("{topic} ({})", partitions.len())),
            None if config.create_topics => found.push(format!("{topic} (will be made)")),
            None => return Err(Fail::Lost(topics::missing(topic))),
        }
    }
    let mut text = format!("{} brokers; topics {}", all.brokers().len(), found.join(", "));
    if config.mode == Mode::Transactional {
        let topic = &config.topic_positions;
        text += &match reader.partitions(config, topic, left())? {
            None => format!("; {topic} will be made"),
            Some(_) => match connect::record(config, &reader, connect::name(node), left())? {
                Some(record) => format!("; {} stands at {}", record.node, record.lsn),
                None => format!("; no position of {} yet", connect::name(node)),
            },
        };
    }
    Ok(text)
}
