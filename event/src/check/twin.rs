//! The naive twin of scanner and rules: serde_json reads mutants of reports, a plain implementation judges them, and both
//! must agree with what [`super::events`] does.
//!
//! `TUSK_JSON_MUTANTS=5000000 TUSK_JSON_SEED=7 cargo test --release -p event twin` for long runs.

use std::env;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;
use crate::record::{Entry, Record, Verdict};
use crate::testing::Random;

const NOW: i64 = 1_779_235_200_000;

/// JSON with order, repeated names and the text of numbers kept.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

impl Tree {
    /// Reads text that serde_json's `Value` has accepted.
    fn read(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Bool(text == "true"),
            b'"' => Self::Text(serde_json::from_str(text).unwrap()),
            b'[' => {
                let list: Vec<&RawValue> = serde_json::from_str(text).unwrap();
                Self::List(list.into_iter().map(|raw| Self::read(raw.get())).collect())
            }
            b'{' => {
                let mut reader = serde_json::Deserializer::from_str(text);
                let members = reader.deserialize_map(Members).unwrap();
                Self::Object(
                    members.into_iter().map(|(name, raw)| (name, Self::read(raw.get()))).collect(),
                )
            }
            _ => Self::Number(text.into()),
        }
    }

    /// Reads any bytes; `None` if serde_json refuses them.
    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
        Some(Self::read(std::str::from_utf8(bytes).ok()?))
    }

    fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Text that is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Self::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn repeats(&self) -> bool {
        let Self::Object(members) = self else { return false };
        let mut names: Vec<_> = members.iter().map(|(name, _)| name).collect();
        names.sort();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

fn legal(name: &str) -> bool {
    let reserved = [
        "distinct_id",
        "original_id",
        "time",
        "properties",
        "id",
        "first_id",
        "second_id",
        "users",
        "events",
        "event",
        "user_id",
        "date",
        "datetime",
    ];
    let lower = name.to_ascii_lowercase();
    (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !reserved.contains(&&*lower)
        && !lower.starts_with("user_tag")
        && !lower.starts_with("user_group")
}

fn id_code(id: Option<&Tree>) -> Option<&'static str> {
    let text = match id {
        None | Some(Tree::Null) => return Some("I402"),
        Some(Tree::Text(text) | Tree::Number(text)) => {
            text.trim_matches(|c: char| c.is_ascii_whitespace())
        }
        Some(_) => return Some("I404"),
    };
    if text.is_empty() {
        Some("I402")
    } else if ["0", "undefined", "null", "(null)", "<null>", "nil", "none", "nan"]
        .contains(&&*text.to_ascii_lowercase())
    {
        Some("I401")
    } else if text.chars().count() > 255 {
        Some("I403")
    } else {
        None
    }
}

/// Magnitude above 9e15; exact enough for the numbers of this test.
fn large(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(|n| n.abs() > 9e15)
}

fn property_code(kind: &str, name: &str, value: &Tree) -> Option<&'static str> {
    if !legal(name) {
        return Some("P201");
    }
    let code = match value {
        Tree::Null => Some("P202"),
        Tree::Object(_) => Some("P204"),
        Tree::List(list) if list.iter().any(|v| matches!(v, Tree::List(_) | Tree::Object(_))) => {
            Some("P204")
        }
        Tree::List(list) if list.iter().any(|v| !matches!(v, Tree::Text(_))) => Some("P208"),
        Tree::List(list) if list.len() > 500 => Some("P206"),
        Tree::Text(text) if text.chars().count() > 8192 => Some("P205"),
        Tree::Number(number) if large(number) => Some("P207"),
        _ => None,
    };
    match (kind, value) {
        _ if name == "$is_login_id" => code,
        ("profile_unset", _) => None,
        ("profile_increment", value) if !matches!(value, Tree::Number(_)) => Some("P210"),
        ("profile_append", Tree::List(_)) if matches!(code, Some("P204" | "P208")) => Some("P211"),
        ("profile_append", value) if !matches!(value, Tree::List(_)) => Some("P211"),
        _ => code,
    }
}

