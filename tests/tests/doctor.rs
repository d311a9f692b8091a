//! `tusk doctor`: one event through the real URL, hop by hop.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use tusk_tests::{Dir, Nginx, Tusk, conf, files, free_port};

fn doctor(tusk: &Tusk, url: &str, more: &[&str]) -> (bool, String) {
    let mut arguments = vec!["--lang", "en", "doctor", url];
    arguments.extend(more);
    let out = tusk.command(&arguments);
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}

#[test]
fn each_hop_is_reported_and_what_is_wrong_is_named() {
    let dir = Dir::new("doctor");
    let nowhere = "location = /nowhere { return 404; }".into();
    let conf = conf::Conf { server: nowhere, ..conf::Conf::default() };
    let nginx = Nginx::start(&dir, |port| conf.text(&dir, port));
    let tusk = Tusk::start(&dir, "[sink.file]\nrange_age_ms_max = 300\ncompression = \"none\"\n");
    let url = format!("http://{}/sa?project=shop", nginx.address());
    let (well, text) = doctor(&tusk, &url, &[]);
    assert!(well, "{text}");
    for hop in ["nginx", "journal", "verdict", "file"] {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(hop));
        assert!(line.is_some_and(|line| line.contains('✓')), "{hop}: {text}");
    }
    let stored = files::lines(&tusk.files());
    assert!(stored.len() == 1 && stored[0].contains("TuskDoctor"), "{stored:?}");
    // A range that stays open is no illness.
    let (_, json) = doctor(&tusk, &url, &["--json", "--timeout", "0s"]);
    assert!(json.contains(r#""hop":"file","state":"waits""#), "{json}");
    // A location that does not collect.
    let (well, text) = doctor(&tusk, &format!("http://{}/nowhere", nginx.address()), &[]);
    assert!(!well && text.contains("does not collect"), "{text}");
    // Nobody listens.
    let (well, text) = doctor(&tusk, &format!("http://127.0.0.1:{}/sa", free_port()), &[]);
    assert!(!well && text.contains("is nginx running"), "{text}");
    tusk.stop();
}
