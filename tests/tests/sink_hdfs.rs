//! The whole way to HDFS: real nginx, real shipper, a real NameNode and DataNode that die, freeze and come back.
//!
//! The file sink runs beside it: both hold the same events, so each is the other's oracle where the client's log says nothing.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tusk_tests::conf;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Plan, base64, event};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::random::Random;
use tusk_tests::sdk::{self, Stored};
use tusk_tests::servers::hdfs::{self, Hdfs, Part};
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
    let toml = sink(&hdfs, "root = \"/events\"\nfiles_parallel = 2\nformat = \"jsonl\"");
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

/// Copies the finished files below `root` to a folder of this machine; lines are unpacked on the way.
fn download(hdfs: &Hdfs, root: &str, to: &Path) {
    for entry in hdfs.list(root).into_iter().filter(|entry| !entry.dir) {
        let path = to.join(entry.path.strip_prefix(root).unwrap().trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = hdfs.read(&entry.path);
        if entry.path.ends_with(".parquet") {
            fs::write(path, bytes).unwrap();
        } else if files::is_data_name(entry.path.rsplit('/').next().unwrap()) {
            let lines = files::unpack(&entry.path, bytes).join("\n") + "\n";
            fs::write(path.with_extension("").with_extension("jsonl"), lines).unwrap();
        }
    }
}

/// Another implementation reads the Parquet files and compares every value with the lines.
#[track_caller]
fn compare(parquet: &Path, jsonl: &Path) -> String {
    let script = "parquet/compare.py";
    let mut command = sdk::python_with("pyarrow", "parquet/requirements.txt", script);
    let out = command.arg(parquet).arg(jsonl).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    println!("{}", said.trim());
    said
}

/// Events of every kind and with every form of value.
fn of_every_kind() -> Vec<String> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let one = |kind: &str, rest: &str| {
        format!(
            r#"{{"type":"{kind}","distinct_id":"u 1","time":{now_ms},"lib":{{"$lib":"python","$lib_version":"1.2"}},{rest}}}"#
        )
    };
    let track = |rest: &str| one("track", &format!(r#""event":"Buy","properties":{rest}"#));
    vec![
        track(
            r#"{"$os":"iOS","$screen_width":390,"$wifi":true,"event_duration":1.5,"$is_first_day":false,"$lib":"python","$lib_version":"1.2"}"#,
        ),
        track(
            r#"{"price":12.50,"count":3,"name":"茶 \u8336\"\n\ud83d\ude00","ok":true,"no":false,"tags":["a","b \"c\"",""],"none":[],"empty":""}"#,
        ),
        track(
            r#"{"big":9007199254740993,"small":-9007199254740993,"exact":9007199254740992,"e":1e3,"minus":-0.25}"#,
        ),
        track(r#"{"text_number":"42","zeroes":"007","day":"2026-11-24","version":"1.2.3"}"#),
        track(
            r#"{"$url":"https://a.example/p?q=1","$title":"标题","$referrer":"","$utm_source":"x"}"#,
        ),
        one(
            "track",
            r#""event":"No","_track_id":77,"login_id":"L","anonymous_id":"A","identities":{"$identity_login_id":"L","$identity_email":"a@b"},"properties":{}"#,
        ),
        one("track_signup", r#""event":"$SignUp","original_id":"anon","properties":{"way":"sms"}"#),
        one("profile_set", r#""properties":{"gender":"女","age":30,"tags":["x"],"$city":"上海"}"#),
        one("profile_append", r#""properties":{"tags":["y","z"]}"#),
        one("profile_unset", r#""properties":{"age":true,"gender":true}"#),
        one("profile_delete", r#""properties":{}"#),
        format!(
            r#"{{"type":"item_set","item_type":"book","item_id":"9","time":{now_ms},"lib":{{"$lib":"python"}},"properties":{{"title":"T","pages":100}}}}"#
        ),
    ]
}

#[test]
fn another_implementation_reads_the_parquet_files_of_both_sinks_and_both_ways_to_hdfs() {
    let hdfs = Hdfs::start();
    // Parquet to HDFS beside lines in files, then the other way round, over HTTP.
    let size = "range_age_ms_max = 1500\nrow_group_bytes = 1048576";
    let cases = [
        (
            "rpc",
            sink(&hdfs, &format!("format = \"parquet\"\n{size}"))
                .replace("range_age_ms_max = 300\n", ""),
        ),
        (
            "http",
            format!(
                "{}\n[sink.file]\nformat = \"parquet\"\ncompression = \"snappy\"\n{size}\n",
                sink(
                    &hdfs,
                    &format!(
                        "url = \"{}\"\nformat = \"jsonl\"\nroot = \"/http\"\nuser = \"{}\"",
                        hdfs.web_url(),
                        hdfs::user()
                    )
                )
            ),
        ),
    ];
    for (way, toml) in cases {
        let dir = Dir::new(&format!("hdfs-parquet-{way}"));
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let tusk = Tusk::start(&dir, &toml);
        send(&nginx, "/sa?project=shop", &of_every_kind());
        for request in 0..20 {
            let events: Vec<String> = (0..100).map(|index| event(request, index, 1200)).collect();
            send(&nginx, "/sa?project=load", &events);
        }
        settled(&tusk, 2012);
        let copy = dir.join("copy");
        let said = if way == "rpc" {
            download(&hdfs, "/tusk", &copy);
            compare(&copy, &tusk.files())
        } else {
            download(&hdfs, "/http", &copy);
            compare(&tusk.files(), &copy)
        };
        assert!(said.contains("rows=2012 "), "{said}");
        let groups: u32 =
            said.split("groups=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(groups >= 4, "more than one row group a file: {said}");
        for entry in hdfs.list("/") {
            assert!(!entry.path.contains(".inprogress"), "{}", entry.path);
        }
        let out = tusk.command(&["ledger", "--audit"]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        tusk.stop();
    }
}

#[test]
fn one_file_each_project_and_hour_and_nothing_beside_it() {
    let hdfs = Hdfs::start();
    let dir = Dir::new("hdfs-names");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = sink(&hdfs, "files_parallel = 2\nformat = \"jsonl\"\ncompression = \"gzip\"");
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
