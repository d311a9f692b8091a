//! The whole way with the books beside it: quarantine and its doors, audit, `tusk decode` against what is stored, time zones, shapes.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tusk_tests::conf::{self, Conf};
use tusk_tests::json::Json;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{base64, event};
use tusk_tests::sdk::Stored;
use tusk_tests::{Dir, Nginx, Tusk, files, http, wait_for};

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Sends events as one list and expects 200.
#[track_caller]
fn send(address: SocketAddr, target: &str, events: &[String]) {
    let list = format!("[{}]", events.join(","));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    assert_eq!(http::post(address, target, &[], body.as_bytes()).status, 200);
}

/// Waits until the ledger is closed and has the wanted count at `path`.
#[track_caller]
fn settled(tusk: &Tusk, path: &str, count: u64) -> Ledger {
    wait_for(30, &format!("a closed ledger with {path} = {count}"), || {
        Ledger::read(tusk).filter(|ledger| ledger.settled() && ledger.count(path) == count)
    })
}

fn stored(tusk: &Tusk) -> Vec<Stored> {
    files::lines(&tusk.files()).iter().map(|line| Stored::parse(line)).collect()
}

#[test]
fn one_bad_event_costs_one_event_and_can_be_given_up() {
    let dir = Dir::new("one-bad");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, "");
    let bad = event(1, 1, 10).replace("\"Load\"", "\"1 bad name\"");
    send(nginx.address(), "/sa?project=shop", &[event(1, 0, 10), bad, event(1, 2, 10)]);
    let ledger = settled(&tusk, "/kept", 2);
    assert_eq!(ledger.count("/rejected"), 1);
    assert_eq!(ledger.count("/received"), 3);
    let indexes: Vec<String> = stored(&tusk).iter().map(|one| one.identity().2).collect();
    assert_eq!(indexes, ["0", "2"], "the neighbours keep their places");

    let list = text(&tusk.command(&["quarantine", "list", "--json"]));
    assert!(list.contains("N101"), "{list}");
    let shown = text(&tusk.command(&["quarantine", "show", "--code", "N101", "--json"]));
    assert!(shown.contains("1 bad name"), "the event is kept whole: {shown}");
    let out = tusk.command(&["quarantine", "discard", "--code", "N101"]);
    assert!(out.status.success(), "{}", text(&out));
    let ledger = settled(&tusk, "/quarantine/discarded", 1);
    assert_eq!(ledger.count("/quarantine/open"), 0);
    tusk.stop();
}