/// All codes of one event that do not depend on time or project; protocol 2.0 is left out of this test's mutants.
fn judge(event: &Tree) -> Vec<&'static str> {
    let mut codes = Vec::new();
    if !matches!(event, Tree::Object(_)) {
        codes.push("J003");
        codes.extend((event.depth() > 32).then_some("J002"));
        return codes;
    }
    if event.repeats() {
        codes.push("J005");
    }
    if event.depth() > 32 {
        codes.push("J002");
    }
    let kind = match event.get("type") {
        None | Some(Tree::Null) => Err("N104"),
        Some(Tree::Text(kind)) if kind.is_empty() => Err("N104"),
        Some(Tree::Text(kind)) if EventType::from_name(kind.as_bytes()) != EventType::Unknown => {
            Ok(kind.as_str())
        }
        Some(_) => Err("N103"),
    };
    codes.extend(kind.err());
    let kind = kind.unwrap_or("");
    if kind.starts_with("item") {
        if !event.text("item_type").is_some_and(legal) {
            codes.push("I409");
        }
        if !matches!(id_code(event.get("item_id")), None | Some("I401")) {
            codes.push("I409");
        }
    } else {
        codes.extend(id_code(event.get("distinct_id")));
    }
    let mut good_identities = 0;
    if let Some(Tree::Object(identities)) = event.get("identities") {
        for (name, value) in identities {
            if name.is_empty() || !matches!(value, Tree::Text(_)) || id_code(Some(value)).is_some()
            {
                codes.push("I408");
            } else {
                good_identities += 1;
            }
        }
    }
    if kind.starts_with("track") {
        match event.get("event") {
            None | Some(Tree::Null) => codes.push("N102"),
            Some(Tree::Text(name)) if name.is_empty() => codes.push("N102"),
            Some(Tree::Text(name)) if legal(name) => {}
            Some(_) => codes.push("N101"),
        }
    }
    if kind == "track_signup" {
        match (event.text("original_id"), event.get("original_id"), event.get("distinct_id")) {
            (Some(a), _, Some(Tree::Text(b) | Tree::Number(b))) if a == b => codes.push("I406"),
            (None, Some(Tree::Number(_)), _) | (Some(_), _, _) => {}
            _ => codes.push("I405"),
        }
    }
    if kind.starts_with("track_id") && good_identities == 0 {
        codes.push("I407");
    }
    match event.get("properties") {
        None | Some(Tree::Null) => {}
        Some(Tree::List(list)) if list.is_empty() => {}
        Some(Tree::Object(properties)) => {
            codes.extend(properties.iter().filter_map(|(n, v)| property_code(kind, n, v)));
        }
        Some(_) => codes.push("P209"),
    }
    if event.has("_server") {
        codes.push("N010");
    }
    codes
}

/// Documents that mutants are made of: one for each form the protocol knows.
const SEEDS: [&str; 10] = [
    r#"{"identities":{"$identity_cookie_id":"1a20","$identity_login_id":"u1"},"distinct_id":"1a20","lib":{"$lib":"js","$lib_method":"code","$lib_version":"1.27.10"},"properties":{"$timezone_offset":-480,"$title":"中文😀 \"q\" \u4e2d\ud83d\ude00","price":9.50,"ok":true,"tags":["a","b"],"$is_first_day":false},"anonymous_id":"1a20","type":"track","event":"$pageview","time":1779235100010,"_track_id":129203013,"_flush_time":1779235199013}"#,
    r#"[{"type":"track","event":"A","distinct_id":"u","time":1,"properties":{}},{"type":"profile_set","distinct_id":"u","time":2,"properties":{"a":1,"b":null,"c-d":2}},{"type":"item_set","item_type":"book","item_id":"7","time":3,"properties":{"n":9007199254740993}}]"#,
    r#"{"type":"track_signup","event":"$SignUp","distinct_id":"u1","original_id":"a1","time":"1779235100010","properties":{"x":[1,"2",[3]],"user_tag1":{"a":{"b":[]}}}}"#,
    r#"{"type":"track_id_bind","event":"$BindID","distinct_id":42,"identities":{"$identity_email":"a@b","$x":""},"time":1.7e12,"properties":{"e":1.5e3,"big":123456789012345678901234567890,"neg":-0.001}}"#,
    r#"{"type":"profile_increment","distinct_id":"u","time":1779235100,"properties":{"a":1,"b":2.5,"c":"x","d":-1E+2}}"#,
    r#"{"type":"profile_append","distinct_id":"u","time":1779235100010,"properties":{"a":["x","y"],"b":"z","c":[1]},"project":"default","token":""}"#,
    r#"{"type":"profile_unset","distinct_id":"undefined","time":null,"properties":{"a":true,"b":null}}"#,
    r#"{ "type" : "track" ,
  "event":"Buy","distinct_id":"\u0075\/1" , "time":1779235100010,"_server":{"lsn":1},"extra":[{},[],""],"properties":{"a_very_long_property_name_of_more_than_sixteen_bytes":1,"B$_9":2} }"#,
    r#"[[],{},"x",-1,true,null,{"type":"track","type":"track"},{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"a":0}]"#,
    r#"[]"#,
];

