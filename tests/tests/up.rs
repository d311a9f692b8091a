//! `tusk up`, what `make run` runs: one command that receives, shows and stops without losing anything.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group};
use tusk_tests::{Dir, Process, children, files, free_port, http, is_alive, signal, wait_for};

/// A running `tusk up`. Its nginx is in a group of its own, so it is ended here too should the test fail.
struct Up {
    process: Process,
    port: u16,
}

impl Up {
    fn start(dir: &Dir, port: u16, arguments: &[&str]) -> Self {
        let before = dir.read("up.log").len();
        let mut command = Command::new(tusk_tests::tusk_path());
        command.arg("up").arg("--nginx").arg(tusk_tests::nginx_path());
        command.arg("--module").arg(tusk_tests::module_path());
        command.arg("--data").arg(dir.join("data")).args(arguments);
        command.args(["--port", &port.to_string(), "--lang", "en"]);
        command.args(["--console", &format!("127.0.0.1:{}", free_port())]);
        let process = Process::start(&mut command, &dir.join("up.log"));
        let mut up = Self { process, port };
        let url = wait_for(30, "the receive URL", || {
            let log = dir.read("up.log");
            assert!(up.process.ended().is_none(), "`tusk up` ended:\n{log}");
            let log = &log[before..];
            // The last line of the first screen: all before it is there.
            log.contains("verdict").then_some(())?;
            log.lines().find_map(|line| line.trim().strip_prefix("receive URL").map(str::to_owned))
        });
        let port = url.trim().rsplit(':').next().unwrap().split('/').next().unwrap();
        up.port = port.parse().unwrap();
        up
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn track(&self, user: &str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let event = format!(
            "{{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"{user}\",\"time\":{},\"properties\":{{}}}}",
            now.as_millis()
        );
        let body = format!("data={}", http::escape(event.as_bytes()));
        let answer = http::post(self.address(), "/sa?project=shop", &[], body.as_bytes());
        assert_eq!(answer.status, 200);
    }

    /// Ctrl-C, and the clean end.
    fn stop(mut self, dir: &Dir) {
        self.process.signal(Signal::INT);
        let status = self.process.wait(60);
        assert!(status.success(), "{status}:\n{}", dir.read("up.log"));
    }
}

fn nginx(dir: &Dir) -> Option<u32> {
    dir.read("data/nginx/nginx.pid").trim().parse().ok()
}

/// Ends an nginx whose `tusk up` is gone.
struct Guard<'d>(&'d Dir);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let group = nginx(self.0).and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(group) = group.filter(|_| std::thread::panicking()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn users(dir: &Dir) -> Vec<String> {
    let lines = files::lines(&dir.join("data/files"));
    let mut users: Vec<String> = lines
        .iter()
        .map(|line| {
            line.split("\"distinct_id\":\"").nth(1).unwrap().split('"').next().unwrap().into()
        })
        .collect();
    users.sort();
    users
}

#[test]
fn it_receives_shows_stops_and_goes_on() {
    let dir = Dir::new("up");
    let _guard = Guard(&dir);
    let up = Up::start(&dir, free_port(), &[]);
    let log = dir.read("up.log");
    for want in ["curl ", "adb reverse", "10.0.2.2", "sensors.init(", " tail --data ", "ssh -L"] {
        assert!(log.contains(want), "{want}:\n{log}");
    }
    up.track("u1");
    wait_for(10, "the event's line", || {
        dir.read("up.log")
            .lines()
            .any(|line| line.contains("u1") && line.contains("✓ kept"))
            .then_some(())
    });
    let master = nginx(&dir).unwrap();
    let worker = children(master)[0];
    if rustix::process::geteuid().is_root() {
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert!(!uid.split_whitespace().any(|id| id == "0"), "a worker runs as root: {uid}");
    }
    up.track("u2");
    up.stop(&dir);
    assert!(!is_alive(master) && !is_alive(worker));
    assert_eq!(users(&dir), ["u1", "u2"], "a stop delivers all there is");
    let up = Up::start(&dir, free_port(), &[]);
    up.track("u3");
    up.stop(&dir);
    assert_eq!(users(&dir), ["u1", "u2", "u3"]);
}

#[test]
fn a_busy_port_gives_the_next_one_and_says_so() {
    let dir = Dir::new("up-busy");
    let _guard = Guard(&dir);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let up = Up::start(&dir, port, &[]);
    assert!(up.port > port);
    let log = dir.read("up.log");
    assert!(log.contains(&format!("port {port} is busy, taking {}", up.port)), "{log}");
    up.track("u1");
    // As when the terminal is closed.
    let mut up = up;
    up.process.signal(Signal::HUP);
    assert!(up.process.wait(60).success(), "{}", dir.read("up.log"));
    assert_eq!(users(&dir), ["u1"]);
    assert!(nginx(&dir).is_none(), "nginx is gone, its pid file too");
}

#[test]
fn a_killed_nginx_is_started_again_and_a_killed_run_leaves_nothing_behind() {
    let dir = Dir::new("up-killed");
    let _guard = Guard(&dir);
    let mut up = Up::start(&dir, free_port(), &[]);
    up.track("u1");
    let first = nginx(&dir).unwrap();
    wait_for(10, "nginx to be a second old", || {
        // It is started again at most once a second; the line says when.
        signal(first, Signal::KILL);
        dir.read("up.log").contains("nginx died").then_some(())
    });
    wait_for(20, "another nginx", || {
        nginx(&dir).filter(|id| *id != first && !children(*id).is_empty())
    });
    wait_for(20, "an answer", || http::try_get(up.address(), "/sa"));
    up.track("u2");
    let second = nginx(&dir).unwrap();
    up.process.kill();
    assert!(is_alive(second), "nginx goes on collecting");
    up.track("u3");
    let up = Up::start(&dir, free_port(), &[]);
    assert!(dir.read("up.log").contains("stopped an nginx left by an earlier run"));
    assert!(!is_alive(second));
    up.stop(&dir);
    assert_eq!(users(&dir), ["u1", "u2", "u3"], "nothing lost, nothing twice");
}

#[test]
fn tls_serves_what_its_own_authority_signed() {
    let dir = Dir::new("up-tls");
    let _guard = Guard(&dir);
    let up = Up::start(&dir, free_port(), &["--tls"]);
    let url = format!("https://localhost:{}/sa?project=shop", up.port);
    let event = r#"data={"type":"track","event":"Buy","distinct_id":"tls","time":1}"#;
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(dir.join("data/tls/ca.pem"))
        .args([&url, "--data-urlencode", event])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dir.read("up.log").contains("update-ca-certificates"));
    up.stop(&dir);
    assert_eq!(users(&dir), ["tls"]);
}
