//! Directives: what is right, what is refused and in which words, and that `nginx -t` touches nothing.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tusk_tests::conf::{self, Conf};
use tusk_tests::{Dir, Nginx};

/// A whole configuration with these lines in http and in a location of their own.
fn text(dir: &Dir, http: &str, server: &str) -> String {
    let path = dir.path().display();
    let mut temporary = String::new();
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        temporary += &format!("{name}_temp_path {path}/temp-{name};\n");
    }
    format!(
        "{head}pid {path}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         client_max_body_size 0;\n{http}\nserver {{ listen unix:{path}/socket;\n{server}\n}} }}\n",
        head = conf::head()
    )
}

/// `nginx -t`: whether it passed, and what it said.
fn check(dir: &Dir, http: &str, server: &str) -> (bool, String) {
    let out = Nginx::check(dir, &text(dir, http, server));
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

const RING: &str = "tusk_ring ring size=64m;";

#[test]
fn every_directive_is_taken_where_it_belongs() {
    let dir = Dir::new("conf-good");
    secret(&dir, "tokens.toml", "[[project]]\nname = \"shop\"\ntokens = [\"t1\"]\n");
    secret(
        &dir,
        "keys.toml",
        "[[key]]\nkey_id = 7\ntype = \"AES\"\nkey = \"AAECAwQFBgcICQoLDA0ODw==\"\n",
    );
    let everywhere = "tusk on; tusk_project shop; tusk_tokens tokens.toml; tusk_keys keys.toml; tusk_max_body 1m;
        tusk_max_inflated 4m; tusk_max_events 500; tusk_max_record 4m; tusk_rejected_rate 1m; tusk_key_rate 50;
        tusk_verdict always; tusk_debug on;";
    let http = "tusk_ring ring size=128m ack=journal; tusk_ack_timeout 3s; tusk_ack_waiters 10;";
    let pages = "location /m { tusk_metrics; } location /h { tusk_health; }";
    for (http, server) in [
        (format!("{http} {everywhere}"), pages.to_owned()),
        (http.to_owned(), format!("{everywhere} {pages}")),
        (http.to_owned(), format!("location / {{ {everywhere} }} {pages}")),
        ("tusk_ring ring;".to_owned(), "location / { tusk on; }".to_owned()),
        (
            "tusk_ring ring ack=ring size=64m;".to_owned(),
            "location / { tusk off; return 204; }".to_owned(),
        ),
        // Without a collecting location no ring is needed.
        (String::new(), "location / { tusk off; }".to_owned()),
        // A condition may answer; so may a location inside one that collects.
        (RING.to_owned(), "location / { if ($arg_x) { return 403; } tusk on; }".to_owned()),
        (
            RING.to_owned(),
            "tusk on; location /x { return 204; } location /y { empty_gif; }".to_owned(),
        ),
    ] {
        let (passed, said) = check(&dir, &http, &server);
        assert!(passed, "{http}\n{server}\n{said}");
    }
}

fn secret(dir: &Dir, name: &str, content: &str) {
    let path = dir.write(name, content);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn what_is_wrong_is_refused_by_name_and_place() {
    let dir = Dir::new("conf-bad");
    dir.write("open.toml", "[[project]]\nname = \"a\"\n");
    secret(&dir, "typo.toml", "[[project]]\nnam = \"a\"\n");
    secret(&dir, "badkey.toml", "[[key]]\nkey_id = 7\ntype = \"AES\"\nkey = \"c2hvcnQ=\"\n");
    dir.write("file", "");
    let on = "location / { tusk on; }";
    for (http, server, wants) in [
        // Two directives that answer the same request.
        (RING, "location /a { tusk on; return 200; }", &["tusk on", "return", "check.conf:"][..]),
        (RING, "location /a { return 200 x; tusk on; }", &["tusk on", "return"]),
        (RING, "location /a { if ($arg_x) { return 403; } tusk on; return 204; }", &["return"]),
        (RING, "tusk on; return 301 /x;", &["tusk on", "return"]),
        (RING, "location /a { tusk on; empty_gif; }", &["tusk on", "empty_gif", "check.conf:"]),
        (
            RING,
            "location /a { tusk on; proxy_pass http://127.0.0.1:9; }",
            &["tusk on", "proxy_pass"],
        ),
        (RING, "location /a { tusk on; tusk_metrics; }", &["tusk on", "tusk_metrics"]),
        (RING, "location /a { empty_gif; tusk_metrics; }", &["tusk_metrics", "another directive"]),
        // The ring.
        ("", on, &["needs a ring", "tusk_ring PATH"]),
        ("tusk_ring ring size=1m;", on, &["tusk_ring", "size=1m", "64m"]),
        ("tusk_ring ring size=x;", on, &["tusk_ring", "size=x"]),
        ("tusk_ring ring ack=disk;", on, &["ack=disk", "ack=journal"]),
        ("tusk_ring ring siz=64m;", on, &["siz=64m", "size=SIZE"]),
        ("tusk_ring no/such/ring size=64m;", on, &["folder it is in does not exist"]),
        ("tusk_ring file size=64m;", on, &["is a file"]),
        ("tusk_ring ring size=64m; tusk_ring ring size=64m;", on, &["duplicate"]),
        (RING, "tusk_ring ring;", &["tusk_ring", "not allowed here"]),
        (RING, "tusk_ack_timeout 1s;", &["tusk_ack_timeout", "not allowed here"]),
        (RING, "tusk_metrics;", &["tusk_metrics", "not allowed here"]),
        ("tusk_ring ring; tusk_ack_timeout soon;", on, &["tusk_ack_timeout"]),
        // Values.
        (RING, "location / { tusk maybe; }", &["maybe"]),
        (RING, "location / { tusk on; tusk on; }", &["duplicate"]),
        (RING, "location / { tusk on; tusk_project a/b; }", &["tusk_project", "a/b"]),
        (RING, "location / { tusk on; tusk_project a; tusk_project b; }", &["duplicate"]),
        (RING, "location / { tusk on; tusk_max_events 0; }", &["tusk_max_events", "10000"]),
        (RING, "location / { tusk on; tusk_max_events 10001; }", &["tusk_max_events", "10000"]),
        (RING, "location / { tusk on; tusk_max_record 9m; }", &["tusk_max_record", "eighth"]),
        (RING, "location / { tusk on; tusk_max_record 1k; }", &["tusk_max_record", "128k"]),
        (RING, "location / { tusk on; tusk_verdict sometimes; }", &["sometimes"]),
        // Files with secrets.
        (RING, "location / { tusk on; tusk_tokens none.toml; }", &["tusk_tokens", "none.toml"]),
        (RING, "location / { tusk on; tusk_tokens open.toml; }", &["open.toml", "chmod"]),
        (RING, "location / { tusk on; tusk_tokens typo.toml; }", &["typo.toml", "nam"]),
        (RING, "location / { tusk on; tusk_keys badkey.toml; }", &["badkey.toml", "key_id = 7"]),
    ] {
        let (passed, said) = check(&dir, http, server);
        assert!(!passed, "passed: {http}\n{server}\n{said}");
        for want in wants {
            assert!(said.contains(want), "no {want:?} for {http}\n{server}\n{said}");
        }
    }
    let (_, said) = check(&dir, RING, "location / { tusk on; tusk_keys badkey.toml; }");
    assert!(!said.contains("c2hvcnQ="), "a key is shown: {said}");
}

#[test]
fn a_limit_that_answers_413_is_warned_about() {
    let dir = Dir::new("conf-limit");
    let (passed, said) = check(&dir, RING, "location / { client_max_body_size 1m; tusk on; }");
    assert!(passed && said.contains("client_max_body_size") && said.contains("413"), "{said}");
    let (_, said) = check(&dir, RING, "location / { client_max_body_size 8m; tusk on; }");
    assert!(!said.contains("413"), "{said}");
    let (_, said) =
        check(&dir, RING, "location / { client_max_body_size 1m; tusk_max_body 1m; tusk on; }");
    assert!(!said.contains("413"), "{said}");
}

#[test]
fn a_test_of_the_configuration_touches_nothing() {
    let dir = Dir::new("conf-test");
    let (passed, said) = check(&dir, RING, "location / { tusk on; }");
    assert!(passed, "{said}");
    assert!(!dir.join("ring").exists());
    // Beside a running nginx with another size: its ring stays as it is.
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let files = |dir: &Dir| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir.ring())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = files(&dir);
    let other = Conf { ring: "size=128m".into(), ..Conf::default() };
    let out = Nginx::check(&dir, &other.text(&dir, nginx.address().port()));
    assert!(out.status.success());
    assert_eq!(files(&dir), before);
}

#[test]
fn a_reload_with_an_error_keeps_the_old_configuration_serving() {
    let dir = Dir::new("conf-reload");
    let nginx = Nginx::start(&dir, |port| Conf::default().text(&dir, port));
    let workers = nginx.workers();
    let wrong = Conf { location: "tusk_max_events 0;".into(), ..Conf::default() };
    dir.write("nginx.conf", wrong.text(&dir, nginx.address().port()));
    tusk_tests::signal(nginx.master(), tusk_tests::Signal::HUP);
    tusk_tests::wait_for(20, "the reload's error in the log", || {
        dir.read("error.log").contains("tusk_max_events").then_some(())
    });
    assert_eq!(nginx.workers(), workers);
    assert_eq!(tusk_tests::http::get(nginx.address(), "/sa?data=").status, 200);
}

#[test]
fn a_ring_that_cannot_be_made_does_not_stop_nginx() {
    let dir = Dir::new("conf-noring");
    // The generation's file cannot be made: its folder is one that nothing can be created in.
    let conf = |port| {
        Conf {
            server: "location /h { tusk_health; } location /other { return 204; }".into(),
            ..Conf::default()
        }
        .text(&dir, port)
        .replace(&dir.ring().display().to_string(), "/proc/tusk-ring")
    };
    let nginx = Nginx::start(&dir, conf);
    let address = nginx.address();
    assert_eq!(tusk_tests::http::get(address, "/other").status, 204);
    let answer = tusk_tests::http::get(address, "/sa?data=e30=");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let health = tusk_tests::http::get(address, "/h");
    assert_eq!((health.status, health.text().as_str()), (503, "ring\n"));
    assert!(dir.read("error.log").contains("[alert]"));
}
