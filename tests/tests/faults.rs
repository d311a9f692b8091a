//! Kills and other faults at random under load: what was answered 200 is in the files exactly once.
//!
//! The oracle is the client's own log (`tusk_tests::load`), not a counter of the product. The run is seeded: `TUSK_FAULTS_SEED` repeats
//! one, `TUSK_FAULTS` sets the number of faults (default 210). The last line is `faults=N lost=N twice=N gap=N`.

// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use tusk_tests::conf::Conf;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Log, Outcome, Plan};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::random::Random;
use tusk_tests::sdk::Stored;
use tusk_tests::{Dir, Nginx, Signal, Tusk, files, signal, wait_for};

/// What can go wrong at once. The number is its weight in the draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillWorker,
    KillShipper,
    KillWorkerAndShipper,
    KillNginxAndShipper,
    KillNginx,
    StopWorker,
    StopShipper,
    Reload,
    Upgrade,
}

/// Most faults are kills; the others stand among them because it is the mixture that finds things.
const DRAW: &[(Fault, u32)] = &[
    (Fault::KillWorker, 6),
    (Fault::KillShipper, 6),
    (Fault::KillWorkerAndShipper, 4),
    (Fault::KillNginxAndShipper, 2),
    (Fault::KillNginx, 1),
    (Fault::StopWorker, 1),
    (Fault::StopShipper, 1),
    (Fault::Reload, 1),
    (Fault::Upgrade, 1),
];

/// The collector under faults.
struct Victim {
    dir: Dir,
    conf: Conf,
    nginx: Option<Nginx>,
    tusk: Option<Tusk>,
    toml: &'static str,
}

impl Victim {
    fn start(name: &str, ring: &str, toml: &'static str) -> Self {
        let dir = Dir::new(name);
        let conf = Conf { ring: ring.into(), ..Conf::default() };
        let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
        let tusk = Tusk::start(&dir, toml);
        Self { dir, conf, nginx: Some(nginx), tusk: Some(tusk), toml }
    }

    fn nginx(&mut self) -> &mut Nginx {
        self.nginx.as_mut().unwrap()
    }

    /// Kills a worker; the master starts the next one.
    fn kill_worker(&mut self, random: &mut Random) {
        let workers = self.nginx().workers();
        if !workers.is_empty() {
            signal(*random.pick(&workers), Signal::KILL);
        }
    }

    fn kill_shipper(&mut self) {
        if let Some(tusk) = self.tusk.take() {
            tusk.kill();
        }
    }

    /// Starts the shipper as a service manager would: at once, without waiting for anything.
    fn start_shipper(&mut self) {
        let toml = self.toml;
        self.tusk.get_or_insert_with(|| Tusk::spawn(&self.dir, toml));
    }

    fn kill_nginx(&mut self) -> u16 {
        let nginx = self.nginx.take().unwrap();
        let port = nginx.address().port();
        nginx.kill();
        port
    }

    fn start_nginx(&mut self, port: u16) {
        let text = self.conf.text(&self.dir, port);
        let nginx = Nginx::try_start(&self.dir, port, &text).unwrap_or_else(|log| panic!("{log}"));
        self.nginx = Some(nginx);
    }

    fn strike(&mut self, fault: Fault, random: &mut Random) {
        let pause = Duration::from_millis(random.below(250));
        match fault {
            Fault::KillWorker => self.kill_worker(random),
            Fault::KillShipper => {
                self.kill_shipper();
                std::thread::sleep(pause);
                self.start_shipper();
            }
            Fault::KillWorkerAndShipper => {
                self.kill_worker(random);
                self.kill_shipper();
                std::thread::sleep(pause);
                self.start_shipper();
            }
            Fault::KillNginxAndShipper => {
                let port = self.kill_nginx();
                self.kill_shipper();
                // Either may be first to come back.
                if random.below(2) == 0 {
                    self.start_shipper();
                    std::thread::sleep(pause);
                }
                self.start_nginx(port);
                self.start_shipper();
            }
            Fault::KillNginx => {
                let port = self.kill_nginx();
                std::thread::sleep(pause);
                self.start_nginx(port);
            }
            Fault::StopWorker => {
                let workers = self.nginx().workers();
                let worker = *random.pick(&workers);
                signal(worker, Signal::STOP);
                std::thread::sleep(pause);
                signal(worker, Signal::CONT);
            }
            Fault::StopShipper => {
                let tusk = self.tusk.as_mut().unwrap();
                tusk.process().signal(Signal::STOP);
                std::thread::sleep(pause);
                tusk.process().signal(Signal::CONT);
            }
            Fault::Reload => signal(self.nginx().master(), Signal::HUP),
            Fault::Upgrade => self.nginx().upgrade(),
        }
    }

