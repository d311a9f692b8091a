//! From `[sink.kafka]` to librdkafka's settings, and what may not stand there.

use super::{Compression, Config, Mode, Partitioner, Sasl};
use crate::secret::Secret;
use rdkafka::config::ClientConfig;

/// What `properties` may set: how connections behave and how batches are built. Whatever decides about delivery, identity or
/// memory has a setting of its own, and passwords have a place where they are not shown.
const ALLOWED: [&str; 22] = [
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.rack",
    "connections.max.idle.ms",
    "metadata.max.age.ms",
    "metadata.recovery.strategy",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.endpoint.identification.algorithm",
    "topic.metadata.refresh.interval.ms",
];

/// Settings that cannot be, as (setting, what to write instead).
pub(super) fn problems(config: &Config) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut add = |setting: &str, problem: String| problems.push((setting.to_owned(), problem));
    if config.brokers.is_empty() || config.brokers.iter().any(|broker| !is_broker(broker)) {
        add("brokers", "write a list of host:port, such as [\"kafka1:9092\"]".to_owned());
    }
    for (setting, template, may_be_empty) in [
        ("topic_events", &config.topic_events, false),
        ("topic_profiles", &config.topic_profiles, false),
        ("topic_items", &config.topic_items, false),
        ("topic_rejected", &config.topic_rejected, true),
    ] {
        let empty = may_be_empty && template.is_empty();
        if !empty && !is_topic(&template.replace("{project}", "p"))
        {
            add(setting, "write 1 to 249 of A-Z, a-z, 0-9, `.`, `_`, `-`, and {project}".to_owned());
        }
    }
    if !is_topic(&config.topic_positions) {
        add("topic_positions", "write 1 to 249 of A-Z, a-z, 0-9, `.`, `_`, `-`".to_owned());
    }
    for (setting, value, min, max) in [
        ("commit_ms", config.commit_ms, 1, 60_000),
        ("linger_ms", config.linger_ms.into(), 0, 10_000),
        ("transaction_events_max", config.transaction_events_max.into(), 1, 10_000_000),
        ("transaction_ms_max", config.transaction_ms_max.into(), 1, 60_000),
        ("transaction_timeout_ms", config.transaction_timeout_ms.into(), 10_000, 900_000),
        ("timeout_ms", config.timeout_ms.into(), 1_000, 300_000),
        ("range_bytes_max", config.range_bytes_max, 64 << 10, 1 << 30),
        ("queue_bytes_max", config.queue_bytes_max, 1 << 20, 2 << 30),
        ("message_bytes_max", config.message_bytes_max.into(), 1_000, 1_000_000_000),
    ] {
        if !(min..=max).contains(&value) {
            add(setting, format!("write a number from {min} to {max}"));
        }
    }
    if u64::from(config.message_bytes_max) > config.queue_bytes_max {
        add("message_bytes_max", "a record must fit into queue_bytes_max".to_owned());
    }
    if config.transaction_timeout_ms <= config.timeout_ms {
        add("transaction_timeout_ms", "write more than timeout_ms".to_owned());
    }
    if config.cert_file.is_some() != config.key_file.is_some() {
        add("cert_file", "set cert_file and key_file, or neither".to_owned());
    }
    let tls_alone = config.ca_file.is_some() || config.cert_file.is_some();
    if tls_alone && !config.tls {
        add("tls", "write true: ca_file and cert_file are for it".to_owned());
    }
    if config.sasl == Sasl::Plain && !config.tls {
        add("sasl", "plain shows the password to the network: set tls = true, or use scram-sha-512".to_owned());
    }
    let has_password = config.password.is_some() || config.password_file.is_some();
    if config.sasl == Sasl::None && (has_password || !config.user.is_empty()) {
        add("sasl", "user and password are for it: write \"scram-sha-512\", \"scram-sha-256\" or \"plain\"".to_owned());
    }
    if config.sasl != Sasl::None && (config.user.is_empty() || !has_password) {
        add("sasl", "it needs user, and password or password_file".to_owned());
    }
    for property in &config.properties {
        if let Err(problem) = split(property) {
            add("properties", problem);
        }
    }
    if let Err((setting, problem)) = secrets(config) {
        add(setting, problem);
    }
    problems
}

