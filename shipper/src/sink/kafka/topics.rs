//! Topics: whether they are there, and making them.

use super::Config;
use super::client::{Events, Fail, Reader, refused};
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Settings of the topic of positions: old positions go within an hour or so, so that a start reads little.
const POSITIONS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "600000"),
    ("max.compaction.lag.ms", "3600000"),
];

/// Topics whose names are known without an event: templates that name no project.
pub(super) fn constant(config: &Config) -> BTreeSet<&str> {
    templates(config).filter(|template| !template.contains("{project}")).collect()
}

/// Every template in use.
fn templates(config: &Config) -> impl Iterator<Item = &str> {
    let all = [
        &config.topic_events,
        &config.topic_profiles,
        &config.topic_items,
        &config.topic_rejected,
    ];
    all.into_iter().map(String::as_str).filter(|template| !template.is_empty())
}

/// Partitions of a topic that must be there; makes it if it may.
pub(super) fn ensure(
    config: &Config,
    reader: &Reader,
    topic: &str,
    limit: Duration,
) -> Result<Vec<i32>, Fail> {
    if let Some(partitions) = reader.partitions(config, topic, limit)? {
        return Ok(partitions);
    }
    if !config.create_topics {
        return Err(Fail::Lost(missing(topic)));
    }
    create(config, topic, config.topic_partitions, &[], limit)?;
    appears(config, reader, topic, limit)
}

/// What is said of a topic that is not there.
pub(super) fn missing(topic: &str) -> String {
    format!(
        "topic {topic} is missing: make it (kafka-topics --create --topic {topic} …), or set sink.kafka.create_topics = true"
    )
}

/// The topic of positions: one partition, compacted; made if it is missing.
pub(super) fn ensure_positions(
    config: &Config,
    reader: &Reader,
    limit: Duration,
) -> Result<(), Fail> {
    let topic = &config.topic_positions;
    let partitions = match reader.partitions(config, topic, limit)? {
        Some(partitions) => partitions,
        None => {
            create(config, topic, 1, &POSITIONS, limit)?;
            appears(config, reader, topic, limit)?
        }
    };
    if partitions.len() != 1 {
        return Err(Fail::Stop(format!(
            "topic {topic} has {} partitions; the topic of positions has one: name another in sink.kafka.topic_positions, it is made",
            partitions.len()
        )));
    }
    match setting(config, topic, "cleanup.policy", limit) {
        Some(policy) if policy.contains("compact") => Ok(()),
        Some(policy) => Err(Fail::Stop(format!(
            "topic {topic} has cleanup.policy = {policy}, which forgets positions: kafka-configs --alter --topic {topic} --add-config cleanup.policy=compact"
        ))),
        // We may not ask; whoever may not either make topics has been told how to make this one.
        None => Ok(()),
    }
}

