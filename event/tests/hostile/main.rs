//! Bad input and bad days: whatever arrives, `accept` answers, keeps its promises and its memory.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "shared with the golden tests")]
#[path = "../golden/case.rs"]
mod case;
mod envelopes;
mod limits;
mod memory;
mod mutants;

use std::path::{Path, PathBuf};

use case::Case;
use event::record::{Kind, Record, Verdict};
use event::{Accepted, Code, Config, Outcome, Request, Scratch, http};

/// The golden requests, by name.
fn cases() -> Vec<(String, Case)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sensors");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    folders.iter().map(|path| (name(path), Case::read(path))).collect()
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|(known, _)| known == name).unwrap().1
}

/// A POST to `/sa` with this body.
fn post<'a>(body: &'a [u8], recv_ns: u64) -> Request<'a> {
    let head: &'static [u8] = b"POST /sa?project=default HTTP/1.1\r\n\r\n";
    let parsed = http::parse(head).unwrap();
    let request = parsed.request(b"203.0.113.7", recv_ns);
    Request {
        method: request.method,
        path: b"/sa",
        query: b"project=default",
        headers: event::Headers::default(),
        body,
        body_bytes: body.len() as u64,
        client_ip: b"203.0.113.7",
        recv_ns,
        watch: event::Watch::default(),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn codes(record: &Record<'_>) -> Vec<&'static str> {
    record.codes().map(|code| Code::from_bytes(code.code).unwrap().as_str()).collect()
}

/// What must be true of every answer, whatever was asked.
fn check(accepted: &Accepted<'_>, config: &Config) {
    let payload = accepted.payload();
    assert_eq!(payload.len(), accepted.payload_bytes());
    let limits = &config.limits;
    let largest = limits.record_bytes_max.max(limits.raw_bytes_max + 4096);
    assert!(payload.len() <= largest, "a record of {} bytes", payload.len());
    let record = Record::parse(&payload).unwrap();
    assert!(
        matches!(accepted.reply.status, 200 | 205 | 304 | 400 | 404),
        "{}",
        accepted.reply.status
    );
    let json = accepted.reply.body;
    if let event::Body::Json(text) = json {
        serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert!(!memchr(text, b"K5"), "a private reason in {}", String::from_utf8_lossy(text));
    }
    match accepted.store {
        Some(Kind::Sealed) => {
            assert_eq!((accepted.outcome, record.len()), (Outcome::Sealed, 0));
            http::parse(record.raw).unwrap();
        }
        Some(Kind::Request) => {
            let (kept, rejected) = (accepted.kept as usize, accepted.rejected as usize);
            assert_eq!(kept + rejected, record.len(), "received = kept + rejected");
            assert!(kept + rejected > 0, "an empty record");
            let want = match (kept, rejected) {
                (_, 0) => Outcome::Kept,
                (0, _) => Outcome::Rejected,
                _ => Outcome::Partial,
            };
            assert_eq!(accepted.outcome, want);
        }
        Some(_) => panic!("a kind of the shipper"),
        None => assert!(
            matches!(
                accepted.outcome,
                Outcome::DryRun | Outcome::Config | Outcome::Empty | Outcome::Preflight
            ),
            "{:?} is not stored",
            accepted.outcome
        ),
    }
    let mut rejected_codes = 0;
    for (index, (entry, json)) in record.events().enumerate() {
        let mine = record.codes().filter(|code| code.index as usize == index).count();
        assert_eq!(mine, entry.codes as usize, "event {index}");
        if entry.verdict == Verdict::Rejected {
            assert!(mine > 0, "event {index} is rejected without a reason");
            rejected_codes += 1;
        } else {
            strict(json);
        }
    }
    assert!(accepted.rejected as usize == rejected_codes || accepted.store == Some(Kind::Sealed));
}

fn memchr(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// A kept event is a JSON object whose top-level names occur once.
fn strict(json: &[u8]) {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = std::collections::HashSet::new();
            while let Some((name, _)) = map.next_entry::<String, serde_json::Value>()? {
                assert!(seen.insert(name.clone()), "`{name}` stands twice");
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    serde::Deserializer::deserialize_map(&mut reader, Names)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(json)));
    reader.end().unwrap();
}

/// Runs a case with a scratch of the caller's.
fn run<'s>(case: &Case, scratch: &'s mut Scratch) -> Accepted<'s> {
    let parsed = http::parse(&case.raw).unwrap();
    let request = parsed.request(b"203.0.113.7", case.recv_ms * 1_000_000);
    event::accept(&request, &case.config, scratch)
}
