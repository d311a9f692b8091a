//! A dead sink hurts nobody else: an optional one never, a required one not before the journal's cap. Both come back, the ledger names
//! what was skipped, and a replay fills it.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Output;
use std::time::Duration;

use tusk_tests::conf;
use tusk_tests::contract::Target;
use tusk_tests::json::Json;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Log, Outcome, Plan, send_big};
use tusk_tests::oracle::{Refusal, Verdict};
use tusk_tests::proxy::Way;
use tusk_tests::sdk::Stored;
use tusk_tests::targets::ClickhouseTarget;
use tusk_tests::{Dir, Nginx, Tusk, files, http, wait_for};

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Private memory of a process, kB: `RssAnon`.
fn memory_kb(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn metric(tusk: &Tusk, name: &str, sink: &str) -> u64 {
    let wanted = format!("{name}{{sink=\"{sink}\"}} ");
    let metrics = tusk.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

/// The first lsn that the journal still has.
fn journal_start(tusk: &Tusk) -> u64 {
    let names = std::fs::read_dir(tusk.data().join("journal")).unwrap();
    let lsn = |name: std::ffi::OsString| {
        u64::from_str_radix(name.to_str()?.strip_suffix(".seg")?, 16).ok()
    };
    names.filter_map(|entry| lsn(entry.ok()?.file_name())).min().unwrap_or_default()
}

/// Everything that was answered 200 has left the ring, every sink has passed it, and the books are closed.
#[track_caller]
fn settled(tusk: &Tusk, log: &Log) -> Ledger {
    let accepted = log.values().filter(|sent| sent.outcome == Outcome::Accepted);
    let kept: u64 = accepted.map(|sent| u64::from(sent.events)).sum();
    let mut last = None;
    let start = std::time::Instant::now();
    loop {
        match Ledger::read(tusk) {
            Some(ledger) if ledger.count("/kept") == kept && ledger.settled_everywhere() => {
                return ledger;
            }
            other => last = other.or(last),
        }
        assert!(start.elapsed() < Duration::from_secs(90), "not settled: {last:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn each_once(target: &dyn Target, tusk: &Tusk, log: &Log) {
    let lines: Vec<Stored> =
        files::lines(&tusk.files()).iter().map(|line| Stored::parse(line)).collect();
    let verdict = Verdict::of(log, &lines, Refusal::NotStored);
    assert!(verdict.is_clean() && verdict.accepted > 0, "files: {verdict:?}");
    let held = target.read(&tusk.data());
    let verdict = Verdict::of_seen(log, &held, Refusal::NotStored);
    assert!(verdict.is_clean(), "{}: {verdict:?}", target.name());
}

/// Small segments that go at once when every sink has passed them, so that a hole is one within seconds.
fn journal(bytes_max: u64) -> String {
    format!("[journal]\nsegment_bytes = 1048576\nkeep_hours = 0\nbytes_max = {bytes_max}\n")
}

#[test]
fn an_optional_sink_dead_until_it_is_parked_costs_nobody_else_anything() {
    let target = ClickhouseTarget::start();
    let dir = Dir::new("parked");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let table = target.toml(&dir.join("data"));
    let toml = journal(64 << 20) + &table + "required = false\nlag_bytes_max = 1000000\n";
    let tusk = Tusk::start(&dir, &toml);
    let load = Load::start(nginx.address(), Plan { connections: 8, rate: 300, seed: 11 });
    let passed = || metric(&tusk, "tusk_sink_cursor_lsn", "file");
    // Warm: every buffer has been used.
    wait_for(60, "a few megabytes through both sinks", || (passed() > 3 << 20).then_some(()));
    wait_for(30, "ClickHouse to follow", || {
        (metric(&tusk, "tusk_sink_cursor_lsn", "clickhouse") > 2 << 20).then_some(())
    });
    let before_kb = memory_kb(tusk.id());

    // Not dead but mute: it takes connections and says nothing.
    target.proxy().unwrap().set(Way::BlackHole);
    let mut most_kb = 0;
    wait_for(60, "the mute sink to be parked", || {
        most_kb = most_kb.max(memory_kb(tusk.id()));
        (metric(&tusk, "tusk_sink_parked", "clickhouse") == 1).then_some(())
    });
    let delivered = "tusk_sink_delivered_events_total";
    let stuck = metric(&tusk, delivered, "clickhouse");
    let held = metric(&tusk, "tusk_sink_cursor_lsn", "clickhouse");
    let goal = passed() + (2 << 20);
    wait_for(60, "the files to go on", || {
        most_kb = most_kb.max(memory_kb(tusk.id()));
        let lag = metric(&tusk, "tusk_sink_lag_milliseconds", "file");
        assert!(lag < 5_000, "the files lag {lag} ms behind");
        // Long enough that what it has not seen is gone from the journal.
        (passed() > goal && journal_start(&tusk) > held).then_some(())
    });
    assert_eq!(metric(&tusk, delivered, "clickhouse"), stuck);
    println!("memory: {before_kb} kB before, {most_kb} kB at most while it was mute");
    // A tenth, or what is remembered of every event anyway (duplicates, sessions) and an allocator's rounding.
    let limit_kb = before_kb + (before_kb / 10).max(4_096);
    assert!(most_kb <= limit_kb, "memory grew: {before_kb} kB, then {most_kb} kB");

    // It comes back, and goes on with the oldest that is kept.
    target.proxy().unwrap().set(Way::Pass);
    wait_for(60, "the sink to go on", || {
        (metric(&tusk, delivered, "clickhouse") > stuck).then_some(())
    });
    let log = load.finish();
    assert!(log.values().all(|sent| sent.outcome == Outcome::Accepted), "someone was not served");
    let ledger = settled(&tusk, &log);
    let kept = ledger.count("/kept");
    let sum = |name| ledger.sum("clickhouse", name);
    assert!(sum("skipped") > 0, "{ledger:?}");
    assert_eq!(sum("delivered") + sum("skipped"), kept, "{ledger:?}");
    assert_eq!(ledger.sum("file", "delivered"), kept);
    let Some(Json::List(sinks)) = ledger.0.at("/sinks") else { panic!("{ledger:?}") };
    let sink = sinks.iter().find(|sink| sink.text("/name") == Some("clickhouse")).unwrap();
    println!("skipped {} of {kept} events: {:?}", sum("skipped"), sink.at("/skipped"));
    assert!(matches!(sink.at("/skipped"), Some(Json::List(holes)) if !holes.is_empty()));
    // The range that hung when it was parked may be there all the same: nobody could know, so it counts as skipped until a replay looks.
    assert!(target.read(&tusk.data()).len() as u64 >= sum("delivered"), "{ledger:?}");

    // The journal no longer has the hole, the files have.
    let out = tusk.command(&["replay", "clickhouse"]);
    assert!(out.status.success(), "{}", text(&out));
    println!("{}", text(&out).trim());
    let ledger = settled(&tusk, &log);
    assert_eq!(ledger.sum("clickhouse", "skipped"), 0, "{ledger:?}");
    assert_eq!(ledger.sum("clickhouse", "delivered"), kept);
    each_once(&target, &tusk, &log);
    let again = tusk.command(&["replay", "clickhouse"]);
    assert!(again.status.success(), "{}", text(&again));
    each_once(&target, &tusk, &log);
    let audit = tusk.command(&["ledger", "--audit"]);
    assert!(audit.status.success(), "{}", text(&audit));
    tusk.stop();
    nginx.quit();
}

#[test]
fn a_required_sink_dead_until_the_cap_brings_503_and_then_everything() {
    let mut target = ClickhouseTarget::start();
    let dir = Dir::new("required");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let data = dir.join("data");
    let toml = journal(16 << 20) + &target.toml(&data) + "required = true\n";
    let tusk = Tusk::start(&dir, &toml);
    let mut log = Log::new();
    assert_eq!(send_big(nginx.address(), &mut log).status, 200);
    settled(&tusk, &log);
    target.down(&data);
    // First the journal fills, then the ring.
    let mut taken = 0;
    loop {
        let answer = send_big(nginx.address(), &mut log);
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        taken += 1;
        assert!(taken < 200, "200 big requests were taken");
    }
    assert!(taken >= 30, "503 after {taken} requests of 1.6 MB: the ring alone holds more");
    let ready = wait_for(20, "/readyz to say so", || {
        http::try_get(tusk.console(), "/readyz").filter(|answer| answer.status == 503)
    });
    let said = ready.text() + &text(&tusk.command(&["check"])) + &dir.read("tusk.log");
    assert!(said.contains("clickhouse"), "names the sink that holds the journal: {said}");
    println!("{taken} big requests were taken, then 503; /readyz: {}", ready.text().trim());

    target.up(&data);
    wait_for(60, "the collector to take events again", || {
        (send_big(nginx.address(), &mut log).status == 200).then_some(())
    });
    wait_for(60, "/readyz to be good again", || {
        http::try_get(tusk.console(), "/readyz").filter(|answer| answer.status == 200)
    });
    let ledger = settled(&tusk, &log);
    assert_eq!(
        ledger.sum("clickhouse", "skipped"),
        0,
        "a required sink misses nothing: {ledger:?}"
    );
    each_once(&target, &tusk, &log);
    tusk.stop();
    nginx.quit();
}
