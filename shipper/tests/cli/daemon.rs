//! `tusk run` and the commands that ask it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::running::{Daemon, LIMIT, free_address, get, wait_for};
use crate::support::{Dir, run, stderr, stdout, tusk};

#[test]
fn health_and_metrics_answer_loopback_names_only() {
    let mut daemon = Daemon::start("hosts = [\"tusk.internal\"]");
    daemon.event("Buy", "u1");
    daemon.received(1);
    let ask = |path: &str, host: &str| get(daemon.address, path, host).unwrap();
    assert_eq!(ask("/healthz", "127.0.0.1"), (200, "ok\n".to_owned()));
    assert_eq!(ask("/readyz", "tusk.internal:8190"), (200, "ready\n".to_owned()));
    let (status, metrics) = ask("/metrics", "localhost");
    assert_eq!(status, 200);
    assert!(metrics.contains("tusk_build_info{version="), "{metrics}");
    for line in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("tusk_") && value.parse::<f64>().is_ok(), "{line}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(ask(path, "evil.example").0, 421, "{path}");
    }
    assert_eq!(ask("/nothing.js", "localhost").0, 404);
    assert_eq!(ask("/api/nothing", "localhost").0, 404);
    // Any other path is a view of the pages, which a test build does not have.
    assert_eq!(ask("/nothing", "localhost").0, 503);
}

#[test]
fn a_tail_shows_what_its_filters_name_and_nothing_else() {
    let mut daemon = Daemon::start("");
    let by_event = daemon.tail(&["--json", "-n", "2", "--event", "Buy*"]);
    let by_user = daemon.tail(&["--json", "-n", "1", "--user", "u2"]);
    let rejected = daemon.tail(&["-n", "1", "--verdict", "rejected", "--lang", "zh"]);
    daemon.event("$pageview", "u1");
    daemon.event("BuyNow", "u1");
    daemon.event("提交订单", "用户一");
    daemon.event("Buy", "u2");
    let lines = |child: Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let text = lines(by_event);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["BuyNow", "Buy"]);
    let first = &events[0];
    assert!(text.contains("\"price\":9.50,\"kind\":\"苹果\""), "the SDK's own bytes: {text}");
    assert_eq!((&first["project"], &first["verdict"]), (&"shop".into(), &"kept".into()));
    assert_eq!((&first["sdk"], &first["sdk_version"]), (&"js".into(), &"1.27.11".into()));
    assert!(first["node"].as_str().unwrap().starts_with("web1-"), "{first}");
    assert!(lines(by_user).contains("\"user\":\"u2\""));
    let text = lines(rejected);
    assert!(text.starts_with("时间"), "{text}");
    assert!(text.contains("提交订单") && text.contains("✗ 隔离 N101"), "{text}");
    assert!(text.contains("└ [N101] "), "{text}");
}

#[test]
fn a_tail_ends_when_the_daemon_stops() {
    let mut daemon = Daemon::start("");
    let tail = daemon.tail(&[]);
    daemon.stop();
    let output = tail.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the daemon stopped"), "{}", stderr(&output));
}

