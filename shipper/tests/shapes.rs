//! The three shapes: golden files, and a property that holds for any event.
//! `UPDATE_GOLDEN=1 cargo test -p shipper --test shapes` writes the golden files anew; read the diff.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::entry;
use event::record::{Builder, CodeRef, Entry, Record, Verdict, flag as entry_flag, meta};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use shipper::disk::double::Rng;
use shipper::facts::{Fact, flag};
use shipper::fill::Fill;
use shipper::range::EventView;
use shipper::shape::Shape;
use shipper::shape::encode::Encoder;
use std::collections::BTreeSet;
use std::path::Path;

const NODE: &str = "web-1-0000abcd";

/// An own code twice, and one of the request.
const EVERYTHING: [(u32, [u8; 4]); 3] =
    [(0, *b"P201"), (CodeRef::REQUEST, *b"E110"), (0, *b"P201")];

struct Case {
    name: &'static str,
    json: String,
    entry: fn(&mut Entry),
    fact: fn(&mut Fact),
    codes: &'static [(u32, [u8; 4])],
}

fn cases() -> Vec<Case> {
    let plain = |_: &mut Entry| ();
    let fact = |_: &mut Fact| ();
    vec![
        Case {
            name: "plain",
            json: r#"{"distinct_id":"u1","event":"Buy","type":"track","time":1,"properties":{"price":12.50}}"#.into(),
            entry: plain,
            fact,
            codes: &[],
        },
        Case {
            name: "everything",
            json: r#"{"distinct_id":"u1","event":"Buy","type":"track","time":1,"_track_id":7,"properties":{"order-id":1}}"#.into(),
            entry: |e| e.verdict = Verdict::Problems,
            fact: |f| {
                f.flags |= flag::CORRECTED | flag::DUPLICATE;
                f.session = 0x2a;
            },
            codes: &EVERYTHING,
        },
        Case {
            name: "own-names-and-ip",
            json: r#"{"ip":"1.1.1.1", "event":"Buy","\u0075ser_agent":"forged","project":"mine","recv_time":1,"properties":{"$ip":"9.9.9.9"} ,"_lsn":3}"#.into(),
            entry: |e| e.project = common::span(br#"{"ip":"1.1.1.1", "event":"Buy","\u0075ser_agent":"forged","project":"mine""#, "mine"),
            fact,
            codes: &[],
        },
        Case {
            name: "server-sdk",
            json: r#"{"event":"Paid","type":"track","lib":{"$lib":"Java"},"properties":{}}"#.into(),
            entry: |e| e.flags = entry_flag::SERVER_SDK,
            fact,
            codes: &[],
        },
        Case {
            name: "profile",
            json: "{ \"type\" : \"profile_set\" ,\n \"properties\" : { \"name\" : \"王小明\" } }".into(),
            entry: |e| e.kind = 5,
            fact,
            codes: &[],
        },
        Case { name: "empty", json: "{}".into(), entry: plain, fact, codes: &[] },
    ]
}

fn encode(case: &Case, shape: Shape) -> String {
    let json = case.json.as_bytes();
    let mut b = Builder::default();
    b.meta(meta::PROJECT, b"shop", 64);
    b.meta(meta::IP, b"203.0.113.9", 64);
    b.meta(meta::USER_AGENT, b"A \"quoted\" agent\x01\xff", 1024);
    b.bytes().extend_from_slice(json);
    let mut entry = entry(json, 0, "", "");
    (case.entry)(&mut entry);
    b.entry(&entry);
    for (index, code) in case.codes {
        b.code(CodeRef { index: *index, code: *code, pointer: b"", detail: b"" });
    }
    let payload = b.payload(&[]);
    let record = Record::parse(&payload).unwrap();
    let codes: Vec<CodeRef<'_>> = record.codes().collect();
    let own: Vec<CodeRef<'_>> =
        codes.iter().copied().filter(|code| code.index != CodeRef::REQUEST).collect();
    let of_request: Vec<CodeRef<'_>> =
        codes.iter().copied().filter(|code| code.index == CodeRef::REQUEST).collect();
    let mut fact = Fact {
        lsn: 4096,
        index: 3,
        count: 4,
        flags: flag::KEPT,
        time_ms: 1_795_537_800_123,
        recv_ms: 1_795_537_801_000,
        ..Fact::default()
    };
    (case.fact)(&mut fact);
    let (read, json) = record.event(0).unwrap();
    let view = EventView {
        lsn: fact.lsn,
        index: fact.index,
        recv_ms: fact.recv_ms,
        fact: &fact,
        entry: &read,
        json,
        record: &record,
        codes: &own,
        request_codes: &of_request,
    };
    let mut out = Vec::new();
    Encoder::new(shape, NODE, Fill::default()).encode(&view, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn each_shape_has_its_golden_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (shape, folder) in [(Shape::Server, "server"), (Shape::Flat, "flat"), (Shape::Bare, "bare")]
    {
        let folder = root.join(folder);
        for case in cases() {
            let got = encode(&case, shape) + "\n";
            let path = folder.join(format!("{}.json", case.name));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &got).unwrap();
            }
            let want = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(got, want, "{}: UPDATE_GOLDEN=1 writes it anew", path.display());
        }
    }
}

