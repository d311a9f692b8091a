//! The whole way of an SDK's events: driver → nginx → ring → shipper → files, then the comparison.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::conf::Conf;
use crate::json::Json;
use crate::ledger::Ledger;
use crate::sdk::{Case, Driver, Edit, Meant, Stored, source};
use crate::{Dir, Nginx, Tusk, files, wait_for};

/// How long stored events may trail behind what the drivers meant.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// One driver process: its command (without arguments) and the cases it runs in turn.
pub type Run<'c> = (Command, &'c [Case]);

/// Codes that the drivers' events earn: an integer above 9e15, and a `$time` of another year. Any other code is a false alarm.
const DESERVED: &[&str] = &["P207", "T301"];

/// Runs the drivers against a collector of their own and checks that every event the SDK meant is in the files exactly once, equal
/// by meaning and (where nothing may change) by bytes, with right server facts, and that the books are closed.
///
/// `sdk` is what all project names begin with.
///
/// # Panics
/// With every difference, and what nginx answered to requests that were not plainly kept.
pub fn prove(sdk: &str, runs: Vec<Run<'_>>) {
    let _ = prove_with(sdk, "", runs);
}

/// Like [`prove`], with more lines in nginx's location; returns nginx's log of answers (`… STATUS $tusk_result EVENTS REJECTED`).
///
/// # Panics
/// As [`prove`].
#[must_use]
pub fn prove_with(sdk: &str, location: &str, runs: Vec<Run<'_>>) -> String {
    let dir = Dir::new(sdk);
    let out = dir.join("meant");
    fs::create_dir_all(&out).unwrap();
    let nginx = Nginx::start(&dir, |port| conf(&dir, location).text(&dir, port));
    let keys = dir.join("keys.toml");
    let toml = format!("timezone = \"Asia/Shanghai\"\nkeys_file = \"{}\"\n", keys.display());
    let tusk = Tusk::start(&dir, &toml);

    let mut drivers = Vec::new();
    for (number, (mut command, cases)) in runs.into_iter().enumerate() {
        let names: Vec<&str> = cases.iter().map(|case| short(sdk, case)).collect();
        command.arg(nginx.base()).arg(&out).arg(names.join(","));
        drivers.push((Driver::start(&dir, &format!("{sdk}{number}"), &mut command), cases));
    }
    for (driver, _) in &mut drivers {
        driver.done(&dir);
    }
    let all: Vec<Case> = drivers.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    // The SDKs still hold queues: until everything has come, or the limit shows what has not.
    let start = Instant::now();
    while start.elapsed() < ARRIVAL_LIMIT && !report(&tusk, &out, &all).is_empty() {
        std::thread::sleep(Duration::from_millis(300));
    }
    for (driver, _) in &mut drivers {
        driver.finish();
    }
    nginx.quit();
    wait_for(20, "the file sink to hold all that was kept", || {
        let open = |ledger: &Ledger| ledger.count("/rejected") + ledger.count("/sealed");
        Ledger::read(&tusk).filter(|ledger| ledger.settled() && open(ledger) == 0)
    });

    let report = report(&tusk, &out, &all);
    assert!(report.is_empty(), "{report}\nanswers other than kept:\n{}", odd_answers(&dir));
    facts(&stored(&tusk));
    let meant: usize = all.iter().map(|case| Meant::read(&out, case.project).len()).sum();
    println!("{sdk}: {} cases, {meant} events meant, all as they should be", all.len());
    tusk.stop();
    dir.read("answers.log")
}

fn short<'c>(sdk: &str, case: &'c Case) -> &'c str {
    case.project.strip_prefix(sdk).and_then(|rest| rest.strip_prefix('_')).unwrap()
}

/// The collector of the SDK tests: every project, the tests' keys, debug answers, and a log of what was answered.
fn conf(dir: &Dir, location: &str) -> Conf {
    let keys = Json::parse(&fs::read_to_string(source("keys.json")).unwrap()).unwrap();
    let path = dir.write("keys.toml", keys_toml(&keys));
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let log = dir.join("answers.log");
    Conf {
        http: format!(
            "log_format answers '$request_method $uri?$args $status $tusk_result $tusk_events $tusk_rejected';
             access_log {} answers;",
            log.display()
        ),
        location: format!("tusk_project *; tusk_keys {}; tusk_debug on; {location}", path.display()),
        ..Conf::default()
    }
}

