//! Positions in Kafka: what is believed, and what stops.

use tusk_tests::json::Json;
use tusk_tests::load::event;
use tusk_tests::{Tusk, wait_for};

use crate::fixture::{Chain, broker};

#[test]
fn a_lost_offset_is_made_anew_and_one_that_differs_stops() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "offset", "");
    let tusk = chain.start();
    chain.send(&[event(1, 0, 0)]);
    chain.settled(&tusk, 1);
    tusk.stop();
    let position = "offset.positions";
    let (lsn, node) = kafka.committed("tusk-offset", position, 0).unwrap();
    assert!(lsn > 0 && node.starts_with("offset-"), "{lsn} {node}");
    // Brokers forget groups; the record stays.
    kafka.delete_group("tusk-offset");
    let tusk = chain.start();
    wait_for(20, "the offset again", || kafka.committed("tusk-offset", position, 0));
    chain.send(&[event(2, 0, 0)]);
    chain.settled(&tusk, 2);
    assert_eq!(chain.read(&kafka).len(), 2);
    tusk.stop();
    kafka.commit("tusk-offset", position, 0, 7);
    let tusk = chain.start();
    chain.send(&[event(3, 0, 0)]);
    chain.error("two positions");
    assert_eq!(chain.read(&kafka).len(), 2, "nothing is sent by guess");
    tusk.stop();
}

#[test]
fn a_lost_state_file_goes_on_from_kafka_and_a_lost_position_stops() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "lost", "");
    let tusk = chain.start();
    chain.send(&[event(1, 0, 0)]);
    chain.settled(&tusk, 1);
    let state = tusk.data().join("state/kafka.state");
    tusk.stop();
    std::fs::remove_file(state).unwrap();
    let tusk = chain.start();
    chain.send(&[event(2, 0, 0)]);
    wait_for(30, "the second event", || (chain.read(&kafka).len() == 2).then_some(()));
    tusk.stop();
    kafka.delete_topic("lost.positions");
    wait_for(20, "the topic to be gone", || {
        kafka.partitions("lost.positions").is_none().then_some(())
    });
    kafka.delete_group("tusk-lost");
    let tusk = chain.start();
    chain.send(&[event(3, 0, 0)]);
    chain.error("knows no position");
    assert_eq!(chain.read(&kafka).len(), 2);
    tusk.stop();
}

#[test]
fn a_second_shipper_of_the_same_name_is_stopped_or_fenced_and_says_so() {
    let kafka = broker();
    let first = Chain::new(&kafka, "twin", "");
    let tusk = first.start();
    first.send(&[event(1, 0, 0)]);
    first.settled(&tusk, 1);
    // On the same data folder: refused by its lock.
    let mut same = Tusk::spawn(&first.dir, first.toml());
    let ended = same.process().wait(20);
    assert!(!ended.success());
    // On another machine: another journal under the same key.
    let second = Chain::without_topics(&kafka.brokers(), "twin", "");
    let other = second.start();
    second.send(&[event(2, 0, 0)]);
    let line = second.error("position is that of journal twin-");
    assert!(line.contains("take_over"), "{line}");
    other.stop();
    first.send(&[event(3, 0, 0)]);
    first.settled(&tusk, 2);
    assert_eq!(first.read(&kafka).len(), 2);
    tusk.stop();
}

#[test]
fn audit_finds_what_a_topic_lost_and_a_second_copy_and_replay_sends_it() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "audit", "");
    let tusk = chain.start();
    for request in 0..20 {
        chain.send(&[event(request, 0, 0), event(request, 1, 0)]);
    }
    chain.settled(&tusk, 40);
    assert_eq!(audit(&tusk), (40, 40, 0, 0));
    // Somebody copies records.
    kafka.produce(&chain.read(&kafka)[..3]);
    assert_eq!(audit(&tusk), (40, 40, 0, 3));
    // A topic that lost its records.
    kafka.delete_topic("audit.events");
    wait_for(20, "the topic to be gone", || {
        kafka.partitions("audit.events").is_none().then_some(())
    });
    kafka.create_topic("audit.events", 3, &[]);
    assert_eq!(audit(&tusk), (0, 40, 40, 0));
    // What is missing is sent again, and only that.
    for _ in 0..2 {
        let out = tusk.command(&["replay", "kafka", "--missing"]);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{said}");
        assert_eq!(chain.read(&kafka).len(), 40, "{said}");
        assert_eq!(audit(&tusk), (40, 40, 0, 0), "{said}");
    }
    tusk.stop();
}

/// Found, expected, missing, surplus.
fn audit(tusk: &Tusk) -> (u64, u64, u64, u64) {
    let out = tusk.command(&["ledger", "--audit", "--json"]);
    let json = Json::parse(String::from_utf8_lossy(&out.stdout).trim()).unwrap();
    let number = |path: &str| json.number(path).and_then(|n| n.parse().ok()).unwrap_or_default();
    let runs = |path: &str| {
        (0..)
            .map_while(|i| json.number(&format!("{path}/{i}/count")))
            .map(|n| n.parse::<u64>().unwrap())
            .sum()
    };
    (
        number("/audit/0/found"),
        number("/audit/0/expected"),
        runs("/audit/0/missing"),
        runs("/audit/0/surplus"),
    )
}