#[test]
fn a_refused_token_is_offered_again_once_and_keeps_its_identity() {
    let dir = Dir::new("redrive");
    let tokens = |name: &str, token: &str| {
        let path =
            dir.write(name, format!("[[project]]\nname = \"shop\"\ntokens = [\"{token}\"]\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (edge, old, new) =
        (tokens("edge.toml", "old"), tokens("old.toml", "old"), tokens("new.toml", "new"));
    let conf =
        Conf { location: format!("tusk_project shop; tusk_tokens {edge};"), ..Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let tusk = Tusk::start(&dir, &format!("tokens_file = \"{old}\"\n"));
    send(nginx.address(), "/sa?project=shop&token=old", &[event(1, 0, 10)]);
    send(nginx.address(), "/sa?project=shop&token=new", &[event(2, 0, 10), event(2, 1, 10)]);
    let ledger = settled(&tusk, "/kept", 1);
    assert_eq!(ledger.count("/quarantine/open"), 2);
    tusk.stop();

    // The token was right after all: the shipper learns of it, and the events are offered again.
    let tusk = Tusk::start(&dir, &format!("tokens_file = \"{new}\"\n"));
    let out = tusk.command(&["quarantine", "redrive", "--code", "A002"]);
    assert!(out.status.success(), "{}", text(&out));
    let ledger = settled(&tusk, "/redriven", 2);
    assert_eq!(ledger.count("/quarantine/open"), 0);
    let all = stored(&tusk);
    assert_eq!(all.len(), 3);
    let of = |request: &str| -> Vec<&Stored> {
        all.iter().filter(|one| one.event.number("/properties/request") == Some(request)).collect()
    };
    let (first, again) = (of("1"), of("2"));
    assert_eq!(again.len(), 2);
    let lsn = |one: &Stored| -> u64 { one.identity().1.parse().unwrap() };
    assert_eq!(lsn(again[0]), lsn(again[1]), "one request, one lsn, also after the second offer");
    assert!(lsn(again[0]) > lsn(first[0]));

    // Nothing is open any more, so nothing can be offered twice.
    let _ = tusk.command(&["quarantine", "redrive", "--all"]);
    settled(&tusk, "/redriven", 2);
    assert_eq!(stored(&tusk).len(), 3);
    tusk.stop();
    nginx.quit();
}

#[test]
fn the_audit_finds_what_was_taken_away() {
    let dir = Dir::new("audit");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, "");
    for request in 0..20 {
        send(nginx.address(), "/sa?project=shop", &[event(request, 0, 10), event(request, 1, 10)]);
        if request == 9 {
            settled(&tusk, "/kept", 20);
        }
    }
    settled(&tusk, "/kept", 40);
    let out = tusk.command(&["ledger", "--audit"]);
    assert!(out.status.success(), "nothing is missing: {}", text(&out));
    let all = files::list(&tusk.files());
    assert!(all.len() >= 2, "{all:?}");
    let gone = files::read(&all[0]).len();
    fs::remove_file(&all[0]).unwrap();
    let out = tusk.command(&["ledger", "--audit", "--json"]);
    assert!(!out.status.success(), "a file is gone: {}", text(&out));
    assert!(text(&out).contains(&format!("\"found\":{}", 40 - gone)), "{}", text(&out));
    tusk.stop();
}

#[test]
fn decode_prints_the_bytes_that_are_stored() {
    let dir = Dir::new("decode");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, "");
    let events: Vec<String> = (0..3)
        .map(|index| {
            let with = r#""properties":{"big":9007199254740993,"one":1.0,"e":1E+2,"text":"\u00e9\/\ud83d","#;
            event(7, index, 30).replace("\"properties\":{", with)
        })
        .collect();
    let list = format!("[{}]", events.join(", "));
    let body = format!("data_list={}", http::escape(base64(list.as_bytes()).as_bytes()));
    let request = http::message("POST", "/sa?project=shop", &[], body.as_bytes());
    let mut connection = http::Connection::open(nginx.address()).unwrap();
    connection.write(&request).unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200);
    settled(&tusk, "/kept", 3);

    let mut decode = Command::new(tusk_tests::tusk_path());
    let mut child =
        decode.arg("decode").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&request).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let printed = String::from_utf8(out.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed}");
    for (line, one) in lines.iter().zip(stored(&tusk)) {
        assert_eq!(Json::parse(line).unwrap().text("/verdict"), Some("kept"), "{line}");
        assert!(line.contains(&one.bytes), "stored {}\nprinted {line}", one.bytes);
        assert_eq!(one.event.number("/properties/big"), Some("9007199254740993"));
        assert_eq!(one.event.number("/properties/one"), Some("1.0"));
    }
    tusk.stop();
}

#[test]
fn the_hours_folder_follows_the_zone_of_the_settings_not_of_the_system() {
    // The test process may run anywhere; the folder is the receive time in the named zone.
    let dir = Dir::new("zone");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, "timezone = \"Asia/Shanghai\"\n");
    send(nginx.address(), "/sa?project=shop", &[event(1, 0, 10)]);
    settled(&tusk, "/kept", 1);
    let file = files::list(&tusk.files()).pop().unwrap();
    let recv_ms: i64 = stored(&tusk)[0].server.number("/recv_time").unwrap().parse().unwrap();
    let out = Command::new("date")
        .env("TZ", "Asia/Shanghai")
        .args(["-d", &format!("@{}", recv_ms / 1000), "+dt=%Y-%m-%d/hour=%H"])
        .output()
        .unwrap();
    let expected = format!("project=shop/{}", text(&out).trim());
    let relative = file.strip_prefix(tusk.files()).unwrap();
    assert_eq!(relative.parent(), Some(Path::new(&expected)), "{}", file.display());
    tusk.stop();
}

#[test]
fn each_shape_stores_the_same_event_in_its_own_form() {
    for (shape, compression) in [("server", "zstd"), ("flat", "gzip"), ("bare", "none")] {
        let dir = Dir::new(shape);
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let sink = format!(
            "[sink.file]\nshape = \"{shape}\"\ncompression = \"{compression}\"\nrange_age_ms_max = 300\n"
        );
        let tusk = Tusk::start(&dir, &sink);
        let sent = event(1, 0, 10);
        send(nginx.address(), "/sa?project=shop", std::slice::from_ref(&sent));
        settled(&tusk, "/kept", 1);
        let lines = files::lines(&tusk.files());
        assert_eq!(lines.len(), 1);
        let line = Json::parse(&lines[0]).unwrap();
        match shape {
            "bare" => assert_eq!(lines[0], sent),
            "flat" => {
                assert_eq!(line.text("/project"), Some("shop"), "{}", lines[0]);
                assert_eq!(line.text("/ip"), Some("127.0.0.1"), "{}", lines[0]);
                assert!(line.number("/recv_time").is_some() && line.number("/_lsn").is_some());
            }
            _ => assert_eq!(Stored::parse(&lines[0]).bytes, sent),
        }
        assert_eq!(line.number("/properties/request"), Some("1"));
        tusk.stop();
    }
}
