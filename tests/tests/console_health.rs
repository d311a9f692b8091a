//! Data health in the console: counts that are exact whatever dies, quarantine's doors, the dictionary, an uploaded list, alerts.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tusk_tests::conf::{self, Conf};
use tusk_tests::http::{Answer, Connection};
use tusk_tests::json::Json;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::base64;
use tusk_tests::{Dir, Nginx, Tusk, http, wait_for};

/// Programs of both roles; no sleep of a second look is needed with them.
const TOKENS: &str = r#"
[[console.token]]
name = "desk"
role = "manage"
secret = "manage-0123456789abcdef"
[[console.token]]
name = "wall"
role = "view"
secret = "view-0123456789abcdef"
"#;
const MANAGE: &str = "Bearer manage-0123456789abcdef";
const VIEW: &str = "Bearer view-0123456789abcdef";

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// An event of an app.
fn event(name: &str, lib: &str, app: &str, properties: &str) -> String {
    format!(
        r#"{{"type":"track","event":"{name}","distinct_id":"13800138000","time":{time},"lib":{{"$lib":"{lib}","$lib_version":"4.5.0","$app_version":"{app}"}},"properties":{{{properties}}}}}"#,
        time = now_ms(),
    )
}

/// Sends events as one list and expects 200.
#[track_caller]
fn send(nginx: &Nginx, target: &str, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    assert_eq!(http::post(nginx.address(), target, &[], body.as_bytes()).status, 200);
}

/// Asks the console.
fn ask(tusk: &Tusk, who: &str, method: &str, target: &str, body: &[u8]) -> Answer {
    let headers = [("authorization", who), ("content-type", "application/json")];
    Connection::open(tusk.console()).unwrap().request(method, target, &headers, body).unwrap()
}

#[track_caller]
fn get(tusk: &Tusk, target: &str) -> Json {
    let answer = ask(tusk, MANAGE, "GET", target, b"");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    Json::parse(&answer.text()).unwrap()
}

#[track_caller]
fn act(tusk: &Tusk, method: &str, target: &str, body: &[u8]) -> Json {
    let answer = ask(tusk, MANAGE, method, target, body);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    Json::parse(&answer.text()).unwrap()
}

fn rows(answer: &Json, path: &str) -> Vec<Json> {
    match answer.at(path) {
        Some(Json::List(rows)) => rows.clone(),
        other => panic!("no rows at {path}: {other:?}"),
    }
}

fn count(row: &Json, path: &str) -> u64 {
    row.number(path).unwrap_or_else(|| panic!("no {path} in {row:?}")).parse().unwrap()
}

/// `lib app received kept problems rejected` of each line of an event.
fn verdicts(tusk: &Tusk, event: &str) -> Vec<String> {
    let answer = get(tusk, "/api/health/events?project=shop&by=event,lib,app_version");
    let lines = rows(&answer, "/rows");
    let mut lines: Vec<String> = lines
        .iter()
        .filter(|row| row.text("/event") == Some(event))
        .map(|row| {
            let n = |name: &str| count(row, &format!("/today/{name}"));
            let (lib, app) = (row.text("/lib").unwrap(), row.text("/app_version").unwrap());
            let sums = [n("received"), n("kept"), n("problems"), n("rejected")];
            assert_eq!(sums[0], sums[1] + sums[2] + sums[3]);
            format!("{lib} {app} {sums:?}")
        })
        .collect();
    lines.sort();
    lines
}

/// Waits until so many events were decided.
#[track_caller]
fn decided(tusk: &Tusk, events: u64) {
    wait_for(30, &format!("{events} events in the ledger"), || {
        Ledger::read(tusk).filter(|ledger| ledger.count("/received") == events)
    });
    // What a page gets is at most a second old.
    wait_for(10, &format!("{events} events in data health"), || {
        let answer = get(tusk, "/api/health/events?project=shop");
        let other = get(tusk, "/api/health/events?project=_none");
        let sum = count(&answer, "/week/received") + count(&other, "/week/received");
        (sum == events).then_some(())
    });
}