/// An object whose top-level names are all different, or an error.
struct Strict(BTreeSet<String>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Strict;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut names = BTreeSet::new();
                while let Some((name, _)) = map.next_entry::<String, serde_json::Value>()? {
                    if !names.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!("{name} is there twice")));
                    }
                }
                Ok(Strict(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// A random object: any names (never twice, never `_server`), blanks anywhere, values of all kinds.
fn random_object(rng: &mut Rng) -> String {
    const NAMES: [&str; 14] = [
        "event",
        "properties",
        "ip",
        "project",
        "recv_time",
        "user_agent",
        "_node",
        "_lsn",
        "_index",
        "_codes",
        "lib",
        "名字",
        "a\\\"b",
        "x",
    ];
    const VALUES: [&str; 12] = [
        "1",
        "-2.5e3",
        "null",
        "true",
        "\"\"",
        "\"}\\\"{\"",
        "\"$ip\"",
        "[]",
        "{}",
        "[{\"a\":[\"}\"]},2]",
        "{\"$ip\":\"1.2.3.4\"}",
        "{\"b\":{\"$ip\":1}}",
    ];
    let blank = |rng: &mut Rng| ["", "", " ", "\n\t"][rng.below(4) as usize];
    let mut left: Vec<&str> = NAMES.to_vec();
    let mut out = format!("{}{{", blank(rng));
    for i in 0..rng.below(8) {
        let name = left.swap_remove(rng.below(left.len() as u64) as usize);
        // Any name may come with an escape in it.
        let name = match name.chars().next() {
            Some(first) if rng.below(3) == 0 && first.is_ascii_alphabetic() => {
                format!("\\u{:04x}{}", first as u32, &name[1..])
            }
            _ => name.to_owned(),
        };
        let value = VALUES[rng.below(VALUES.len() as u64) as usize];
        let comma = if i > 0 { "," } else { "" };
        out += &format!(
            "{comma}{}\"{name}\"{}:{}{value}{}",
            blank(rng),
            blank(rng),
            blank(rng),
            blank(rng)
        );
    }
    out + "}" + blank(rng)
}

#[test]
fn spliced_events_are_json_with_each_top_level_name_once() {
    let mut rng = Rng(11);
    for _ in 0..20_000 {
        let json = random_object(&mut rng);
        let before: Strict = serde_json::from_str(&json).unwrap();
        let case = Case { name: "", json: json.clone(), entry: |_| (), fact: |_| (), codes: &[] };
        let server = encode(&case, Shape::Server);
        let strict: Strict =
            serde_json::from_str(&server).unwrap_or_else(|e| panic!("{e}: {server}"));
        let mut wanted = before.0.clone();
        wanted.insert("_server".to_owned());
        assert_eq!(strict.0, wanted, "{json}");
        // Cut the member off again: the client's values are what they were.
        let mut value: serde_json::Value = serde_json::from_str(&server).unwrap();
        value.as_object_mut().unwrap().remove("_server");
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(&json).unwrap());

        let flat = encode(&case, Shape::Flat);
        let strict: Strict = serde_json::from_str(&flat).unwrap_or_else(|e| panic!("{e}: {flat}"));
        let owned =
            ["recv_time", "ip", "user_agent", "_node", "_lsn", "_index", "_codes", "project"];
        let mut wanted = before.0;
        wanted.extend(owned.map(str::to_owned));
        assert_eq!(strict.0, wanted, "{json}");
        let value: serde_json::Value = serde_json::from_str(&flat).unwrap();
        assert_eq!(value["ip"], "203.0.113.9", "a client's `ip` is cut out: {flat}");
        assert_eq!(encode(&case, Shape::Bare), json);
    }
}
