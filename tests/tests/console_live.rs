//! The live page over a real nginx and a real tusk: what an SDK sends is on the page within a second, with the right verdict; sampling
//! leaves out and counts; whoever reads slowly slows nobody; requests are kept whole only for who is followed; recordings judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tusk_tests::conf::Conf;
use tusk_tests::{Dir, Nginx, Tusk, http, wait_for};

const CONSOLE: &str = "any_project = true\n[[console.token]]\nname = \"boss\"\nrole = \"manage\"\nsecret = \"boss-token-0123456789abcdef\"\n\
    [[console.token]]\nname = \"guest\"\nrole = \"view\"\nsecret = \"guest-token-0123456789abcde\"\n";
const BOSS: &str = "boss-token-0123456789abcdef";
const GUEST: &str = "guest-token-0123456789abcde";
/// Within so long an event is on the page.
const SECOND: Duration = Duration::from_secs(1);

struct Site {
    nginx: Nginx,
    tusk: Tusk,
    /// Last: everything lies in it.
    dir: Dir,
}

impl Site {
    fn start(name: &str) -> Self {
        let dir = Dir::new(name);
        let location = "tusk_project *; tusk_debug on;".to_owned();
        let nginx = Nginx::start(&dir, |port| {
            Conf { location: location.clone(), ..Conf::default() }.text(&dir, port)
        });
        let receive = format!("http://{}/sa?project=default", nginx.address());
        let toml = CONSOLE.replacen(
            "[[console.token]]",
            &format!("[console]\nreceive = [\"{receive}\"]\n[[console.token]]"),
            1,
        );
        let tusk = Tusk::start(&dir, &toml);
        Self { nginx, tusk, dir }
    }

    fn send(&self, events: &[Value]) {
        let list = Value::from(events.to_vec()).to_string();
        let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
        let answer = http::post(self.nginx.address(), "/sa?project=default", &[], body.as_bytes());
        assert_eq!(answer.status, 200);
    }