#[test]
fn counts_are_exact_over_kills_and_rejected_events_come_back() {
    let dir = Dir::new("health-counts");
    let tokens = |name: &str, token: &str| {
        let text = format!("[[project]]\nname = \"shop\"\ntokens = [\"{token}\"]\n");
        let path = dir.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        format!("tokens_file = \"{}\"\n{TOKENS}", path.display())
    };
    let (old, new) = (tokens("old.toml", "old"), tokens("new.toml", "new"));
    let edge = dir.join("old.toml").display().to_string();
    let conf =
        Conf { location: format!("tusk_project shop; tusk_tokens {edge};"), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let mut tusk = Tusk::start(&dir, &old);
    let sa = "/sa?project=shop&token=old";
    let mut sent = 0;
    // An old release without trouble, on two platforms.
    for _ in 0..5 {
        send(
            &nginx,
            sa,
            &[
                event("Buy", "Android", "6.1.9", "\"price\":1"),
                event("Buy", "iOS", "6.1.9", "\"price\":2"),
            ],
        );
        sent += 2;
    }
    decided(&tusk, sent);
    // Killed between requests, three times; each life goes on where the last one was.
    for life in 0..3 {
        tusk.kill();
        let bad = event("Buy", "iOS", "6.2.0", "\"price\":\"12.5\",\"order-id\":\"x\"");
        send(&nginx, sa, &[bad, event("1 bad name", "iOS", "6.2.0", "")]);
        sent += 2;
        tusk = Tusk::start(&dir, &old);
        if life == 1 {
            decided(&tusk, sent);
        }
    }
    decided(&tusk, sent);
    assert_eq!(
        verdicts(&tusk, "Buy"),
        ["Android 6.1.9 [5, 5, 0, 0]", "iOS 6.1.9 [5, 5, 0, 0]", "iOS 6.2.0 [3, 0, 3, 0]"]
    );
    assert_eq!(verdicts(&tusk, "1 bad name"), ["iOS 6.2.0 [3, 0, 0, 3]"]);

    // The code came with the release, and says where.
    let codes = rows(&get(&tusk, "/api/health/codes?project=shop"), "/rows");
    let line = codes.iter().find(|row| row.text("/code") == Some("P201")).unwrap();
    assert_eq!(line.text("/new_in"), Some("6.2.0"));
    assert_eq!(
        (line.text("/place"), line.text("/lib")),
        (Some("/properties/order-id"), Some("iOS"))
    );
    assert_eq!((count(line, "/week"), count(line, "/of")), (3, 8));
    assert!(line.text("/about/zh/fix").is_some_and(|text| !text.is_empty()));
    // A sample of it, out of the journal.
    let at = format!("lsn={}&index={}", count(line, "/sample/0"), count(line, "/sample/1"));
    let shown = get(&tusk, &format!("/api/health/event?{at}"));
    assert!(shown.text("/json").unwrap().contains("order-id"));
    assert_eq!(shown.text("/user"), Some("13800138000"));
    let masked = ask(&tusk, VIEW, "GET", &format!("/api/health/event?{at}"), b"").text();
    assert!(masked.contains("138****8000") && !masked.contains("13800138000"), "{masked}");
    let types = rows(&get(&tusk, "/api/health/types?project=shop"), "/rows");
    assert_eq!(types.len(), 1);
    let on: Vec<String> = rows(&types[0], "/platforms")
        .iter()
        .map(|on| {
            format!(
                "{} {} {}",
                on.text("/lib").unwrap(),
                on.text("/kind").unwrap(),
                count(on, "/count")
            )
        })
        .collect();
    assert_eq!(types[0].text("/property"), Some("price"));
    assert_eq!(on, ["Android number 5", "iOS text 3", "iOS number 5"]);

    // Names for people; a picker finds both languages, and hostile names are text in the table.
    let name = r#"{"project":"shop","what":"event","name":"Buy","zh":"=购买","en":"Purchase"}"#;
    assert_eq!(ask(&tusk, VIEW, "PUT", "/api/dictionary/names", name.as_bytes()).status, 403);
    act(&tusk, "PUT", "/api/dictionary/names", name.as_bytes());
    for typed in ["%E8%B4%AD%E4%B9%B0", "purch", "buy"] {
        let found = get(&tusk, &format!("/api/dictionary/events?project=shop&q={typed}"));
        assert_eq!(found.text("/items/0/name"), Some("Buy"), "{typed}");
        assert_eq!(count(&found, "/items/0/count"), 13);
    }
    let found = get(&tusk, "/api/dictionary/properties?project=shop&event=Buy&q=price");
    assert_eq!(
        (found.text("/items/0/kind"), found.text("/items/0/type")),
        (Some("num"), Some("number"))
    );
    let csv = ask(&tusk, VIEW, "GET", "/api/dictionary/export.csv?project=shop", b"").text();
    assert!(csv.contains("事件,Buy,'=购买,Purchase"), "{csv}");
    let fill = get(&tusk, "/api/dictionary/event?project=shop&event=Buy");
    assert_eq!(rows(&fill, "/seen_on").len(), 3);

    // A token that is right after all: rejected events are offered again, by those who may.
    send(
        &nginx,
        "/sa?project=shop&token=new",
        &[event("Late", "iOS", "6.2.0", ""), event("Late", "iOS", "6.2.0", "")],
    );
    wait_for(20, "the refused events in quarantine", || {
        let groups = get(&tusk, "/api/health/quarantine?code=A002");
        rows(&groups, "/rows").first().filter(|group| count(group, "/open") == 2).map(|_| ())
    });
    tusk.stop();
    let tusk = Tusk::start(&dir, &new);
    let which = br#"{"code":"A002"}"#;
    let refused = ask(&tusk, VIEW, "POST", "/api/health/quarantine/redrive", which);
    assert_eq!(refused.status, 403, "{}", refused.text());
    let report = act(&tusk, "POST", "/api/health/quarantine/redrive", which);
    assert_eq!(count(&report, "/events"), 2);
    wait_for(20, "the re-driven events in data health", || {
        let answer = get(&tusk, "/api/health/events?project=shop&by=event");
        let lines = rows(&answer, "/rows");
        let late = lines.iter().find(|row| row.text("/event") == Some("Late")).cloned();
        late.filter(|late| count(late, "/today/redriven") == 2).map(|late| {
            assert_eq!(count(&late, "/today/kept"), 0, "received once, and rejected then");
        })
    });
    assert_eq!(ask(&tusk, MANAGE, "POST", "/api/health/quarantine/discard", b"{}").status, 400);
    let gone = act(&tusk, "POST", "/api/health/quarantine/discard", br#"{"code":"N101"}"#);
    assert_eq!(count(&gone, "/discarded"), 3);
    let flow = get(&tusk, "/api/health/flow");
    assert_eq!(rows(&flow, "/ledger/gaps"), Vec::<Json>::new());
    assert_eq!(count(&flow, "/ledger/quarantine/discarded"), 3);
    tusk.stop();
}

#[test]
fn an_uploaded_list_is_compared_with_what_came() {
    let dir = Dir::new("health-expected");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, TOKENS);
    let good = "\"order_id\":\"o1\",\"price\":1.5";
    send(
        &nginx,
        "/sa?project=shop",
        &[
            event("PayOrder", "Android", "6.2.0", good),
            event("PayOrder", "iOS", "6.2.0", "\"order_id\":\"o2\",\"price\":\"1.5\""),
            event("PayOrder", "iOS", "6.2.0", good),
            event("ViewItem", "Android", "6.2.0", ""),
            event("ViewItem", "Android", "6.2.0", "\"item_id\":\"i\""),
            event("Viewltem", "Android", "6.2.0", "\"item_id\":\"i\""),
            event("$AppStart", "Android", "6.2.0", ""),
        ],
    );
    decided(&tusk, 7);
    // As a spreadsheet program writes it, with merged cells.
    let book = include_bytes!("console_health/expected.xlsx");
    let target = "/api/expected?project=shop&file=plan.xlsx";
    assert_eq!(ask(&tusk, VIEW, "POST", target, book).status, 403);
    let read = act(&tusk, "POST", target, book);
    assert_eq!((count(&read, "/events"), count(&read, "/properties")), (2, 4));
    let got = get(&tusk, "/api/expected/coverage?project=shop");
    let mut cells = Vec::new();
    for line in rows(&got, "/coverage/lines") {
        for cell in rows(&line, "/cells") {
            let text = |path: &str| cell.text(path).unwrap_or_default().to_owned();
            cells.push(format!(
                "{} {} {}",
                line.text("/event").unwrap(),
                text("/lib"),
                text("/state")
            ));
        }
    }
    let want = [
        "PayOrder Android ok",
        "PayOrder iOS wrong_type",
        "PayOrder js absent",
        "ViewItem Android missing",
    ];
    assert_eq!(cells, want);
    let wrong = "/coverage/lines/0/cells/1/wrong/0";
    assert_eq!(got.text(&format!("{wrong}/property")), Some("price"));
    assert_eq!(got.text(&format!("{wrong}/got")), Some("text"));
    let missing = "/coverage/lines/1/cells/0";
    assert_eq!(got.text(&format!("{missing}/missing/0/property")), Some("item_id"));
    assert_eq!(got.number(&format!("{missing}/missing/0/count")), Some("1"));
    assert_eq!(got.number(&format!("{missing}/looked_into")), Some("2"));
    let unexpected = rows(&got, "/coverage/unexpected");
    assert_eq!(unexpected.len(), 1, "presets of the SDK are no surprise");
    assert_eq!(unexpected[0].text("/event"), Some("Viewltem"));
    // A table that cannot be read says where.
    let bad = ask(&tusk, MANAGE, "POST", target, "事件名,属性名,类型\nA,x,花".as_bytes());
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("第 2 行"), "{}", bad.text());
    let bomb = vec![b','; 5 << 20];
    assert_eq!(ask(&tusk, MANAGE, "POST", target, &bomb).status, 413);
    tusk.stop();
}

