//! What counts once over crashes and resends, in the table and in what the views made of it.

use super::{Books, audited, delivered, event, send, settings, settled};
use std::fs;
use std::path::Path;
use tusk_tests::conf;
use tusk_tests::ledger::Ledger;
use tusk_tests::load::{Load, Outcome, Plan};
use tusk_tests::random::Random;
use tusk_tests::servers::olap::Olap;
use tusk_tests::{Dir, Nginx, Tusk, wait_for};

/// Events, identities, and what both roll-ups counted.
fn counts(olap: &Olap) -> String {
    olap.query(
        "SELECT (SELECT count() FROM tusk.events), (SELECT uniqExact(lsn, idx) FROM tusk.events), \
         (SELECT sum(events) FROM tusk.by_minute), (SELECT sum(events) FROM tusk.by_hour)",
    )
}

/// Size of each of the two places a state file has.
const PLACE_BYTES: usize = 16 << 10;

/// The sink's state as saved last, (name, value) a line.
fn state(data: &Path) -> Vec<(String, String)> {
    let bytes = fs::read(data.join("state/clickhouse.state")).unwrap();
    let places = bytes.chunks(PLACE_BYTES).map(|place| {
        let text = String::from_utf8_lossy(place).into_owned();
        let lines = text.trim_end_matches('\0').lines().filter_map(|line| line.split_once(' '));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    });
    let number = |lines: &Vec<(String, String)>| value(lines, "number").parse::<u64>().unwrap_or(0);
    places.filter(|lines| !lines.is_empty()).max_by_key(number).unwrap()
}

fn value<'l>(lines: &'l [(String, String)], name: &str) -> &'l str {
    lines.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// Rewrites the sink's state as a process that died in the middle might have left it.
fn edit(data: &Path, new: impl Fn(&str, &str) -> String) {
    let lines = state(data);
    let mut text: String = lines
        .iter()
        .filter(|(name, _)| name != "crc")
        .map(|(name, old)| format!("{name} {}\n", new(name, old)))
        .collect();
    text += &format!("crc {:08x}\n", crc32c::crc32c(text.as_bytes()));
    fs::write(data.join("state/clickhouse.state"), text).unwrap();
}

/// Takes the sink back to the moment before the first answer was heard: its first range, everything so far, is pending.
fn forget(data: &Path) {
    let lines = state(data);
    edit(data, |name, old| match name {
        "tusk" | "number" | "node" | "target" => old.to_owned(),
        "pending" => format!("0 {}", value(&lines, "done")),
        _ => "0".to_owned(),
    });
}

#[test]
fn a_range_sent_again_changes_nothing() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-again");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = settings(&olap, "");
    let tusk = Tusk::start(&dir, &toml);
    let list: Vec<String> = (0..50).map(|n| event("Buy", &format!("u{n}"), "", "")).collect();
    send(nginx.address(), &list);
    assert_eq!(settled(&tusk, 50), delivered(50));
    tusk.stop();
    for round in 0..3 {
        forget(&dir.join("data"));
        if round == 2 {
            // A server that was killed may remember a token whose rows never came to the view.
            olap.query("TRUNCATE TABLE tusk.by_minute");
        }
        let tusk = Tusk::start(&dir, &toml);
        assert_eq!(settled(&tusk, 50), delivered(50));
        assert_eq!(counts(&olap), "50\t50\t50\t50");
        tusk.stop();
    }
}

#[test]
fn what_is_missing_is_put_in_and_the_days_counts_are_made_anew() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-missing");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    // After a second nobody trusts a token any more.
    let toml = settings(&olap, "resend_s_max = 1");
    let tusk = Tusk::start(&dir, &toml);
    let mut list: Vec<String> = (0..30).map(|n| event("Buy", &format!("u{n}"), "", "")).collect();
    let profile = r#"{"type":"profile_set","distinct_id":"u1","properties":{"a":1,"b":"x"}}"#;
    list.push(profile.to_owned());
    list.push(r#"{"type":"item_delete","item_type":"sku","item_id":"s1"}"#.to_owned());
    send(nginx.address(), &list);
    assert_eq!(settled(&tusk, 32), delivered(32));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    tusk.stop();
    // The table lost some rows and one view all of them; the other view has too many.
    olap.query("DELETE FROM tusk.events WHERE idx % 7 = 3");
    olap.query("TRUNCATE TABLE tusk.by_minute");
    olap.query("INSERT INTO tusk.by_hour SELECT * FROM tusk.by_hour");
    olap.query("TRUNCATE TABLE tusk.items");
    assert_eq!(counts(&olap), "26\t26\t0\t60");
    forget(&dir.join("data"));
    let tusk = Tusk::start(&dir, &toml);
    assert_eq!(settled(&tusk, 32), delivered(32));
    assert_eq!(counts(&olap), "30\t30\t30\t30");
    assert_eq!(olap.query("SELECT count() FROM tusk.profile_ops"), "2");
    assert_eq!(olap.query("SELECT count() FROM tusk.items"), "1");
    audited(&tusk, 32);
    tusk.stop();
}

