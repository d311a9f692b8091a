//! The embedded ClickHouse under `tusk run`: started, watched, started again, ended with it; collecting never waits for it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;

use tusk_tests::http::{self, Answer, escape};
use tusk_tests::{
    Dir, Nginx, Process, Signal, Tusk, children, conf, files, free_port, is_alive, libchdb_path,
    signal, wait_for,
};

fn toml(port: u16) -> String {
    format!("[olap]\nlisten = \"127.0.0.1:{port}\"\nlibrary = \"{}\"\n", libchdb_path().display())
}

fn ask(dir: &Dir, port: u16, sql: &str) -> Option<Answer> {
    let key = dir.read("data/olap/key");
    let target = format!("/?password={key}&query={}", escape(sql.as_bytes()));
    http::try_get(SocketAddr::from(([127, 0, 0, 1], port)), &target)
}

#[track_caller]
fn wait_up(dir: &Dir, port: u16) {
    wait_for(60, "the embedded ClickHouse", || {
        ask(dir, port, "SELECT 1").filter(|answer| answer.text() == "1\n")
    });
}

#[test]
fn it_is_started_again_and_ends_with_its_parent() {
    let dir = Dir::new("olap-daemon");
    let port = free_port();
    let tusk = Tusk::start(&dir, &toml(port));
    wait_up(&dir, port);
    let first = children(tusk.id());
    assert_eq!(first.len(), 1, "{first:?}");
    let environment = std::fs::read(format!("/proc/{}/environ", first[0])).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.split('\0').any(|pair| pair.starts_with("PATH=")), "{environment}");
    wait_for(20, "the metric", || tusk.metrics().contains("tusk_olap_up 1").then_some(()));
    // One that hangs is seen; it has a minute to come back.
    signal(first[0], Signal::STOP);
    wait_for(30, "the metric", || tusk.metrics().contains("tusk_olap_up 0").then_some(()));
    signal(first[0], Signal::CONT);
    wait_for(30, "the metric", || tusk.metrics().contains("tusk_olap_up 1").then_some(()));
    assert!(tusk.metrics().contains("tusk_olap_restarts_total 0") && children(tusk.id()) == first);
    signal(first[0], Signal::KILL);
    wait_for(20, "another one", || {
        (children(tusk.id()) != first && !children(tusk.id()).is_empty()).then_some(())
    });
    wait_up(&dir, port);
    wait_for(20, "the metric", || {
        let text = tusk.metrics();
        (text.contains("tusk_olap_up 1") && text.contains("tusk_olap_restarts_total 1"))
            .then_some(())
    });
    let log = dir.read("tusk.log");
    assert!(log.contains("embedded ClickHouse ended: signal: 9"), "{log}");
    // A crash of the parent: the pipe ends, and so does the child.
    let second = children(tusk.id());
    tusk.kill();
    wait_for(30, "its end", || (!is_alive(second[0])).then_some(()));
    // A stop in order, from the next start on the same folder.
    let tusk = Tusk::start(&dir, &toml(port));
    wait_up(&dir, port);
    let third = children(tusk.id());
    tusk.stop();
    assert!(!is_alive(third[0]));
}

#[test]
fn collecting_does_not_wait_for_it() {
    let dir = Dir::new("olap-first");
    // Nothing can listen there: it never comes up.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &toml(port));
    wait_for(30, "the reason", || dir.read("tusk.log").contains("cannot listen on").then_some(()));
    let event = "{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"u\",\"time\":1700000000000,\"properties\":{}}";
    let body = format!("data={}", escape(event.as_bytes()));
    assert_eq!(
        http::post(nginx.address(), "/sa?project=default", &[], body.as_bytes()).status,
        200
    );
    wait_for(20, "the event", || (files::lines(&tusk.files()).len() == 1).then_some(()));
    assert!(tusk.metrics().contains("tusk_olap_up 0"));
    // The port is free again: it comes up by itself.
    drop(taken);
    wait_up(&dir, port);
    tusk.stop();
}

