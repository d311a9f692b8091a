//! Imports: every line once, whatever is read how often; the same rules as at the edge; the ledger holds.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, wait_for};
use shipper::engine::Engine;
use shipper::import::blocks::{Blocks, unpack};
use shipper::import::{Format, Options, Report};
use shipper::quarantine::Filter;
use std::collections::BTreeSet;
use std::io::Write;

fn options(name: &str) -> Options {
    Options { name: name.into(), ..Options::default() }
}

fn try_import(engine: &Engine, options: &Options, bytes: &[u8]) -> Result<Report, String> {
    let mut blocks = Blocks::new(unpack(bytes).unwrap());
    engine.importer().import(
        options,
        &mut |block| blocks.next(block).map_err(|error| error.to_string()),
        &mut |_| Ok(()),
    )
}

fn import(engine: &Engine, name: &str, bytes: &[u8]) -> Report {
    try_import(engine, &options(name), bytes).unwrap()
}

fn event(n: usize) -> String {
    format!(
        r#"{{"type":"track","event":"Buy","distinct_id":"u{n}","time":{},"lib":{{"$lib":"python"}},"properties":{{"n":{n},"pad":"{}"}}}}"#,
        1_795_537_800_000_u64 + n as u64,
        "x".repeat(n % 700)
    )
}

fn events(range: std::ops::Range<usize>) -> String {
    range.map(|n| event(n) + "\n").collect()
}

