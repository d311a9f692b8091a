//! A day offline: an app that sends yesterday's events today. They stand on their own day in ClickHouse and in folders by event time, and
//! in the hour of their arrival in folders by receive time. A device whose clock is a day slow looks alike and is told apart.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tusk_tests::conf;
use tusk_tests::contract::Target;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{base64, event};
use tusk_tests::sdk::Stored;
use tusk_tests::targets::hdfs::Form;
use tusk_tests::targets::{ClickhouseTarget, HdfsTarget};
use tusk_tests::{Dir, Nginx, Tusk, files, http, wait_for};

const DAY_MS: u64 = 86_400_000;
const ZONE: &str = "Asia/Shanghai";

/// What an app or device does. The number is its request's.
const OFFLINE: u64 = 0;
const SLOW_CLOCK: u64 = 1;
const NOW: u64 = 2;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// `2026-11-24 23` of a moment in the zone, by another program than ours.
fn hour(ms: u64) -> String {
    let at = format!("@{}", ms / 1000);
    let out = Command::new("date").env("TZ", ZONE).args(["-d", &at, "+%F %H"]).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// An event of that time, sent at that time by the device's clock.
fn made(request: u64, time_ms: u64, flush_ms: u64) -> String {
    let text = event(request, 0, 10);
    let (head, rest) = text.split_once("\"time\":").unwrap();
    let rest = rest.split_once(',').unwrap().1;
    format!("{head}\"time\":{time_ms},\"_flush_time\":{flush_ms},{rest}")
}

/// Request number → hour of the folder, for every event in files with these paths and lines.
fn placed(all: &[(String, Vec<String>)]) -> Vec<(u64, String, Stored)> {
    let mut found = Vec::new();
    for (path, lines) in all {
        let part = |name: &str| {
            let from = path.split_once(name).unwrap_or_else(|| panic!("no {name} in {path}")).1;
            from.split('/').next().unwrap_or_default().to_owned()
        };
        let place = format!("{} {}", part("/dt="), part("/hour="));
        for line in lines {
            let stored = Stored::parse(line);
            let request = stored.event.number("/properties/request").unwrap().parse().unwrap();
            found.push((request, place.clone(), stored));
        }
    }
    found.sort_by_key(|one| one.0);
    found
}

fn recv_hour(stored: &Stored) -> String {
    hour(stored.server.number("/recv_time").unwrap().parse().unwrap())
}

/// What all folders have to show, by event time or by receive time.
#[track_caller]
fn check(what: &str, all: &[(String, Vec<String>)], by_event: bool, yesterday_ms: u64) {
    let found = placed(all);
    let requests: Vec<u64> = found.iter().map(|one| one.0).collect();
    assert_eq!(requests, [OFFLINE, SLOW_CLOCK, NOW], "{what}");
    for (request, place, stored) in found {
        let own_day = by_event && request == OFFLINE;
        let expected = if own_day { hour(yesterday_ms) } else { recv_hour(&stored) };
        assert_eq!(place, expected, "{what}: request {request}: {}", stored.bytes);
    }
}

#[test]
fn events_of_a_day_offline_stand_on_their_own_day() {
    let clickhouse = ClickhouseTarget::start();
    let hdfs = HdfsTarget::start(Form::WebLines);
    for file_by_event in [true, false] {
        let dir = Dir::new("offline");
        let data = dir.join("data");
        let by = |event| if event { "event" } else { "receive" };
        let root = format!("/{}", by(!file_by_event));
        let toml = format!(
            "timezone = \"{ZONE}\"\n[sink.file]\ncompression = \"gzip\"\nrange_age_ms_max = 300\npartition_by = \"{}\"\n{}\
             partition_by = \"{}\"\n{}database = \"offline_{}\"\n",
            by(file_by_event),
            hdfs.toml(&data).replace("\"/events\"", &format!("\"{root}\"")),
            by(!file_by_event),
            clickhouse.toml(&data),
            by(file_by_event),
        );
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let tusk = Tusk::start(&dir, &toml);
        // All three arrive in one hour, or what a folder has to be called would depend on luck.
        wait_for(70, "a moment that is not the end of an hour", || {
            (now_ms() % 3_600_000 < 3_600_000 - 60_000).then_some(())
        });
        let now = now_ms();
        let yesterday = now - DAY_MS - 3_600_000 - 60_000;
        let events = [
            made(OFFLINE, yesterday, now),
            // By its own clock it sent at once: its clock is slow, and the event is of now.
            made(SLOW_CLOCK, yesterday, yesterday + 500),
            made(NOW, now, now),
        ];
        for one in &events {
            let body = format!("data={}", http::escape(base64(one.as_bytes()).as_bytes()));
            let answer = http::post(nginx.address(), "/sa?project=load", &[], body.as_bytes());
            assert_eq!(answer.status, 200);
        }
        wait_for(60, "three events at every target", || {
            Ledger::read(&tusk)
                .filter(|ledger| ledger.count("/kept") == 3 && ledger.settled_everywhere())
        });
        let local: Vec<(String, Vec<String>)> = files::list(&tusk.files())
            .iter()
            .map(|path| (path.display().to_string(), files::read(path)))
            .collect();
        check("files", &local, file_by_event, yesterday);
        let remote: Vec<(String, Vec<String>)> = hdfs
            .hdfs
            .list(&root)
            .into_iter()
            .filter(|entry| !entry.dir && entry.path.contains("/part-"))
            .map(|entry| {
                (entry.path.clone(), files::unpack(&entry.path, hdfs.hdfs.read(&entry.path)))
            })
            .collect();
        check("HDFS", &remote, !file_by_event, yesterday);
        let rows = clickhouse.olap.query(&format!(
            "SELECT num['request'], day, toDate(time), formatDateTime(time, '%F %H'), formatDateTime(recv_time, '%F %H')
             FROM offline_{}.events ORDER BY 1",
            by(file_by_event)
        ));
        let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split('\t').collect()).collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        let (own, today) = (hour(yesterday), hour(now));
        for (row, expected) in rows.iter().zip([&own, &today, &today]) {
            let day = expected.split(' ').next().unwrap();
            assert_eq!(row[1..4], [day, day, expected], "{rows:?}");
            assert_eq!(row[4], today, "received now: {rows:?}");
        }
        let audit = tusk.command(&["ledger", "--audit"]);
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
        tusk.stop();
        nginx.quit();
    }
}