const TOKENS: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\\"",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\ud83d\\ude00",
    "\\u0000",
    "\\x",
    "1",
    "0",
    "-",
    "-0",
    "00",
    "1.",
    ".5",
    "1e5",
    "1e400",
    "-1e-400",
    "1e",
    "1E+",
    "true",
    "false",
    "null",
    "nul",
    "\"a\"",
    "\"_flush_time\":5,",
    "\"_server\":{},",
    "\"type\":",
    "undefined",
    "\u{feff}",
    " ",
    "\n",
    "\t",
    "\u{1}",
    "\u{7f}",
    "中",
    "{}",
];

const NAMES: [&str; 24] = [
    "x",
    "$project",
    "$token",
    "project",
    "token",
    "type",
    "event",
    "distinct_id",
    "original_id",
    "identities",
    "_server",
    "_flush_time",
    "time",
    "lib",
    "properties",
    "a-b",
    "a_name_of_twenty_bytes__",
    "a_name_of_sixteen",
    "User_Tag_1",
    "datetime",
    "9",
    "",
    "n\\u0061me",
    "é",
];

const VALUES: [&str; 24] = [
    "1",
    "\"default\"",
    "\"x\"",
    "\"\"",
    "null",
    "true",
    "{}",
    "[]",
    "[\"a\"]",
    "[1]",
    "[[]]",
    "{\"a\":{}}",
    "9000000000000001",
    "9e15",
    "0.1",
    "1e308",
    "\"\\u00e9\"",
    "\"\\ud83d\"",
    "\"undefined\"",
    "{\"$project\":\"default\"}",
    "{\"$lib\":\"Java\"}",
    "\"track\"",
    "\"profile_append\"",
    "[ ]",
];

fn mutant(random: &mut Random) -> Vec<u8> {
    let mut text = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(12)).min(text.len());
        match random.below(18) {
            0 if at < text.len() => text[at] = random.next().to_le_bytes()[0],
            1 if at < text.len() => text[at] ^= 1 << random.below(8),
            2 => drop(text.splice(at..at, TOKENS[random.below(TOKENS.len())].bytes())),
            3 => drop(text.splice(at..end, TOKENS[random.below(TOKENS.len())].bytes())),
            4 => drop(text.drain(at..end)),
            5 => {
                let piece = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, piece));
            }
            6 => text.truncate(at),
            7 => drop(text.splice(at..at, [b" \n\t\r\x0b\x0c"[random.below(6)]])),
            8 => {
                // A token in the place of a structural byte.
                let places: Vec<_> =
                    (0..text.len()).filter(|i| b"{}[],:\"".contains(&text[*i])).collect();
                if let Some(&place) = places.get(random.below(places.len().max(1))) {
                    drop(text.splice(place..=place, TOKENS[random.below(TOKENS.len())].bytes()));
                }
            }
            9 => {
                // Another value behind a colon.
                let places: Vec<_> = (0..text.len()).filter(|i| text[*i] == b':').collect();
                if let Some(&place) = places.get(random.below(places.len().max(1))) {
                    let token = TOKENS[random.below(TOKENS.len())];
                    drop(text.splice(place + 1..place + 1, format!("{token},\"n\":").into_bytes()));
                }
            }
            10 => {
                let (depth, object) = (20 + random.below(180), random.below(2) == 0);
                let (open, close) = if object { ("{\"a\":", "}") } else { ("[", "]") };
                let nest = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                drop(text.splice(at..at, nest.into_bytes()));
            }
            11..=16 => {
                // A whole member, so that most such mutants are JSON and the rules are met.
                let places: Vec<_> = (0..text.len()).filter(|i| text[*i] == b'{').collect();
                if let Some(&place) = places.get(random.below(places.len().max(1))) {
                    let (name, value) =
                        (NAMES[random.below(NAMES.len())], VALUES[random.below(VALUES.len())]);
                    let comma = if text.get(place + 1) == Some(&b'}') { "" } else { "," };
                    let member = format!("\"{name}\":{value}{comma}");
                    drop(text.splice(place + 1..place + 1, member.into_bytes()));
                }
            }
            _ => {
                let seed = SEEDS[random.below(SEEDS.len())].as_bytes();
                let from = random.below(seed.len());
                let to = (from + random.below(60)).min(seed.len());
                drop(text.splice(at..at, seed[from..to].iter().copied()));
            }
        }
    }
    text
}

