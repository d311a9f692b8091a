//! What a record is: key, value, headers, partition, order.

use std::collections::BTreeMap;

use tusk_tests::load::event;
use tusk_tests::servers::kafka::Isolation;

use crate::fixture::{Chain, broker, send, stored};

fn of_user(user: &str, request: u64, index: u32) -> String {
    event(request, index, 0).replace(&format!("user_{request}"), user)
}

#[test]
fn a_record_has_the_users_key_the_events_bytes_and_headers() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "record", "");
    let tusk = chain.start();
    let sent = of_user(r"\u738b\/1", 1, 0);
    chain.send(std::slice::from_ref(&sent));
    chain.settled(&tusk, 1);
    let messages = chain.read(&kafka);
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(message.key.as_deref(), Some("王/1".as_bytes()));
    let stored = stored(&messages);
    assert_eq!(stored[0].bytes, sent, "the SDK's bytes, as they are");
    let (_, lsn, index) = stored[0].identity();
    assert_eq!(message.header("lsn"), lsn.to_string());
    assert_eq!(message.header("index"), index.to_string());
    for (name, value) in [
        ("project", "shop"),
        ("kind", "track"),
        ("event", "Load"),
        ("shape", "server"),
        ("schema", "1"),
    ] {
        assert_eq!(message.header(name), value, "{name}");
    }
    assert!(message.header("node").starts_with("record-"));
    assert_eq!(message.header("recv_time"), message.timestamp_ms.to_string());
    tusk.stop();
}

#[test]
fn shapes_flat_and_bare_and_copies_of_rejected_events() {
    let kafka = broker();
    let extra = "shape = \"bare\"\ntopic_rejected = \"bare.rejected\"\ncreate_topics = true\n";
    let mut chain = Chain::new(&kafka, "bare", extra);
    let tusk = chain.start();
    let bad = event(1, 1, 0).replace("\"Load\"", "\"\"");
    let good = event(1, 0, 0);
    chain.send(&[good.clone(), bad.clone()]);
    chain.settled(&tusk, 1);
    let messages = chain.read(&kafka);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text(), good, "bare is the bytes alone");
    assert!(messages[0].header("ip").starts_with("127."));
    let copies = tusk_tests::wait_for(10, "the copy of the rejected event", || {
        let copies = kafka.read("bare.rejected", Isolation::Committed);
        (!copies.is_empty()).then_some(copies)
    });
    assert_eq!(copies[0].text(), bad);
    assert_eq!(copies[0].header("verdict"), "rejected");
    assert!(copies[0].header("codes").contains('N'), "{:?}", copies[0]);
    tusk.stop();
    chain.set(&kafka.brokers(), "shape = \"flat\"\n");
    let tusk = chain.start();
    chain.send(&[event(2, 0, 0)]);
    chain.settled(&tusk, 2);
    let messages = chain.read(&kafka);
    let flat = messages.iter().find(|m| m.header("shape") == "flat").unwrap();
    assert!(flat.text().contains("\"_lsn\":"), "{}", flat.text());
    tusk.stop();
}

#[test]
fn order_holds_per_key_and_partitions_are_those_of_java() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "order", "");
    let mut tusk = chain.start();
    let mut next = 0;
    for round in 0..3 {
        for _ in 0..40 {
            let list: Vec<String> =
                (0..5).map(|user| of_user(&format!("u{user}"), next, user)).collect();
            send(chain.nginx.address(), "shop", &list);
            next += 1;
        }
        if round < 2 {
            tusk.kill();
            tusk = chain.start();
        }
    }
    chain.settled(&tusk, next * 5);
    let mut last: BTreeMap<Vec<u8>, (u64, i32)> = BTreeMap::new();
    for message in chain.read(&kafka) {
        let lsn: u64 = message.header("lsn").parse().unwrap();
        let key = message.key.clone().unwrap();
        let before = last.insert(key, (lsn, message.partition));
        let (before, partition) = before.unwrap_or((0, message.partition));
        assert!(lsn >= before, "order of a key");
        assert_eq!(partition, message.partition, "one partition for a key");
        // murmur2 as in org.apache.kafka.common.utils.Utils, written down here once more.
        let key = message.key.as_deref().unwrap();
        assert_eq!(message.partition, (murmur2(key) & 0x7fff_ffff).cast_signed() % 3);
    }
    assert_eq!(last.len(), 5);
    tusk.stop();
}

#[test]
fn murmur2_of_the_twin_is_that_of_java() {
    // Values of Kafka's own UtilsTest.
    for (key, hash) in [
        (&b"21"[..], -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key).cast_signed(), hash);
    }
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u32, |tail, byte| (tail << 8) | u32::from(*byte));
        h = (h ^ tail).wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[test]
fn compare_reads_a_topic() {
    let kafka = broker();
    let chain = Chain::new(&kafka, "compare", "");
    let tusk = chain.start();
    let events: Vec<String> = (0..9).map(|i| event(i + 1, 0, 0)).collect();
    chain.send(&events);
    chain.settled(&tusk, 9);
    let old = chain.dir.path().join("old.jsonl");
    std::fs::write(&old, events[..7].join("\n")).unwrap();
    let out = tusk.command(&[
        "compare",
        "--with",
        "kafka:compare.events",
        "--new",
        old.to_str().unwrap(),
        "--json",
    ]);
    let json = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        json.contains("\"old\":9,\"new\":7,\"both\":7,\"only_old\":2,\"only_new\":0"),
        "{json}"
    );
    tusk.stop();
}
