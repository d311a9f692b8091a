//! `[source.file]` with what really writes such files, and a daemon that is killed while they are written and rotated.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use tusk_tests::random::Random;
use tusk_tests::sdk::{Driver, Edit, Meant, Stored, java, python};
use tusk_tests::{Dir, Tusk, files, wait_for};

#[test]
fn logging_consumers_are_followed_while_they_write() {
    let dir = Dir::new("source-sdk");
    let out = dir.path().display().to_string();
    let toml = format!(
        "any_project = true\n[source.file]\npaths = [\"{out}/*.log*\"]\npoll_ms = 20\nproject = \"logs\""
    );
    let tusk = Tusk::start(&dir, &toml);
    let drivers =
        [("python", python("python.py"), "logging,concurrent"), ("java", java(), "concurrent")];
    let mut drivers = drivers.map(|(name, mut command, cases)| {
        Driver::start(&dir, name, command.args(["http://127.0.0.1:9", &out, cases]))
    });
    for driver in &mut drivers {
        driver.done(&dir);
        driver.finish();
    }
    // Together: the files do not say which consumer wrote an event.
    let projects = ["python_logging", "python_concurrent", "java_concurrent"];
    let mut texts = String::new();
    for project in projects {
        texts += &fs::read_to_string(dir.join(&format!("{project}.jsonl"))).unwrap();
    }
    dir.write("all.jsonl", texts);
    let meant = Meant::read(dir.path(), "all");
    assert!(meant.len() >= 60, "{}", meant.len());
    let stored = || -> Vec<Stored> {
        files::lines(&tusk.files()).iter().map(|line| Stored::parse(line)).collect()
    };
    wait_for(20, "the events in the files", || (stored().len() >= meant.len()).then_some(()));
    assert_eq!(meant.differences(&stored(), Edit::None), "");
}

#[test]
fn a_daemon_killed_while_files_are_written_and_rotated_takes_each_line_once() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    let mut random = Random::new(seed);
    let dir = Dir::new("source-kill");
    let logs = dir.join("logs");
    fs::create_dir_all(&logs).unwrap();
    let toml = format!("[source.file]\npaths = [\"{}/app.log*\"]\npoll_ms = 10", logs.display());
    let mut written = 0_u64;
    let mut rotations = 0;
    let append = |file: &mut fs::File, random: &mut Random, written: &mut u64| {
        let mut text = String::new();
        for _ in 0..1 + random.below(60) {
            text += &format!(
                "{{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"u\",\"time\":1795537800000,\"properties\":{{\"n\":{written}}}}}\n"
            );
            *written += 1;
        }
        // In two writes, cut anywhere: the daemon sees half lines.
        let cut = usize::try_from(random.below(text.len() as u64)).unwrap();
        file.write_all(&text.as_bytes()[..cut]).unwrap();
        std::thread::sleep(Duration::from_millis(random.below(4)));
        file.write_all(&text.as_bytes()[cut..]).unwrap();
    };
    let open = || {
        let path = logs.join("app.log");
        fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
    };
    let mut file = open();
    for round in 0..12 {
        let tusk = if round % 4 == 3 { Tusk::start(&dir, &toml) } else { Tusk::spawn(&dir, &toml) };
        let end = Instant::now() + Duration::from_millis(100 + random.below(400));
        while Instant::now() < end {
            append(&mut file, &mut random, &mut written);
            if random.below(12) == 0 {
                fs::rename(logs.join("app.log"), logs.join(format!("app.log.{rotations}")))
                    .unwrap();
                rotations += 1;
                // As loggers do: the last lines still go to the old file.
                append(&mut file, &mut random, &mut written);
                file = open();
            }
        }
        tusk.kill();
    }
    assert!(rotations > 5 && written > 5_000, "{rotations} rotations, {written} lines");
    let tusk = Tusk::start(&dir, &toml);
    wait_for(40, "every line in the files", || {
        (files::lines(&tusk.files()).len() as u64 >= written).then_some(())
    });
    let mut times = BTreeMap::<String, usize>::new();
    for line in files::lines(&tusk.files()) {
        let one = Stored::parse(&line);
        *times.entry(one.event.number("/properties/n").unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!((times.len() as u64, times.values().max()), (written, Some(&1)), "seed {seed}");
    let ledger = tusk_tests::ledger::Ledger::read(&tusk).unwrap();
    assert_eq!(ledger.gaps(), Vec::<String>::new());
    assert_eq!(ledger.count("/rejected"), 0);
}