    fn ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = http::send(self.tusk.console(), method, path, &headers, body.as_bytes());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.tusk.data().join("console/audit.jsonl")).unwrap_or_default()
    }

    fn control(&self) -> Vec<u8> {
        let ring = self.dir.ring().join("ring.ctl");
        std::fs::read(ring).unwrap_or_default()
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn event(name: &str, user: &str, properties: &Value) -> Value {
    json!({"type": "track", "event": name, "distinct_id": user, "time": now_ms(), "anonymous_id": format!("dev-{user}"),
        "lib": {"$lib": "Android", "$lib_version": "6.8.0", "$app_version": "5.1"}, "properties": properties})
}

/// A page: what the stream tells, as it comes.
struct Page {
    messages: Receiver<(String, Value)>,
    stream: TcpStream,
}

impl Page {
    fn open(address: SocketAddr, query: &str, token: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "GET /api/live/stream{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let (sender, messages) = channel();
        let reader = BufReader::new(stream.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut name = String::new();
            for line in reader.lines() {
                let Ok(line) = line else { return };
                if let Some(event) = line.strip_prefix("event: ") {
                    event.clone_into(&mut name);
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let value = serde_json::from_str(data).unwrap();
                    if sender.send((name.clone(), value)).is_err() {
                        return;
                    }
                } else if line.starts_with("HTTP/1.1 ") {
                    let _ = sender.send(("status".to_owned(), json!(line)));
                }
            }
        });
        let page = Self { messages, stream };
        let (name, status) = page.messages.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(
            (name.as_str(), status.as_str().unwrap().contains(" 200 ")),
            ("status", true),
            "{status}"
        );
        // The first tick: the tap is open.
        page.tick();
        page
    }

    fn next(&self, wanted: &str, wait: Duration) -> Option<Value> {
        let until = Instant::now() + wait;
        loop {
            let left = until.checked_duration_since(Instant::now())?;
            let (name, value) = self.messages.recv_timeout(left).ok()?;
            if name == wanted {
                return Some(value);
            }
        }
    }

    fn tick(&self) -> Value {
        self.next("tick", Duration::from_secs(10)).expect("a tick")
    }

    fn row(&self) -> Value {
        self.next("event", SECOND).expect("an event within a second")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn an_event_is_on_the_page_within_a_second_with_its_verdict_and_detail() {
    let site = Site::start("live-event");
    let all = Page::open(site.tusk.console(), "", BOSS);
    let bad = Page::open(site.tusk.console(), "?verdict=bad", GUEST);
    let city = Page::open(site.tusk.console(), "?property=city&value=%E6%9D%AD%E5%B7%9E", GUEST);
    let id = Page::open(site.tusk.console(), "?id=dev-13800138000", GUEST);
    let hostile = "<img src=x onerror=alert(1)>\u{202e}\"'`";
    let began = Instant::now();
    site.send(&[
        event(
            "PayOrder",
            "13800138000",
            &json!({"city": "杭州", "price": 12.5, "phone": "13800138000"}),
        ),
        event(hostile, "u2", &json!({"a-b": 1})),
    ]);
    let (first, second) = (all.row(), all.row());
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!((&first["event"], &first["verdict"]), (&json!("PayOrder"), &json!("kept")));
    assert_eq!((&second["event"], &second["verdict"]), (&json!(hostile), &json!("rejected")));
    assert_eq!(second["codes"][0], "N101");
    assert_eq!(bad.row()["event"], hostile);
    assert_eq!(city.row()["event"], "PayOrder");
    let masked = id.row();
    assert_eq!(masked["event"], "PayOrder");
    assert!(!masked.to_string().contains("13800138000"), "masked for who may only look: {masked}");

    // The detail, three panes.
    let which = |row: &Value| format!("/api/live/event?lsn={}&index={}", row["lsn"], row["index"]);
    let (status, detail) = site.ask("GET", &which(&second), BOSS, None);
    assert_eq!(status, 200, "{detail}");
    let message = detail["understood"]["messages"][0]["zh"].as_str().unwrap();
    assert!(message.starts_with("[N101] ") && message.matches(" ｜ ").count() == 4, "{message}");
    assert_eq!(
        (&detail["sent"]["parameter"], &detail["sent"]["events"]),
        (&json!("data_list"), &json!(2))
    );
    let sinks = detail["stored"]["sinks"].as_array().unwrap();
    let state =
        |sink: &str| sinks.iter().find(|one| one["sink"] == sink).map(|one| one["state"].clone());
    assert_eq!(state("file"), Some(json!("none")), "a rejected event is not for the files");
    let stored = wait_for(10, "the kept event in its file", || {
        let (_, detail) = site.ask("GET", &which(&first), BOSS, None);
        let file =
            detail["stored"]["sinks"].as_array()?.iter().find(|one| one["sink"] == "file")?.clone();
        let has_name = file["places"].as_array()?.iter().any(|place| place[0] == "file");
        (file["state"] == "stored" && has_name).then_some(file).or_else(|| {
            println!("{detail}");
            None
        })
    });
    let place = |name: &str| {
        let places = stored["places"].as_array().unwrap();
        places.iter().find(|place| place[0] == name).unwrap()[1].as_str().unwrap().to_owned()
    };
    let file = std::path::Path::new(&place("folder")).join(place("file"));
    assert!(std::fs::read_to_string(file).unwrap().contains("PayOrder"));
    let (_, masked) = site.ask("GET", &which(&first), GUEST, None);
    assert!(!masked.to_string().contains("13800138000"), "{masked}");

    // Raw: kept for an open page of a manager, not for who may only look, and every look is written down.
    let body = json!({"lsn": second["lsn"], "index": second["index"]});
    assert_eq!(site.ask("POST", "/api/live/raw", GUEST, Some(&body)).0, 403);
    let (status, raw) = site.ask("POST", "/api/live/raw", BOSS, Some(&body));
    assert_eq!(status, 200, "{raw}");
    assert!(raw["text"].as_str().unwrap().starts_with("POST /sa?project=default HTTP/1.1\r\n"));
    assert_eq!(raw["decoded"].as_array().unwrap().len(), 2);
    assert!(raw["golden"].as_str().unwrap().contains("request.http"));
    let audit = site.audit();
    assert!(audit.contains("\"user\":\"boss\"") && audit.contains("\"action\":\"raw\""), "{audit}");
    assert!(!audit.contains("guest") && !audit.contains("data_list"), "{audit}");

    // Sent again, to the configured address alone.
    let (status, answer) = site.ask("POST", "/api/live/replay", BOSS, Some(&body));
    assert_eq!((status, &answer["status"]), (200, &json!(200)), "{answer}");
    assert_eq!(all.row()["event"], "PayOrder");
    assert_eq!(site.ask("POST", "/api/live/replay", GUEST, Some(&body)).0, 403);
}

#[test]
fn sampling_counts_exactly_and_a_slow_reader_slows_nobody() {
    const EVENTS: u64 = 20_000;
    const BATCH: u64 = 50;
    let site = Site::start("live-flood");
    let page = Page::open(site.tusk.console(), "?event=Flood", BOSS);
    // Somebody who opens the stream and never reads.
    let mut slow = TcpStream::connect(site.tusk.console()).unwrap();
    write!(
        slow,
        "GET /api/live/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {BOSS}\r\n\r\n"
    )
    .unwrap();
    let text = "x".repeat(200);
    let began = Instant::now();
    for batch in 0..EVENTS / BATCH {
        let events: Vec<Value> = (0..BATCH)
            .map(|n| {
                event("Flood", &format!("u{n}"), &json!({"n": batch * BATCH + n, "text": text}))
            })
            .collect();
        site.send(&events);
        // 5,000 a second, by the clock.
        let due = Duration::from_millis((batch + 1) * BATCH / 5);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let sent_in = began.elapsed();
    let (mut good, mut shown, mut left_out, mut dropped, mut rows) = (0, 0, 0, 0, 0);
    let until = Instant::now() + Duration::from_secs(30);
    while good + dropped < EVENTS && Instant::now() < until {
        let Ok((name, value)) = page.messages.recv_timeout(Duration::from_secs(10)) else { break };
        let number = |name: &str| value[name].as_u64().unwrap();
        if name == "tick" {
            good += number("good");
            shown += number("shown");
            left_out += number("left_out");
            dropped = number("dropped");
        } else {
            rows += 1;
        }
    }
    assert_eq!((good + dropped, shown + left_out), (EVENTS, good));
    assert_eq!(rows, shown);
    let seconds = sent_in.as_secs() + 3;
    assert!(rows >= 20 && rows <= 20 * (seconds + 1), "{rows} rows in {seconds} s");
    println!(
        "flood: {EVENTS} events in {sent_in:?}, {rows} shown, {left_out} left out, {dropped} lost by the tap"
    );
    // The permanent counter knows them all, and delivery went on.
    let seconds = site.ask("GET", "/api/live/seconds", GUEST, None).1;
    let counted: u64 =
        seconds.as_array().unwrap().iter().map(|s| s["good"].as_u64().unwrap()).sum();
    assert_eq!(counted, EVENTS);
    wait_for(20, "every event in the files", || {
        (tusk_tests::files::lines(&site.tusk.files()).len() as u64 == EVENTS).then_some(())
    });
}

#[test]
fn a_device_is_followed_by_its_id_or_by_a_code_and_only_so_long() {
    let site = Site::start("live-follow");
    let console = site.tusk.console();
    let refused = http::send(
        console,
        "GET",
        "/api/live/stream?follow=u1",
        &[("Authorization", &format!("Bearer {GUEST}"))],
        b"",
    );
    assert_eq!(refused.status, 403, "{}", refused.text());
    let idle = site.control();
    let others = Page::open(console, "?raw=0", BOSS);
    let page = Page::open(console, "?raw=0&follow=dev-u1", BOSS);
    wait_for(5, "ring.ctl to name the device", || (site.control() != idle).then_some(()));
    let kept = wait_for(10, "a followed request kept whole", || {
        site.send(&[event("A", "u1", &json!({}))]);
        let row = page.next("event", SECOND)?;
        (row["raw"] == true).then_some(row)
    });
    assert_eq!(kept["user"], "u1");
    site.send(&[event("B", "u2", &json!({}))]);
    let other = wait_for(5, "the other device's event", || {
        others.next("event", SECOND).filter(|row| row["event"] == "B")
    });
    assert_eq!(other["raw"], false, "nobody follows this one");
    assert!(site.audit().contains("\"action\":\"follow\""));
    drop(page);
    let gone = wait_for(10, "nothing kept after the last watcher went", || {
        site.send(&[event("C", "u1", &json!({}))]);
        let row = others.next("event", SECOND).filter(|row| row["event"] == "C")?;
        (row["raw"] == false).then_some(row)
    });
    assert_eq!(gone["user"], "u1");

    // By the SDK's own code: the app posts its id to the debug address.
    let ask = json!({"scheme": "sa1a2b3c", "project": "default"});
    let (status, pair) = site.ask("POST", "/api/live/pair", BOSS, Some(&ask));
    assert_eq!(status, 200, "{pair}");
    let info_id = pair["info_id"].as_str().unwrap();
    let link = format!("sa1a2b3c://debugmode?info_id={info_id}&project=default");
    assert_eq!(pair["link"], link);
    let path = format!("/api/live/pair/{info_id}");
    assert_eq!(site.ask("GET", &path, GUEST, None).1["device"], Value::Null);
    let greet = |info_id: &str| {
        let target = format!("/debug?project=default&info_id={info_id}");
        let answer = http::post(
            site.nginx.address(),
            &target,
            &[("Content-Type", "text/plain")],
            br#"{"distinct_id":"phone-7"}"#,
        );
        assert_eq!((answer.status, answer.text()), (200, "{}".to_owned()));
    };
    greet("0123456789abcdef"); // nobody waits for this one: nothing is held
    wait_for(10, "the phone that scanned the code", || {
        greet(info_id);
        let (_, paired) = site.ask("GET", &path, GUEST, None);
        (paired["device"] == "phone-7").then_some(())
    });
    let (_, ledger) = (0, site.tusk.command(&["ledger", "--json"]));
    let ledger: Value = serde_json::from_slice(&ledger.stdout).unwrap();
    assert_eq!(ledger["gaps"], json!([]), "{ledger}");
}

#[test]
fn a_recording_tells_what_is_missing_and_a_browser_at_debug_what_to_do() {
    let site = Site::start("live-record");
    let ask = json!({"name": "下单 <b>", "ids": ["dev-u1"], "ordered": true, "expected": [
        {"event": "View", "properties": {"sku": "text"}}, {"event": "Cart"}, {"event": "Pay", "display": "支付"},
    ]});
    assert_eq!(site.ask("POST", "/api/live/recordings", GUEST, Some(&ask)).0, 403);
    let (status, started) = site.ask("POST", "/api/live/recordings", BOSS, Some(&ask));
    assert_eq!(status, 200, "{started}");
    let path = format!("/api/live/recordings/{}", started["id"].as_str().unwrap());
    let recorded = |least: usize| {
        wait_for(10, "events in the recording", || {
            let (_, now) = site.ask("GET", &path, GUEST, None);
            (now["events"].as_array()?.len() >= least).then_some(())
        });
    };
    wait_for(10, "the recording to begin", || {
        site.send(&[event("$AppStart", "u1", &json!({}))]);
        let (_, now) = site.ask("GET", &path, GUEST, None);
        (!now["events"].as_array()?.is_empty()).then_some(())
    });
    site.send(&[event("Cart", "u1", &json!({}))]);
    std::thread::sleep(Duration::from_millis(600)); // event times must differ by more than a double tap's
    site.send(&[event("View", "u1", &json!({})), event("Other", "u2", &json!({}))]);
    wait_for(10, "the view in the recording", || {
        let (_, now) = site.ask("GET", &path, GUEST, None);
        now["events"].as_array()?.iter().any(|one| one["event"] == "View").then_some(())
    });
    recorded(3);
    let (status, done) = site.ask("POST", &format!("{path}/stop"), BOSS, None);
    assert_eq!((status, &done["verdict"]["passed"]), (200, &json!(false)), "{done}");
    assert_eq!(done["verdict"]["missing"][0]["event"], "Pay");
    let events = done["events"].as_array().unwrap();
    assert!(!events.iter().any(|one| one["event"] == "Other"), "another device's");
    let findings = |name: &str| {
        events.iter().find(|one| one["event"] == name).unwrap()["findings"].to_string()
    };
    assert!(
        findings("View").contains("\"property\"") && findings("View").contains("sku"),
        "{done}"
    );
    assert!(findings("View").contains("order") || findings("Cart").contains("order"), "{done}");
    let bearer = format!("Bearer {GUEST}");
    let headers = [("Authorization", &*bearer)];
    let report = http::send(
        site.tusk.console(),
        "GET",
        &format!("{path}/report.html?lang=zh"),
        &headers,
        b"",
    );
    let page = report.text();
    assert!(report.header("content-disposition").unwrap().starts_with("attachment"));
    assert!(
        page.contains("验收报告") && page.contains("缺失") && page.contains("下单 &lt;b&gt;"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains("<b>下单"));
    let (_, list) = site.ask("GET", "/api/live/recordings", GUEST, None);
    assert_eq!((&list[0]["running"], &list[0]["missing"]), (&json!(false), &json!(1)));

    // The debug address: a page for people, and for SDKs what they always got.
    let address = site.nginx.address();
    let phone = [("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)")];
    let page = http::send(address, "GET", "/debug", &phone, b"");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("/sa?project=default"));
    let data = http::escape(base64(event("A", "u1", &json!({})).to_string().as_bytes()).as_bytes());
    let sdk = http::send(address, "GET", &format!("/debug?data={data}"), &phone, b"");
    assert_eq!((sdk.status, sdk.text()), (200, "{}".to_owned()));
    assert_eq!(http::get(address, "/debug").text(), "{}", "no browser");
}
