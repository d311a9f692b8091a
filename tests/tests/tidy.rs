//! House rules as tests, so that a review can talk about design.
// A test has one way to report what it did not expect.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tusk_tests::root;

/// Which of our crates each of our crates may use. See ARCHITECTURE.md.
const DIRECTION: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("shm-ring", &[]),
    ("ngx-module", &["event", "shm-ring"]),
    ("analytics", &[]),
    ("olap", &[]),
    ("console", &["event", "analytics"]),
    ("shipper", &["event", "shm-ring", "analytics", "console"]),
    ("tests", &["event", "shm-ring", "shipper", "olap", "analytics", "console"]),
];

/// Folders that may hold `unsafe`.
const UNSAFE: &[&str] = &["shm-ring/", "ngx-module/", "olap/src/chdb.rs"];

const LINES_MAX: usize = 500;

/// Every file git knows or would add, relative to the root.
fn files() -> Vec<String> {
    let mut git = Command::new("git");
    let listed = git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let out = listed.current_dir(root()).output().unwrap();
    assert!(out.status.success(), "git ls-files: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let found: Vec<String> =
        text.lines().filter(|name| root().join(name).is_file()).map(str::to_owned).collect();
    assert!(found.len() > 50, "only {} files: not a checkout?", found.len());
    found
}

fn read(name: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&fs::read(root().join(name)).unwrap_or_default()).into_owned()
}

fn sources(end: &str) -> Vec<String> {
    files().into_iter().filter(|name| name.ends_with(end)).collect()
}

/// Fails with all findings at once.
#[track_caller]
fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn dependencies_point_one_way() {
    let ours: Vec<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, may) in DIRECTION {
        let manifest = read(format!("{name}/Cargo.toml"));
        assert!(!manifest.is_empty(), "{name} has no Cargo.toml");
        for line in manifest.lines() {
            let Some(used) = ours.iter().find(|other| {
                line.strip_prefix(**other).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
            }) else {
                continue;
            };
            if !may.contains(used) {
                wrong
                    .push(format!("`{name}` may not use `{used}`; see ARCHITECTURE.md, Direction"));
            }
        }
    }
    none("dependency direction", &wrong);
}

#[test]
fn the_event_crate_is_pure() {
    let mut wrong = Vec::new();
    for name in sources(".rs").iter().filter(|name| name.starts_with("event/src/")) {
        if name.ends_with("/tests.rs") || name.contains("/tests/") {
            continue;
        }
        let text = read(name);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for banned in ["SystemTime::now", "Instant::now", "std::fs", "std::net", "std::thread"] {
            if code.lines().any(|l| l.contains(banned) && !l.trim_start().starts_with("//")) {
                wrong.push(format!("{name}: {banned}: time, files and peers come in as arguments"));
            }
        }
    }
    none("event/ has no I/O and no clock", &wrong);
    assert!(read("event/src/lib.rs").contains("forbid(unsafe_code)"));
}

#[test]
fn no_source_file_is_long() {
    let mut long = Vec::new();
    for end in [".rs", ".sh", ".js", ".py", ".java", ".conf"] {
        for name in sources(end) {
            let lines = read(&name).lines().count();
            if lines > LINES_MAX {
                long.push(format!(
                    "{name}: {lines} lines, at most {LINES_MAX}: split it by what it does"
                ));
            }
        }
    }
    none("long files", &long);
}