fn is_broker(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([',', '/', ' ']) && port.parse::<u16>().is_ok()
    })
}

/// Whether the broker takes it as a topic's name.
pub(super) fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".."
}

fn split(property: &str) -> Result<(&str, &str), String> {
    let (name, value) = property
        .split_once('=')
        .ok_or_else(|| format!("`{property}` is not of the form name=value"))?;
    if ALLOWED.contains(&name) {
        return Ok((name, value));
    }
    Err(format!(
        "`{name}` is not open to change (what decides about delivery and passwords has a setting of its own); these are: {}",
        ALLOWED.join(", ")
    ))
}

type Secrets = (Option<Secret>, Option<Secret>);

/// Password of the user and of the key.
fn secrets(config: &Config) -> Result<Secrets, (&'static str, String)> {
    let read = |written: &Option<Secret>, file: &Option<_>, setting| {
        Secret::read(written.as_ref(), file.as_deref(), setting).map_err(|e| (setting, e))
    };
    Ok((
        read(&config.password, &config.password_file, "password")?,
        read(&config.key_password, &config.key_password_file, "key_password")?,
    ))
}

/// What every client of ours has in common: where, how, who.
///
/// # Errors
/// A sentence: a password cannot be read.
pub(super) fn client(config: &Config, name: &str) -> Result<ClientConfig, String> {
    let (password, key_password) =
        secrets(config).map_err(|(setting, problem)| format!("{setting}: {problem}"))?;
    let mut client = ClientConfig::new();
    let timeout_ms = config.timeout_ms.to_string();
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("client.id", name)
        .set("socket.timeout.ms", &timeout_ms)
        .set("socket.connection.setup.timeout.ms", &timeout_ms)
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000")
        // An outage is a line in our own words, not a line of each connection.
        .set("log.connection.close", "false");
    for property in &config.properties {
        let (name, value) = split(property)?;
        client.set(name, value);
    }
    let protocol = match (config.tls, config.sasl) {
        (false, Sasl::None) => "plaintext",
        (true, Sasl::None) => "ssl",
        (false, _) => "sasl_plaintext",
        (true, _) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    for (setting, file) in [
        ("ssl.ca.location", &config.ca_file),
        ("ssl.certificate.location", &config.cert_file),
        ("ssl.key.location", &config.key_file),
    ] {
        if let Some(file) = file {
            client.set(setting, file.display().to_string());
        }
    }
    if let Some(password) = &key_password {
        client.set("ssl.key.password", password.expose());
    }
    if config.sasl != Sasl::None {
        client.set("sasl.mechanism", match config.sasl {
            Sasl::ScramSha256 => "SCRAM-SHA-256",
            Sasl::ScramSha512 => "SCRAM-SHA-512",
            Sasl::Plain | Sasl::None => "PLAIN",
        });
        client.set("sasl.username", &config.user);
        client.set("sasl.password", password.as_ref().map_or("", Secret::expose));
    }
    Ok(client)
}

/// A producer's settings beyond [`client`]'s. `id`: its transactional id, in that mode.
pub(super) fn producer(config: &Config, id: &str, batch: Batch, client: &mut ClientConfig) {
    let timeout_ms = config.timeout_ms;
    client
        .set("acks", "all")
        .set("enable.idempotence", if config.mode == Mode::Plain { "false" } else { "true" })
        // Without sequence numbers only one request at a time keeps the order.
        .set("max.in.flight", if config.mode == Mode::Plain { "1" } else { "5" })
        .set("partitioner", match config.partitioner {
            Partitioner::Murmur2Random => "murmur2_random",
            Partitioner::ConsistentRandom => "consistent_random",
            Partitioner::Fnv1aRandom => "fnv1a_random",
        })
        .set("compression.type", match config.compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
        .set("linger.ms", config.linger_ms.to_string())
        .set("queue.buffering.max.kbytes", (config.queue_bytes_max >> 10).max(1).to_string())
        // The limit is one of bytes.
        .set("queue.buffering.max.messages", "1000000")
        .set("message.max.bytes", config.message_bytes_max.to_string())
        .set("request.timeout.ms", timeout_ms.to_string())
        .set("message.timeout.ms", (2 * timeout_ms).min(config.transaction_timeout_ms).to_string());
    if let Some(level) = config.compression_level {
        client.set("compression.level", level.to_string());
    }
    match batch {
        Batch::Default => {}
        Batch::Bytes(bytes) => _ = client.set("batch.size", bytes.to_string()),
        Batch::One => _ = client.set("batch.num.messages", "1"),
    }
    if config.mode == Mode::Transactional {
        client
            .set("transactional.id", id)
            .set("transaction.timeout.ms", config.transaction_timeout_ms.to_string());
    }
}

/// How many records share a batch, for which the broker has one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// As the library does.
    Default,
    /// At most so many bytes: the topic's limit is lower than the library's.
    Bytes(u32),
    /// Each record alone: to find the one that is refused.
    One,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::producer::{BaseProducer, Producer as _};

    fn good() -> Config {
        Config { brokers: vec!["127.0.0.1:9092".to_owned()], ..Config::default() }
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert_eq!(problems(&good()), []);
        let named = |config: Config| -> Vec<String> {
            problems(&config).into_iter().map(|(setting, _)| setting).collect()
        };
        assert_eq!(named(Config::default()), ["brokers"]);
        assert_eq!(named(Config { brokers: vec!["kafka".into()], ..good() }), ["brokers"]);
        assert_eq!(named(Config { topic_events: "a b".into(), ..good() }), ["topic_events"]);
        assert_eq!(named(Config { topic_items: String::new(), ..good() }), ["topic_items"]);
        let template = "log-{project}.v1".to_owned();
        assert_eq!(problems(&Config { topic_events: template, ..good() }), []);
        assert_eq!(named(Config { commit_ms: 0, ..good() }), ["commit_ms"]);
        assert_eq!(named(Config { sasl: Sasl::ScramSha256, ..good() }), ["sasl"]);
        let plain = Config { sasl: Sasl::Plain, user: "u".into(), ..good() };
        let plain = Config { password: Some("p".into()), ..plain };
        assert_eq!(named(plain.clone()), ["sasl"]);
        assert_eq!(problems(&Config { tls: true, ..plain }), []);
        let file = Some("/no/such/file".into());
        let secret = Config { sasl: Sasl::ScramSha512, user: "u".into(), ..good() };
        assert_eq!(named(Config { password_file: file, ..secret }), ["password"]);
        let property = |text: &str| named(Config { properties: vec![text.into()], ..good() });
        assert_eq!(property("acks=1"), ["properties"]);
        assert_eq!(property("sasl.password=hunter2"), ["properties"]);
        assert_eq!(property("batch.size"), ["properties"]);
        assert!(property("batch.size=65536").is_empty());
    }

    #[test]
    fn the_library_takes_every_setting() {
        for mode in [Mode::Transactional, Mode::Idempotent, Mode::Plain] {
            for batch in [Batch::Default, Batch::Bytes(50_000), Batch::One] {
                let config = Config {
                    mode,
                    compression: Compression::Zstd,
                    compression_level: Some(3),
                    properties: ALLOWED
                        .iter()
                        .filter(|name| name.starts_with("socket.") && name.ends_with("bytes"))
                        .map(|name| format!("{name}=65536"))
                        .collect(),
                    ..good()
                };
                let mut client = client(&config, "tusk-a").unwrap();
                producer(&config, "tusk-a", batch, &mut client);
                let made: BaseProducer = client.create().unwrap();
                assert!(made.client().fatal_error().is_none());
            }
        }
    }
}
