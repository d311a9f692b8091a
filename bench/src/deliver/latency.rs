//! From the answer 200 to a `read_committed` reader, at 2,000 events/s by the clock, with files and Kafka on.

use super::drive::{Plan, all_accepted, drive};
use crate::measured::{Measured, Target, percentile};

use super::Options;
use crate::{Error, proc};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tusk_tests::servers::kafka::{Isolation, Kafka};
use tusk_tests::{Dir, Nginx, Tusk, conf, http, load};

/// Requests a second, of one event each.
const RATE: u32 = 2_000;
const CONNECTIONS: u32 = 8;
const PARTITIONS: i32 = 4;
const TOPIC: &str = "events";
/// Longest wait for the last events of a round.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) fn measure(options: &Options) -> Result<Vec<Measured>, Error> {
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let dir = Dir::new("bench-latency");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&kafka));
    let reader = reader(&kafka)?;
    let (mut p50, mut p99, mut worst, mut memory) = (vec![], vec![], vec![], vec![]);
    let mut first = 0;
    for round in 0..=options.rounds {
        let requests = u64::from(RATE * if round == 0 { 3 } else { options.seconds });
        let mut waits = round_of(&nginx, &reader, first, requests)?;
        first += requests;
        let (half, most) = (percentile(&mut waits, 0.5), percentile(&mut waits, 0.99));
        eprintln!("bench: latency, round {round}: p50 {half:.1} ms, p99 {most:.1} ms");
        if round > 0 {
            p50.push(half);
            p99.push(most);
            worst.push(percentile(&mut waits, 1.0));
            memory.push(proc::rss_anon_bytes(tusk.id()) as f64 / 1e6);
        }
    }
    tusk.stop();
    Ok(vec![
        Measured::with("200 to read_committed reader, p50, ms", p50, Target::AtMost(50.0)),
        Measured::with("200 to read_committed reader, p99, ms", p99, Target::AtMost(150.0)),
        Measured::plain("200 to read_committed reader, longest, ms", worst),
        Measured::with("shipper's RssAnon, files and Kafka, MB", memory, Target::AtMost(100.0)),
    ])
}

/// Defaults, but for the topics.
fn settings(kafka: &Kafka) -> String {
    format!(
        "[sink.file]\nenabled = true\n[sink.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_events = \"{TOPIC}\"\n\
         topic_profiles = \"{TOPIC}\"\ntopic_items = \"{TOPIC}\"\n",
        kafka.brokers()
    )
}

/// A reader that stands at the end of each partition.
fn reader(kafka: &Kafka) -> Result<BaseConsumer, Error> {
    let reader = kafka.consumer("bench", Isolation::Committed);
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
    }
    reader.assign(&list)?;
    Ok(reader)
}

/// Sends and reads at the same time; ms from answer to reader, of every event.
fn round_of(
    nginx: &Nginx,
    reader: &BaseConsumer,
    first: u64,
    requests: u64,
) -> Result<Vec<f64>, Error> {
    let answered = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(reader, &answered));
        let plan = Plan { connections: CONNECTIONS, rate: Some(RATE), requests };
        let sent = drive(nginx.address(), plan, |_| {
            move |request| {
                let data = load::base64(load::event(first + request, 0, 600).as_bytes());
                let body = format!("data={}&gzip=0", http::escape(data.as_bytes()));
                let kind = [("Content-Type", "application/x-www-form-urlencoded")];
                http::message("POST", "/sa?project=load", &kind, body.as_bytes())
            }
        });
        answered.store(sent.len() as u64, Ordering::Relaxed);
        let seen = reading.join().map_err(|_| "the reader panicked")?;
        all_accepted(&sent)?;
        let seen = seen?;
        let wait = |one: &super::drive::Answered| {
            let at = seen.get(&(first + one.request))?;
            // A reader may have it before the client has its answer.
            Some(at.saturating_duration_since(one.done).as_secs_f64() * 1e3)
        };
        Ok(sent.iter().filter_map(wait).collect())
    })
}

/// Reads until it has as many as were sent; request → when it was there.
fn read(reader: &BaseConsumer, answered: &AtomicU64) -> Result<HashMap<u64, Instant>, String> {
    let mut seen = HashMap::new();
    let mut last = Instant::now();
    while (seen.len() as u64) < answered.load(Ordering::Relaxed) {
        match reader.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => {
                last = Instant::now();
                let request = number(message.payload().unwrap_or_default());
                seen.insert(request.ok_or("a record without its number")?, last);
            }
            // The end of a partition, for the moment.
            Some(Err(_)) => {}
            None if last.elapsed() > LIMIT => {
                return Err(format!("only {} events came", seen.len()));
            }
            None => {}
        }
    }
    Ok(seen)
}

fn number(value: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(value, b"\"request\":")? + b"\"request\":".len();
    let digits = value[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
