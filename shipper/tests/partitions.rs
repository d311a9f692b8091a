//! Folders: days and hours of the configured zone, marks of complete hours, retention.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, event, wait_for};
use shipper::sink::file::{Compression, PartitionBy};
use std::time::Duration;

/// 2026-11-24 16:30 UTC = 2026-11-25 00:30 in Shanghai.
const EVENING_MS: u64 = 1_795_537_800_000;

fn folders(line: &Line) -> Vec<String> {
    let root = line.dir.join("files");
    let mut folders: Vec<String> = line
        .files()
        .iter()
        .map(|path| path.parent().unwrap().strip_prefix(&root).unwrap().display().to_string())
        .collect();
    folders.dedup();
    folders
}

#[test]
fn days_are_those_of_the_configured_zone_whatever_the_systems() {
    // The variable names the system's zone; the configuration names the project's, and only that counts.
    if std::env::var("TZ").as_deref() != Ok("UTC") {
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "days_are_those_of_the_configured_zone_whatever_the_systems"])
            .env("TZ", "UTC")
            .status()
            .unwrap();
        assert!(again.success());
        return;
    }
    let line = Line::with(|config| config.timezone = Some("Asia/Shanghai".into()));
    let mut producer = line.producer();
    let engine = line.start();
    let mut late = event("late", 1);
    late.meta.recv_ns = (EVENING_MS - 3_600_000) * 1_000_000;
    producer.push(&late);
    let mut next_day = event("next", 2);
    next_day.meta.recv_ns = EVENING_MS * 1_000_000;
    producer.push(&next_day);
    wait_for("two files", || line.files().len() == 2);
    assert_eq!(
        folders(&line),
        ["project=shop/dt=2026-11-24/hour=23", "project=shop/dt=2026-11-25/hour=00"]
    );
    assert_eq!(engine.status().timezone, "Asia/Shanghai");
}

#[test]
fn a_changed_zone_is_refused() {
    let mut line = Line::new();
    line.start().stop(Duration::from_secs(5));
    line.config.timezone = Some("Asia/Shanghai".into());
    let error = shipper::engine::Engine::start(line.config.clone()).unwrap_err().to_string();
    assert!(error.contains("timezone") && error.contains("tusk migrate"), "{error}");
}

#[test]
fn complete_hours_are_marked_and_open_ones_are_not() {
    let line = Line::with(|config| config.sink.file.success_grace_s = 0);
    let mut producer = line.producer();
    let engine = line.start();
    let mut old = event("old", 1);
    old.meta.recv_ns = (EVENING_MS - 48 * 3_600_000) * 1_000_000;
    producer.push(&old);
    let mut now = event("now", 2);
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // An hour ahead: its hour cannot be over.
    now.meta.recv_ns = now_ns.as_nanos() as u64 + 3_600_000_000_000;
    producer.push(&now);
    wait_for("two files", || line.files().len() == 2);
    let mark = format!("_SUCCESS-{}", engine.node());
    let files = line.files();
    let hour = files[0].parent().unwrap();
    assert!(hour.ends_with("project=shop/dt=2026-11-22/hour=16"), "{}", hour.display());
    wait_for("the hour's mark", || hour.join(&mark).exists());
    wait_for("the day's mark", || hour.parent().unwrap().join(&mark).exists());
    assert!(!files[1].parent().unwrap().join(&mark).exists());
}

#[test]
fn hours_a_former_life_left_open_are_marked_by_the_next() {
    let mut line = Line::with(|config| config.sink.file.success_grace_s = 30 * 86_400);
    let mut producer = line.producer();
    let engine = line.start();
    producer.push(&event("old", 1));
    wait_for("a file", || line.files().len() == 1);
    let mark = format!("_SUCCESS-{}", engine.node());
    engine.stop(Duration::from_secs(5));
    drop(engine);
    let hour = line.files()[0].parent().unwrap().to_path_buf();
    assert!(!hour.join(&mark).exists());
    line.config.sink.file.success_grace_s = 0;
    let _engine = line.start();
    wait_for("the mark", || hour.join(&mark).exists());
}

#[test]
fn by_event_time_if_asked_and_old_days_are_deleted() {
    let line = Line::with(|config| {
        config.sink.file.partition_by = PartitionBy::Event;
        config.sink.file.keep_days = 3;
    });
    let root = line.dir.join("files/project=shop");
    let old = root.join("dt=2020-01-01/hour=00");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("part-other-00000001-0000000000000000-0000000000000001.jsonl"), "")
        .unwrap();
    let foreign = root.join("dt=2020-01-02");
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::write(foreign.join("notes.txt"), "mine").unwrap();
    let mut producer = line.producer();
    let engine = line.start();
    let mut shifted = event("shifted", 1);
    shifted.meta.recv_ns = (EVENING_MS + 7_200_000) * 1_000_000;
    producer.push(&shifted);
    wait_for("a file", || !line.files().iter().all(|f| f.starts_with(&old)));
    assert!(folders(&line).contains(&"project=shop/dt=2026-11-24/hour=16".to_owned()));
    wait_for("the old day to go", || !old.parent().unwrap().exists());
    assert!(foreign.join("notes.txt").exists(), "what is not ours stays");
    drop(engine);
}

#[test]
fn packed_files_hold_the_same_lines_and_the_audit_reads_them() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let line = Line::with(|config| config.sink.file.compression = compression);
        let mut producer = line.producer();
        let engine = line.start();
        // More than one frame of 256 KiB.
        for n in 0..3000 {
            producer.push(&event("packed", n));
        }
        wait_for("all lines", || line.lines().len() == 3000);
        wait_for("the cursor to pass", || engine.ledger().sinks[0].waiting == 0);
        let audit = engine.audit("file").unwrap();
        assert_eq!((audit.expected, audit.found), (3000, 3000), "{audit:?}");
        assert!(audit.missing.is_empty() && audit.surplus.is_empty(), "{audit:?}");
        // A lost and a doubled file are seen to the event.
        let files = line.files();
        let copy = files[0].with_file_name(
            files[0].file_name().unwrap().to_string_lossy().replace("jsonl", "copy.jsonl"),
        );
        std::fs::copy(&files[0], &copy).unwrap();
        let surplus = engine.audit("file").unwrap();
        assert!(!surplus.surplus.is_empty() && surplus.missing.is_empty(), "{surplus:?}");
        std::fs::remove_file(&copy).unwrap();
        std::fs::remove_file(&files[0]).unwrap();
        let missing = engine.audit("file").unwrap();
        assert!(missing.surplus.is_empty() && !missing.missing.is_empty(), "{missing:?}");
        assert_eq!(
            missing.missing.iter().map(|range| range.count).sum::<u64>(),
            missing.expected - missing.found
        );
    }
}
