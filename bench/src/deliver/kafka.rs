//! From a filled journal into Kafka, beside librdkafka's own idempotent producer sending the very same records.
//!
//! Both write to the same broker, each round to new topics of four partitions, packed by LZ4. The plain producer has its records ready
//! in memory (they were read back from the first topic Tusk wrote: key, value, headers, time); Tusk reads them from its journal. The
//! clock runs from the first record the broker has to the last one it confirmed, for Tusk to the last committed.

use super::filled::{Filled, metric};
use crate::measured::{Measured, Target, ratios};

use super::Options;
use crate::{Error, proc};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::time::{Duration, Instant};
use tusk_tests::servers::kafka::{Isolation, Kafka, Message};
use tusk_tests::{Tusk, wait_for};

const PARTITIONS: i32 = 4;
/// Longest wait for anything of a round.
const LIMIT: Duration = Duration::from_secs(180);

/// Who takes turns.
#[derive(Clone, Copy, Debug)]
enum Who {
    Plain,
    /// Tusk with at most so many events in a transaction.
    Tusk(u32),
}

/// A turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    events_per_s: f64,
    cpu_us: f64,
    memory_mb: f64,
}

pub(super) fn measure(options: &Options) -> Result<Vec<Measured>, Error> {
    let filled = Filled::new(options.events)?;
    let kafka = Kafka::start();
    // Not counted: it makes the records for the plain producer, and the broker warm.
    tusk(&kafka, &filled, "warm", 100_000)?;
    let records = kafka.read("warm", Isolation::Committed);
    if records.len() as u64 != filled.events {
        return Err(format!("{} records for {} events", records.len(), filled.events).into());
    }
    kafka.delete_topic("warm");
    let who = [Who::Plain, Who::Tusk(100_000), Who::Tusk(10_000)];
    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=options.rounds as usize {
        for turn in 0..who.len() {
            // Not always behind the same one.
            let at = (turn + round) % who.len();
            let topic = format!("round-{round}-{at}");
            let done = match who[at] {
                Who::Plain => plain(&kafka, &records, &topic)?,
                Who::Tusk(events_max) => tusk(&kafka, &filled, &topic, events_max)?,
            };
            eprintln!("bench: kafka, round {round}: {:?}: {done:?}", who[at]);
            kafka.delete_topic(&topic);
            if round > 0 {
                turns[at].push(done);
            }
        }
    }
    let rates = |at: usize| turns[at].iter().map(|t: &Turn| t.events_per_s).collect::<Vec<_>>();
    let cpu = |at: usize| turns[at].iter().map(|t: &Turn| t.cpu_us).collect::<Vec<_>>();
    let memory = turns[1].iter().map(|t| t.memory_mb).collect();
    Ok(vec![
        Measured::with(
            "rate to a plain idempotent producer's, 100,000 a transaction",
            ratios(&rates(1), &rates(0)),
            Target::AtLeast(0.8),
        ),
        Measured::with(
            "rate to a plain idempotent producer's, 10,000 a transaction",
            ratios(&rates(2), &rates(0)),
            Target::AtLeast(0.5),
        ),
        Measured::plain("plain producer, events/s", rates(0)),
        Measured::plain("tusk, 100,000 a transaction, events/s", rates(1)),
        Measured::plain("tusk, 10,000 a transaction, events/s", rates(2)),
        Measured::plain("plain producer, CPU µs an event", cpu(0)),
        Measured::plain("tusk, 100,000 a transaction, CPU µs an event", cpu(1)),
        Measured::plain("tusk, 10,000 a transaction, CPU µs an event", cpu(2)),
        Measured::plain("shipper's RssAnon at the end, MB", memory),
    ])
}

/// Tusk's settings: Kafka alone, everything into one topic, with its positions beside it.
fn settings(kafka: &Kafka, topic: &str, events_max: u32) -> String {
    format!(
        "[sink.file]\nenabled = false\n[sink.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_events = \"{topic}\"\n\
         topic_profiles = \"{topic}\"\ntopic_items = \"{topic}\"\ntopic_positions = \"{topic}-positions\"\n\
         transaction_events_max = {events_max}\n",
        kafka.brokers()
    )
}

fn tusk(kafka: &Kafka, filled: &Filled, topic: &str, events_max: u32) -> Result<Turn, Error> {
    kafka.create_topic(topic, PARTITIONS, &[]);
    let dir = filled.copy()?;
    let reader = kafka.consumer("bench", Isolation::Uncommitted);
    let tusk = Tusk::spawn(&dir, &settings(kafka, topic, events_max));
    let start = first_record(&reader, topic)?;
    let used = proc::cpu(&[tusk.id()]);
    wait_for(LIMIT.as_secs(), "all events to be committed", || {
        std::thread::sleep(Duration::from_millis(10));
        let delivered = metric(&tusk, "tusk_sink_delivered_events_total{sink=\"kafka\"}");
        (delivered == Some(filled.events)).then_some(())
    });
    let seconds = start.elapsed().as_secs_f64();
    let used = proc::cpu(&[tusk.id()]).since(used).total_s();
    let memory_mb = proc::rss_anon_bytes(tusk.id()) as f64 / 1e6;
    tusk.stop();
    kafka.delete_topic(&format!("{topic}-positions"));
    Ok(turn(filled.events, seconds, used, memory_mb))
}

fn turn(events: u64, seconds: f64, cpu_s: f64, memory_mb: f64) -> Turn {
    let events = events as f64;
    Turn { events_per_s: events / seconds, cpu_us: cpu_s * 1e6 / events, memory_mb }
}

/// Waits until the broker has a record of the topic.
fn first_record(reader: &BaseConsumer, topic: &str) -> Result<Instant, Error> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        for partition in 0..PARTITIONS {
            if reader.fetch_watermarks(topic, partition, LIMIT)?.1 > 0 {
                return Ok(Instant::now());
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("no record came".into())
}

/// The plain producer: nothing but sending what is in memory.
fn plain(kafka: &Kafka, records: &[Message], topic: &str) -> Result<Turn, Error> {
    kafka.create_topic(topic, PARTITIONS, &[]);
    let reader = kafka.consumer("bench", Isolation::Uncommitted);
    let producer: BaseProducer = kafka
        .client()
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "1000000")
        // With the library's own 1 GiB it came out at less than half the rate in a run beside other load; chosen in its favour.
        .set("queue.buffering.max.kbytes", "131072")
        .create()?;
    // Connected before the clock runs, as Tusk is.
    producer.client().fetch_metadata(Some(topic), LIMIT)?;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| first_record(&reader, topic).map_err(|e| e.to_string()));
        let used = proc::cpu(&[std::process::id()]);
        for record in records {
            send(&producer, topic, record)?;
        }
        producer.flush(LIMIT)?;
        let end = Instant::now();
        let used = proc::cpu(&[std::process::id()]).since(used).total_s();
        let start = first.join().map_err(|_| "the watcher panicked")??;
        let seconds = end.duration_since(start).as_secs_f64();
        Ok(turn(records.len() as u64, seconds, used, 0.0))
    })
}

fn send(producer: &BaseProducer, topic: &str, message: &Message) -> Result<(), Error> {
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    for (key, value) in &message.headers {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    let mut record = BaseRecord::to(topic)
        .payload(&message.value)
        .headers(headers)
        .timestamp(message.timestamp_ms);
    if let Some(key) = &message.key {
        record = record.key(key);
    }
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    Ok(())
}
