//! Tests of the checks: a context to vary and what came out; the cases are in the files beside.

mod bounds;
mod facts;
mod mutants;
mod naive;
mod rules;
mod speed;
mod stored;
mod twin;

use super::*;
use crate::record::{Entry, Record, Verdict, flag};

/// 2026-05-20 00:00:00 UTC, ms.
const NOW: i64 = 1_779_235_200_000;

/// What came out for one event.
struct Got {
    entry: Entry,
    json: String,
    codes: Vec<String>,
    pointers: Vec<String>,
    details: Vec<String>,
}

impl Got {
    fn of(&self, span: crate::record::Span) -> &str {
        std::str::from_utf8(span.of(self.json.as_bytes())).unwrap()
    }
}

/// A context to vary.
struct Setup {
    limits: Limits,
    project: Project,
    projects: Option<Projects>,
    url: (&'static [u8], &'static [u8]),
    flush_time: Option<i64>,
    inside_envelope: bool,
    followed: Vec<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            project: Project::default(),
            projects: None,
            url: (b"", b""),
            flush_time: None,
            inside_envelope: false,
            followed: Vec::new(),
        }
    }
}

impl Setup {
    fn context(&self) -> Context<'_> {
        Context {
            limits: &self.limits,
            recv_ms: NOW,
            flush_time: self.flush_time,
            url_project: self.url.0,
            url_token: self.url.1,
            project: &self.project,
            projects: self.projects.as_ref(),
            dup_hash_key: [1, 2],
            inside_envelope: self.inside_envelope,
            followed: &self.followed,
        }
    }

    fn try_run(&self, text: &[u8]) -> Result<(Vec<Got>, Envelopes), Fault> {
        let (mut scratch, mut envelopes) = (JsonScratch::default(), Envelopes::default());
        let mut out = Builder::default();
        let count = events(text, &self.context(), &mut scratch, &mut envelopes, &mut out)?;
        let payload = out.payload(b"");
        let record = Record::parse(&payload).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let got: Vec<Got> = (0u32..)
            .zip(record.events())
            .map(|(index, (entry, json))| {
                let of = || record.codes().filter(move |code| code.index == index);
                assert_eq!(of().count(), entry.codes as usize);
                Got {
                    entry,
                    json: text(json),
                    codes: of().map(|code| text(&code.code)).collect(),
                    pointers: of().map(|code| text(code.pointer)).collect(),
                    details: of().map(|code| text(code.detail)).collect(),
                }
            })
            .collect();
        assert_eq!(got.len(), count as usize);
        Ok((got, envelopes))
    }

    fn run(&self, text: impl AsRef<[u8]>) -> Vec<Got> {
        self.try_run(text.as_ref()).unwrap().0
    }

    fn one(&self, text: impl AsRef<[u8]>) -> Got {
        let mut got = self.run(text);
        assert_eq!(got.len(), 1);
        got.remove(0)
    }
}

fn one(text: impl AsRef<[u8]>) -> Got {
    Setup::default().one(text)
}

/// A good event with `more` members in front (`"a":1,`).
fn event(more: &str) -> String {
    format!(
        r#"{{{more}"type":"track","event":"Buy","distinct_id":"u1","time":{NOW},"properties":{{}}}}"#
    )
}

/// A good event with these properties.
fn with(properties: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Buy","distinct_id":"u1","time":{NOW},"properties":{{{properties}}}}}"#
    )
}

/// A record of another type.
fn record(kind: &str, more: &str) -> String {
    format!(r#"{{"type":"{kind}","distinct_id":"u1","time":{NOW}{more}}}"#)
}