    /// Lets everything arrive, ends all, and compares.
    fn judge(mut self, log: &Log, refusal: Refusal) -> Verdict {
        self.start_shipper();
        let mut tusk = self.tusk.take().unwrap();
        tusk.ready(&self.dir);
        self.nginx.take().unwrap().quit();
        let ledger =
            wait_for(60, "the ledger to settle", || Ledger::read(&tusk).filter(Ledger::settled));
        let files = tusk.files();
        tusk.stop();
        let stored: Vec<Stored> = files::lines(&files).iter().map(|l| Stored::parse(l)).collect();
        let mut verdict = Verdict::of(log, &stored, refusal);
        for path in ["/damaged_bytes", "/rejected", "/sealed"] {
            if ledger.count(path) != 0 {
                verdict.gap += 1;
                verdict.note(&format!("ledger: {path} = {}", ledger.count(path)));
            }
        }
        if ledger.count("/kept") != stored.len() as u64 {
            verdict.gap += 1;
            verdict.note(&format!("ledger: {ledger:?}, files: {}", stored.len()));
        }
        // A panic in a worker is answered and counted, and it is still a bug.
        if self.dir.read("error.log").contains("panic") {
            verdict.gap += 1;
            verdict.note("the module panicked, see error.log");
        }
        verdict
    }
}

fn draw(random: &mut Random) -> Fault {
    let total: u32 = DRAW.iter().map(|(_, weight)| weight).sum();
    let mut at = random.below(u64::from(total));
    for (fault, weight) in DRAW {
        match at.checked_sub(u64::from(*weight)) {
            Some(rest) => at = rest,
            None => return *fault,
        }
    }
    Fault::KillWorker
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs `faults` faults under load and returns what the oracle says.
fn campaign(name: &str, ring: &str, refusal: Refusal, faults: u64, seed: u64) -> Verdict {
    let toml = "";
    let mut victim = Victim::start(name, ring, toml);
    let mut random = Random::new(seed);
    let plan = Plan { connections: 8, rate: 300, seed };
    let load = Load::start(victim.nginx().address(), plan);
    load.wait_accepted(50);
    let mut counts: BTreeMap<Fault, u32> = BTreeMap::new();
    for number in 0..faults {
        let fault = draw(&mut random);
        *counts.entry(fault).or_default() += 1;
        victim.strike(fault, &mut random);
        // Sometimes the next fault hits the recovery from this one, sometimes a calm collector.
        std::thread::sleep(Duration::from_millis(random.below(600)));
        if number % 20 == 19 {
            println!("{name}: {} faults, {} requests answered 200", number + 1, load.accepted());
            load.wait_accepted(20);
        }
    }
    load.wait_accepted(50);
    let log = load.finish();
    let verdict = victim.judge(&log, refusal);
    let count =
        |outcome: fn(&Outcome) -> bool| log.values().filter(|s| outcome(&s.outcome)).count();
    println!(
        "{name}: {counts:?}\n{name}: {} requests: {} answered 200, {} refused, {} unanswered ({} of their {} events stored), {} unsent",
        log.len(),
        count(|o| *o == Outcome::Accepted),
        count(|o| matches!(o, Outcome::Refused(_))),
        count(|o| *o == Outcome::Unanswered),
        verdict.unanswered.1,
        verdict.unanswered.0,
        count(|o| *o == Outcome::Unsent),
    );
    let odd = log.values().find(|s| matches!(s.outcome, Outcome::Refused(status) if status != 503));
    assert!(odd.is_none(), "refused with another status than 503: {odd:?}");
    verdict
}

#[test]
fn random_faults_lose_nothing_and_store_nothing_twice() {
    let faults = setting("TUSK_FAULTS", 210);
    let seed = setting("TUSK_FAULTS_SEED", 20_260_101);
    println!("TUSK_FAULTS={faults} TUSK_FAULTS_SEED={seed}");
    // A third of the faults meet `ack=journal`, where 200 comes after the fsync.
    let journal = faults / 3;
    let (ring, after) = ("size=64m", "size=64m ack=journal");
    let mut verdict = campaign("ring", ring, Refusal::NotStored, faults - journal, seed);
    verdict.add(&campaign("journal", after, Refusal::MayBeStored, journal, seed + 1));
    println!("{}", verdict.report);
    let Verdict { lost, twice, gap, .. } = verdict;
    println!("faults={faults} lost={lost} twice={twice} gap={gap}");
    assert!(verdict.is_clean() && verdict.accepted > 0, "faults lost, doubled or mixed up events");
}
