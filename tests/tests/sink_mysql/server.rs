//! A server that is late, wrong, small, frozen or encrypted.

use tusk_tests::load::event;
use tusk_tests::servers::mariadb::{Mariadb, PASSWORD};
use tusk_tests::{Dir, Nginx, Tusk, conf, files, http, wait_for};

use super::{complaint, passed, send, sum, text};

#[test]
fn a_server_that_comes_late_or_refuses_us_is_waited_for_and_named() {
    let mut server = Mariadb::prepare(&[]);
    let dir = Dir::new("mysql-late");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &server.toml(""));
    send(nginx.address(), &[event(1, 0, 10)]);
    let line = complaint(&tusk);
    assert!(line.contains("cannot reach it") && line.contains("check host, port"), "{line}");
    // Others do not wait.
    wait_for(20, "the file", || (files::lines(&tusk.files()).len() == 1).then_some(()));
    server.restart();
    server.wait_ready();
    passed(&tusk, 1);
    tusk.stop();

    // Each wrong setting in one line that says what to change, and no password in it.
    server.query("CREATE TABLE other (a INT) ENGINE=InnoDB; CREATE TABLE newer_schema (version INT); INSERT INTO newer_schema VALUES (99)");
    let wrong = [
        ("password = \"wrong s3cret\"\n", "refuses user `tusk` with this password"),
        ("database = \"nowhere\"\n", "CREATE DATABASE `nowhere`"),
        ("table = \"other\"\n", "`other` has no column node, lsn"),
        ("table = \"newer\"\n", "is of version 99, this tusk writes version 1"),
    ];
    let mut sent = 1;
    for (line, expected) in wrong {
        let toml = server.toml(line);
        // A changed target under an old name would be refused: each its own folder.
        let dir = Dir::new("mysql-wrong");
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let tusk = Tusk::start(&dir, &toml);
        sent += 1;
        send(nginx.address(), &[event(sent, 0, 10)]);
        let said = complaint(&tusk);
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert!(!dir.read("tusk.log").contains("s3cret"));
        // It would drain until its limit.
        tusk.kill();
    }
    // A constraint of the values, before anything is opened.
    let dir = Dir::new("mysql-bad");
    dir.write("tusk.toml", "[sink.mysql]\nenabled = true\nsample = 1.5\n");
    let out = std::process::Command::new(tusk_tests::tusk_path())
        .arg("check")
        .arg("--config")
        .arg(dir.join("tusk.toml"))
        .output()
        .unwrap();
    assert!(text(&out).contains("tusk.toml:3:") && text(&out).contains("0 to 1"), "{}", text(&out));
}

#[test]
fn statements_stay_below_what_the_server_takes_and_an_event_above_is_refused_alone() {
    let server = Mariadb::start_with(&["--max-allowed-packet=16M"]);
    let dir = Dir::new("mysql-large");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    // One transaction of everything, and no limit of ours: only the server's is left.
    let toml = server.toml(
        "range_bytes_max = 268435456\nrange_age_ms_max = 3000\nstatement_bytes_max = 1073741824\n",
    );
    let tusk = Tusk::start(&dir, &toml);
    // 30 × 1 MB is 60 MB of rows; 9 MB fits without its parsed form.
    for request in 0..30 {
        send(nginx.address(), &[event(request, 0, 1_000_000)]);
    }
    let send_plain = |request: u64, bytes: u64| {
        let body = format!("data_list=[{}]", http::escape(event(request, 0, bytes).as_bytes()));
        assert_eq!(
            http::post(nginx.address(), "/sa?project=shop", &[], body.as_bytes()).status,
            200
        );
    };
    send_plain(30, 1_600_000);
    passed(&tusk, 31);
    assert_eq!(server.count("SELECT COUNT(*) FROM tusk_events WHERE LENGTH(raw) > 1000000"), 31);
    // A smaller server: now one row fits without its parsed form, one does not fit at all.
    server.query("SET GLOBAL max_allowed_packet = 2097152");
    tusk.stop();
    let tusk = Tusk::start(&dir, &toml);
    send_plain(40, 1_300_000);
    send_plain(41, 2_200_000);
    send_plain(42, 10);
    let books = passed(&tusk, 34);
    assert_eq!((sum(&books, "delivered"), sum(&books, "refused")), (33, 1));
    let small = server.query("SELECT user, json IS NULL FROM tusk_events WHERE user IN ('user_40','user_41','user_42') ORDER BY user");
    assert_eq!(small, [["user_40", "1"], ["user_42", "0"]]);
    let shown = text(&tusk.command(&["quarantine", "show", "--code", "refused:mysql"]));
    assert!(shown.contains("max_allowed_packet"), "{}", shown.get(..2000).unwrap_or(&shown));
    tusk.stop();
}

#[test]
fn a_frozen_server_holds_up_nobody_and_a_given_up_connection_is_ended() {
    let mut server = Mariadb::start();
    let dir = Dir::new("mysql-frozen");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let tusk = Tusk::start(&dir, &server.toml("timeout_ms = 300\nconnect_timeout_ms = 300\n"));
    send(nginx.address(), &[event(0, 0, 10)]);
    passed(&tusk, 1);
    server.pause();
    for request in 1..20 {
        send(nginx.address(), &[event(request, 0, 10)]);
    }
    let line = complaint(&tusk);
    assert!(line.contains("within 300 ms"), "{line}");
    wait_for(20, "the file sink", || (files::lines(&tusk.files()).len() == 20).then_some(()));
    server.cont();
    passed(&tusk, 20);
    assert_eq!(server.count("SELECT COUNT(*) FROM tusk_events"), 20);
    wait_for(20, "one connection of ours", || {
        let sql = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'tusk'";
        (server.count(sql) == 1).then_some(())
    });
    tusk.stop();
}

#[test]
fn an_encrypted_connection_checks_who_is_there() {
    let server = Mariadb::start_with(&[
        "--ssl-ca={dir}/tls/ca.pem",
        "--ssl-cert={dir}/tls/server.pem",
        "--ssl-key={dir}/tls/server.key",
    ]);
    server.query("ALTER USER 'tusk'@'%' REQUIRE SSL");
    let ca = server.ca_file().display().to_string();
    let tries = [
        ("tls = \"off\"\n".to_owned(), Some("refuses user `tusk`")),
        ("tls = \"verified\"\n".to_owned(), Some("no encrypted connection")),
        ("tls = \"required\"\n".to_owned(), None),
        (format!("tls = \"verified\"\ntls_ca_file = \"{ca}\"\n"), None),
    ];
    for (number, (line, expected)) in (0..).zip(tries) {
        let dir = Dir::new("mysql-tls");
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let tusk = Tusk::start(&dir, &server.toml(&line));
        send(nginx.address(), &[event(number, 0, 10)]);
        match expected {
            Some(expected) => {
                let said = complaint(&tusk);
                assert!(said.contains(expected) && !said.contains(PASSWORD), "{said}");
            }
            None => _ = passed(&tusk, 1),
        }
        tusk.kill();
    }
}
