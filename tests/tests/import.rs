//! `tusk import` with what really writes such files: nginx's access log and the logging consumers of server SDKs; and a daemon that
//! is killed in the middle.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tusk_tests::conf::Conf;
use tusk_tests::json::Json;
use tusk_tests::random::Random;
use tusk_tests::sdk::{Driver, Edit, Meant, Stored, java, python};
use tusk_tests::{Dir, Nginx, Tusk, files, http, wait_for};

/// The report of one imported file.
#[track_caller]
fn import(tusk: &Tusk, file: &Path, more: &[&str]) -> Json {
    let name = file.display().to_string();
    let mut arguments = vec!["import", "--json", &name];
    arguments.extend(more);
    let output = tusk.command(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}{error}");
    Json::parse(text.trim()).unwrap().at("/report").unwrap().clone()
}

fn number(report: &Json, name: &str) -> u64 {
    report.number(name).unwrap().parse().unwrap()
}

/// What the files hold once there are `count` events.
#[track_caller]
fn stored(tusk: &Tusk, count: usize) -> Vec<Stored> {
    wait_for(20, "the events in the files", || {
        (files::lines(&tusk.files()).len() >= count).then_some(())
    });
    let all: Vec<Stored> = files::lines(&tusk.files()).iter().map(|l| Stored::parse(l)).collect();
    assert_eq!(all.len(), count);
    all
}

#[test]
fn an_access_log_gives_the_events_the_module_took() {
    let dir = Dir::new("import-nginx");
    let formats = [
        (
            "combined",
            r#"log_format combined_body '$remote_addr - $remote_user [$time_local] "$request" '
               '$status $body_bytes_sent "$http_referer" "$http_user_agent" "$request_body"';"#,
        ),
        (
            "json",
            r#"log_format json_body escape=json '{"time":"$time_iso8601","ip":"$remote_addr","request":"$request",'
               '"ua":"$http_user_agent","request_body":"$request_body"}';"#,
        ),
    ];
    let logs = formats.map(|(name, _)| dir.join(&format!("{name}.log")));
    let lines: String = formats
        .iter()
        .zip(&logs)
        .map(|((name, format), log)| {
            format!("{format}\naccess_log {} {name}_body;\n", log.display())
        })
        .collect();
    let nginx =
        Nginx::start(&dir, |port| Conf { http: lines.clone(), ..Conf::default() }.text(&dir, port));
    let tusk = Tusk::start(&dir, "any_project = true");
    let base = format!("http://{}", nginx.address());
    let out = dir.path().display().to_string();
    let mut driver = Driver::start(
        &dir,
        "python",
        python("python.py").args([&base, &out, "default,batch,async"]),
    );
    driver.done(&dir);
    driver.finish();
    // An image request, one with quotes and Chinese text in the body, and some that bring nothing.
    let event = r#"{"type":"track","event":"Plain","distinct_id":"引号\"u","time":1795537800000,"properties":{}}"#;
    let encoded: String = event.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let image = http::get(nginx.address(), &format!("/sa.gif?project=web&data={encoded}"));
    http::post(nginx.address(), "/sa?project=raw", &[], event.as_bytes());
    let config = http::get(nginx.address(), "/config/iOS.conf?v=1");
    assert_eq!((image.status, config.status), (200, 304));
    let count = 3 * Meant::read(dir.path(), "python_batch").len() + 2;
    let live = stored(&tusk, count);
    // The log is written when the request has ended.
    wait_for(10, "the requests in the log", || {
        let log = fs::read_to_string(&logs[0]).unwrap();
        log.contains("/config/iOS.conf").then_some(())
    });
    for ((name, format), log) in formats.iter().zip(&logs) {
        let old = Dir::new("import-other");
        let tusk = Tusk::start(&old, "any_project = true");
        // Once recognised by itself, once by the directive that wrote it.
        let report = import(&tusk, log, &[]);
        assert_eq!(number(&report, "rejected"), 0, "{name}: {report:?}");
        assert_eq!(number(&report, "kept"), count as u64, "{name}: {report:?}");
        assert_eq!(number(&report, "empty"), 1, "{name}: {report:?}");
        let again = import(&tusk, log, &["--log-format", format]);
        assert_eq!(number(&again, "known"), number(&report, "lines"), "{name}: {again:?}");
        let imported = stored(&tusk, count);
        assert_eq!(told(&imported), told(&live), "{name}");
        // The log has seconds, of the end of the request.
        let pairs = arrived(&imported).into_iter().zip(arrived(&live));
        let furthest = pairs.map(|(old, new)| old.abs_diff(new)).max().unwrap();
        assert!(furthest <= 3000, "{name}: {furthest} ms");
    }
}

/// What of each event must be the same, whichever way it came: bytes, project, address and user agent.
fn told(stored: &[Stored]) -> Vec<String> {
    let tell = |one: &Stored| {
        let [project, ip, ua] = ["/project", "/ip", "/ua"].map(|path| one.server.text(path));
        format!("{} {project:?} {ip:?} {ua:?}", one.bytes)
    };
    let mut all: Vec<String> = stored.iter().map(tell).collect();
    all.sort();
    all
}