/// What the mutants turned out to be: a run that did not see all of it proves nothing.
#[derive(Debug, Default)]
struct Tally {
    accepted: u32,
    events: u32,
    kept: u32,
    refused: u32,
    lone: u32,
    deep: u32,
    range: u32,
    unreadable: u32,
}

#[test]
fn mutants_are_read_and_judged_as_by_the_naive_twin() {
    let of = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (mutants, seed) = (of("TUSK_JSON_MUTANTS", 200_000), of("TUSK_JSON_SEED", 20_261_125));
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let mut bench = Bench::default();
    for text in SEEDS {
        bench.compare(text.as_bytes(), &mut tally);
    }
    for _ in 0..mutants {
        let text = mutant(&mut random);
        bench.compare(&text, &mut tally);
    }
    println!("{mutants} mutants of seed {seed}: {tally:?}");
    let Tally { accepted, events, kept, refused, lone, deep, range, unreadable } = tally;
    let share = u32::try_from(mutants / 2000).unwrap_or(u32::MAX);
    for seen in [accepted, events, kept, refused, lone, deep, range, unreadable] {
        assert!(seen >= share, "this run did not see enough of everything");
    }
}

#[derive(Default)]
struct Bench {
    scratch: JsonScratch,
    envelopes: Envelopes,
    out: Builder,
    limits: Limits,
    project: Project,
    round: u64,
}

impl Bench {
    fn compare(&mut self, text: &[u8], tally: &mut Tally) {
        self.round += 1;
        let flush_time = self.round.is_multiple_of(3).then_some(1_779_235_199_000);
        let context = Context {
            limits: &self.limits,
            recv_ms: NOW,
            flush_time,
            url_project: b"",
            url_token: b"",
            project: &self.project,
            projects: None,
            dup_hash_key: [1, 2],
            inside_envelope: false,
            followed: &[],
        };
        self.out.clear(usize::MAX);
        self.envelopes.clear(usize::MAX);
        let got = events(text, &context, &mut self.scratch, &mut self.envelopes, &mut self.out);
        let payload = self.out.payload(b"");
        let record = Record::parse(&payload).unwrap();
        let shown = || String::from_utf8_lossy(text).into_owned();
        let coded = |code: Code| record.codes().any(|one| one.code == code.bytes());
        let trimmed = text.trim_ascii_start();
        let marked = trimmed.starts_with("\u{feff}".as_bytes());
        let Some(tree) = Tree::parse(text) else {
            // serde_json refuses it: so do we, or we say which event is the bad one.
            tally.refused += 1;
            let (lone, deep, range, bad) =
                (coded(Code::J007), coded(Code::J002), coded(Code::J004), coded(Code::J006));
            tally.lone += u32::from(lone);
            tally.deep += u32::from(deep);
            tally.range += u32::from(range);
            tally.unreadable += u32::from(bad);
            // Repeats hide half surrogates: their event is rejected with its bytes as they are, so J007 is there too.
            let excused =
                lone || deep || range || bad || marked || std::str::from_utf8(text).is_err();
            assert!(got.is_err() || excused, "accepted what serde_json refuses: {}", shown());
            self.kept_are_strict(record);
            return;
        };
        tally.accepted += 1;
        let count = got.unwrap_or_else(|fault| panic!("{fault:?} for {}", shown()));
        let one;
        let elements = match &tree {
            Tree::List(list) => &list[..],
            tree => {
                one = [tree.clone()];
                &one[..]
            }
        };
        let elements: Vec<_> = elements.iter().filter(|e| !is_envelope(e)).collect();
        assert_eq!(elements.len(), count as usize, "{}", shown());
        for (index, element) in (0u32..).zip(&elements) {
            let (entry, json) = record.event(index as usize).unwrap();
            tally.events += 1;
            if element.get("version") == Some(&Tree::Text("2.0".into()))
                || element.text("type").is_some_and(|kind| kind.starts_with("detail"))
            {
                continue;
            }
            let mut want = judge(element);
            let mut codes: Vec<_> = record
                .codes()
                .filter(|code| code.index == index && !matches!(code.code[0], b'T' | b'A'))
                .map(|code| String::from_utf8(code.code.to_vec()).unwrap())
                .collect();
            if element.repeats() {
                // Rejected for that; what else is said depends on which of the two is looked at.
                assert!(codes.iter().any(|code| code == "J005"), "{}", shown());
                self.stored(element, &entry, json, flush_time);
                continue;
            }
            want.sort_unstable();
            codes.sort_unstable();
            assert_eq!(codes, want, "{}\n{element:?}", shown());
            self.stored(element, &entry, json, flush_time);
            tally.kept += u32::from(entry.verdict != Verdict::Rejected);
        }
        self.kept_are_strict(record);
    }

