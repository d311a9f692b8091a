//! Followed files: every line once, whatever becomes of its file.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Line, wait_for};
use shipper::engine::Engine;
use shipper::source::FileStart;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

fn event(n: u64) -> String {
    format!(
        r#"{{"type":"track","event":"E","distinct_id":"u","time":1795537800000,"lib":{{"$lib":"python"}},"properties":{{"n":{n:06}}}}}"#
    )
    .replace("\"n\":", "\"n\":1")
}

/// A line with its folder of logs.
struct Logs {
    line: Line,
    next: u64,
}

impl Logs {
    fn new(start: FileStart) -> Self {
        let line = Line::with(|config| {
            let logs = config.data.join("logs");
            fs::create_dir_all(&logs).unwrap();
            config.source.file.paths = vec![logs.join("*.log*")];
            config.source.file.poll_ms = 20;
            config.source.file.start = start;
        });
        Self { line, next: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.line.dir.join("logs").join(name)
    }

    /// Appends events; returns what the last one is called.
    fn append(&mut self, name: &str, count: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        self.write(&mut file, count);
    }

    fn write(&mut self, file: &mut File, count: u64) {
        let text: String = (self.next..self.next + count).map(|n| event(n) + "\n").collect();
        self.next += count;
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until all that was written is stored, and checks that each is there once.
    #[track_caller]
    fn all_stored(&self) {
        let numbers = || {
            let number = |line: &String| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                value["properties"]["n"].as_u64().unwrap() - 1_000_000
            };
            let mut numbers: Vec<u64> = self.line.lines().iter().map(number).collect();
            numbers.sort_unstable();
            numbers
        };
        wait_for("the lines to be stored", || numbers().len() as u64 >= self.next);
        assert_eq!(numbers(), (0..self.next).collect::<Vec<u64>>());
    }
}

fn problems(engine: &Engine) -> Vec<String> {
    engine.status().problems
}

#[test]
fn lines_are_taken_when_they_are_whole_and_once_over_restarts() {
    let mut logs = Logs::new(FileStart::Oldest);
    logs.append("app.log", 100);
    let engine = logs.line.start();
    logs.all_stored();
    let half = event(logs.next);
    let mut file = OpenOptions::new().append(true).open(logs.path("app.log")).unwrap();
    file.write_all(&half.as_bytes()[..40]).unwrap();
    wait_for("the half line to be seen", || engine.status().source.lag_bytes == 40);
    drop(engine);
    file.write_all(&half.as_bytes()[40..]).unwrap();
    file.write_all(b"\n").unwrap();
    logs.next += 1;
    logs.append("app.log", 50);
    logs.append("second.log", 10_000);
    let engine = logs.line.start();
    logs.all_stored();
    assert_eq!(problems(&engine), Vec::<String>::new());
    let status = engine.status().source;
    assert_eq!((status.files, status.rejected, status.truncations), (2, 0, 0));
    let mut metrics = String::new();
    engine.metrics(&mut metrics);
    assert!(metrics.contains("tusk_source_files 2\n"), "{metrics}");
    // Neither the register nor the journal alone would forget it.
    drop(engine);
    fs::remove_file(logs.line.dir.join("imports/register")).unwrap();
    let engine = logs.line.start();
    logs.append("app.log", 1);
    logs.all_stored();
    drop(engine);
}

#[test]
fn a_renamed_file_is_the_same_and_its_last_lines_are_read() {
    let mut logs = Logs::new(FileStart::Oldest);
    let engine = logs.line.start();
    for round in 0..5 {
        // The writer keeps its file open over the rename, as loggers do.
        let mut file =
            OpenOptions::new().create(true).append(true).open(logs.path("app.log")).unwrap();
        logs.write(&mut file, 100);
        logs.all_stored();
        fs::rename(logs.path("app.log"), logs.path(&format!("app.log.{round}"))).unwrap();
        logs.write(&mut file, 10);
        logs.append("app.log", 20);
    }
    logs.all_stored();
    // Out of the pattern it is read to its end as long as it is open here.
    let mut file = OpenOptions::new().append(true).open(logs.path("app.log")).unwrap();
    logs.write(&mut file, 1);
    logs.all_stored();
    fs::rename(logs.path("app.log"), logs.path("kept.txt")).unwrap();
    logs.write(&mut file, 10);
    logs.all_stored();
    // Deleted, with a last line that has no end.
    logs.append("gone.log", 1);
    logs.all_stored();
    let mut file = OpenOptions::new().append(true).open(logs.path("gone.log")).unwrap();
    file.write_all(event(logs.next).as_bytes()).unwrap();
    logs.next += 1;
    wait_for("the open line to be seen", || engine.status().source.lag_bytes > 0);
    fs::remove_file(logs.path("gone.log")).unwrap();
    logs.all_stored();
}

#[test]
fn truncated_and_rewritten_files_begin_anew() {
    let mut logs = Logs::new(FileStart::Oldest);
    let engine = logs.line.start();
    for count in [100, 50, 50, 200] {
        // Shorter, of the same size, longer.
        let mut file = File::create(logs.path("app.log")).unwrap();
        logs.write(&mut file, count);
        logs.all_stored();
    }
    // While nobody looks; also under an inode that was another file's.
    drop(engine);
    fs::remove_file(logs.path("app.log")).unwrap();
    logs.append("new.log", 200);
    let engine = logs.line.start();
    logs.all_stored();
    assert!(engine.status().source.truncations <= 1);
}

#[test]
fn a_copy_made_before_a_truncation_is_not_read_twice() {
    let mut logs = Logs::new(FileStart::Oldest);
    let mut engine = logs.line.start();
    for round in 0..6 {
        logs.append("app.log", 300);
        if round % 2 == 0 {
            logs.all_stored();
        }
        let copy = logs.path(&format!("app.log.{round}"));
        fs::copy(logs.path("app.log"), &copy).unwrap();
        if round % 3 == 0 {
            // It may stand beside its original for any time.
            wait_for("the copy to be seen", || engine.status().source.lag_bytes == 0);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        if round == 4 {
            drop(engine);
            File::create(logs.path("app.log")).unwrap();
            engine = logs.line.start();
        } else {
            File::create(logs.path("app.log")).unwrap();
        }
        logs.append("app.log", 20);
        logs.all_stored();
    }
}

#[test]
fn what_was_there_before_is_left_out_on_request() {
    let mut logs = Logs::new(FileStart::Now);
    fs::write(logs.path("app.log"), format!("{}\n{}\n{}", event(9), event(9), &event(9)[..20]))
        .unwrap();
    let engine = logs.line.start();
    wait_for("the file to be known", || engine.status().source.files == 1);
    let mut file = OpenOptions::new().append(true).open(logs.path("app.log")).unwrap();
    // The line that was half there is written from now on.
    file.write_all(&event(9).as_bytes()[20..]).unwrap();
    file.write_all(b"\n").unwrap();
    wait_for("the first line", || logs.line.lines().len() == 1);
    logs.append("later.log", 5);
    wait_for("the others", || logs.line.lines().len() == 6);
    drop(engine);
}

#[test]
fn bad_lines_go_to_quarantine_with_their_place() {
    let mut logs = Logs::new(FileStart::Oldest);
    let engine = logs.line.start();
    logs.append("app.log", 3);
    fs::write(logs.path("bad.log"), "rubbish\n\n{\"type\":\"track\"}\n\0\u{1}\n").unwrap();
    logs.all_stored();
    wait_for("the quarantine", || engine.status().quarantine.open == 3);
    let items = engine.quarantine().show(&shipper::quarantine::Filter::default(), 10).unwrap();
    let mut places: Vec<&str> = items.iter().map(|item| item.place.as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, ["bad.log:1", "bad.log:3", "bad.log:4"]);
    wait_for("the books", || engine.ledger().quarantine.waiting == 0);
    assert_eq!(engine.ledger().gaps, Vec::<String>::new());
}

#[test]
fn a_file_that_cannot_be_read_is_said_and_holds_nobody_up() {
    use std::os::unix::fs::symlink;
    let mut logs = Logs::new(FileStart::Oldest);
    symlink("/nowhere/at/all", logs.path("dangling.log")).unwrap();
    fs::create_dir(logs.path("folder.log")).unwrap();
    fs::write(logs.path("packed.log.gz"), b"\x1f\x8b").unwrap();
    logs.append("app.log", 5);
    let engine = logs.line.start();
    logs.all_stored();
    assert_eq!(engine.status().source.files, 1);
    drop(engine);
    fs::write(logs.line.dir.join("imports/followed.json"), "{").unwrap();
    let error = Engine::start(logs.line.config.clone()).unwrap_err().to_string();
    assert!(error.contains("source.file") && error.contains("is damaged"), "{error}");
}
