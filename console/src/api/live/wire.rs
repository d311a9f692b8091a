//! A request as it came, in the forms a person can use: taken apart, as curl, as a golden case.

use std::fmt::Write as _;

use event::http::{self, Parsed};
use event::record::Verdict;
use event::{Config, Method, Project, Scratch};
use serde_json::{Value, json};

use crate::tap::Event;

/// Longest value of a parameter shown.
const SHOWN_BYTES: usize = 4 << 10;
/// Most events of one request shown decoded.
const EVENTS_SHOWN: usize = 100;

/// Everything the first pane shows of a raw request.
pub(super) fn shown(event: &Event, raw: &[u8], receive: Option<&String>) -> Value {
    let Ok(request) = http::parse(raw) else {
        return json!({"text": String::from_utf8_lossy(raw), "bytes": raw.len()});
    };
    let cut = request.body_bytes > request.body.len() as u64;
    json!({
        "text": String::from_utf8_lossy(raw),
        "bytes": raw.len(),
        "cut": cut,
        "headers": headers(raw),
        "parameters": parameters(&request),
        "crc": crc(event, &request),
        "decoded": decoded(event, &request),
        "curl": curl(&request, raw, receive),
        "golden": golden(event, raw),
    })
}

/// Name and value of each header line.
fn headers(raw: &[u8]) -> Vec<(String, String)> {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(raw.len());
    let head = String::from_utf8_lossy(raw.get(..end).unwrap_or_default()).into_owned();
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

fn parameters(request: &Parsed<'_>) -> Vec<Value> {
    let mut out = Vec::new();
    for (place, bytes) in [("query", request.query), ("body", &request.body[..])] {
        if place == "body" && bytes.trim_ascii_start().first() == Some(&b'{') {
            continue; // a JSON body has no parameters
        }
        for pair in bytes.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).take(50) {
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            let text = String::from_utf8_lossy(value.get(..SHOWN_BYTES).unwrap_or(value));
            let name = String::from_utf8_lossy(name);
            out.push(json!({"place": place, "name": name, "value": text, "bytes": value.len()}));
        }
    }
    out
}

fn crc(event: &Event, request: &Parsed<'_>) -> Value {
    let find = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split('&').find_map(|pair| {
            let crc = pair.strip_prefix("crc=").or_else(|| pair.strip_prefix("ext=crc%3D"));
            crc.map(|crc| crc.split('%').next().unwrap_or_default().to_owned())
        })
    };
    let sent = find(&request.body).or_else(|| find(request.query));
    let differs = event.codes.iter().any(|code| matches!(code.code.as_str(), "E110" | "E111"));
    let state = match (&sent, differs) {
        (None, _) => "none",
        (_, true) => "differs",
        _ => "ok",
    };
    json!({"sent": sent, "state": state})
}

/// All events of the request, as far as they open without keys; an envelope's are what the daemon made of this one.
fn decoded(event: &Event, request: &Parsed<'_>) -> Vec<Value> {
    let recv_ns = event.recv_ms.max(0).cast_unsigned() * 1_000_000;
    let config = Config { project: Project::Any, ..Config::default() };
    let mut scratch = Scratch::new();
    let asked = request.request(event.ip.as_bytes(), recv_ns);
    let accepted = event::accept(&asked, &config, &mut scratch);
    let events: Vec<Value> = accepted
        .record
        .view()
        .events()
        .filter(|(entry, json)| entry.verdict != Verdict::Rejected || !json.is_empty())
        .take(EVENTS_SHOWN)
        .map(|(_, json)| Value::String(String::from_utf8_lossy(json).into_owned()))
        .collect();
    if events.is_empty() && !event.json.is_empty() {
        return vec![Value::String(event.json.clone())];
    }
    events
}

