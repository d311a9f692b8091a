//! The Kafka sink against a real broker: exact over crashes, fenced, positioned, encrypted, and plain when something is wrong.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "sink_kafka/crash.rs"]
mod crash;
#[path = "sink_kafka/fixture.rs"]
mod fixture;
#[path = "sink_kafka/position.rs"]
mod position;
#[path = "sink_kafka/records.rs"]
mod records;
#[path = "sink_kafka/secure.rs"]
mod secure;
#[path = "sink_kafka/wrong.rs"]
mod wrong;
