//! Crashes of either side.

use std::time::Duration;

use tusk_tests::Tusk;
use tusk_tests::load::{Load, Plan, event};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::random::Random;
use tusk_tests::servers::kafka::{Isolation, Kafka};

use crate::fixture::{Chain, broker, stored};

#[test]
fn every_event_once_over_kills_of_shipper_and_broker() {
    let mut kafka = Kafka::start();
    let chain = Chain::new(&kafka, "crash", "timeout_ms = 4000\n");
    let mut tusk = Some(chain.start());
    let plan = Plan { connections: 4, rate: 300, seed: 7 };
    let load = Load::start(chain.nginx.address(), plan);
    let mut random = Random::new(7);
    load.wait_accepted(50);
    for fault in 0..14 {
        match fault % 7 {
            3 => {
                kafka.kill();
                std::thread::sleep(Duration::from_millis(random.below(1500)));
                kafka.restart();
            }
            5 => {
                kafka.pause();
                std::thread::sleep(Duration::from_millis(2000 + random.below(4000)));
                kafka.cont();
            }
            _ => {
                tusk.take().unwrap().kill();
                tusk = Some(Tusk::spawn(&chain.dir, chain.toml()));
            }
        }
        std::thread::sleep(Duration::from_millis(random.below(900)));
    }
    kafka.wait_ready();
    load.wait_accepted(50);
    let log = load.finish();
    let mut tusk = tusk.unwrap();
    tusk.ready(&chain.dir);
    let sent: u64 = log.values().map(|sent| u64::from(sent.events)).sum();
    tusk_tests::wait_for(90, "all to be delivered", || {
        let ledger = tusk_tests::ledger::Ledger::read(&tusk)?;
        ledger.settled().then_some(())
    });
    let messages = chain.read(&kafka);
    let verdict = Verdict::of(&log, &stored(&messages), Refusal::NotStored);
    let raw = kafka.read("crash.events", Isolation::Uncommitted).len();
    println!(
        "crash: {sent} sent, {} read, {} aborted: {}",
        messages.len(),
        raw - messages.len(),
        verdict.report
    );
    assert!(
        verdict.is_clean(),
        "lost={} twice={} gap={}",
        verdict.lost,
        verdict.twice,
        verdict.gap
    );
    assert!(verdict.accepted > 100);
    tusk.stop();
}

#[test]
fn the_other_modes_lose_nothing_over_kills_and_say_so_of_doubles() {
    let kafka = broker();
    for (name, mode) in [("idempotent", "idempotent"), ("plain", "plain")] {
        let chain = Chain::new(&kafka, name, &format!("mode = \"{mode}\"\n"));
        let mut tusk = chain.start();
        let mut sent = 0;
        for _ in 0..3 {
            for _ in 0..20 {
                chain.send(&[event(sent, 0, 0)]);
                sent += 1;
            }
            tusk.kill();
            tusk = chain.start();
        }
        chain.settled(&tusk, sent);
        let mut seen: Vec<_> =
            stored(&chain.read(&kafka)).iter().map(|one| one.identity()).collect();
        let copies = seen.len() as u64;
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len() as u64, sent, "{mode}: none lost, {copies} copies");
        tusk.stop();
    }
}
