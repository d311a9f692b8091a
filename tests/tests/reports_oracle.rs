//! Every report of the console against an independent computation: a generated shop goes in the way a log of nginx does, and each
//! number that comes out must be the one that `tests/metrics` counts from the same file, by the definitions of the metrics.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::process::{Command, Output};

use tusk_tests::http::{self, escape};
use tusk_tests::ledger::Ledger;
use tusk_tests::{Dir, Tusk, free_port, libchdb_path, root, wait_for};

/// People of the shop: about 45,000 events in sixteen days.
const PEOPLE: &str = "1200";

/// Python's answer, or a failure that holds all it said.
#[track_caller]
fn python(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new("python3").args(arguments).current_dir(root()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "python3 {}:\n{said}", arguments.join(" "));
    said
}

fn ask(dir: &Dir, port: u16, sql: &str) -> Option<String> {
    let key = dir.read("data/olap/key");
    let target = format!("/?password={key}&database=tusk&query={}", escape(sql.as_bytes()));
    Some(http::try_get(SocketAddr::from(([127, 0, 0, 1], port)), &target)?.text())
}

#[test]
fn every_report_gives_the_numbers_of_the_oracle() {
    let dir = Dir::new("reports-oracle");
    let log = dir.join("shop.jsonl").display().to_string();
    let seed = std::env::var("SEED").unwrap_or_else(|_| "1".to_owned());
    let history = [
        "demo/traffic",
        "history",
        "--people",
        PEOPLE,
        "--days",
        "16",
        "--seed",
        &seed,
        "--out",
        &log,
    ];
    python(&history);
    let port = free_port();
    let tusk = Tusk::start(
        &dir,
        &format!(
            "timezone = \"Asia/Shanghai\"\nany_project = true\n\
             [olap]\nlisten = \"127.0.0.1:{port}\"\nlibrary = \"{}\"\n\
             [sink.clickhouse]\nrange_age_ms_max = 200\n",
            libchdb_path().display()
        ),
    );
    let output = tusk.command(&["import", &log]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for(60, "all events in ClickHouse", || {
        Ledger::read(&tusk)?.settled_everywhere().then_some(())
    });
    // Who is who is read anew every few seconds.
    let stale = "SELECT count() FROM (SELECT cityHash64(project, anon_hash) AS key, argMin(login_hash, bound_at) AS login \
                 FROM id_map GROUP BY key) WHERE dictGetOrDefault('tusk.id_dict', 'login_hash', key, 0) != login";
    wait_for(30, "the dictionary of people", || (ask(&dir, port, stale)? == "0\n").then_some(()));
    // As whoever may manage: for others, what looks like a phone number is masked.
    let console = tusk.command(&["console"]);
    let console = String::from_utf8_lossy(&console.stdout).trim().to_owned();
    println!("{}", python(&["tests/metrics/check.py", &log, &console]));
    tusk.stop();
}
