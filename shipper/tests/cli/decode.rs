//! `tusk decode` on the golden requests and on what is no request.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::support::{Dir, run, stderr, stdout, tusk};

/// The tables of a golden `meta.toml` that are a keys file.
fn keys_of(meta: &toml::Table) -> String {
    let mut out = String::new();
    for key in meta.get("key").and_then(toml::Value::as_array).into_iter().flatten() {
        write!(out, "[[key]]\n{key}\n", key = toml::to_string(key).unwrap()).unwrap();
    }
    out
}

/// An event's JSON as text, and its codes without places.
fn parts(line: &Value) -> (String, Vec<String>) {
    let codes = line["codes"].as_array().unwrap().iter();
    let codes = codes.map(|code| code.as_str().unwrap().split(' ').next().unwrap().to_owned());
    (line["verdict"].as_str().unwrap().replace("problems", "kept"), codes.collect())
}

/// The text after `"event":` up to the line's closing brace.
fn event_text(line: &str) -> Option<&str> {
    let at = line.find(",\"event\":{")?;
    Some(&line[at + 9..line.len() - 1])
}

#[test]
fn golden_requests_print_the_stored_bytes_and_exit_0() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sensors");
    let dir = Dir::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let meta: toml::Table = toml::from_str(&read("meta.toml")).unwrap();
        if meta.contains_key("settings") {
            continue; // of the edge; `decode` has none
        }
        cases += 1;
        let keys = dir.write("keys.toml", &keys_of(&meta));
        let request = std::fs::read(folder.join("request.http")).unwrap();
        let mut command = tusk(&dir);
        command.args(["decode", "--client-ip", "203.0.113.7", "--recv-time"]);
        command.arg(meta["recv_ms"].to_string()).arg("--keys").arg(&keys);
        let output = run(&mut command, &request);
        let context = format!("{}: {}", folder.display(), stderr(&output));
        assert!(output.status.success(), "{context}");
        let expected = read("expected.jsonl");
        let mut expected: Vec<&str> = expected.lines().collect();
        let answer: Value = serde_json::from_str(expected.pop().unwrap()).unwrap();
        let shared: Vec<Value> = answer["codes"].as_array().unwrap().clone();
        let text = stdout(&output);
        let got: Vec<&str> = text.lines().collect();
        assert_eq!(got.len(), expected.len(), "{context}");
        for (index, (got, want)) in got.iter().zip(expected).enumerate() {
            let (line, want_line): (Value, Value) =
                (serde_json::from_str(got).unwrap(), serde_json::from_str(want).unwrap());
            assert_eq!(line["index"], index, "{context}");
            let (verdict, mut codes) = parts(&want_line);
            codes.extend(shared.iter().map(|code| code.as_str().unwrap()[..4].to_owned()));
            assert_eq!(parts(&line), (verdict, codes), "{context}");
            assert!(event_text(got) == event_text(want), "{context} event {index}");
            let hints = line["hints"].as_array().map_or(0, Vec::len);
            assert_eq!(hints, line["codes"].as_array().unwrap().len(), "{context}");
        }
    }
    assert!(cases >= 80, "only {cases} cases without settings");
}

#[test]
fn a_kept_event_is_one_plain_line() {
    let dir = Dir::new();
    let event = r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1700000000000,"properties":{"n":1.50}}"#;
    let body = format!("data={event}");
    let request = format!("POST /sa HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut command = tusk(&dir);
    command.args(["decode", "--recv-time", "1700000001000"]);
    let output = run(&mut command, request.as_bytes());
    let want = format!("{{\"index\":0,\"verdict\":\"kept\",\"codes\":[],\"event\":{event}}}\n");
    assert_eq!((stdout(&output), stderr(&output)), (want, String::new()));
}

#[test]
fn a_request_that_cannot_be_opened_is_one_line_without_event() {
    let dir = Dir::new();
    let output = run(tusk(&dir).arg("decode"), b"GET /sa?data=%21%21 HTTP/1.1\r\n\r\n");
    assert!(output.status.success());
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["index"], &line["verdict"]), (&0.into(), &"rejected".into()), "{text}");
    assert!(line.get("event").is_none(), "{text}");
    let hint = &line["hints"][0];
    assert!(
        hint["zh"].as_str().unwrap().contains('｜') && hint["en"].as_str().unwrap().contains('｜')
    );
}

#[test]
fn what_is_no_http_request_exits_1_and_says_what_to_give() {
    let dir = Dir::new();
    for input in [&b""[..], b"hello", b"{\"data\":1}", b"\x1f\x8b\x08\x00", b"GET / FTP\r\n\r\n"] {
        let output = run(tusk(&dir).arg("decode"), input);
        assert_eq!(output.status.code(), Some(1), "{input:?}");
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains("as on the wire"), "{}", stderr(&output));
    }
}

#[test]
fn requests_without_events_say_why_and_exit_0() {
    let dir = Dir::new();
    for (request, want) in [
        ("OPTIONS /sa HTTP/1.1\r\n\r\n", "preflight"),
        ("GET /config/Android.conf?v=1 HTTP/1.1\r\n\r\n", "remote configuration"),
        ("GET /sa HTTP/1.1\r\n\r\n", "no data"),
        ("PUT /sa HTTP/1.1\r\n\r\n", "nothing is stored"),
    ] {
        let output = run(tusk(&dir).arg("decode"), request.as_bytes());
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""), "{request}");
        assert!(stderr(&output).contains(want), "{}", stderr(&output));
    }
}

#[test]
fn a_token_is_asked_for_where_the_file_says_so() {
    let dir = Dir::new();
    let tokens = dir.write("tokens.toml", "[[project]]\nname = \"shop\"\ntokens = [\"right\"]\n");
    let event = "%7B%22type%22%3A%22track%22%2C%22event%22%3A%22Buy%22%2C%22distinct_id%22%3A%22u1%22%2C%22time%22%3A1700000000000%7D";
    for (query, code) in [
        ("project=shop&token=right", None),
        ("project=shop&token=wrong", Some("A002")),
        ("project=other&token=right", Some("A001")),
    ] {
        let request = format!("GET /sa?{query}&data={event} HTTP/1.1\r\n\r\n");
        let mut command = tusk(&dir);
        command.args(["decode", "--recv-time", "1700000000000", "--tokens"]).arg(&tokens);
        let output = run(&mut command, request.as_bytes());
        let line: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(line["codes"][0].as_str(), code, "{query}: {line}");
    }
}
