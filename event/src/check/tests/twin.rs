//! The naive twin of scanner and rules: serde_json reads mutants of reports, a plain implementation judges them, and both
//! must agree with what [`events`] does.
//!
//! `TUSK_JSON_MUTANTS=5000000 TUSK_JSON_SEED=7 cargo test --release -p event twin` for long runs.

use std::env;

use super::mutants::{SEEDS, mutant};
use super::naive::{Tree, is_envelope, judge};
use super::*;
use crate::testing::Random;

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
            if let Some(time) = flush_time
                && !members.iter().any(|(name, _)| name == "_flush_time")
            {
                members.push(("_flush_time".into(), Tree::Number(time.to_string())));
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