/// Numbers of the events in the files, each checked to be there once.
fn stored(line: &Line) -> BTreeSet<u64> {
    let lines = line.lines();
    let numbers: BTreeSet<u64> = lines
        .iter()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["properties"]["n"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(numbers.len(), lines.len(), "an event is there twice");
    numbers
}

fn settled(engine: &Engine) {
    wait_for("the sinks to deliver", || {
        let ledger = engine.ledger();
        ledger.lsn == engine.status().journal.durable_lsn
            && ledger.sinks.iter().all(|sink| sink.waiting == 0)
            && ledger.quarantine.waiting == 0
    });
    assert_eq!(engine.ledger().gaps, Vec::<String>::new());
}

#[test]
fn a_file_comes_in_once_however_often_and_however_packed() {
    let line = Line::new();
    let engine = line.start();
    let text = events(0..20_000);
    let report = import(&engine, "app.log", text.as_bytes());
    assert_eq!((report.lines, report.known, report.kept), (20_000, 0, 20_000), "{report:?}");
    assert_eq!(report.format, "json");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    for again in [
        text.clone().into_bytes(),
        gzip.finish().unwrap(),
        zstd::encode_all(text.as_bytes(), 1).unwrap(),
    ] {
        let report = import(&engine, "other name", &again);
        assert_eq!((report.lines, report.known, report.events), (20_000, 20_000, 0), "{report:?}");
    }
    drop(engine);
    // The register is on disk, and what it lacks is in the journal.
    for register in ["kept", "lost"] {
        if register == "lost" {
            std::fs::remove_file(line.dir.join("imports/register")).unwrap();
        }
        let engine = line.start();
        assert_eq!(import(&engine, "app.log", text.as_bytes()).known, 20_000, "{register}");
        settled(&engine);
        drop(engine);
    }
    assert_eq!(stored(&line).len(), 20_000);
    line.assert_identities_unique();
    // On purpose it comes again, once.
    let engine = line.start();
    let once_more = Options { again: "june".into(), ..options("app.log") };
    assert_eq!(try_import(&engine, &once_more, text.as_bytes()).unwrap().kept, 20_000);
    assert_eq!(try_import(&engine, &once_more, text.as_bytes()).unwrap().known, 20_000);
}

#[test]
fn a_file_that_has_grown_is_continued() {
    let line = Line::new();
    let engine = line.start();
    let text = events(0..30_000);
    assert!(text.len() > 9 << 20);
    let mut taken = 0;
    // Also inside a line, inside a block and at a block's end.
    for cut in [100, 5_000, 5_001, 4_194_304, 4_300_000, 4_300_001, 9 << 20, text.len()] {
        let report = import(&engine, "app.log", &text.as_bytes()[..cut]);
        taken += report.kept;
    }
    settled(&engine);
    assert_eq!(taken, 30_000);
    assert_eq!(stored(&line).len(), 30_000);
    // What was cut off in the middle of a line waits in quarantine, with its place.
    let cut = engine.quarantine().show(&Filter::default(), 100).unwrap();
    assert!(cut.len() >= 4, "{}", cut.len());
    assert!(cut.iter().all(|item| item.place.starts_with("app.log:")), "{cut:?}");
}

#[test]
fn lines_are_judged_as_requests_are() {
    let line = Line::new();
    let engine = line.start();
    let bad_name = event(1).replace("\"Buy\"", "\"9bad\"");
    let old = event(2).replace("1795537800002", "1500000000000");
    let text =
        format!("{}\n\n{bad_name}\r\nno json\n{old}\n[{},{}]\n", event(0), event(3), event(4));
    let report = import(&engine, "mixed.log", text.as_bytes());
    assert_eq!((report.lines, report.events, report.kept, report.rejected), (6, 6, 4, 2));
    let codes: Vec<&str> = report.codes.keys().map(String::as_str).collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
    let sample = &report.samples["N101"][0];
    assert_eq!((sample.place.as_str(), sample.pointer.as_str()), ("mixed.log:3", "/event"));
    settled(&engine);
    let items = engine.quarantine().show(&Filter::default(), 10).unwrap();
    let mut places: Vec<&str> = items.iter().map(|item| item.place.as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, ["mixed.log:3", "mixed.log:4"]);
    assert!(items.iter().any(|item| item.raw.contains("no json")));
    // Another project needs to be allowed.
    let other = Options { project: Some("shop".into()), ..options("shop.log") };
    assert_eq!(try_import(&engine, &other, event(9).as_bytes()).unwrap().kept, 1);
    let named = event(8).replace("\"type\"", "\"project\":\"shop\",\"type\"");
    assert_eq!(import(&engine, "a.log", named.as_bytes()).codes["A001"], 1);
    let wrong = Options { project: Some("../x".into()), ..options("x") };
    assert!(try_import(&engine, &wrong, event(0).as_bytes()).unwrap_err().contains("--project"));
}

#[test]
fn old_times_are_remarked_upon_unless_the_operator_says_otherwise() {
    let line = Line::new();
    let engine = line.start();
    let old = event(2).replace("1795537800002", "1500000000000");
    import(&engine, "a.log", old.as_bytes());
    let free = Options { time_free: true, ..options("b.log") };
    try_import(&engine, &free, (event(3) + "\n" + &old).as_bytes()).unwrap();
    settled(&engine);
    let codes: Vec<String> = line
        .lines()
        .iter()
        .filter(|line| line.contains("1500000000000"))
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["_server"]["codes"].to_string()
        })
        .collect();
    assert_eq!(codes.len(), 2);
    assert_eq!(codes.iter().filter(|codes| codes.contains("T3")).count(), 1, "{codes:?}");
}

#[test]
fn a_logged_request_arrives_when_it_was_logged() {
    let line = Line::new();
    let engine = line.start();
    let event = event(7).replace("\"time\":1795537800007,", "\"time\":1700000000000,");
    let data: String = event.bytes().map(|b| format!("%{b:02X}")).collect();
    let head = r#"203.0.113.9 - - [15/Nov/2023:06:13:21 +0800]"#;
    let text = format!(
        "{head} \"POST /sa?project=default HTTP/1.1\" 200 2 \"-\" \"SensorsAnalytics iOS SDK\" \"data={data}&gzip=0\"\n\
         {head} \"OPTIONS /sa HTTP/1.1\" 200 2 \"-\" \"-\" \"-\"\n\
         {head} \"GET /config/iOS.conf?v=1 HTTP/1.1\" 200 2 \"-\" \"-\" \"-\"\n\
         {head} \"\\x16\\x03\\x01\" 400 0 \"-\" \"-\" \"-\"\n\
         broken line\n"
    );
    let report = import(&engine, "access.log", text.as_bytes());
    assert_eq!(report.format, "nginx");
    assert_eq!(
        (report.events, report.kept, report.empty, report.unfit),
        (2, 1, 3, 1),
        "{report:?}"
    );
    settled(&engine);
    let stored: serde_json::Value = serde_json::from_str(&line.lines()[0]).unwrap();
    let server = &stored["_server"];
    assert_eq!(server["recv_time"], 1_700_000_001_000_u64);
    assert_eq!(server["ip"], "203.0.113.9");
    assert_eq!(server["codes"].to_string(), "[]");
    // Its folder is of today: closed hours never change.
    let folder = line.files()[0].display().to_string();
    assert!(!folder.contains("dt=2023"), "{folder}");
}