fn keys_toml(keys: &Json) -> String {
    let text = |path| keys.text(path).unwrap();
    let number = |path| keys.number(path).unwrap();
    format!(
        "[[key]]\npkv = {}\ntype = \"SM2+SM4\"\nprivate_key = \"{}\"\n\n[[key]]\nkey_id = {}\ntype = \"AES\"\nkey = \"{}\"\n",
        number("/sm2/pkv"),
        text("/sm2/private_hex"),
        number("/aes/key_id"),
        text("/aes/key_base64"),
    )
}

fn stored(tusk: &Tusk) -> Vec<Stored> {
    files::lines(&tusk.files()).iter().map(|line| Stored::parse(line)).collect()
}

/// All differences of all cases; empty when everything is as meant.
fn report(tusk: &Tusk, out: &Path, cases: &[Case]) -> String {
    let all = stored(tusk);
    let mut report = String::new();
    for case in cases {
        let meant = Meant::read(out, case.project);
        if meant.len() < case.events_min {
            report += &format!("{}: only {} events meant\n", case.project, meant.len());
        }
        let of = |one: &&Stored| one.server.text("/project") == Some(case.project);
        let mine: Vec<Stored> = all.iter().filter(of).cloned().collect();
        for line in meant.differences(&mine, case.edit).lines() {
            report += &format!("{}: {line}\n", case.project);
        }
    }
    let known: BTreeSet<&str> = cases.iter().map(|case| case.project).collect();
    for one in &all {
        let project = one.server.text("/project").unwrap_or("(none)");
        if !known.contains(project) {
            report += &format!("{project}: no such case: {}\n", one.bytes);
        }
    }
    report
}

/// Server facts that hold for every stored event, whatever the SDK.
fn facts(stored: &[Stored]) {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let mut identities = BTreeSet::new();
    let mut nodes = BTreeSet::new();
    for one in stored {
        let what = &one.server;
        assert!(identities.insert(one.identity()), "identity twice: {what:?}");
        nodes.insert(one.identity().0);
        let recv_ms: u128 = what.number("/recv_time").and_then(|text| text.parse().ok()).unwrap();
        assert!(recv_ms <= now_ms && now_ms - recv_ms < 600_000, "recv_time: {what:?}");
        assert_eq!(what.text("/ip"), Some("127.0.0.1"), "{what:?}");
        if let Some(Json::List(codes)) = what.at("/codes") {
            let deserved = |code: &Json| DESERVED.iter().any(|d| *code == Json::Text((*d).into()));
            assert!(codes.iter().all(deserved), "false alarm {codes:?}: {}", one.bytes);
        }
        if one.event.text("/lib/$lib") == Some("js") {
            assert!(what.text("/ua").is_some_and(|ua| ua.contains("Chrom")), "{what:?}");
        }
    }
    assert_eq!(nodes.len(), 1, "one journal, one node: {nodes:?}");
}

fn odd_answers(dir: &Dir) -> String {
    let log = dir.read("answers.log");
    let odd = log.lines().filter(|line| !line.contains(" 200 kept "));
    odd.take(40).map(|line| line.chars().take(300).collect::<String>() + "\n").collect()
}

/// A case whose stored bytes are the SDK's own.
#[must_use]
pub const fn plain(project: &'static str, events_min: usize) -> Case {
    Case { project, edit: Edit::None, events_min }
}

/// A case whose events come in an envelope that carries `flush_time`.
#[must_use]
pub const fn sealed(project: &'static str, events_min: usize) -> Case {
    Case { project, edit: Edit::FlushTime, events_min }
}

/// A case that must store nothing.
#[must_use]
pub const fn dry(project: &'static str, events_min: usize) -> Case {
    Case { project, edit: Edit::NotStored, events_min }
}