/// Whether any topic of events holds a record.
pub(super) fn hold_anything(
    config: &Config,
    reader: &Reader,
    limit: Duration,
) -> Result<bool, Fail> {
    use rdkafka::consumer::Consumer as _;
    let mut names: BTreeSet<String> = constant(config).into_iter().map(str::to_owned).collect();
    let open: Vec<&str> = templates(config).filter(|t| t.contains("{project}")).collect();
    if !open.is_empty() {
        let all = reader
            .consumer
            .fetch_metadata(None, limit)
            .map_err(|error| reader.fail(config, "asking for topics", &error))?;
        let fits = |name: &str| open.iter().any(|template| fits(template, name));
        names.extend(all.topics().iter().map(|t| t.name().to_owned()).filter(|name| fits(name)));
    }
    for name in names {
        for partition in reader.partitions(config, &name, limit)?.unwrap_or_default() {
            let (low, high) = reader
                .consumer
                .fetch_watermarks(&name, partition, limit)
                .map_err(|error| reader.fail(config, "asking for offsets", &error))?;
            if high > low {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Every topic there is that an event of ours may be in.
pub(super) fn present(
    config: &Config,
    reader: &Reader,
    suffix: &str,
    limit: Duration,
) -> Result<Vec<String>, Fail> {
    use rdkafka::consumer::Consumer as _;
    let all = reader
        .consumer
        .fetch_metadata(None, limit)
        .map_err(|error| reader.fail(config, "asking for topics", &error))?;
    let ours = |name: &str| {
        let Some(name) = name.strip_suffix(suffix) else { return false };
        templates(config).any(|template| fits(template, name))
    };
    Ok(all.topics().iter().map(|one| one.name().to_owned()).filter(|name| ours(name)).collect())
}

/// Whether a template gives this name for some project.
fn fits(template: &str, name: &str) -> bool {
    let mut pieces = template.split("{project}");
    let Some(rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    match template.rsplit_once("{project}") {
        None => rest.is_empty(),
        // What stands between two projects is not looked at: a name too many is only read in vain.
        Some((_, last)) => rest.len() > last.len() && rest.ends_with(last),
    }
}

fn admin(config: &Config) -> Result<AdminClient<Events>, Fail> {
    let client = super::properties::client(config, "tusk-admin").map_err(Fail::Stop)?;
    client.create_with_context(Events::default()).map_err(|error| Fail::Stop(refused(&error)))
}

fn options(limit: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit))
}

/// Runs a future of the library's: its own threads drive it.
fn wait<F: Future>(future: F) -> Result<F::Output, Fail> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Fail::Lost(format!("cannot wait for the broker: {error}")))?;
    Ok(runtime.block_on(future))
}

fn create(
    config: &Config,
    topic: &str,
    partitions: u32,
    settings: &[(&str, &str)],
    limit: Duration,
) -> Result<(), Fail> {
    // -1 is "as the broker does by default".
    let number = |count: u32| i32::try_from(count).ok().filter(|n| *n > 0).unwrap_or(-1);
    let replicas = TopicReplication::Fixed(number(config.topic_replicas));
    let mut new = NewTopic::new(topic, number(partitions), replicas);
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let admin = admin(config)?;
    let made = wait(admin.create_topics([&new], &options(limit)))?;
    let cannot = |why: &str| {
        let settings: Vec<String> =
            settings.iter().map(|(name, value)| format!(" --config {name}={value}")).collect();
        Fail::Lost(format!(
            "cannot make topic {topic} ({why}): kafka-topics --create --topic {topic} --partitions {}{}",
            partitions.max(1),
            settings.concat()
        ))
    };
    match made.map(|all| all.into_iter().next()) {
        Ok(Some(TopicResult::Ok(_))) => {
            tracing::info!(topic, "made a topic");
            Ok(())
        }
        // Another node was first.
        Ok(Some(Err((_, Code::TopicAlreadyExists)))) => Ok(()),
        Ok(Some(Err((_, code)))) => Err(cannot(&code.to_string())),
        Ok(None) => Err(cannot("no answer")),
        Err(error) => Err(cannot(&error.to_string())),
    }
}

/// Waits until a topic just made is seen.
fn appears(
    config: &Config,
    reader: &Reader,
    topic: &str,
    limit: Duration,
) -> Result<Vec<i32>, Fail> {
    let start = Instant::now();
    loop {
        if let Ok(Some(partitions)) = reader.partitions(config, topic, limit) {
            return Ok(partitions);
        }
        if start.elapsed() > limit {
            return Err(Fail::Lost(format!("topic {topic} was made and is not seen yet")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A setting of a topic; `None` if we may not ask.
fn setting(config: &Config, topic: &str, name: &str, limit: Duration) -> Option<String> {
    let admin = admin(config).ok()?;
    let resource = ResourceSpecifier::Topic(topic);
    let found = wait(admin.describe_configs([&resource], &options(limit))).ok()?.ok()?;
    let found = found.into_iter().next()?.ok()?;
    found.get(name).and_then(|entry| entry.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_knows_its_topics() {
        assert!(fits("tusk.events", "tusk.events") && !fits("tusk.events", "tusk.events2"));
        assert!(fits("t.{project}.v1", "t.shop.v1"));
        assert!(!fits("t.{project}.v1", "t..v1") && !fits("t.{project}.v1", "t.shop.v2"));
        assert!(fits("{project}", "shop") && !fits("{project}", ""));
        assert!(fits("{project}-{project}", "shop-shop"));
    }
}
