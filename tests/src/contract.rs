//! The contract of a sink, held against its real server: what it delivers is there exactly once, whatever happens to the server, to the
//! way there, or to the shipper in between; its books are closed; and nobody else notices.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::ledger::Ledger;
use crate::load::{Log, Outcome, Sent, base64, event};
use crate::oracle::{Refusal, Seen, Verdict};
use crate::proxy::{Proxy, Way};
use crate::sdk::Stored;
use crate::{Dir, Nginx, Tusk, conf, files, http, wait_for};

/// How long a sink may take to come back after a fault: the longest pause between two tries is 5 s, and a server has to start.
const SETTLE_LIMIT_S: u64 = 90;

/// What can be done to a server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ends it like a crash.
    Kill,
    /// Ends it in order.
    End,
    /// Starts it again on the same data and ports; does not wait where it is slow to come up.
    Start,
    /// Freezes it: it takes connections and answers nothing.
    Freeze,
    /// Thaws it.
    Thaw,
}

/// A sink and its server.
pub trait Target {
    /// The sink's word in the list.
    fn name(&self) -> &'static str;
    /// Its table of `tusk.toml`, with time limits of about a second; `data` is the shipper's data folder.
    fn toml(&self, data: &Path) -> String;
    /// Names of the server's processes.
    fn parts(&self) -> &'static [&'static str];
    /// Does something to the process of that number.
    fn act(&mut self, part: usize, act: Act);
    /// Waits until the server answers.
    fn wait_ready(&mut self);
    /// Ends the server like a crash.
    fn down(&mut self, data: &Path) {
        let _ = data;
        (0..self.parts().len()).for_each(|part| self.act(part, Act::Kill));
    }
    /// Starts it again on the same data and waits until it answers.
    fn up(&mut self, data: &Path) {
        let _ = data;
        (0..self.parts().len()).for_each(|part| self.act(part, Act::Start));
        self.wait_ready();
    }
    /// The network between; `None` = there is none.
    fn proxy(&self) -> Option<&Proxy>;
    /// Longer than any time limit in [`Target::toml`].
    fn late(&self) -> Duration {
        Duration::from_secs(3)
    }
    /// Bytes a second of a slow network: every single call still ends within its time limit.
    fn slow_bytes_per_s(&self) -> u64 {
        20_000
    }
    /// Where a request is cut, in bytes of a connection.
    fn cut_bytes(&self) -> &'static [u64] {
        &[50, 400, 1500]
    }
    /// Every event it holds.
    fn read(&self, data: &Path) -> Vec<Seen>;
    /// Makes it refuse one event, and gives that event (with this request number and this index); `None` = it takes anything.
    fn poison(&mut self, request: u64, index: u32) -> Option<String>;
}

/// Holds the contract against a target, part by part, and prints what it did.
///
/// # Panics
/// With the first difference.
pub fn hold(target: &mut dyn Target) {
    let mut bench = Bench::start(target);
    bench.deliver();
    bench.down_at_the_start();
    bench.down_while_it_runs();
    bench.killed_before_the_state_says_so();
    if bench.target.proxy().is_some() {
        bench.slow();
        bench.late();
        bench.cut();
    } else {
        println!("{}: no network between, so none is slow, late or cut", bench.name);
    }
    bench.audit();
    bench.refused();
    bench.end();
}

/// A collector whose shipper delivers to the target, and to files beside it.
struct Bench<'t> {
    target: &'t mut dyn Target,
    name: &'static str,
    dir: Dir,
    nginx: Nginx,
    tusk: Option<Tusk>,
    toml: String,
    /// What the target must hold.
    log: Log,
    /// What the files must hold: nothing is refused there.
    all: Log,
    refused: u64,
    started: std::time::Instant,
}

impl<'t> Bench<'t> {
    fn start(target: &'t mut dyn Target) -> Self {
        let name = target.name();
        let dir = Dir::new(&format!("contract-{name}"));
        let data = dir.join("data");
        let toml = target.toml(&data);
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let tusk = Some(Tusk::start(&dir, &toml));
        let (log, all) = (Log::new(), Log::new());
        let started = std::time::Instant::now();
        Self { target, name, dir, nginx, tusk, toml, log, all, refused: 0, started }
    }

    fn tusk(&self) -> &Tusk {
        self.tusk.as_ref().unwrap()
    }

    fn start_tusk(&mut self) {
        self.tusk = Some(Tusk::start(&self.dir, &self.toml));
    }

