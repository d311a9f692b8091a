//! Turns `codes.toml` into the enum [`Code`] and its table, so that a code stands in one place only.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a wrong table must stop the build")]
use std::{env, fmt::Write as _, fs, path::Path};

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    code: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    severity: String,
    limit: Option<String>,
    zh: String,
    zh_do: String,
    zh_did: Option<String>,
    en: String,
    en_do: String,
    en_did: Option<String>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    inner: bool,
}

fn main() {
    println!("cargo::rerun-if-changed=codes.toml");
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read_to_string("codes.toml").expect("event/codes.toml is readable");
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("codes.toml: {error}"));
    for pair in file.code.windows(2) {
        assert!(pair[0].code < pair[1].code, "codes.toml: {} is not in order", pair[1].code);
    }
    let mut out = String::from(
        "/// A stable code for what is wrong with an event or a request; its row stands in `codes.toml`.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n#[repr(u8)]\npub enum Code {\n",
    );
    for row in &file.code {
        writeln!(out, "    /// {}.\n    {},", row.en.replace('[', "\\["), row.code).unwrap();
    }
    out.push_str("}\n\n/// Every code with its row, in order.\npub static CODES: &[Row] = &[\n");
    for row in &file.code {
        let severity = match row.severity.as_str() {
            "reject" => "Reject",
            "drop" => "Drop",
            "warn" => "Warn",
            other => panic!("codes.toml: {}: unknown severity `{other}`", row.code),
        };
        assert!(
            row.code.len() == 4
                && row.code.starts_with(|c: char| c.is_ascii_uppercase())
                && row.code[1..].chars().all(|c| c.is_ascii_digit()),
            "codes.toml: `{}` is not one letter and three digits",
            row.code
        );
        let did = |own: &Option<String>, zh: bool| {
            own.clone().unwrap_or_else(|| {
                match (severity, zh) {
                    ("Reject", true) => "整条已进隔离区，改好后可重放",
                    ("Reject", false) => "kept whole in quarantine; can be re-driven",
                    ("Drop", true) => "已丢弃该属性，事件其余部分正常入库",
                    ("Drop", false) => "left this property out, stored the rest of the event",
                    (_, true) => "已入库并标记",
                    (_, false) => "stored and marked",
                }
                .to_owned()
            })
        };
        let (zh_did, en_did) = (did(&row.zh_did, true), did(&row.en_did, false));
        writeln!(
            out,
            "    Row {{ code: Code::{0}, name: {0:?}, severity: Severity::{severity}, limit: {1:?}, \
             private: {2}, inner: {3}, zh: Words {{ wrong: {4:?}, fix: {5:?}, did: {zh_did:?} }}, \
             en: Words {{ wrong: {6:?}, fix: {7:?}, did: {en_did:?} }} }},",
            row.code, row.limit, row.private, row.inner, row.zh, row.zh_do, row.en, row.en_do
        )
        .unwrap();
    }
    out.push_str("];\n");
    let path = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("codes.rs");
    fs::write(path, out).expect("OUT_DIR is writable");
}