/// A word a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn curl(request: &Parsed<'_>, raw: &[u8], receive: Option<&String>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = headers(raw);
    let host = all.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let base = match (host, receive) {
        (_, Some(receive)) => origin(receive),
        (Some((_, host)), None) => format!("http://{host}"),
        (None, None) => "http://127.0.0.1:8106".to_owned(),
    };
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", text(request.query)) };
    let mut out = format!("curl -sS {}", quoted(&format!("{base}{}{query}", text(request.path))));
    for (name, value) in &all {
        let ours = ["host", "content-length", "transfer-encoding", "connection"];
        if !ours.contains(&name.to_ascii_lowercase().as_str()) {
            let _ = write!(out, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    if request.method != Method::Post {
        return out;
    }
    match std::str::from_utf8(&request.body) {
        Ok(body) if !body.contains('\0') => {
            let _ = write!(out, " \\\n  --data-raw {}", quoted(body));
        }
        _ => {
            let body = base64(&request.body);
            out = format!("base64 -d <<< {} | \\\n{out} \\\n  --data-binary @-", quoted(&body));
        }
    }
    out
}

/// `http://host:port` of a URL.
fn origin(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or(url).to_owned()
}

/// Commands that make a folder of `tests/golden/sensors` of it.
fn golden(event: &Event, raw: &[u8]) -> String {
    let sdk = if event.sdk.is_empty() { "unknown" } else { &event.sdk };
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_ ".contains(c) { c } else { '-' }).collect()
    };
    let name = format!("live-{}-{:x}", plain(sdk).to_ascii_lowercase().replace(' ', "-"), event.lsn);
    format!(
        "mkdir -p tests/golden/sensors/{name} && cd tests/golden/sensors/{name}\n\
         base64 -d > request.http <<'END'\n{}\nEND\n\
         cat > meta.toml <<'END'\nsdk = \"{} {}\"\nhow = \"copied from the live page\"\nrecv_ms = {}\nEND\n\
         cd ../../../.. && UPDATE_GOLDEN=1 cargo test -p event --test golden\n",
        base64(raw),
        plain(sdk),
        plain(&event.sdk_version),
        event.recv_ms,
    )
}

/// Base64 in lines of 76.
fn base64(bytes: &[u8]) -> String {
    let one = openssl::base64::encode_block(bytes);
    let lines: Vec<&str> =
        one.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = b"POST /sa?project=shop&token=t HTTP/1.1\r\nHost: c.example\r\nUser-Agent: it's me\r\nContent-Length: 52\r\n\r\n\
        crc=123&data=%7B%22type%22%3A%22track%22%2C%22e%22:1}";

    #[test]
    fn a_request_is_taken_apart_and_comes_back_as_commands() {
        let event = Event { sdk: "i'OS\"\n".into(), lsn: 255, recv_ms: 7, ..Event::default() };
        let receive = "http://127.0.0.1:9/sa?project=default".to_owned();
        let got = shown(&event, RAW, Some(&receive));
        assert_eq!(got["crc"], json!({"sent": "123", "state": "ok"}));
        assert_eq!(got["parameters"].as_array().unwrap().len(), 4);
        let curl = got["curl"].as_str().unwrap();
        assert!(curl.starts_with("curl -sS 'http://127.0.0.1:9/sa?project=shop&token=t'"), "{curl}");
        assert!(curl.contains(r"-H 'User-Agent: it'\''s me'"), "{curl}");
        let golden = got["golden"].as_str().unwrap();
        assert!(golden.contains("live-i-os---ff") && golden.contains("recv_ms = 7\n"), "{golden}");
        let http = golden.split("'END'\n").nth(1).unwrap().split("\nEND").next().unwrap();
        assert_eq!(openssl::base64::decode_block(&http.replace('\n', "")).unwrap(), RAW);
    }

    #[test]
    fn what_is_no_request_is_shown_all_the_same() {
        let got = shown(&Event::default(), b"\xff\0 nothing", None);
        assert_eq!(got["bytes"], 10);
    }
}
