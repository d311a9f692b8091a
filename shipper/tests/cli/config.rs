//! How `tusk.toml` is refused and accepted.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Dir, run, stderr, stdout, tusk};

#[test]
fn an_error_names_file_line_and_what_may_stand_there() {
    let dir = Dir::new();
    for (text, want) in [
        (
            "data = \"d\"\nlog.levle = \"info\"\n",
            "tusk: bad.toml:2:5: unknown field `levle`, expected `level` or `format`\n\
             2 | log.levle = \"info\"\n  |     ^^^^^\n",
        ),
        (
            "[quarantine]\nkeep_days = \"30\"\n",
            "tusk: bad.toml:2:13: invalid type: string \"30\", expected u32\n\
             2 | keep_days = \"30\"\n  |             ^^^^\n",
        ),
        (
            "stop_timeout_s = 0\n",
            "tusk: bad.toml:1: stop_timeout_s: use 1 to 3600\n1 | stop_timeout_s = 0\n",
        ),
        (
            "keys_file = \"missing.toml\"\n",
            "tusk: bad.toml:1: keys_file: cannot use missing.toml: No such file or directory (os error 2)\n\
             1 | keys_file = \"missing.toml\"\n",
        ),
    ] {
        dir.write("bad.toml", text);
        for verb in ["run", "check"] {
            let output = run(tusk(&dir).args([verb, "--config", "bad.toml"]), b"");
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(stderr(&output), want, "{verb}");
            assert_eq!(stdout(&output), "");
        }
    }
    // Whoever only asks need not be able to read the daemon's keys.
    let output = run(tusk(&dir).args(["tail", "--config", "bad.toml"]), b"");
    assert!(stderr(&output).contains("no tusk is running"), "{}", stderr(&output));
    let made: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(made.len(), 1, "nothing is opened or made before the configuration is good");
}

#[test]
fn keys_that_others_can_read_are_refused_and_never_shown() {
    let dir = Dir::new();
    let keys = dir.write(
        "keys.toml",
        "[[key]]\nkey_id = 1\ntype = \"AES\"\nkey = \"c2VjcmV0c2VjcmV0c2VjcmU=\"\n",
    );
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    dir.write("tusk.toml", "keys_file = \"keys.toml\"\n");
    let output = run(tusk(&dir).args(["check", "--config", "tusk.toml"]), b"");
    assert!(stderr(&output).contains("chmod o= keys.toml"), "{}", stderr(&output));
    dir.write(
        "keys.toml",
        "[[key]]\nkey_id = 1\ntype = \"AES\"\nkee = \"c2VjcmV0c2VjcmV0c2VjcmU=\"\n",
    );
    let output = run(tusk(&dir).args(["check", "--config", "tusk.toml"]), b"");
    let text = stderr(&output);
    assert!(text.contains("keys.toml: line 4: unknown field `kee`"), "{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn a_file_in_the_folder_is_found_and_named() {
    let dir = Dir::new();
    dir.write("tusk.toml", "data = \"here\"\nlang = \"zh\"\nlisten = \"127.0.0.1:0\"\njournal.bytes_max = 1073741824\n");
    let output = run(tusk(&dir).arg("check"), b"");
    let text = stdout(&output);
    if !std::path::Path::new("/etc/tusk/tusk.toml").exists() {
        assert!(text.contains("./tusk.toml 有效"), "{text}");
        assert!(text.contains("here 还没有，启动时会建立"), "{text}");
        assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    }
}

#[test]
fn check_shows_sizes_and_hours_and_fails_when_the_disk_is_too_small() {
    let dir = Dir::new();
    let check = |toml: &str, arguments: &[&str]| {
        dir.write("tusk.toml", &format!("data = \"d\"\nlisten = \"127.0.0.1:0\"\n{toml}"));
        run(tusk(&dir).args(["check", "--config", "tusk.toml"]).args(arguments), b"")
    };
    let output = check("journal.bytes_max = 1073741824\n", &[]);
    let text = stdout(&output);
    assert!(text.contains("the journal's cap is 1.0 GiB"), "{text}");
    assert!(text.contains("100/s 2 h · 1,000/s 17 min · 10,000/s 1 min"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    // Every place with its bound, every target asked.
    for part in [
        "✓ target     file: d/files, ",
        "d/journal: 0 B, at most 1.0 GiB (journal.bytes_max)",
        "d/quarantine: 0 B, at most 1.0 GiB (quarantine.bytes_max)",
        "(sink.file.bytes_max)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = check("journal.bytes_max = 1000000000000000000\n", &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let bad: Vec<_> = findings.as_array().unwrap().iter().filter(|f| f["mark"] == "bad").collect();
    assert_eq!(bad.len(), 1, "{findings}");
    assert!(bad[0]["text"].as_str().unwrap().contains("lower journal.bytes_max"), "{findings}");
    let output = check("sink.file.enabled = false\n", &[]);
    assert!(stderr(&output).contains("at least one sink"), "{}", stderr(&output));
}

#[test]
fn asking_a_daemon_that_is_not_there_says_how_to_start_it() {
    let dir = Dir::new();
    for arguments in [&["tail"][..], &["ledger"], &["quarantine", "list"]] {
        let output = run(tusk(&dir).args(arguments).args(["--data", "nowhere"]), b"");
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert!(text.contains("no tusk is running") && text.contains("tusk run"), "{text}");
    }
    let output = run(tusk(&dir).args(["quarantine", "discard", "--data", "nowhere"]), b"");
    assert!(stderr(&output).contains("or --all"), "{}", stderr(&output));
}

#[test]
fn the_installed_sample_is_valid() {
    let dir = Dir::new();
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/tusk.toml");
    let text = std::fs::read_to_string(sample).unwrap();
    dir.write("tusk.toml", &text);
    let output = run(tusk(&dir).args(["check", "--config", "tusk.toml", "--data", "d"]), b"");
    assert!(stdout(&output).contains("tusk.toml is valid"), "{}", stderr(&output));
    // What is commented out must be valid too.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    let all = all.replace("/etc/tusk/", "");
    dir.write("keys.toml", "");
    dir.write("tokens.toml", "");
    dir.write("tusk.toml", &all);
    let output = run(tusk(&dir).args(["check", "--config", "tusk.toml", "--data", "d"]), b"");
    assert!(stdout(&output).contains("tusk.toml is valid"), "{}", stderr(&output));
}
