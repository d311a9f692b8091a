//! What may be wrong: each is one line that says what to change, and nothing is lost by it.

use tusk_tests::load::event;
use tusk_tests::servers::kafka::Kafka;
use tusk_tests::{Tusk, free_port};

use crate::fixture::{Chain, broker, text};

fn comes_through(chain: &Chain, kafka: &Kafka, tusk: Tusk, kept: u64) {
    chain.settled(&tusk, kept);
    assert_eq!(chain.read(kafka).len() as u64, kept);
    tusk.stop();
}

#[test]
fn a_missing_topic_is_named_and_may_be_made() {
    let kafka = broker();
    let mut chain = Chain::without_topics(&kafka.brokers(), "missing", "");
    let tusk = chain.start();
    chain.send(&[event(1, 0, 0)]);
    let line = chain.error("is missing: make it");
    assert!(line.contains("create_topics"), "{line}");
    tusk.stop();
    chain.set(&kafka.brokers(), "create_topics = true\n");
    let tusk = chain.start();
    comes_through(&chain, &kafka, tusk, 1);
}

#[test]
fn a_wrong_broker_is_said_and_the_edge_goes_on() {
    let kafka = broker();
    let mut chain = Chain::new(&kafka, "nobody", "");
    chain.set(&format!("127.0.0.1:{}", free_port()), "timeout_ms = 1500\n");
    let tusk = chain.start();
    chain.send(&[event(1, 0, 0)]);
    let line = chain.error("is Kafka running");
    assert!(line.contains("sink.kafka.brokers"), "{line}");
    tusk.stop();
    chain.set(&kafka.brokers(), "");
    let tusk = chain.start();
    comes_through(&chain, &kafka, tusk, 1);
}

#[test]
fn an_event_too_large_goes_to_quarantine_and_its_batch_arrives() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "large", "message_bytes_max = 20000\n");
    kafka.alter_topic("large.events", &[("max.message.bytes", "9000")]);
    let tusk = chain.start();
    // Larger than we take, larger than the topic takes, and small ones.
    let list: Vec<String> = [0, 40_000, 0, 12_000, 0]
        .iter()
        .enumerate()
        .map(|(i, bytes)| noise(event(1, u32::try_from(i).unwrap(), 0), *bytes))
        .collect();
    chain.send(&list);
    let ledger = chain.settled(&tusk, 5);
    assert_eq!(ledger.sum("kafka", "refused"), 2);
    assert_eq!(ledger.sum("kafka", "delivered"), 3);
    assert_eq!(chain.read(&kafka).len(), 3);
    let open = text(&tusk.command(&["quarantine", "list"]));
    assert!(open.contains("kafka"), "{open}");
    tusk.stop();
}

/// An event that no codec makes small.
fn noise(event: String, bytes: usize) -> String {
    let mut random = tusk_tests::random::Random::new(9);
    let text: String = (0..bytes)
        .map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap()))
        .filter(|c| !matches!(c, '"' | '\\'))
        .collect();
    event.replace("\"padding\":\"\"", &format!("\"padding\":\"{text}\""))
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_starts() {
    let chain = Chain::without_topics("127.0.0.1:1", "settings", "");
    for (extra, words) in [
        ("mode = \"exactly\"\n", "transactional"),
        ("topic_event = \"x\"\n", "topic_events"),
        ("properties = [\"acks=0\"]\n", "acks"),
        (
            "password_file = \"/nonexistent/password\"\nsasl = \"scram-sha-256\"\nuser = \"u\"\ntls = true\n",
            "/nonexistent/password",
        ),
    ] {
        let toml = format!("{}{extra}", chain.toml());
        let path = chain.dir.path().join("wrong.toml");
        std::fs::write(&path, toml).unwrap();
        let out = std::process::Command::new(tusk_tests::tusk_path())
            .args(["check", "--config", path.to_str().unwrap(), "--data"])
            .arg(chain.dir.path().join("other"))
            .output()
            .unwrap();
        let said = text(&out);
        assert!(!out.status.success() && said.contains(words), "{extra}: {said}");
    }
}
