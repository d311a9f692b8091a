//! The whole way to HDFS: real nginx, real shipper, a real NameNode and DataNode that die, freeze and come back.
//!
//! The file sink runs beside it: both hold the same events, so each is the other's oracle where the client's log says nothing.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use tusk_tests::conf;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Plan, base64, event};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::random::Random;
use tusk_tests::sdk::Stored;
use tusk_tests::servers::hdfs::{Hdfs, Part};
use tusk_tests::{Dir, Nginx, Tusk, files, http, wait_for};

/// Settings of a sink that is quick to write and quick to give up.
fn sink(hdfs: &Hdfs, more: &str) -> String {
    let url =
        if more.contains("url =") { String::new() } else { format!("url = \"{}\"", hdfs.url()) };
    format!(
        "[sink.hdfs]\nenabled = true\n{url}\nrange_age_ms_max = 300\ncall_timeout_ms = 2000\n{more}\n"
    )
}

#[track_caller]
fn send(nginx: &Nginx, target: &str, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    assert_eq!(http::post(nginx.address(), target, &[], body.as_bytes()).status, 200);
}

/// Waits until `count` events were kept and both sinks hold them.
#[track_caller]
fn settled(tusk: &Tusk, count: u64) -> Ledger {
    wait_for(60, &format!("{count} events in the files and on HDFS"), || {
        Ledger::read(tusk).filter(|ledger| {
            ledger.count("/kept") == count && ledger.settled() && ledger.settled_at("hdfs")
        })
    })
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

#[test]
fn nothing_is_lost_or_twice_whoever_dies_or_freezes() {
    let seed = std::env::var("TUSK_FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut hdfs = Hdfs::start();
    let dir = Dir::new("hdfs-faults");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = sink(&hdfs, "root = \"/events\"\nfiles_parallel = 2");
    let mut tusk = Tusk::start(&dir, &toml);
    let load = Load::start(nginx.address(), Plan { connections: 4, rate: 200, seed });
    let faults = [
        "tusk",
        "tusk",
        "namenode",
        "frozen namenode",
        "tusk",
        "datanode",
        "frozen datanode",
        "tusk",
        "both",
        "tusk",
        "tusk",
        "frozen namenode and tusk",
        "tusk",
    ];
    for fault in faults {
        std::thread::sleep(Duration::from_millis(200 + random.below(500)));
        let kill = |tusk: Tusk| {
            tusk.kill();
            Tusk::spawn(&dir, &toml)
        };
        match fault {
            "tusk" => tusk = kill(tusk),
            "namenode" => {
                hdfs.kill(Part::NameNode);
                hdfs.restart(Part::NameNode);
            }
            "datanode" => {
                hdfs.kill(Part::DataNode);
                hdfs.restart(Part::DataNode);
            }
            "both" => {
                hdfs.kill(Part::NameNode);
                hdfs.kill(Part::DataNode);
                tusk = kill(tusk);
                hdfs.restart(Part::DataNode);
                hdfs.restart(Part::NameNode);
            }
            "frozen datanode" => {
                hdfs.pause(Part::DataNode);
                std::thread::sleep(Duration::from_millis(2500));
                hdfs.cont(Part::DataNode);
            }
            _ => {
                hdfs.pause(Part::NameNode);
                // Longer than our time limit: calls are given up, and carried out all the same after the thaw.
                std::thread::sleep(Duration::from_millis(3000));
                if fault.contains("tusk") {
                    tusk = kill(tusk);
                }
                hdfs.cont(Part::NameNode);
            }
        }
    }
    hdfs.wait_ready();
    tusk.ready(&dir);
    load.wait_accepted(200);
    let log = load.finish();
    nginx.quit();
    wait_for(60, "everything on HDFS", || {
        Ledger::read(&tusk).filter(|ledger| ledger.settled() && ledger.settled_at("hdfs"))
    });
    let lines = hdfs.lines("/events");
    let stored: Vec<Stored> = lines.iter().map(|line| Stored::parse(line)).collect();
    let verdict = Verdict::of(&log, &stored, Refusal::NotStored);
    println!(
        "faults={} accepted={} lost={} twice={}",
        faults.len(),
        verdict.accepted,
        verdict.lost,
        verdict.twice
    );
    assert_eq!((verdict.lost, verdict.twice, verdict.gap), (0, 0, 0), "{}", verdict.report);
    assert!(verdict.accepted > 500, "the load was not taken: {verdict:?}");
    assert_eq!(
        sorted(lines),
        sorted(files::lines(&tusk.files())),
        "both sinks hold the same bytes"
    );
    let out = tusk.command(&["ledger", "--audit"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    tusk.stop();
}

#[test]
fn one_file_each_project_and_hour_and_nothing_beside_it() {
    let hdfs = Hdfs::start();
    let dir = Dir::new("hdfs-names");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = sink(&hdfs, "files_parallel = 2\ncompression = \"gzip\"");
    let tusk = Tusk::start(&dir, &toml);
    for project in ["shop", "news", "game", "mail", "maps"] {
        send(&nginx, &format!("/sa?project={project}"), &[event(1, 0, 10), event(1, 1, 10)]);
    }
    settled(&tusk, 10);
    let found = hdfs.list("/tusk");
    let names: Vec<&str> = found.iter().filter(|e| !e.dir).map(|e| e.path.as_str()).collect();
    assert_eq!(sorted(hdfs.lines("/tusk")), sorted(files::lines(&tusk.files())));
    for name in names {
        let last = name.rsplit('/').next().unwrap();
        assert!(last.starts_with("part-") && last.ends_with(".jsonl.gz"), "{name}");
        assert!(name.starts_with("/tusk/project=") && name.contains("/dt=2"), "{name}");
    }
    tusk.stop();
}
