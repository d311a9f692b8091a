//! Wrong settings, wrong server, wrong schema: one line that says what to change, nothing lost, other sinks untouched.

use super::{delivered, event, send, settings, settled, text};
use tusk_tests::conf;
use tusk_tests::ledger::Ledger;
use tusk_tests::servers::olap::Olap;
use tusk_tests::{Dir, Nginx, Tusk, free_port, wait_for};

/// What `tusk check` says of the sink.
#[track_caller]
fn check(tusk: &Tusk) -> String {
    let out = text(&tusk.command(&["check", "--json"]));
    assert!(out.contains("clickhouse"), "{out}");
    out
}

/// Waits until `tusk check` says so of the sink.
#[track_caller]
fn says(tusk: &Tusk, what: &str) {
    wait_for(30, what, || check(tusk).contains(what).then_some(()));
}

/// Waits until the files have it, and the sink waits.
#[track_caller]
fn files_have(tusk: &Tusk, kept: u64) {
    wait_for(30, "the file sink to have everything", || {
        Ledger::read(tusk).filter(|ledger| ledger.settled() && ledger.count("/kept") == kept)
    });
}

#[test]
fn a_server_that_is_down_at_the_start_gets_everything_later() {
    let mut olap = Olap::start();
    let dir = Dir::new("clickhouse-down");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = settings(&olap, "");
    olap.stop();
    let tusk = Tusk::start(&dir, &toml);
    send(nginx.address(), &[event("Early", "u1", "", "")]);
    files_have(&tusk, 1);
    says(&tusk, "cannot reach ClickHouse at http://127.0.0.1:");
    olap.restart();
    assert_eq!(settled(&tusk, 1), delivered(1));
    assert_eq!(olap.query("SELECT count() FROM tusk.events"), "1");
    // Frozen: no answer, no hang of anybody else.
    olap.pause();
    send(nginx.address(), &[event("Frozen", "u1", "", "")]);
    files_have(&tusk, 2);
    olap.resume();
    assert_eq!(settled(&tusk, 2), delivered(2));
    assert_eq!(olap.query("SELECT count() FROM tusk.events"), "2");
    assert_eq!(olap.query("SELECT sum(events) FROM tusk.by_hour"), "2");
    tusk.stop();
}

#[test]
fn a_wrong_password_a_wrong_host_and_a_strange_server_are_told_apart() {
    let olap = Olap::start();
    let url = olap.url();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for (url, said) in [
        (Some(&url), "refuses user default or the password; check `user` and `password`"),
        (Some(&nobody), "cannot reach ClickHouse at "),
        (None, "does not answer as ClickHouse does"),
    ] {
        let dir = Dir::new("clickhouse-wrong");
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        // nginx itself is the strange one.
        let url = url.map_or_else(|| format!("http://{}", nginx.address()), String::clone);
        let toml = format!(
            "[sink.clickhouse]\nenabled = true\nurl = \"{url}\"\npassword = \"hunter2\"\nrange_age_ms_max = 200\n"
        );
        let tusk = Tusk::start(&dir, &toml);
        send(nginx.address(), &[event("Buy", "u1", "", "")]);
        files_have(&tusk, 1);
        says(&tusk, said);
        assert!(!check(&tusk).contains("hunter2"));
        assert!(!tusk.metrics().contains("hunter2"));
        tusk.kill();
        assert!(!dir.read("tusk.log").contains("hunter2"));
    }
}

#[test]
fn a_schema_that_is_missing_or_of_another_version_is_named() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-schema");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = settings(&olap, "").replace("migrate_at_start = true\n", "");
    let tusk = Tusk::start(&dir, &toml);
    send(nginx.address(), &[event("Early", "u1", "", "")]);
    files_have(&tusk, 1);
    says(&tusk, "run `tusk migrate`");
    let list = text(&tusk.command(&["migrate", "--list"]));
    assert!(list.contains("4 rollups"), "{list}");
    let would = text(&tusk.command(&["migrate", "--dry-run"]));
    assert!(would.contains("CREATE TABLE IF NOT EXISTS tusk.events"), "{would}");
    assert!(!would.contains(&olap.key()), "{would}");
    assert_eq!(olap.query("SELECT count() FROM system.databases WHERE name = 'tusk'"), "0");
    let out = tusk.command(&["migrate"]);
    assert!(out.status.success(), "{}", text(&out));
    assert_eq!(settled(&tusk, 1), delivered(1));
    let again = tusk.command(&["migrate"]);
    assert!(again.status.success(), "{}", text(&again));
    tusk.stop();

    olap.query("INSERT INTO tusk.schema_migrations (version, name) VALUES (99, 'later')");
    let tusk = Tusk::start(&dir, &toml);
    send(nginx.address(), &[event("Later", "u1", "", "")]);
    files_have(&tusk, 2);
    says(&tusk, "a newer tusk migrated it; upgrade this one too");
    let refused = tusk.command(&["migrate"]);
    assert!(!refused.status.success(), "{}", text(&refused));
    olap.query("DELETE FROM tusk.schema_migrations WHERE version = 99");
    assert_eq!(settled(&tusk, 2), delivered(2));
    tusk.stop();
}

#[test]
fn the_type_of_a_property_outlives_a_restart() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-types");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let toml = settings(&olap, "type_conflict = \"quarantine\"");
    let tusk = Tusk::start(&dir, &toml);
    send(nginx.address(), &[event("Buy", "u1", r#""price":12.5"#, "")]);
    settled(&tusk, 1);
    tusk.kill();
    let tusk = Tusk::start(&dir, &toml);
    let text_price = event("Buy", "u1", r#""price":"7.5""#, "");
    send(nginx.address(), &[text_price, event("Buy", "u1", r#""price":"free""#, "")]);
    let books = super::Books { delivered: 2, deduplicated: 0, refused: 1 };
    assert_eq!(settled(&tusk, 3), books);
    assert_eq!(olap.query("SELECT sum(num['price']) FROM tusk.events"), "20");
    let shown =
        text(&tusk.command(&["quarantine", "show", "--code", "refused:clickhouse", "--json"]));
    assert!(shown.contains("property price is text here and cannot become a number"), "{shown}");
    tusk.stop();
}

#[test]
fn days_older_than_they_are_kept_go_as_partitions() {
    let olap = Olap::start();
    let dir = Dir::new("clickhouse-keep");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &settings(&olap, "keep_days = 30"));
    let now = super::now_ms();
    let old = format!(
        r#"{{"distinct_id":"u1","event":"Old","type":"track","time":{},"properties":{{}}}}"#,
        now - 20 * 86_400_000
    );
    send(nginx.address(), &[old, event("New", "u1", "", "")]);
    settled(&tusk, 2);
    tusk.stop();
    let tusk = Tusk::start(&dir, &settings(&olap, "keep_days = 10"));
    send(nginx.address(), &[event("New", "u1", "", "")]);
    wait_for(30, "the old day to go", || {
        let there = "SELECT countIf(event = 'Old'), countIf(event = 'New') FROM tusk.events";
        (olap.query(there) == "0\t2").then_some(())
    });
    wait_for(30, "its counts to go", || {
        (olap.query("SELECT sum(events) FROM tusk.by_hour") == "2").then_some(())
    });
    tusk.stop();
}
