//! What a location's settings do to an answer, what the log shows, and what a bug costs.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use event::record::Kind;
use tusk_tests::conf::Conf;
use tusk_tests::http::{self, Connection, escape};
use tusk_tests::load::base64;
use tusk_tests::{Dir, Nginx, ring, wait_for};

fn event(name: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"u1","time":1700000000000,"properties":{{}}}}"#
    )
}

fn form(json: &str) -> Vec<u8> {
    format!("data={}", escape(base64(json.as_bytes()).as_bytes())).into_bytes()
}

fn list(events: &[String]) -> Vec<u8> {
    let json = format!("[{}]", events.join(","));
    format!("data_list={}", escape(base64(json.as_bytes()).as_bytes())).into_bytes()
}

fn secret(dir: &Dir, name: &str, content: &str) {
    fs::set_permissions(dir.write(name, content), fs::Permissions::from_mode(0o600)).unwrap();
}

const TOKENS: &str = "[[project]]\nname = \"shop\"\ntokens = [\"t-shop\"]\n\
                      [[project]]\nname = \"game\"\ntokens = [\"t-game\"]\n";

#[test]
fn a_verdict_is_given_by_directive_or_for_the_projects_token() {
    let dir = Dir::new("verdict");
    secret(&dir, "tokens.toml", TOKENS);
    let conf = Conf {
        server: "tusk_tokens tokens.toml;
            location = /metrics { tusk_metrics; }
            location /off/ { tusk on; tusk_verdict off; }
            location /asked/ { tusk on; tusk_verdict asked; }
            location /always/ { tusk on; tusk_verdict always; }"
            .into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let body = list(&[event("Good"), event("not a name")]);
    let query = "?project=shop&token=t-shop";
    for (path, asked, told) in [
        ("/off/sa", Some("t-shop"), false),
        ("/asked/sa", None, false),
        ("/asked/sa", Some(""), false),
        ("/asked/sa", Some("t-game"), false),
        ("/asked/sa", Some("t-sho"), false),
        ("/asked/sa", Some("t-shop"), true),
        ("/always/sa", None, true),
        // The default is asked.
        ("/sa", None, false),
        ("/sa", Some("t-shop"), true),
    ] {
        let headers: Vec<(&str, &str)> =
            asked.iter().map(|token| ("X-Tusk-Verdict", *token)).collect();
        let answer = http::post(nginx.address(), &format!("{path}{query}"), &headers, &body);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        if told {
            let text = answer.text();
            assert!(text.starts_with(r#"{"received":2,"kept":1,"#), "{path} {asked:?}: {text}");
            assert!(text.contains("\"index\":1") && text.contains("N101"), "{text}");
        } else {
            assert_eq!(answer.text(), "{}", "{path} {asked:?}");
        }
    }
    assert_eq!(ring::drain(&dir.ring()).len(), 9, "asking changes nothing about storing");
    let metrics = http::get(nginx.address(), "/metrics").text();
    assert!(metrics.contains("\ntusk_edge_verdicts_total 3\n"), "{metrics}");
}

#[test]
fn projects_and_tokens_decide_what_is_stored_never_the_status() {
    let dir = Dir::new("projects");
    secret(&dir, "tokens.toml", TOKENS);
    let conf = Conf {
        location: String::new(),
        server: "location /only/ { tusk on; tusk_project only; }
            location /any/ { tusk on; tusk_project *; }
            location /tokens/ { tusk on; tusk_project shop; tusk_tokens tokens.toml; }"
            .into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    for (target, code) in [
        ("/sa", None),
        ("/sa?project=default", None),
        ("/sa?project=other", Some("A001")),
        ("/only/sa", None),
        ("/only/sa?project=only", None),
        ("/only/sa?project=default", Some("A001")),
        ("/any/sa?project=whatever", None),
        ("/any/sa?project=../etc", Some("A001")),
        ("/tokens/sa?token=t-shop", None),
        ("/tokens/sa?project=game&token=t-game", None),
        ("/tokens/sa?project=game&token=t-shop", Some("A002")),
        ("/tokens/sa", Some("A002")),
        ("/tokens/sa?project=none&token=t-shop", Some("A001")),
    ] {
        let answer = http::post(nginx.address(), target, &[], &form(&event("E")));
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{target}");
        let stored = ring::drain(&dir.ring()).pop().unwrap();
        assert_eq!(
            stored.events.len(),
            usize::from(code.is_none()),
            "{target}: {:?}",
            stored.codes
        );
        let has = code.is_none_or(|code| stored.codes.contains(&code.to_owned()));
        assert!(has, "{target}: {:?}", stored.codes);
    }
}

#[test]
fn limits_are_those_of_the_location() {
    let dir = Dir::new("limits");
    let conf = Conf {
        server: "tusk_project *;
            location /events/ { tusk on; tusk_max_events 2; }
            location /inflated/ { tusk on; tusk_max_inflated 10k; }
            location /record/ { tusk on; tusk_max_record 128k; }
            location /rate/ { tusk on; tusk_rejected_rate 1k; }"
            .into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let stored = |target: &str, body: &[u8]| {
        assert_eq!(http::post(nginx.address(), target, &[], body).status, 200, "{target}");
        ring::drain(&dir.ring()).pop().unwrap()
    };
    let three = list(&[event("A"), event("B"), event("C")]);
    assert_eq!(stored("/sa", &three).kept, 3);
    let over = stored("/events/sa", &three);
    assert!(over.kept < 3 && over.codes.iter().any(|c| c.starts_with('L')), "{over:?}");
    let many: Vec<String> = (0..1_000).map(|_| event("Many")).collect();
    assert_eq!(stored("/sa", &list(&many)).kept, 1_000);
    let packed = {
        use std::io::Write as _;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(format!("[{}]", many.join(",")).as_bytes()).unwrap();
        let data = escape(base64(&gz.finish().unwrap()).as_bytes());
        format!("gzip=1&data_list={data}").into_bytes()
    };
    assert_eq!(stored("/sa", &packed).kept, 1_000);
    let over = stored("/inflated/sa", &packed);
    assert!(over.kept == 0 && over.codes.contains(&"E106".to_owned()), "{:?}", over.codes);
    // What fits as it was sent is left to the shipper to decode; what does not is kept in part.
    let over = stored("/record/sa", &list(&many));
    assert_eq!((over.kind, over.codes.len()), (Kind::Sealed as u8, 0));
    let over = stored("/record/sa", &list(&[&many[..], &many[..]].concat()));
    assert!(over.codes.contains(&"L002".to_owned()), "{:?}", over.codes);
    let garbage = vec![b'~'; 50_000];
    let codes: Vec<String> = (0..5).flat_map(|_| stored("/rate/sa", &garbage).codes).collect();
    assert!(codes.contains(&"L009".to_owned()), "{codes:?}");
}

#[test]
fn the_access_log_tells_results_apart() {
    let dir = Dir::new("variables");
    let log = dir.join("access.log").display().to_string();
    let conf = Conf {
        workers: 1,
        http: format!(
            "log_format t '$tusk_result $tusk_events $tusk_rejected'; access_log {log} t;"
        ),
        server: "location /other { return 204; }".into(),
        ..Conf::default()
    };
    // The harness switches the log off for whoever does not ask for it.
    let text = |port| conf.text(&dir, port).replace("access_log off;", "");
    let nginx = Nginx::start(&dir, text);
    let address = nginx.address();
    let two = list(&[event("Good"), event("not a name")]);
    http::post(address, "/sa", &[], &form(&event("Good")));
    http::post(address, "/sa", &[], &two);
    http::post(address, "/sa", &[], &form(&event("not a name")));
    http::post(address, "/sa", &[("Dry-Run", "true")], &two);
    let _ = http::get(address, "/config/Android.conf");
    http::post(address, "/sa", &[], b"");
    let _ = http::get(address, "/other");
    let lines = wait_for(20, "seven lines", || {
        let text = dir.read("access.log");
        (text.lines().count() == 7).then_some(text)
    });
    let want = [
        "kept 1 0",
        "partial 2 1",
        "rejected 1 1",
        "dryrun 2 1",
        "config 0 0",
        "empty 0 0",
        "off - -",
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), want);
    let padding = format!(r#""properties":{{"p":"{}"}}"#, "x".repeat(3_000_000));
    let body = form(&event("Big").replace(r#""properties":{}"#, &padding));
    while http::post(address, "/sa", &[], &body).status == 200 {}
    wait_for(20, "the full ring in the log", || {
        dir.read("access.log").lines().any(|line| line.starts_with("full ")).then_some(())
    });
}

#[test]
fn keys_open_envelopes_once_and_over_the_rate_they_stay_sealed() {
    let recorded = tusk_tests::root().join("tests/golden/sensors/android-rsaaes-01");
    let meta = fs::read_to_string(recorded.join("meta.toml")).unwrap();
    let request = fs::read(recorded.join("request.http")).unwrap();
    for (rate, kind) in [("", Kind::Request), ("tusk_key_rate 0;", Kind::Sealed)] {
        let dir = Dir::new("keys");
        secret(&dir, "keys.toml", &meta[meta.find("[[key]]").unwrap()..]);
        let conf = Conf {
            workers: 1,
            server: "location = /metrics { tusk_metrics; }".into(),
            location: format!("tusk_project *; tusk_keys keys.toml; {rate}"),
            ..Conf::default()
        };
        let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
        for _ in 0..3 {
            let mut connection = Connection::open(nginx.address()).unwrap();
            connection.write(&request).unwrap();
            assert_eq!(connection.answer(false).unwrap().status, 200);
        }
        let stored = ring::drain(&dir.ring());
        assert_eq!(stored.len(), 3);
        let metrics = http::get(nginx.address(), "/metrics").text();
        let has = |line: &str| assert!(metrics.contains(line), "{line}\n{metrics}");
        for request in stored {
            assert_eq!(request.kind, kind as u8, "{:?}", request.codes);
            assert_eq!(request.events.is_empty(), kind == Kind::Sealed);
        }
        if kind == Kind::Sealed {
            has("\ntusk_edge_sealed_total 3\n");
            has("\ntusk_edge_key_ops_total 0\n");
        } else {
            has("\ntusk_edge_key_ops_total 1\n");
        }
    }
}

#[test]
fn memory_of_large_requests_is_given_back() {
    let dir = Dir::new("memory");
    let nginx = Nginx::start(&dir, |port| Conf { workers: 1, ..Conf::default() }.text(&dir, port));
    let address = nginx.address();
    let worker = nginx.workers()[0];
    let anonymous_kb = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(http::send(address, "OPTIONS", "/sa", &[], b"").status, 200);
    let before = anonymous_kb();
    let many: Vec<String> = (0..9_000).map(|_| event("Memory")).collect();
    let batch = |events: usize| list(&many[..events]);
    for events in [1, 50, 1_000, 9_000, 9_000, 9_000, 1] {
        assert_eq!(http::post(address, "/sa", &[], &batch(events)).status, 200);
    }
    let big = form(&event("Big").replace("{}", &format!(r#"{{"p":"{}"}}"#, "x".repeat(5_000_000))));
    for body in [&big, &big, &batch(50), &batch(1)] {
        assert_eq!(http::post(address, "/sa", &[], body).status, 200);
    }
    let after = anonymous_kb();
    assert!(after <= before + 8_192, "{before} kB before, {after} kB after");
}

/// The module's debug build panics when a request asks for it; a release build has no such door.
#[test]
fn a_bug_costs_one_request_and_not_the_worker() {
    let dir = Dir::new("panic");
    let conf = Conf {
        workers: 1,
        server: "location = /metrics { tusk_metrics; }".into(),
        ..Conf::default()
    };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let address = nginx.address();
    let workers = nginx.workers();
    let mut other = Connection::open(address).unwrap();
    assert_eq!(other.request("POST", "/sa", &[], &form(&event("Before"))).unwrap().status, 200);
    let asked = [("X-Tusk-Test-Panic", "1"), ("Origin", "https://a")];
    let body = form(&event("Bug"));
    for (method, body) in [("POST", &body[..]), ("GET", b""), ("POST", &[b'x'; 300_000])] {
        let answer = http::send(address, method, "/sa", &asked, body);
        assert_eq!((answer.status, answer.body.len()), (500, 0), "{method}");
        assert!(answer.header("access-control-allow-origin").is_some(), "{method}");
    }
    assert_eq!(other.request("POST", "/sa", &[], &form(&event("After"))).unwrap().status, 200);
    assert_eq!(nginx.workers(), workers, "the same worker serves on");
    let metrics = http::get(address, "/metrics").text();
    assert!(metrics.contains("\ntusk_edge_panics_total 3\n"), "{metrics}");
    assert!(dir.read("error.log").contains("tusk: bug, please report: at ngx-module/src/"));
    let names: Vec<bool> = ring::drain(&dir.ring())
        .iter()
        .zip(["Before", "After"])
        .map(|(request, name)| request.events[0].contains(name))
        .collect();
    assert_eq!(names, [true, true]);
}