#[test]
fn unsafe_stands_only_where_allowed_and_says_why() {
    let mut wrong = Vec::new();
    for name in sources(".rs") {
        let text = read(&name);
        let has = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|u| code.contains(u))
        });
        let allowed = UNSAFE.iter().any(|folder| name.starts_with(folder));
        if has && !allowed && name != "tests/tests/tidy.rs" {
            wrong.push(format!("{name}: unsafe outside {UNSAFE:?}"));
        }
        if has && allowed && !text.contains("SAFETY:") && !text.contains("# Safety") {
            wrong.push(format!("{name}: unsafe without a reason"));
        }
    }
    none("unsafe", &wrong);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let macros = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    let mut found = Vec::new();
    for name in files() {
        let data = [".jsonl", ".http", ".lock", ".bin"].iter().any(|end| name.ends_with(end));
        if data || name.contains("golden/") || name.ends_with("package-lock.json") {
            continue;
        }
        for (number, line) in read(&name).lines().enumerate() {
            if words.iter().chain(&macros).any(|word| line.contains(word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("left for later", &found);
}

#[test]
fn no_path_or_host_of_one_machine() {
    let banned = [
        concat!("/wor", "k/"),
        concat!("/ro", "ot/"),
        concat!("/hom", "e/"),
        concat!("registry.npm", "js.org"),
        concat!("pypi", ".org"),
        concat!("repo.maven", ".apache.org"),
        concat!("deb.deb", "ian.org"),
    ];
    let mut found = Vec::new();
    for name in files().iter().filter(|name| !name.contains("golden/")) {
        for (number, line) in read(name).lines().enumerate() {
            if let Some(word) = banned.iter().find(|word| line.contains(*word)) {
                found.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    none("what only one machine has", &found);
}

/// Names that must stand in a documentation page: found in a source by its mark, looked up in the page.
fn documented(what: &str, names: &BTreeSet<String>, pages: &[&str], at_least: usize) {
    assert!(names.len() >= at_least, "only {} {what}s found: {names:?}", names.len());
    let text: String = pages.iter().map(read).collect();
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !has_word(&text, name))
        .map(|name| format!("{what} {name}"))
        .collect();
    none(&format!("not in {pages:?}"), &missing);
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let after = text[at + word.len()..].chars().next();
        !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Words after `mark` in a text, made of letters that names are made of.
fn words_after(text: &str, mark: &str, start: &str) -> BTreeSet<String> {
    let word = |rest: &str| -> String {
        rest.chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
            .collect()
    };
    let found = text.match_indices(mark).map(|(at, _)| word(&text[at + mark.len()..]));
    found.filter(|name| name.starts_with(start) && name.len() > start.len()).collect()
}

fn all_sources(folder: &str) -> String {
    sources(".rs").iter().filter(|name| name.starts_with(folder)).map(read).collect()
}

#[test]
fn every_directive_and_variable_is_documented() {
    let text = all_sources("ngx-module/src/");
    let mut names = words_after(&text, "c\"", "tusk_");
    names.extend(words_after(&text, "\"", "tusk_"));
    // Metrics have a page of their own.
    names.retain(|name| !is_metric(name) && !name.ends_with('_'));
    documented("directive", &names, &["docs/directives.md"], 8);
}

#[test]
fn every_metric_is_documented() {
    let mut names = BTreeSet::new();
    for folder in ["ngx-module/src/", "shm-ring/src/", "shipper/src/"] {
        let text = all_sources(folder);
        names.extend(words_after(&text, "\"", "tusk_").into_iter().filter(|name| is_metric(name)));
    }
    documented("metric", &names, &["docs/operating.md", "docs/directives.md"], 1);
}

fn is_metric(name: &str) -> bool {
    ["_total", "_bytes", "_seconds", "_ratio", "_info", "_count"]
        .iter()
        .any(|end| name.ends_with(end))
}

#[test]
fn every_code_is_documented() {
    let table = read("event/codes.toml");
    let codes: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.trim().strip_prefix("code"))
        .filter_map(|rest| rest.split('"').nth(1).map(str::to_owned))
        .collect();
    documented("code", &codes, &["docs/codes.md"], 40);
}

#[test]
fn every_setting_is_documented() {
    let mut names = BTreeSet::new();
    for name in sources(".rs").iter().filter(|name| name.starts_with("shipper/src/")) {
        let text = read(name);
        // Every `…Config` that refuses unknown names is a table of tusk.toml.
        for (at, _) in text.match_indices("deny_unknown_fields") {
            let rest = &text[at..];
            let Some(open) = rest.find('{').filter(|o| rest[..*o].trim_end().ends_with("Config"))
            else {
                continue;
            };
            let end = rest[open..].find("\n}").map_or(rest.len(), |e| open + e);
            names.extend(
                words_after(&rest[open..end], "pub ", "")
                    .into_iter()
                    .filter(|n| n.len() > 1 && n != "fn"),
            );
        }
    }
    documented("setting", &names, &["docs/configuration.md"], 20);
}

#[test]
fn every_sample_configuration_is_started_by_a_test() {
    let tests: String =
        sources(".rs").iter().filter(|name| name.starts_with("tests/tests/")).map(read).collect();
    let samples: Vec<PathBuf> = sources(".conf")
        .iter()
        .filter(|name| name.starts_with("nginx-conf/"))
        .map(PathBuf::from)
        .collect();
    assert!(samples.len() >= 6, "only {} samples", samples.len());
    let missing: Vec<String> = samples
        .iter()
        .filter(|path| !tests.contains(path.file_name().unwrap().to_str().unwrap()))
        .map(|path| path.display().to_string())
        .collect();
    none("samples that no test names", &missing);
}