/// When events arrived, ms, in order.
fn arrived(stored: &[Stored]) -> Vec<u64> {
    let mut all: Vec<u64> = stored
        .iter()
        .map(|one| one.server.number("/recv_time").unwrap().parse().unwrap())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn files_of_server_sdks_come_in_as_they_were_meant() {
    let dir = Dir::new("import-sdk");
    let out = dir.path().display().to_string();
    let nowhere = "http://127.0.0.1:9";
    let drivers =
        [("python", python("python.py"), "logging,concurrent"), ("java", java(), "concurrent")];
    for (name, mut command, cases) in drivers {
        let mut driver = Driver::start(&dir, name, command.args([nowhere, &out, cases]));
        driver.done(&dir);
        driver.finish();
    }
    let tusk = Tusk::start(&dir, "any_project = true");
    let mut total = 0;
    for project in ["python_logging", "python_concurrent", "java_concurrent"] {
        let meant = Meant::read(dir.path(), project);
        assert!(meant.len() >= 20, "{project}: {}", meant.len());
        let logs = logs(dir.path(), &format!("{project}.log"));
        assert!(!logs.is_empty(), "{project} wrote no file");
        for log in &logs {
            let dry = import(&tusk, log, &["--dry-run", "--project", project]);
            let report = import(&tusk, log, &["--project", project]);
            assert_eq!(number(&dry, "kept"), number(&report, "kept"), "{dry:?} {report:?}");
            assert_eq!(number(&report, "rejected"), 0, "{report:?}");
            let again = import(&tusk, log, &["--project", project]);
            assert_eq!(number(&again, "events"), 0, "{again:?}");
        }
        total += meant.len();
        let all = stored(&tusk, total);
        let own: Vec<Stored> =
            all.into_iter().filter(|one| one.server.text("/project") == Some(project)).collect();
        assert_eq!(meant.differences(&own, Edit::None), "", "{project}");
    }
}

/// Files of a folder whose names begin so.
fn logs(dir: &Path, start: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(start))
        .collect();
    found.sort();
    found
}

#[test]
fn a_daemon_killed_in_mid_import_loses_no_line_and_takes_none_twice() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
    let mut random = Random::new(seed);
    let dir = Dir::new("import-kill");
    let text: String = (0..60_000)
        .map(|n| {
            let pad = "p".repeat(usize::try_from(random.below(400)).unwrap());
            format!(
                "{{\"type\":\"track\",\"event\":\"E\",\"distinct_id\":\"u\",\"time\":1795537800000,\"properties\":{{\"n\":{n},\"pad\":\"{pad}\"}}}}\n"
            )
        })
        .collect();
    let log = dir.write("app.log", &text);
    let mut before = 0;
    for round in 0..12 {
        let tusk = Tusk::start(&dir, "");
        let mut child = Command::new(tusk_tests::tusk_path())
            .args(["import", "--config"])
            .arg(dir.join("tusk.toml"))
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The moment of the crash is what the seed draws.
        std::thread::sleep(Duration::from_millis(random.below(220)));
        tusk.kill();
        let status = child.wait().unwrap();
        // It either ended before or says what to do.
        if !status.success() {
            let mut said = String::new();
            std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
            assert!(said.contains("app.log: "), "round {round}: {said}");
        }
        before += u64::from(!status.success());
    }
    assert!(before >= 3, "only {before} of 12 rounds (seed {seed}) were cut short");
    let tusk = Tusk::start(&dir, "");
    let report = import(&tusk, &log, &[]);
    assert_eq!(number(&report, "lines"), 60_000, "{report:?}");
    let mut times = BTreeMap::<String, usize>::new();
    for one in stored(&tusk, 60_000) {
        *times.entry(one.event.number("/properties/n").unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!((times.len(), times.values().max()), (60_000, Some(&1)), "seed {seed}");
    let ledger = tusk_tests::ledger::Ledger::read(&tusk).unwrap();
    assert_eq!(ledger.gaps(), Vec::<String>::new());
    assert_eq!(number(&import(&tusk, &log, &[]), "known"), 60_000);
}

#[test]
fn without_a_daemon_and_with_damage_it_says_so() {
    let dir = Dir::new("import-bad");
    let event =
        r#"{"type":"track","event":"E","distinct_id":"u","time":1795537800000,"properties":{}}"#;
    let log = dir.write("app.log", format!("{event}\n").repeat(1000));
    let run = |files: &[&Path]| {
        let config = dir.join("tusk.toml");
        let output = Command::new(tusk_tests::tusk_path())
            .args(["--lang", "en", "import", "--config"])
            .arg(config)
            .args(files)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    dir.write("tusk.toml", format!("data = \"{}\"\n", dir.join("data").display()));
    let (code, _, error) = run(&[&log]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no tusk is running on this data folder"), "{error}");
    let tusk = Tusk::start(&dir, "");
    let mut packed = Vec::new();
    let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::none());
    std::io::Write::write_all(&mut encoder, format!("{event}\n").repeat(2000).as_bytes()).unwrap();
    encoder.finish().unwrap();
    packed.truncate(packed.len() / 2);
    let damaged = dir.write("damaged.log.gz", packed);
    let strange = dir.write("strange.log", "hello\n");
    let missing = dir.join("missing.log");
    let (code, text, error) = run(&[&damaged, &strange, &missing, dir.path(), &log]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("damaged.log.gz: it ends in damage"), "{error}");
    assert!(error.contains("strange.log: the lines are neither events"), "{error}");
    assert!(error.contains("missing.log: cannot read it"), "{error}");
    assert!(error.contains("is a folder"), "{error}");
    // The others came in all the same.
    assert!(text.contains("app.log: json, 1,000 lines"), "{text}");
    assert!(text.contains("damaged.log.gz: json, "), "{text}");
    drop(tusk);
}