#[test]
fn a_row_the_server_refuses_goes_to_quarantine_and_its_neighbours_are_stored() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-poison");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = settings(&olap, "");
    let tusk = Tusk::start(&dir, &toml);
    send(nginx.address(), &[event("First", "u1", "", "")]);
    settled(&tusk, 1);
    olap.query("ALTER TABLE tusk.events ADD CONSTRAINT no_poison CHECK event != 'Poison'");
    let name = |n: usize| if n == 3 || n == 17 { "Poison" } else { "Buy" };
    let list: Vec<String> = (0..40).map(|n| event(name(n), &format!("u{n}"), "", "")).collect();
    send(nginx.address(), &list);
    let books = Books { delivered: 39, deduplicated: 0, refused: 2 };
    assert_eq!(settled(&tusk, 41), books);
    assert_eq!(counts(&olap), "39\t39\t39\t39");
    let list = super::text(&tusk.command(&[
        "quarantine",
        "show",
        "--code",
        "refused:clickhouse",
        "--json",
    ]));
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains("no_poison"), "the server's reason is kept: {list}");
    tusk.stop();
    // After a crash in the middle the same halves go under the same tokens.
    let plan = fs::read_to_string(dir.join("data/state/clickhouse.plan")).unwrap();
    let range = plan.lines().find_map(|line| line.strip_prefix("range ")).unwrap();
    let range: Vec<&str> = range.split(' ').collect();
    edit(&dir.join("data"), |name, old| match name {
        "done" => range[0].to_owned(),
        "pending" => format!("{} {}", range[0], range[1]),
        "kept" | "delivered" => "1".to_owned(),
        "refused" => "0".to_owned(),
        _ => old.to_owned(),
    });
    let tusk = Tusk::start(&dir, &toml);
    assert_eq!(settled(&tusk, 41), Books { delivered: 39, deduplicated: 0, refused: 2 });
    assert_eq!(counts(&olap), "39\t39\t39\t39");
    tusk.stop();
}

#[test]
fn kills_of_shipper_and_engine_lose_nothing_and_count_nothing_twice() {
    let mut olap = Olap::start();
    let dir = Dir::new("clickhouse-kill");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = settings(&olap, "");
    let mut tusk = Tusk::start(&dir, &toml);
    let load = Load::start(nginx.address(), Plan { connections: 4, rate: 400, seed: 11 });
    let mut random = Random::new(11);
    for round in 0..10 {
        load.wait_accepted(40 + random.below(120));
        if round % 2 == 0 {
            tusk.kill();
            tusk = Tusk::start(&dir, &toml);
        } else {
            olap.kill();
            load.wait_accepted(random.below(60));
            olap.restart();
        }
    }
    let log = load.finish();
    let sent = |wanted: Outcome| -> u64 {
        log.values().filter(|sent| sent.outcome == wanted).map(|sent| u64::from(sent.events)).sum()
    };
    let kept = wait_for(60, "everything to be stored", || {
        let ledger = Ledger::read(&tusk).filter(Ledger::settled)?;
        Some(ledger.count("/kept"))
    });
    assert_eq!(settled(&tusk, kept), delivered(kept));
    let accepted = sent(Outcome::Accepted);
    assert!(
        accepted <= kept && kept <= accepted + sent(Outcome::Unanswered),
        "{kept} of {accepted}"
    );
    assert_eq!(counts(&olap), format!("{kept}\t{kept}\t{kept}\t{kept}"));
    let places = "SELECT uniqExact(num['request'], num['index']) FROM tusk.events";
    assert_eq!(olap.query(places), kept.to_string());
    audited(&tusk, kept);
    tusk.stop();
    // How often a token was not enough.
    let repairs = dir.read("tusk.log").matches("asking what is missing").count();
    println!("kept {kept}, asked what is missing {repairs} times");
}

#[test]
fn what_an_audit_finds_missing_is_replayed() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-replay");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&olap, ""));
    for user in ["u1", "u2", "u3"] {
        let list: Vec<String> = (0..10).map(|_| event("Buy", user, "", "")).collect();
        send(nginx.address(), &list);
    }
    assert_eq!(settled(&tusk, 30), delivered(30));
    olap.query("DELETE FROM tusk.events WHERE idx = 4 OR distinct_id = 'u2'");
    olap.query("TRUNCATE TABLE tusk.by_hour");
    let audit = super::text(&tusk.command(&["ledger", "--audit"]));
    assert!(audit.contains("18 found"), "{audit}");
    let out = tusk.command(&["replay", "clickhouse", "--missing"]);
    assert!(out.status.success(), "{}", super::text(&out));
    assert_eq!(counts(&olap), "30\t30\t30\t30");
    audited(&tusk, 30);
    assert_eq!(settled(&tusk, 30), delivered(30));
    tusk.stop();
}