    /// Stored bytes mean what was sent, but for the edits of the contract; spans name what they should.
    fn stored(&self, sent: &Tree, entry: &Entry, json: &[u8], flush_time: Option<i64>) {
        let stored = Tree::parse(json).expect("stored bytes are JSON");
        let rejected = entry.verdict == Verdict::Rejected;
        let mut want = sent.clone();
        if let Tree::Object(members) = &mut want
            && !sent.repeats()
        {
            if !rejected {
                members.retain(|(name, _)| name != "_server");
            }
            if let Some(time) = flush_time {
                let time = Tree::Number(time.to_string());
                match members.iter_mut().find(|(name, _)| name == "_flush_time") {
                    Some((_, old)) => *old = time,
                    None => members.push(("_flush_time".into(), time)),
                }
            }
        }
        assert_eq!(stored, want);
        if sent.repeats() {
            return;
        }
        let of = |span: crate::record::Span| {
            String::from_utf8(crate::json::unescape(span.of(json)).into_owned()).unwrap()
        };
        let text = |name: &str| sent.text(name).unwrap_or_default();
        assert_eq!(of(entry.event), text("event"));
        let inner = sent.get("properties").filter(|properties| !properties.repeats());
        if inner.is_some() || !sent.has("properties") {
            let inner = inner.and_then(|properties| properties.text("$project"));
            let project = sent.text("project").or(inner).unwrap_or_default();
            assert_eq!(of(entry.project), project, "{sent:?}");
        }
        let lib = |name: &str| {
            sent.get("lib").and_then(|lib| lib.text(name)).unwrap_or_default().to_owned()
        };
        if !sent.get("lib").is_some_and(Tree::repeats) {
            assert_eq!((of(entry.lib), of(entry.lib_version)), (lib("$lib"), lib("$lib_version")));
        }
        if !matches!(EventType::from_u8(entry.kind), EventType::ItemSet | EventType::ItemDelete)
            && let Some(Tree::Text(id) | Tree::Number(id)) = sent.get("distinct_id")
        {
            assert_eq!(of(entry.id), *id);
        }
    }

    /// Every kept event has each top-level name once, by a strict parser.
    fn kept_are_strict(&self, record: Record<'_>) {
        for (entry, json) in record.events() {
            if entry.verdict != Verdict::Rejected {
                let tree = Tree::parse(json).expect("kept bytes are JSON");
                assert!(matches!(tree, Tree::Object(_)) && !tree.repeats());
            }
        }
    }
}

fn is_envelope(tree: &Tree) -> bool {
    (tree.has("payloads") || tree.has("payload")) && (tree.has("ekey") || tree.has("key_id"))
}
