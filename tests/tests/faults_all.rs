//! Faults at random under load with every sink on: what was answered 200 is at each target exactly once.
//!
//! Workers, shipper and servers are killed, stopped and restarted, connections are cut and slowed, the disk is full for moments. The
//! oracle is the client's own log (`tusk_tests::load`); the product's ledger and audit are compared with it. The run is seeded:
//! `TUSK_FAULTS_SEED` repeats one, `TUSK_FAULTS` sets the number of faults. One line per sink; the last is
//! `faults=N lost=N twice=N gap=N`.

// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tusk_tests::conf::Conf;
use tusk_tests::contract::{Act, Target};
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Log, Outcome, Plan};
use tusk_tests::oracle::{Refusal, Seen, Verdict};
use tusk_tests::proxy::Way;
use tusk_tests::random::Random;
use tusk_tests::targets;
use tusk_tests::{Dir, Nginx, Signal, SmallDisk, Tusk, signal};

/// Faults of the short form: within two minutes on two cores.
const FAULTS: u64 = 40;
/// Every so many faults all servers come back and every sink has to catch up: a run is many recoveries, not one.
const CALM_EVERY: u64 = 20;
/// How long that may take.
const CALM_LIMIT: Duration = Duration::from_secs(180);
/// Room for the journal, the ring and the files of a long run, in memory.
const DISK_MEGABYTES: u32 = 3000;

/// What can go wrong at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillWorker,
    KillShipper,
    KillWorkerAndShipper,
    KillNginx,
    StopShipper,
    Reload,
    KillServer,
    KillServerAndShipper,
    EndServer,
    FreezeServer,
    CutAnswer,
    CutRequest,
    BlackHole,
    Slow,
    Late,
    DiskFull,
}

/// The number is a fault's weight in the draw.
const DRAW: &[(Fault, u64)] = &[
    (Fault::KillWorker, 3),
    (Fault::KillShipper, 6),
    (Fault::KillWorkerAndShipper, 2),
    (Fault::KillNginx, 1),
    (Fault::StopShipper, 2),
    (Fault::Reload, 1),
    (Fault::KillServer, 5),
    (Fault::KillServerAndShipper, 3),
    (Fault::EndServer, 2),
    (Fault::FreezeServer, 4),
    (Fault::CutAnswer, 8),
    (Fault::CutRequest, 4),
    (Fault::BlackHole, 2),
    (Fault::Slow, 2),
    (Fault::Late, 2),
    (Fault::DiskFull, 2),
];

fn draw(random: &mut Random) -> Fault {
    let mut at = random.below(DRAW.iter().map(|(_, weight)| weight).sum());
    for (fault, weight) in DRAW {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return *fault,
        }
    }
    Fault::KillShipper
}

/// The collector with all its targets.
struct World {
    targets: Vec<Box<dyn Target>>,
    nginx: Option<Nginx>,
    tusk: Option<Tusk>,
    toml: String,
    conf: Conf,
    // Unmounted after its users have ended, and before its folder goes.
    disk: Option<SmallDisk>,
    dir: Dir,
}

impl World {
    fn start() -> Self {
        let dir = Dir::new("faults-all");
        let disk = SmallDisk::mount(&dir, DISK_MEGABYTES);
        if disk.is_none() {
            println!("needs root to mount a small disk: no disk is made full");
        }
        let targets = targets::all();
        let mut toml = String::from("[journal]\nbytes_max = 1500000000\n");
        for target in &targets {
            // An optional sink that is parked misses a range: that is `isolation.rs`; here every one has to have everything.
            let table = target.toml(&dir.join("data"));
            toml += &table.replacen("]\n", "]\nrequired = true\n", 1);
        }
        let conf = Conf::default();
        let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
        let tusk = Tusk::start(&dir, &toml);
        Self { targets, nginx: Some(nginx), tusk: Some(tusk), toml, conf, disk, dir }
    }

    fn nginx(&self) -> &Nginx {
        self.nginx.as_ref().unwrap()
    }

    fn kill_worker(&self, random: &mut Random) {
        let workers = self.nginx().workers();
        if !workers.is_empty() {
            signal(*random.pick(&workers), Signal::KILL);
        }
    }

    /// Kills the shipper and starts it as a service manager would: without waiting for anything.
    fn kill_shipper(&mut self, pause: Duration) {
        if let Some(tusk) = self.tusk.take() {
            tusk.kill();
        }
        std::thread::sleep(pause);
        self.tusk = Some(Tusk::spawn(&self.dir, &self.toml));
    }

