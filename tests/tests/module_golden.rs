//! Every golden request, byte for byte as recorded, through the real nginx: the module must hand to the decoder what the
//! decoder's own golden test hands to it, and send what it says.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tusk_tests::conf::Conf;
use tusk_tests::{Dir, Nginx, ring, root};

/// Without a directive, with a value no directive allows, recorded without the rest of their body, or of an id that somebody watches
/// through `ring.ctl`.
const LEFT_OUT: [&str; 6] = [
    "body-cut",
    "crc-strict",
    "qr-greeting-awaited",
    "record-too-large",
    "record-too-large-sealed",
    "watched",
];

struct Case {
    name: String,
    request: Vec<u8>,
    /// Lines of `expected.jsonl`: one per event, then the result.
    expected: Vec<String>,
    directives: String,
}

fn cases(dir: &Dir) -> Vec<Case> {
    let folder = root().join("tests/golden/sensors");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The private-key budget is the worker's: whoever spends it to the end comes last.
    paths.sort_by_key(|path| (path.ends_with("envelope-over-budget"), path.clone()));
    let cases = paths.iter().filter_map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (!LEFT_OUT.contains(&name.as_str())).then(|| Case {
            request: fs::read(path.join("request.http")).unwrap(),
            expected: read(path, "expected.jsonl").lines().map(str::to_owned).collect(),
            directives: directives(dir, &name, &read(path, "meta.toml")),
            name,
        })
    });
    cases.collect()
}

fn read(path: &Path, name: &str) -> String {
    fs::read_to_string(path.join(name)).unwrap()
}

/// The case's settings as directives; keys and tokens become files.
fn directives(dir: &Dir, name: &str, meta: &str) -> String {
    let mut lines = String::from("tusk_project *;");
    let mut secret = |kind: &str, content: &str| {
        let file = dir.write(&format!("{name}.{kind}.toml"), content);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let _ = write!(lines, "tusk_{kind} {};", file.display());
    };
    // The tokens file stands in the settings as one text.
    let mut meta = meta.to_owned();
    if let Some(at) = meta.find("tokens = \"\"\"") {
        let start = at + "tokens = \"\"\"".len();
        let end = start + meta[start..].find("\"\"\"").unwrap();
        secret("tokens", &meta[start..end].replace("\\\"", "\""));
        meta.replace_range(at..end + 3, "");
    }
    let (settings, keys) = meta.split_at(meta.find("[[key]]").unwrap_or(meta.len()));
    if !keys.is_empty() {
        secret("keys", keys);
    }
    for (key, value) in settings.lines().filter_map(|line| line.split_once(" = ")) {
        let directive = match key {
            "verdict" => "tusk_verdict always".to_owned(),
            "debug" => "tusk_debug on".to_owned(),
            "key_ops_per_s" => format!("tusk_key_rate {value}"),
            "events_max" => format!("tusk_max_events {value}"),
            "inflated_bytes_max" => format!("tusk_max_inflated {value}"),
            "body_bytes_max" => format!("tusk_max_body {value}"),
            _ => continue,
        };
        let _ = write!(lines, "{directive};");
    }
    lines
}

/// Sends bytes as they are; status and body of the answer.
fn send(socket: &Path, request: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let got = stream.read(&mut piece).unwrap_or_else(|error| {
            panic!("{}: {error} after {:?}", socket.display(), String::from_utf8_lossy(&bytes));
        });
        bytes.extend_from_slice(&piece[..got]);
        // The GIF is no text, and only its being there matters.
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(got > 0, "no answer: {text}");
            continue;
        };
        let status: u16 = head[9..12].parse().unwrap();
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let start = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        if request.starts_with(b"HEAD") || bytes.len() >= start + length || got == 0 {
            return (status, body.to_owned());
        }
    }
}

/// The text of a member in a line of JSON made by the golden test: up to the next member or the end.
fn member<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest)
}

#[test]
fn golden_requests_through_nginx_are_stored_and_answered_the_same() {
    let dir = Dir::new("golden");
    let cases = cases(&dir);
    assert!(cases.len() > 100, "{}", cases.len());
    let mut http = String::from("underscores_in_headers on;");
    for (number, case) in cases.iter().enumerate() {
        let _ = writeln!(
            http,
            "server {{ listen unix:{}/{number}.sock; location / {{ tusk on; {} }} }}",
            dir.path().display(),
            case.directives
        );
    }
    let conf = Conf { http, workers: 1, ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let (status, body) = send(&dir.join(&format!("{number}.sock")), &case.request);
        let stored = ring::drain(&dir.ring());
        let (result, events) = case.expected.split_last().unwrap();
        let mut differs = |what: &str, is: String, want: String| {
            if is != want {
                wrong.push(format!("{}: {what}: {is}, expected {want}", case.name));
            }
        };
        let want = member(result, "status").unwrap();
        differs("status", status.to_string(), want[..3].to_owned());
        // A verdict may name a code of time, and these were recorded at other times; `{}` is `{}`.
        if member(result, "body") == Some("\"{}\"}") {
            differs("body", body, "{}".to_owned());
        }
        let held = member(result, "store").is_some_and(|store| !store.starts_with("null"));
        differs("records", stored.len().to_string(), usize::from(held).to_string());
        let want: Vec<&str> = events
            .iter()
            .filter(|line| !line.starts_with("{\"verdict\":\"rejected\""))
            .map(|line| member(line, "event").unwrap().strip_suffix('}').unwrap())
            .collect();
        let is: Vec<&str> = stored.iter().flat_map(|r| &r.events).map(String::as_str).collect();
        if held {
            differs("events", is.join("\n"), want.join("\n"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(!dir.read("error.log").contains("[alert]"));
    assert_eq!(nginx.workers().len(), 1);
}