    /// Sends requests of one to three events, each answered 200: whatever the target does, nobody outside sees it.
    #[track_caller]
    fn send(&mut self, requests: u64) {
        for _ in 0..requests {
            let request = self.all.len() as u64;
            let events = 1 + u32::try_from(request % 3).unwrap_or_default();
            let list = (0..events).map(|index| event(request, index, 100 * request % 700));
            post(self.nginx.address(), &list.collect::<Vec<_>>());
            let sent = Sent { events, outcome: Outcome::Accepted };
            self.log.insert(request, sent);
            self.all.insert(request, sent);
        }
    }

    /// Waits until every sink holds all that was sent, then compares target and files with what was sent.
    #[track_caller]
    fn settle(&self, after: &str) -> Ledger {
        let kept: u64 = self.all.values().map(|sent| u64::from(sent.events)).sum();
        let (name, tusk) = (self.name, self.tusk());
        let mut last = String::new();
        let start = std::time::Instant::now();
        let ledger = loop {
            if let Some(ledger) = Ledger::read(tusk) {
                if ledger.count("/kept") == kept && ledger.settled_everywhere() {
                    break ledger;
                }
                last = format!("{ledger:?}");
            }
            assert!(
                start.elapsed() < Duration::from_secs(SETTLE_LIMIT_S),
                "{name}, {after}: not settled in {SETTLE_LIMIT_S} s, {kept} sent: {last}\n{}",
                self.log_end()
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        let held = self.target.read(&tusk.data());
        let verdict = Verdict::of_seen(&self.log, &held, Refusal::NotStored);
        assert!(verdict.is_clean(), "{name}, {after}: {verdict:?}\n{}", self.log_end());
        assert_eq!(ledger.sum(name, "refused"), self.refused, "{name}, {after}");
        let lines: Vec<Stored> =
            files::lines(&tusk.files()).iter().map(|line| Stored::parse(line)).collect();
        let verdict = Verdict::of(&self.all, &lines, Refusal::NotStored);
        assert!(verdict.is_clean(), "files beside {name}, {after}: {verdict:?}");
        println!(
            "{name}: {after}: {} events, each once, books closed ({:.1} s)",
            held.len(),
            self.started.elapsed().as_secs_f64()
        );
        ledger
    }

    fn log_end(&self) -> String {
        let text = self.dir.read("tusk.log");
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Tries of the sink that failed since the shipper's start.
    fn retries(&self) -> u64 {
        let wanted = format!("tusk_sink_retries_total{{sink=\"{}\"}} ", self.name);
        let metrics = self.tusk().metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
    }

    #[track_caller]
    fn wait_retries(&self, more: u64, what: &str) {
        let goal = self.retries() + more;
        wait_for(60, &format!("{}: {what}", self.name), || (self.retries() >= goal).then_some(()));
    }

    fn deliver(&mut self) {
        self.send(20);
        self.settle("delivered");
    }

    fn down_at_the_start(&mut self) {
        let data = self.tusk().data();
        self.tusk.take().unwrap().stop();
        self.target.down(&data);
        self.start_tusk();
        self.send(10);
        self.wait_retries(1, "a failed try while the target is down from the start");
        self.others_are_done();
        self.target.up(&data);
        self.settle("down at the start");
    }

    fn down_while_it_runs(&mut self) {
        let data = self.tusk().data();
        self.target.down(&data);
        self.send(10);
        self.wait_retries(2, "failed tries while the target is down");
        self.others_are_done();
        self.target.up(&data);
        self.send(5);
        self.settle("down while running");
    }

    /// The files have everything although the target has not.
    #[track_caller]
    fn others_are_done(&self) {
        if self.name == "file" {
            return;
        }
        let kept: u64 = self.all.values().map(|sent| u64::from(sent.events)).sum();
        wait_for(20, "the files beside a dead target", || {
            Ledger::read(self.tusk()).filter(|ledger| ledger.sum("file", "delivered") == kept)
        });
    }

    /// The target has a range, and the shipper dies before its state says so: it offers the same range again.
    fn killed_before_the_state_says_so(&mut self) {
        for _ in 0..5 {
            if self.try_kill_before_saved() {
                self.send(5);
                self.settle("killed before the state said so");
                return;
            }
        }
        panic!("{}: five times more than one range was cut", self.name);
    }

    /// `false` = what was sent became more than one range, so that the state before the last is no crash's.
    fn try_kill_before_saved(&mut self) -> bool {
        let data = self.tusk().data();
        // The ring takes them while nobody drains it, so that they are one range.
        self.tusk.take().unwrap().stop();
        self.send(10);
        self.target.down(&data);
        self.start_tusk();
        let state = data.join(format!("state/{}.state", self.name));
        let what = "a range that is written down and not delivered";
        let to = wait_for(20, what, || pending(&fs::read(&state).unwrap_or_default()));
        let kept: u64 = self.all.values().map(|sent| u64::from(sent.events)).sum();
        let ledger = wait_for(20, "all of it in the journal", || {
            Ledger::read(self.tusk()).filter(|ledger| ledger.count("/kept") == kept)
        });
        let before = fs::read(&state).unwrap();
        self.target.up(&data);
        self.settle("down and up");
        if to < ledger.count("/lsn") {
            return false;
        }
        self.tusk.take().unwrap().kill();
        // As the file was the moment before the save: nothing was tried since but this range.
        fs::write(&state, before).unwrap();
        self.start_tusk();
        true
    }

    #[track_caller]
    fn way(&self, way: Way) {
        self.target.proxy().unwrap().set(way);
    }

    fn slow(&mut self) {
        self.way(Way::Slow { bytes_per_s: self.target.slow_bytes_per_s() });
        self.send(20);
        self.others_are_done();
        self.settle("slow");
        self.way(Way::Pass);
    }

    fn late(&mut self) {
        let late = self.target.late();
        self.way(Way::Late(late));
        self.send(10);
        self.wait_retries(1, "a try given up because the answer is late");
        self.others_are_done();
        // The late answers arrive, to nobody.
        std::thread::sleep(late);
        self.way(Way::Pass);
        self.settle("answered after the time-out");
    }

    fn cut(&mut self) {
        for after_answers in 0..5 {
            self.send_until_cut(Way::CutAnswer { request_bytes_min: 1, after_answers });
            self.settle(&format!("cut in place of answer {}", after_answers + 1));
        }
        for &after_bytes in self.target.cut_bytes() {
            self.send_until_cut(Way::CutRequest { after_bytes });
            self.way(Way::Pass);
            self.settle(&format!("cut {after_bytes} bytes into a request"));
        }
    }

    #[track_caller]
    fn send_until_cut(&mut self, way: Way) {
        let before = self.target.proxy().unwrap().counts().cuts;
        self.way(way);
        let mut next = std::time::Instant::now();
        let start = next;
        while self.target.proxy().unwrap().counts().cuts == before {
            let late = start.elapsed() > Duration::from_secs(60);
            assert!(!late, "{}: no connection was cut\n{}", self.name, self.log_end());
            if next.elapsed() > Duration::from_millis(250) || next == start {
                self.send(1);
                next = std::time::Instant::now();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The product's own comparison says the same as ours.
    fn audit(&self) {
        let out = self.tusk().command(&["ledger", "--audit"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{}: audit: {text}{wrong}", self.name);
        println!("{}: audited", self.name);
    }

    fn refused(&mut self) {
        let request = self.all.len() as u64;
        let Some(poison) = self.target.poison(request, 2) else {
            println!("{}: takes anything, so nothing is refused", self.name);
            return;
        };
        let list = [event(request, 0, 30), event(request, 1, 30), poison];
        post(self.nginx.address(), &list);
        self.refused += 1;
        // The refused one is the last of its request, so the others' places stay.
        self.log.insert(request, Sent { events: 2, outcome: Outcome::Accepted });
        self.all.insert(request, Sent { events: 3, outcome: Outcome::Accepted });
        self.send(5);
        self.settle("one record refused");
        let out = self.tusk().command(&["quarantine", "show", "--json"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let shown: Vec<&str> = text.lines().filter(|line| line.contains(self.name)).collect();
        assert!(!shown.is_empty(), "{}: not in quarantine: {text}", self.name);
        println!("{}: {}", self.name, shown.concat().chars().take(600).collect::<String>());
    }

    fn end(mut self) {
        self.tusk.take().unwrap().stop();
        self.nginx.quit();
        let log = self.dir.read("tusk.log");
        assert!(!log.contains("panicked"), "{}: the shipper panicked:\n{log}", self.name);
    }
}

#[track_caller]
fn post(address: SocketAddr, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    let answer = http::post(address, "/sa?project=load", &[], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// End of the range that a state file says is under way: of its two places the one with the higher number holds.
fn pending(state: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(state);
    let places = text.split("tusk state ").skip(1).filter_map(|place| {
        let field = |name: &str| place.lines().find_map(|line| line.strip_prefix(name));
        Some((field("number ")?.parse::<u64>().ok()?, field("pending ")?.to_owned()))
    });
    let (_, range) = places.max_by_key(|(number, _)| *number)?;
    range.split_once(' ')?.1.parse().ok()
}