#[test]
fn an_import_waits_for_the_sinks_and_leaves_room_for_requests() {
    let line = Line::with(|config| {
        config.journal.bytes_max = 4 << 20;
        config.sink.file.range_age_ms_max = 600_000;
        config.sink.file.range_bytes_max = 1 << 30;
    });
    let engine = line.start();
    let text = events(0..20_000);
    let mut waited = String::new();
    let mut blocks = Blocks::new(unpack(text.as_bytes()).unwrap());
    let started = std::time::Instant::now();
    let outcome = engine.importer().import(
        &options("app.log"),
        &mut |block| blocks.next(block).map_err(|error| error.to_string()),
        &mut |report| {
            if !report.waiting.is_empty() {
                waited.clone_from(&report.waiting);
            }
            if started.elapsed().as_secs() > 2 { Err("the reader left".into()) } else { Ok(()) }
        },
    );
    assert_eq!(outcome.unwrap_err(), "the reader left");
    assert!(!waited.is_empty());
    drop(engine);
    // With room again the same import takes the rest, each line once.
    let mut config = line.config.clone();
    config.journal.bytes_max = 64 << 20;
    config.sink.file.range_age_ms_max = 100;
    let engine = Engine::start(config).unwrap();
    let report = import(&engine, "app.log", text.as_bytes());
    assert!(report.known > 0 && report.known + report.kept == 20_000, "{report:?}");
    settled(&engine);
    assert_eq!(stored(&line).len(), 20_000);
}

#[test]
fn hostile_lines_cost_themselves_alone() {
    let line = Line::new();
    let engine = line.start();
    let seed = event(0);
    let head = r#"1.2.3.4 - - [25/Nov/2026:12:30:00 +0800] "POST /sa HTTP/1.1" 200 2 "-" "ua" "data=e30%3D""#;
    let mut state = 7_u64;
    let mut random = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit.max(1)
    };
    for (format, seed) in [(Format::Json, seed.as_bytes()), (Format::Nginx, head.as_bytes())] {
        let mut text = [seed, b"\n"].concat();
        let mut wanted = 0;
        for _ in 0..3_000 {
            let mut mutant = seed.to_vec();
            for _ in 0..1 + random(4) {
                let at = random(mutant.len());
                match random(4) {
                    0 => mutant[at] = random(256) as u8,
                    1 => mutant.truncate(at),
                    2 => mutant.insert(at, random(256) as u8),
                    _ => _ = mutant.drain(at..(at + random(20)).min(mutant.len())),
                }
                if mutant.is_empty() {
                    break;
                }
            }
            mutant.retain(|byte| *byte != b'\n');
            wanted += usize::from(!mutant.trim_ascii().is_empty());
            text.extend(mutant);
            text.push(b'\n');
        }
        let options = Options { format, ..options("hostile") };
        let report = try_import(&engine, &options, &text).unwrap();
        assert_eq!(report.lines, 3_001);
        assert!(report.events + report.empty >= wanted as u64, "{wanted} {report:?}");
        assert!(report.rejected > 100, "{report:?}");
        assert_eq!(try_import(&engine, &options, &text).unwrap().known, 3_001);
    }
    settled(&engine);
}