    fn strike(&mut self, fault: Fault, random: &mut Random) -> String {
        let short = Duration::from_millis(random.below(250));
        let long = Duration::from_millis(200 + random.below(3_000));
        // Always drawn, so that what a seed draws next does not depend on the fault.
        let with_server: Vec<usize> =
            (0..self.targets.len()).filter(|at| !self.targets[*at].parts().is_empty()).collect();
        let at = *random.pick(&with_server);
        let part = random.below(self.targets[at].parts().len() as u64);
        let part = usize::try_from(part).unwrap();
        let (which, answers) = (random.draw(), random.below(30));
        let target = &mut self.targets[at];
        let name = target.parts()[part];
        let network = target.name();
        let way = |way| target.proxy().unwrap().set(way);
        match fault {
            Fault::KillWorker => self.kill_worker(random),
            Fault::KillShipper => self.kill_shipper(short),
            Fault::KillWorkerAndShipper => {
                self.kill_worker(random);
                self.kill_shipper(short);
            }
            Fault::KillNginx => {
                let nginx = self.nginx.take().unwrap();
                let port = nginx.address().port();
                nginx.kill();
                std::thread::sleep(short);
                let text = self.conf.text(&self.dir, port);
                let nginx = Nginx::try_start(&self.dir, port, &text);
                self.nginx = Some(nginx.unwrap_or_else(|log| panic!("{log}")));
            }
            Fault::StopShipper => {
                let process = self.tusk.as_mut().unwrap().process();
                process.signal(Signal::STOP);
                std::thread::sleep(short);
                process.signal(Signal::CONT);
            }
            Fault::Reload => signal(self.nginx().master(), Signal::HUP),
            Fault::KillServer | Fault::KillServerAndShipper | Fault::EndServer => {
                target.act(part, if fault == Fault::EndServer { Act::End } else { Act::Kill });
                if fault == Fault::KillServerAndShipper {
                    self.kill_shipper(short);
                }
                std::thread::sleep(long / 2);
                self.targets[at].act(part, Act::Start);
                return format!("{fault:?} {name}");
            }
            Fault::FreezeServer => {
                target.act(part, Act::Freeze);
                // Both shorter and longer than the sinks' time limits.
                std::thread::sleep(long);
                target.act(part, Act::Thaw);
                return format!("{fault:?} {name}");
            }
            Fault::CutAnswer => {
                let request_bytes_min = [1, 1, 300][usize::try_from(which % 3).unwrap()];
                way(Way::CutAnswer { request_bytes_min, after_answers: answers });
                return format!("{fault:?} {network}");
            }
            Fault::CutRequest => {
                way(Way::CutRequest { after_bytes: 1 + which % 5_000 });
                std::thread::sleep(short);
                way(Way::Pass);
                return format!("{fault:?} {network}");
            }
            Fault::BlackHole | Fault::Slow | Fault::Late => {
                way(match fault {
                    Fault::BlackHole => Way::BlackHole,
                    Fault::Slow => Way::Slow { bytes_per_s: 2_000 + which % 50_000 },
                    _ => Way::Late(Duration::from_millis(200 + which % 4_000)),
                });
                std::thread::sleep(long);
                way(Way::Pass);
                return format!("{fault:?} {network}");
            }
            Fault::DiskFull => {
                let Some(disk) = &self.disk else { return "DiskFull (skipped)".into() };
                disk.fill();
                std::thread::sleep(long / 3);
                disk.free();
            }
        }
        format!("{fault:?}")
    }

