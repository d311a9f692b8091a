//! TLS and SCRAM against the real broker.

use tusk_tests::load::event;
use tusk_tests::servers::kafka::{Isolation, Kafka, PASSWORD, USER};

use crate::fixture::Chain;

#[test]
fn tls_and_scram_are_spoken_and_wrong_secrets_are_said_and_never_shown() {
    let kafka = Kafka::start_with(true, "");
    let mut chain = Chain::new(&kafka, "secure", "");
    let ca = kafka.ca_file();
    let tls = format!("tls = true\nca_file = \"{}\"\ntimeout_ms = 4000\n", ca.display());
    let mut kept = 0;
    let (cert, key) = kafka.client_files();
    let with_cert =
        format!("{tls}cert_file = \"{}\"\nkey_file = \"{}\"\n", cert.display(), key.display());
    let scram = |mechanism: &str| {
        format!(
            "{tls}sasl = \"{mechanism}\"\nuser = \"{USER}\"\npassword = \"env:KAFKA_PASSWORD\"\n"
        )
    };
    for (brokers, extra) in [
        (kafka.tls(), tls.clone()),
        (kafka.tls(), with_cert),
        (kafka.sasl(), scram("scram-sha-256")),
        (kafka.sasl(), scram("scram-sha-512")),
    ] {
        chain.set(&brokers, &extra);
        let tusk = chain.start_with(&[("KAFKA_PASSWORD", PASSWORD)]);
        chain.send(&[event(kept, 0, 0)]);
        kept += 1;
        chain.settled(&tusk, kept);
        tusk.stop();
    }
    // A wrong password.
    let tusk = chain.start_with(&[("KAFKA_PASSWORD", "wr0ng-secret")]);
    chain.send(&[event(kept, 0, 0)]);
    let line = chain.error("refuses user");
    assert!(line.contains("sink.kafka.user"), "{line}");
    tusk.stop();
    assert!(!chain.dir.read("tusk.log").contains("wr0ng-secret"));
    // An authority that is not the broker's; the system's.
    chain.set(&kafka.tls(), "tls = true\ntimeout_ms = 4000\n");
    let tusk = chain.start();
    let line = chain.error("no TLS connection");
    assert!(line.contains("ca_file"), "{line}");
    tusk.stop();
    assert_eq!(kafka.read("secure.events", Isolation::Committed).len() as u64, kept);
}
