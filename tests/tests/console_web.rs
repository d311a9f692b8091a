//! The console's pages in real Chromium, over real nginx, tusk and the embedded ClickHouse; what they may weigh.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tusk_tests::sdk::node;
use tusk_tests::{Dir, Nginx, Tusk, conf, free_port, libchdb_path, root};

/// Pictures of the last run, for whoever wants to look.
fn pictures() -> PathBuf {
    let folder = tusk_tests::target().join("console-web");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[track_caller]
fn succeeded(what: &str, out: &Output) {
    let text = String::from_utf8_lossy(&out.stdout);
    println!("{text}");
    assert!(out.status.success(), "{what}:\n{text}{}", String::from_utf8_lossy(&out.stderr));
}

/// The built pages; built now if their sources are newer.
fn pages() -> PathBuf {
    let out = Command::new(root().join("scripts/pages.sh")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let folder = root().join("console/web/dist");
    assert!(folder.join("index.html").exists(), "{}", String::from_utf8_lossy(&out.stderr));
    folder
}

#[test]
fn pages_work_in_chromium_and_weigh_little() {
    let web = pages();
    let budget = root().join("console/web/scripts/budget.js");
    succeeded("the budget", &Command::new("node").arg(budget).output().unwrap());

    let dir = Dir::new("console-web");
    let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
    let receive = format!("{}/sa", nginx.base());
    let toml = format!(
        "timezone = \"Asia/Shanghai\"\n[console]\nweb = \"{}\"\nreceive = [\"{receive}\"]\n\
         [olap]\nlisten = \"127.0.0.1:{}\"\nlibrary = \"{}\"\n",
        web.display(),
        free_port(),
        libchdb_path().display()
    );
    let tusk = Tusk::start(&dir, &toml);
    let mut script = node("../web/console.js");
    script.arg(format!("http://{}/", tusk.console())).arg(&receive).arg(pictures());
    let out = script.output().unwrap();
    if !out.status.success() {
        println!("{}", dir.read("tusk.log"));
    }
    succeeded("the pages", &out);
    tusk.stop();
    nginx.quit();
}