#[test]
fn the_ledger_adds_up_and_the_audit_reads_the_files_back() {
    let mut daemon = Daemon::start("");
    for i in 0..20 {
        daemon.event("Buy", &format!("u{i}"));
    }
    daemon.event("坏名字", "u1");
    daemon.received(21);
    daemon.delivered(20);
    let ledger: Value =
        serde_json::from_str(&daemon.ask(&["ledger", "--json", "--audit"])).unwrap();
    assert_eq!((&ledger["kept"], &ledger["rejected"]), (&20.into(), &1.into()), "{ledger}");
    assert_eq!(ledger["gaps"].as_array().unwrap().len(), 0, "{ledger}");
    assert_eq!(
        (&ledger["audit"][0]["found"], &ledger["audit"][0]["expected"]),
        (&20.into(), &20.into()),
        "{ledger}"
    );
    let text = daemon.ask(&["ledger", "--audit", "--lang", "zh"]);
    for want in ["接收", "✓ 账平", "✓ 不缺不多"] {
        assert!(text.contains(want), "{text}");
    }
    let since: Value =
        serde_json::from_str(&daemon.ask(&["ledger", "--json", "--since", "1h"])).unwrap();
    assert_eq!((&since["received"], &since["whole"]), (&21.into(), &true.into()), "{since}");
    assert_eq!(
        (&since["sinks"][0]["passed"], &since["sinks"][0]["waiting"]),
        (&20.into(), &0.into())
    );
    wait_for("a second without events", || {
        let since: Value =
            serde_json::from_str(&daemon.ask(&["ledger", "--json", "--since", "1s"])).unwrap();
        (since["received"] == 0 && since["sinks"][0]["passed"] == 0).then_some(())
    });
    assert!(daemon.ask(&["ledger", "--since", "1h"]).contains("received             21"));
    // A line taken out of a file must be found missing.
    let mut open = vec![daemon.dir.path().join("data/files")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "jsonl") {
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.split_once('\n').unwrap().1).unwrap();
                open.clear();
                break;
            }
        }
    }
    let output = run(tusk(&daemon.dir).args(["ledger", "--audit", "--config", "tusk.toml"]), b"");
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("✗ missing "), "{}", stdout(&output));
}

#[test]
fn quarantined_events_are_listed_shown_redriven_and_discarded() {
    let dir = Dir::new();
    dir.write("tokens.toml", "[[project]]\nname = \"shop\"\n");
    let mut daemon = Daemon::start_in(dir, "");
    for user in ["u1", "u2"] {
        daemon.event("提交 订单", user);
    }
    daemon.event("undefined-name", "u3");
    let open = wait_for("the quarantine", || {
        let groups: Value =
            serde_json::from_str(&daemon.ask(&["quarantine", "list", "--json"])).unwrap();
        let open: u64 =
            groups.as_array().unwrap().iter().map(|g| g["open"].as_u64().unwrap()).sum();
        (open == 3).then_some(groups)
    });
    assert_eq!(open[0]["code"], "N101", "{open}");
    let text = daemon.ask(&["quarantine", "list"]);
    assert!(text.contains("提交 订单") && text.contains("3 in all"), "{text}");
    let text =
        daemon.ask(&["quarantine", "show", "--event", "提交 订单", "-n", "5", "--lang", "zh"]);
    assert_eq!(text.matches("[N101]").count(), 2, "{text}");
    assert!(text.contains("js 1.27.11") && text.contains("\"distinct_id\":\"u2\""), "{text}");
    let lsn = open[0]["sample"][0].as_u64().unwrap();
    let id = format!("{lsn:016x}:0");
    let shown = daemon.ask(&["quarantine", "show", "--id", &id, "--json"]);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    // Nothing changed, so it is still rejected, with the reason.
    let text = daemon.ask(&["quarantine", "redrive", "--id", &id]);
    assert!(
        text.starts_with("0 redriven (0 events); 1 still rejected") && text.contains("N101"),
        "{text}"
    );
    assert_eq!(daemon.ask(&["quarantine", "discard", "--code", "N101"]), "3 events given up\n");
    wait_for("nothing open", || {
        (daemon.ask(&["quarantine", "list"]) == "nothing open in quarantine\n").then_some(())
    });
    let ledger = daemon.received(3);
    assert_eq!(ledger["quarantine"]["discarded"], 3, "{ledger}");
    assert_eq!(ledger["gaps"].as_array().unwrap().len(), 0, "{ledger}");
}

#[test]
fn sigterm_drains_the_ring_and_the_next_start_goes_on() {
    let mut daemon = Daemon::start("");
    for i in 0..500 {
        daemon.event("Buy", &format!("u{i}"));
    }
    daemon.stop();
    assert_eq!(daemon.lines().len(), 500, "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("ring_drained=true") && log.contains("sinks_drained=true"), "{log}");
    assert!(!daemon.dir.path().join("data/tusk.sock").exists());
    daemon.child = Daemon::spawn(&daemon.dir);
    daemon.ready();
    daemon.event("Buy", "again");
    daemon.received(501);
    daemon.stop();
    let mut lines = daemon.lines();
    assert_eq!(lines.len(), 501);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 501, "nothing twice");
}