/// A robot on this machine: refuses the first messages, then takes all. What it took comes through the channel.
fn robot(refuse: usize) -> (SocketAddr, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = if nth < refuse { "500 Busy" } else { "200 OK" };
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let taken =
                nth >= refuse && sender.send((head, String::from_utf8(body).unwrap())).is_err();
            if taken {
                return;
            }
        }
    });
    (address, receiver)
}

#[test]
fn a_robot_is_told_once_that_it_began_and_once_that_it_is_over() {
    let dir = Dir::new("health-alerts");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let mut tusk = Tusk::start(&dir, TOKENS);
    let (address, messages) = robot(2);
    let settings = format!(
        r#"{{"rules":{{"rejected":{{"on":true,"percent":10,"minutes":30,"events_min":10}},"absent":{{"on":false}},"lag":{{"on":false}}}},"robots":[{{"name":"r","kind":"generic","url":"http://{address}/hook-4711","secret":"s3cret","on":true}}],"lang":"zh","quiet_s":1,"pause_s":1}}"#
    );
    assert_eq!(ask(&tusk, VIEW, "PUT", "/api/alerts", settings.as_bytes()).status, 403);
    act(&tusk, "PUT", "/api/alerts", settings.as_bytes());
    let shown = ask(&tusk, VIEW, "GET", "/api/alerts", b"").text();
    assert!(!shown.contains("hook") && !shown.contains("s3cret"), "secrets are not shown: {shown}");
    // Distinct ids are placeholders: rejected, under a good name.
    let bad = event("Buy", "iOS", "6.2.0", "").replace("13800138000", "undefined");
    send(&nginx, "/sa?project=shop", &vec![bad; 12]);
    let told = || messages.recv_timeout(Duration::from_secs(30)).expect("a message");
    let (head, body) = told();
    assert!(head.contains("x-tusk-signature: sha256="), "{head}");
    let first = Json::parse(&body).unwrap();
    assert_eq!(rows(&first, "/alerts").len(), 1);
    assert_eq!(first.text("/alerts/0/key"), Some("rejected|shop|Buy"));
    assert_eq!(first.text("/alerts/0/state"), Some("firing"));
    assert!(first.text("/alerts/0/zh").unwrap().contains("100.0%（12/12 条）"), "{body}");
    // Told, and written down: a kill in between would tell once more, which is better than never. A restart tells nothing again.
    wait_for(10, "the book of alerts to be written", || {
        dir.read("data/console/alerts-book.json").contains("at_ms").then_some(())
    });
    tusk.kill();
    tusk = Tusk::start(&dir, TOKENS);
    wait_for(20, "the trouble on the page", || {
        let shown = get(&tusk, "/api/alerts");
        (rows(&shown, "/firing").len() == 1).then_some(())
    });
    let good: Vec<String> = (0..200).map(|_| event("Buy", "iOS", "6.2.0", "")).collect();
    send(&nginx, "/sa?project=shop", &good);
    let (_, body) = told();
    let last = Json::parse(&body).unwrap();
    assert_eq!(last.text("/alerts/0/state"), Some("resolved"), "{body}");
    assert_eq!(last.text("/alerts/0/key"), Some("rejected|shop|Buy"));
    assert!(messages.try_recv().is_err(), "two messages in all");
    tusk.stop();
}
