//! `make install`: into a folder, and for real beside Debian's nginx (in a mount namespace, so the machine stays as it was).
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn make(arguments: &[&str]) -> Output {
    Command::new("make").current_dir(root()).arg("PROFILE=debug").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_folder_install_is_complete_and_keeps_the_operators_files() {
    let dest = tusk_tests::Dir::new("install");
    let destdir = format!("DESTDIR={}", dest.path().display());
    let at = |path: &str| dest.path().join(path.trim_start_matches('/'));
    let files = [
        ("/usr/lib/nginx/modules/ngx_http_tusk_module.so", 0o644),
        ("/usr/share/nginx/modules-available/mod-http-tusk.conf", 0o644),
        ("/usr/local/bin/tusk", 0o755),
        ("/lib/systemd/system/tusk.service", 0o644),
        ("/etc/tusk/tusk.toml", 0o644),
        ("/etc/tusk/keys.toml", 0o640),
        ("/etc/tusk/tokens.toml", 0o640),
        ("/usr/local/share/doc/tusk/nginx-conf/production.conf", 0o644),
    ];

    let first = make(&["install", &destdir]);
    assert!(first.status.success(), "{}", text(&first));
    for (path, mode) in files {
        let found = std::fs::metadata(at(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(found.permissions().mode() & 0o777, mode, "{path}");
    }
    let data = std::fs::metadata(at("/var/lib/tusk")).unwrap();
    assert_eq!(data.permissions().mode() & 0o777, 0o750);
    assert!(!at("/etc/nginx/modules-enabled").exists(), "install enables nothing");
    let unit = std::fs::read_to_string(at("/lib/systemd/system/tusk.service")).unwrap();
    assert!(
        unit.contains("ExecStart=/usr/local/bin/tusk run") && !unit.contains("@PREFIX@"),
        "{unit}"
    );

    std::fs::write(at("/etc/tusk/tusk.toml"), "lang = \"zh\"\n").unwrap();
    let second = make(&["install", &destdir]);
    assert!(second.status.success(), "{}", text(&second));
    assert_eq!(std::fs::read_to_string(at("/etc/tusk/tusk.toml")).unwrap(), "lang = \"zh\"\n");
    assert!(
        at("/etc/tusk/tusk.toml.new").exists(),
        "the new sample goes beside the operator's file"
    );

    let gone = make(&["uninstall", &destdir]);
    assert!(gone.status.success(), "{}", text(&gone));
    for (path, _) in files.into_iter().filter(|(path, _)| !path.starts_with("/etc")) {
        assert!(!at(path).exists(), "{path} is still there");
    }
    assert!(at("/etc/tusk/tusk.toml").exists() && at("/var/lib/tusk").exists());
}

/// Real paths, Debian's nginx as root with workers as www-data, the shipper as its own user: one event must come out.
const FOR_REAL: &str = include_str!("install_for_real.sh");

#[test]
fn a_real_install_collects_with_debians_nginx() {
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-euo", "pipefail", "-c", FOR_REAL])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("one event collected"), "{}", text(&output));
}