#[test]
fn a_ring_that_came_just_before_the_stop_is_drained() {
    let mut daemon = Daemon::start_before_the_ring();
    daemon.event("Buy", "u1");
    daemon.stop();
    assert_eq!(daemon.lines().len(), 1, "{}", daemon.log());
}

#[test]
fn sighup_takes_what_it_can_and_names_what_waits() {
    let mut daemon = Daemon::start("");
    let file = daemon.dir.path().join("tusk.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    daemon.dir.write("tusk.toml", &format!("{text}shape = \"flat\"\n[log]\nlevel = \"debug\"\n"));
    daemon.signal(Signal::HUP);
    wait_for("the reload", || {
        daemon.log().contains("settings=[\"sink.file.shape\"]").then_some(())
    });
    daemon.dir.write("tusk.toml", "nonsense = 1\n");
    daemon.signal(Signal::HUP);
    wait_for("the refusal", || {
        daemon.log().contains("not reloaded: tusk.toml:1:1: unknown field `nonsense`").then_some(())
    });
    daemon.dir.write("tusk.toml", &text);
    daemon.event("Buy", "u1");
    daemon.received(1);
}

#[test]
fn a_second_daemon_on_the_folder_is_refused_and_the_socket_is_private() {
    let daemon = Daemon::start("");
    let mode = std::fs::metadata(daemon.dir.path().join("data/tusk.sock")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let other = format!("data = \"data\"\nlisten = \"{}\"\n", free_address());
    daemon.dir.write("other.toml", &other);
    let output = run(tusk(&daemon.dir).args(["run", "--config", "other.toml"]), b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in use by another tusk"), "{}", stderr(&output));
    let busy = format!("data = \"data2\"\nlisten = \"{}\"\n", daemon.address);
    daemon.dir.write("busy.toml", &busy);
    let output = run(tusk(&daemon.dir).args(["run", "--config", "busy.toml"]), b"");
    assert!(stderr(&output).contains("set `listen` in tusk.toml"), "{}", stderr(&output));
    assert!(
        !daemon.dir.path().join("data2").exists(),
        "the address is tried before anything is made"
    );
    let text = daemon.ask(&["check"]);
    assert!(text.contains("web1-") && text.contains("✓ sink"), "{text}");
}

#[test]
fn logs_are_json_on_request_and_nonsense_on_the_socket_gets_a_sentence() {
    let mut daemon = Daemon::start("log.format = \"json\"");
    for request in ["", "{}", "{\"cmd\":\"reboot\"}", "nonsense"] {
        let answer = daemon.socket(request);
        assert!(answer["error"].as_str().unwrap().contains("not a request"), "{answer}");
    }
    let answer = daemon.socket(r#"{"cmd":"audit","sink":"kafka"}"#);
    assert!(answer["error"].as_str().unwrap().contains("kafka"), "{answer}");
    daemon.stop();
    let log = daemon.log();
    assert!(log.lines().count() >= 3, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn a_closed_stderr_does_not_end_the_daemon() {
    let dir = Dir::new();
    let address = free_address();
    dir.write("tusk.toml", &format!("data = \"data\"\nlisten = \"{address}\"\n"));
    let mut command = tusk(&dir);
    let mut child =
        command.args(["run", "--config", "tusk.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    wait_for("/healthz", || get(address, "/healthz", "localhost"));
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = wait_for("the end", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn systemd_hears_ready_alive_and_stopping() {
    let dir = Dir::new();
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let address = free_address();
    dir.write("tusk.toml", &format!("data = \"data\"\nlisten = \"{address}\"\n"));
    let mut command = tusk(&dir);
    command.args(["run", "--config", "tusk.toml"]).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", dir.path().join("notify")).env("WATCHDOG_USEC", "400000");
    let mut child = command.spawn().unwrap();
    let hear = |word: &str| {
        wait_for(word, || {
            let mut text = [0; 256];
            let length = socket.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..length]).contains(word).then_some(())
        });
    };
    for word in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
        hear(word);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    hear("STOPPING=1");
    assert!(child.wait().unwrap().success());
}
