//! Bad days one at a time: a dead shipper, a full ring, a full disk, a lost ring, slow and broken clients, reload and upgrade.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tusk_tests::conf::{self, Conf};
use tusk_tests::http::{self, Connection};
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Log, Outcome, Plan, Sent, base64, event, send_big};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::sdk::Stored;
use tusk_tests::{Dir, Nginx, Signal, SmallDisk, Tusk, files, signal, wait_for};

/// Sends big requests until one is refused; returns how many were taken before.
#[track_caller]
fn send_until_refused(address: SocketAddr, log: &mut Log, most: u32) -> u32 {
    for taken in 0..most {
        let answer = send_big(address, log);
        if answer.status == 503 {
            let after = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
            assert!(after.is_some_and(|s| s > 0), "503 without Retry-After: {:?}", answer.headers);
            return taken;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    panic!("{most} big requests were taken and none refused");
}

fn stored(root: &std::path::Path) -> Vec<Stored> {
    files::lines(root).iter().map(|line| Stored::parse(line)).collect()
}

/// Waits until everything has arrived, stops the shipper and compares files and log.
#[track_caller]
fn all_arrives(tusk: Tusk, log: &Log, refusal: Refusal) {
    wait_for(60, "the ledger to settle", || Ledger::read(&tusk).filter(Ledger::settled));
    let root = tusk.files();
    tusk.stop();
    let verdict = Verdict::of(log, &stored(&root), refusal);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!(verdict.accepted > 0);
}

#[test]
fn without_a_shipper_the_ring_fills_then_503_and_later_all_of_it_arrives() {
    let dir = Dir::new("ring-full");
    let conf = Conf {
        server: "location = /health { tusk_health; }\nlocation = /metrics { tusk_metrics; }".into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let mut log = Log::new();
    let taken = send_until_refused(nginx.address(), &mut log, 200);
    assert!(taken >= 20, "only {taken} requests of 1.6 MB fit into a ring of 64 MiB");
    let health = http::get(nginx.address(), "/health");
    assert_eq!(health.status, 503, "a full ring is not healthy: {}", health.text());
    let tusk = Tusk::start(&dir, "");
    wait_for(30, "the collector to take events again", || {
        (send_big(nginx.address(), &mut log).status == 200).then_some(())
    });
    wait_for(30, "health to be good again", || {
        (http::get(nginx.address(), "/health").status == 200).then_some(())
    });
    all_arrives(tusk, &log, Refusal::NotStored);
    nginx.quit();
}

#[test]
fn a_stopped_shipper_costs_nothing_with_ack_ring() {
    let dir = Dir::new("stopped");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let mut tusk = Tusk::start(&dir, "");
    let load = Load::start(nginx.address(), Plan { connections: 4, rate: 400, seed: 5 });
    load.wait_accepted(100);
    tusk.process().signal(Signal::STOP);
    load.wait_accepted(800);
    tusk.process().signal(Signal::CONT);
    load.wait_accepted(100);
    let log = load.finish();
    assert!(log.values().all(|sent| sent.outcome == Outcome::Accepted), "someone was not served");
    all_arrives(tusk, &log, Refusal::NotStored);
    nginx.quit();
}

#[test]
fn what_ack_journal_answered_survives_the_loss_of_the_ring() {
    let dir = Dir::new("ring-lost");
    let conf = Conf { ring: "size=64m ack=journal".into(), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let tusk = Tusk::start(&dir, "");
    let load = Load::start(nginx.address(), Plan { connections: 8, rate: 400, seed: 6 });
    load.wait_accepted(400);
    // As after a power cut with the ring on a memory file system: both gone, and the ring with them.
    let port = nginx.address().port();
    nginx.kill();
    tusk.kill();
    fs::remove_dir_all(dir.ring()).unwrap();
    let log = load.finish();
    let nginx = Nginx::try_start(&dir, port, &conf.text(&dir, port)).unwrap();
    let tusk = Tusk::start(&dir, "");
    let answer = http::post(nginx.address(), "/sa?project=load", &[], b"data=x");
    assert_eq!(answer.status, 200, "a new ring serves: {}", answer.text());
    nginx.quit();
    wait_for(60, "the ledger to settle", || Ledger::read(&tusk).filter(Ledger::settled));
    let root = tusk.files();
    tusk.stop();
    let verdict = Verdict::of(&log, &stored(&root), Refusal::MayBeStored);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn slow_bodies_and_aborted_requests_cost_only_themselves() {
    let dir = Dir::new("slow");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, "");
    let load = Load::start(nginx.address(), Plan { connections: 4, rate: 200, seed: 7 });
    load.wait_accepted(20);
    let request = |number: u64| {
        let data = http::escape(base64(event(number, 0, 200).as_bytes()).as_bytes());
        http::message("POST", "/sa?project=load", &[], format!("data={data}").as_bytes())
    };
    // Numbers far above the load's. Each client sends all but the end of its body.
    let mut slow: Vec<(u64, Connection, Vec<u8>)> = Vec::new();
    for number in 1_000_000..1_000_100_u64 {
        let bytes = request(number);
        let (first, rest) = bytes.split_at(bytes.len() - 50);
        let mut connection = Connection::open(nginx.address()).unwrap();
        connection.write(first).unwrap();
        slow.push((number, connection, rest.to_vec()));
    }
    load.wait_accepted(100);
    let mut expected = Log::new();
    for (number, mut connection, rest) in slow {
        // Two of three hang up in the middle; the others send the rest byte by byte.
        if number % 3 == 0 {
            for byte in rest {
                connection.write(&[byte]).unwrap();
            }
            assert_eq!(connection.answer(false).unwrap().status, 200);
            expected.insert(number, Sent { events: 1, outcome: Outcome::Accepted });
        } else {
            expected.insert(number, Sent { events: 1, outcome: Outcome::Unsent });
        }
    }
    load.wait_accepted(50);
    let mut log = load.finish();
    assert!(log.values().all(|sent| sent.outcome == Outcome::Accepted), "someone was not served");
    log.extend(expected);
    nginx.quit();
    all_arrives(tusk, &log, Refusal::NotStored);
}

/// Sends one request after another, each on a connection of its own, and panics when one is not answered 200.
struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Log>,
}

impl Client {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut log = Log::new();
            while !stopped.load(Ordering::Relaxed) {
                let request = log.len() as u64;
                let data = http::escape(base64(event(request, 0, 100).as_bytes()).as_bytes());
                let body = format!("data={data}");
                let answer = http::post(address, "/sa?project=load", &[], body.as_bytes());
                assert_eq!(answer.status, 200);
                log.insert(request, Sent { events: 1, outcome: Outcome::Accepted });
            }
            log
        });
        Self { stop, thread }
    }

    fn finish(self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn reload_and_binary_upgrade_answer_every_request() {
    let dir = Dir::new("upgrade");
    let mut nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, "");
    // Connections of one request each: nginx may close an idle one at any time, and then nobody can say what became of a request.
    let client = Client::start(nginx.address());
    for _ in 0..3 {
        nginx.reload();
        nginx.upgrade();
    }
    let log = client.finish();
    assert!(log.len() > 100, "only {} requests", log.len());
    nginx.quit();
    all_arrives(tusk, &log, Refusal::NotStored);
}

#[test]
fn a_worker_stopped_in_its_tracks_does_not_stop_the_others() {
    let dir = Dir::new("stopped-worker");
    let conf = Conf { workers: 3, ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let tusk = Tusk::start(&dir, "");
    // The load keeps every worker busy, so that the signal may hit one that holds the ring's lock.
    let load = Load::start(nginx.address(), Plan { connections: 12, rate: 900, seed: 9 });
    let mut log = Log::new();
    for round in 0..20 {
        load.wait_accepted(30);
        let workers = nginx.workers();
        let stopped = workers[round % workers.len()];
        signal(stopped, Signal::STOP);
        let mut answered = 0;
        // Fresh connections: those the stopped worker was woken for wait for it, the others are served.
        for _ in 0..20 {
            let request = 1_000_000 + log.len() as u64;
            let data = http::escape(base64(event(request, 0, 100).as_bytes()).as_bytes());
            let bytes =
                http::message("POST", "/sa?project=load", &[], format!("data={data}").as_bytes());
            let limit = std::time::Duration::from_millis(300);
            let answer = Connection::open_with_limit(nginx.address(), limit).and_then(|mut c| {
                c.write(&bytes)?;
                c.answer(false)
            });
            let outcome = match answer.map(|answer| answer.status) {
                Ok(200) => Outcome::Accepted,
                // `locked`: the one that stands still holds the lock, and 503 is the honest answer.
                Ok(status) => Outcome::Refused(status),
                Err(_) => Outcome::Unanswered,
            };
            answered += u32::from(outcome != Outcome::Unanswered);
            log.insert(request, Sent { events: 1, outcome });
        }
        signal(stopped, Signal::CONT);
        assert!(
            answered >= 10,
            "only {answered} of 20 were answered while one of three stood still"
        );
    }
    log.extend(load.finish());
    nginx.quit();
    all_arrives(tusk, &log, Refusal::NotStored);
}

#[test]
fn a_full_disk_is_said_plainly_and_recovers_by_itself() {
    let dir = Dir::new("disk-full");
    let Some(disk) = SmallDisk::mount(&dir, 700) else {
        println!("skipped: needs root to mount a small disk");
        return;
    };
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = "[sink.file]\ncompression = \"gzip\"\nrange_age_ms_max = 300\n";
    let mut tusk = Tusk::start(&dir, toml);
    let mut log = Log::new();
    for _ in 0..5 {
        assert_eq!(send_big(nginx.address(), &mut log).status, 200);
    }
    disk.fill();
    let taken = send_until_refused(nginx.address(), &mut log, 300);
    assert!(tusk.process().ended().is_none(), "the shipper outlives a full disk");
    let said = wait_for(20, "/readyz to say that something is wrong", || {
        http::try_get(tusk.console(), "/readyz").filter(|answer| answer.status == 503)
    });
    let text = said.text() + &dir.read("tusk.log");
    assert!(text.contains("No space left") || text.contains("disk"), "says why: {text}");
    println!(
        "{taken} big requests were taken on the full disk, then 503; /readyz: {}",
        said.text()
    );
    disk.free();
    wait_for(60, "the collector to take events again", || {
        (send_big(nginx.address(), &mut log).status == 200).then_some(())
    });
    nginx.quit();
    all_arrives(tusk, &log, Refusal::NotStored);
}