#[test]
fn events_are_in_it_once_though_it_is_killed() {
    let dir = Dir::new("olap-events");
    let port = free_port();
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &(toml(port) + "[sink.clickhouse]\nrange_age_ms_max = 100\n"));
    let send = |user: usize| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let event = format!(
            "{{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"u{user}\",\"time\":{},\"properties\":{{\"price\":{user}}}}}",
            now.as_millis()
        );
        let body = format!("data={}", escape(event.as_bytes()));
        assert_eq!(
            http::post(nginx.address(), "/sa?project=default", &[], body.as_bytes()).status,
            200
        );
    };
    let (rounds, each) = (5, 200);
    for round in 0..rounds {
        (0..each).for_each(|number| send(round * each + number));
        if let Some(olap) = children(tusk.id()).first() {
            signal(*olap, Signal::KILL);
        }
    }
    let all = (rounds * each).to_string();
    let sql = "SELECT count(), uniqExact(distinct_id) FROM tusk.events";
    wait_for(60, "all events", || {
        let text = ask(&dir, port, sql)?.text();
        (text == format!("{all}\t{all}\n")).then_some(())
    });
    tusk.stop();
}

#[test]
fn under_up_it_comes_when_it_is_built_and_has_the_first_event() {
    let dir = Dir::new("olap-up");
    let build = dir.write("olap-build.log", "libchdb: 50 of 178 MB\n");
    let port = free_port();
    let mut command = std::process::Command::new(tusk_tests::tusk_path());
    // `make run` starts it in the repository, where the library appears below build/.
    command.current_dir(dir.path()).arg("up").arg("--nginx").arg(tusk_tests::nginx_path());
    command.arg("--module").arg(tusk_tests::module_path()).arg("--data").arg(dir.join("data"));
    command.args(["--port", &port.to_string(), "--lang", "en", "--console"]);
    command.arg(format!("127.0.0.1:{}", free_port())).arg("--olap-wait").arg(&build);
    let mut up = Process::start(&mut command, &dir.join("up.log"));
    let says = |what: &str| {
        wait_for(60, what, || dir.read("up.log").contains(what).then_some(()));
    };
    says("ClickHouse: being built, see ");
    says("Every event");
    let event = "{\"type\":\"track\",\"event\":\"Buy\",\"distinct_id\":\"u\",\"time\":1700000000000,\"properties\":{}}";
    let body = format!("data={}", escape(event.as_bytes()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(http::post(address, "/sa?project=default", &[], body.as_bytes()).status, 200);
    dir.write(
        "olap-build.log",
        "libchdb: npm is not installed\nmake: *** [Makefile:39: olap] Error 3\n",
    );
    says("could not be built: libchdb: npm is not installed");
    std::fs::create_dir_all(dir.join("build/libchdb")).unwrap();
    std::os::unix::fs::symlink(libchdb_path(), dir.join("build/libchdb/libchdb.so")).unwrap();
    says("ClickHouse is ready: http://127.0.0.1:");
    let log = dir.read("up.log");
    let (_, rest) = log.split_once("ClickHouse is ready: http://127.0.0.1:").unwrap();
    let olap: u16 = rest.split(' ').next().unwrap().parse().unwrap();
    wait_for(60, "the event that came before it", || {
        let answer = ask(&dir, olap, "SELECT event, count() FROM tusk.events GROUP BY event")?;
        (answer.text() == "Buy\t1\n").then_some(())
    });
    assert!(!dir.read("up.log").contains("sink clickhouse is retrying"), "{}", dir.read("up.log"));
    up.signal(Signal::INT);
    assert!(up.wait(60).success(), "{}", dir.read("up.log"));
}

#[test]
fn where_the_library_is_missing_one_line_says_so() {
    let dir = Dir::new("olap-none");
    let tusk = Tusk::start(&dir, "[olap]\nlibrary = \"/nowhere/libchdb.so\"\n");
    let log = dir.read("tusk.log");
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("no embedded ClickHouse")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("/nowhere/libchdb.so") && lines[0].contains("make olap"), "{log}");
    assert!(children(tusk.id()).is_empty() && !tusk.metrics().contains("tusk_olap"));
    tusk.stop();
}