    /// Everything comes back, and every sink catches up with what is there now.
    fn calm(&mut self) {
        for target in &mut self.targets {
            if let Some(proxy) = target.proxy() {
                proxy.set(Way::Pass);
            }
            target.wait_ready();
        }
        self.tusk.as_mut().unwrap().ready(&self.dir);
        let start = Instant::now();
        let mut goal = None;
        loop {
            let ledger = Ledger::read(self.tusk.as_ref().unwrap());
            let lsn = ledger.as_ref().map(|ledger| ledger.count("/lsn"));
            goal = goal.or(lsn);
            if let (Some(ledger), Some(goal)) = (&ledger, goal)
                && ledger.passed_everywhere(goal)
            {
                return;
            }
            let late = start.elapsed() > CALM_LIMIT;
            assert!(!late, "not caught up in {CALM_LIMIT:?}: {ledger:?}\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log_end(&self) -> String {
        let text = self.dir.read("tusk.log");
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    /// Lets everything arrive, ends all, and compares each target with the log, and all with each other.
    fn judge(mut self, log: &Log) -> Verdict {
        self.calm();
        self.nginx.take().unwrap().quit();
        let start = Instant::now();
        let tusk = self.tusk.take().unwrap();
        let ledger = loop {
            let ledger = Ledger::read(&tusk);
            match ledger {
                Some(ledger) if ledger.settled_everywhere() => break ledger,
                _ => {
                    let late = start.elapsed() > CALM_LIMIT;
                    assert!(!late, "not settled: {ledger:?}\n{}", self.log_end());
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        };
        let mut sum = Verdict::default();
        let audit = tusk.command(&["ledger", "--audit"]);
        if !audit.status.success() {
            sum.gap += 1;
            sum.note(&format!("audit: {}", String::from_utf8_lossy(&audit.stdout)));
        }
        let kept = ledger.count("/kept");
        let data = tusk.data();
        tusk.stop();
        let mut first: Option<BTreeSet<(String, u64, u32)>> = None;
        for target in &self.targets {
            let held = target.read(&data);
            let mut verdict = Verdict::of_seen(log, &held, Refusal::NotStored);
            let identities: BTreeSet<_> =
                held.into_iter().map(|seen: Seen| seen.identity).collect();
            // Requests without an answer are there or not, but at all targets alike.
            let first = first.get_or_insert_with(|| identities.clone());
            let other = first.symmetric_difference(&identities).count();
            let delivered = ledger.sum(target.name(), "delivered");
            if other > 0 || identities.len() as u64 != kept || delivered != kept {
                verdict.gap += 1 + other as u64;
                verdict.note(&format!(
                    "{} identities, {other} other than the files', {kept} kept, {delivered} delivered by the ledger",
                    identities.len()
                ));
            }
            let Verdict { lost, twice, gap, .. } = verdict;
            println!(
                "{}: {} events, lost={lost} twice={twice} gap={gap}",
                target.name(),
                identities.len()
            );
            print!("{}", verdict.report);
            sum.accepted = 0;
            sum.add(&verdict);
        }
        for path in ["/damaged_bytes", "/rejected", "/sealed"] {
            if ledger.count(path) != 0 {
                sum.gap += 1;
                sum.note(&format!("ledger: {path} = {}", ledger.count(path)));
            }
        }
        for (file, word) in [("error.log", "panic"), ("tusk.log", "panicked")] {
            if self.dir.read(file).contains(word) {
                sum.gap += 1;
                sum.note(&format!("a panic, see {file}"));
            }
        }
        sum
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn random_faults_lose_nothing_and_double_nothing_at_any_sink() {
    let faults = setting("TUSK_FAULTS", FAULTS);
    let seed = setting("TUSK_FAULTS_SEED", 20_260_102);
    println!("TUSK_FAULTS={faults} TUSK_FAULTS_SEED={seed}");
    let mut world = World::start();
    let mut random = Random::new(seed);
    let load = Load::start(world.nginx().address(), Plan { connections: 8, rate: 120, seed });
    load.wait_accepted(50);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for number in 1..=faults {
        let fault = draw(&mut random);
        let what = world.strike(fault, &mut random);
        *counts.entry(what).or_default() += 1;
        // Sometimes the next fault hits the recovery from this one.
        std::thread::sleep(Duration::from_millis(random.below(600)));
        if number % CALM_EVERY == 0 {
            let start = Instant::now();
            world.calm();
            println!(
                "{number} faults, {} requests answered 200, caught up after {:.1} s",
                load.accepted(),
                start.elapsed().as_secs_f64()
            );
        }
    }
    load.wait_accepted(50);
    let log = load.finish();
    let verdict = world.judge(&log);
    let count =
        |outcome: fn(&Outcome) -> bool| log.values().filter(|s| outcome(&s.outcome)).count();
    println!("{counts:?}");
    println!(
        "{} requests: {} answered 200, {} refused, {} unanswered, {} unsent",
        log.len(),
        count(|o| *o == Outcome::Accepted),
        count(|o| matches!(o, Outcome::Refused(_))),
        count(|o| *o == Outcome::Unanswered),
        count(|o| *o == Outcome::Unsent),
    );
    println!("{}", verdict.report);
    let Verdict { lost, twice, gap, .. } = verdict;
    println!("faults={faults} lost={lost} twice={twice} gap={gap}");
    assert!(verdict.is_clean() && verdict.accepted > 0, "faults lost, doubled or mixed up events");
}
