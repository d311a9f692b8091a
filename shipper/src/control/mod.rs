//! The control socket `<data>/tusk.sock` (0600): how the command line asks the running daemon. Every verb that changes state
//! goes through it, so there is one writer.
//!
//! One request per connection, one JSON object per line each way:
//! ```text
//! → {"cmd":"quarantine_list","filter":{"code":"N101"}}
//! ← {"ok":[…]}            or  {"error":"a sentence that says what to do"}
//! → {"cmd":"tail","filter":{"user":"u1"}}
//! ← {"ok":null}  {"event":{…}}  {"event":{…}}  {"dropped":12}  …      until either side closes
//! ```

pub(crate) mod client;
mod import;
mod replay;
mod server;

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use shipper::import::Options;
use shipper::quarantine::Filter;
use shipper::replay::Ask;
use shipper::tap::TapEvent;

pub(crate) use client::Client;
pub(crate) use import::{Next, import};
pub(crate) use server::{Page, Server, ask};

/// Longest request line, bytes.
const REQUEST_BYTES_MAX: u64 = 64 << 10;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub(crate) enum Request {
    /// The engine's status.
    Status,
    /// A one-time address of the console's pages.
    Console,
    /// The sums.
    Ledger,
    /// The sums since a moment.
    LedgerSince {
        /// ms since 1970.
        since_ms: i64,
    },
    /// Counts of data health.
    Health,
    /// One event, while the journal holds it.
    Event {
        /// lsn of its record.
        lsn: u64,
        /// Index in it.
        index: u32,
    },
    /// A sink's target read back.
    Audit {
        /// The sink.
        sink: String,
    },
    /// What a sink missed, delivered after all.
    Replay {
        /// Which sink and which events.
        ask: Ask,
    },
    /// Events as they become durable.
    Tail {
        /// Which ones.
        #[serde(default)]
        filter: TailFilter,
    },
    /// Open groups.
    QuarantineList {
        /// Which ones.
        filter: Filter,
    },
    /// Open events, newest first.
    QuarantineShow {
        /// Which ones.
        filter: Filter,
        /// At most this many.
        limit: usize,
    },
    /// Offer again.
    QuarantineRedrive {
        /// Which ones.
        filter: Filter,
        /// At most this many.
        limit: usize,
    },
    /// Import the lines of one file. The daemon answers `{"ok":null}` for each block it wants, a block is
    /// `| length u32 | what u8 | bytes |` with `what` 0 the last block, 1 another one follows, 2 no more; `{"event":report}` in between
    /// tells how far it is, and the report of all comes after the end.
    Import {
        /// How.
        options: Options,
    },
    /// Give up.
    QuarantineDiscard {
        /// Which ones.
        filter: Filter,
        /// At most this many.
        limit: usize,
    },
}

/// Which events a tail wants; an absent field means any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TailFilter {
    /// Event name or record type, `*` stands for anything.
    pub(crate) event: Option<String>,
    /// `distinct_id` or item id, `*` stands for anything.
    pub(crate) user: Option<String>,
    /// Project.
    pub(crate) project: Option<String>,
    /// `kept` (with or without problems), `problems` or `rejected`.
    pub(crate) verdict: Option<String>,
    /// A code the event has.
    pub(crate) code: Option<String>,
}

impl TailFilter {
    /// Whether the event passes.
    pub(crate) fn takes(&self, event: &TapEvent) -> bool {
        let any = |want: &Option<String>, has: &dyn Fn(&str) -> bool| match want {
            Some(want) => has(want),
            None => true,
        };
        any(&self.event, &|want| like(want, &event.event) || like(want, &event.kind))
            && any(&self.user, &|want| like(want, &event.user))
            && any(&self.project, &|want| want == event.project)
            && any(&self.verdict, &|want| {
                want == event.verdict || (want == "kept" && event.verdict == "problems")
            })
            && any(&self.code, &|want| event.codes.iter().any(|code| code.code == want))
    }
}

/// `*` stands for any run of characters.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

/// A path short enough for `sockaddr_un` (108 bytes) that names `socket`: through the folder's descriptor where the real one is
/// too long. The file must live as long as the path is used.
fn short_path(socket: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    if socket.as_os_str().len() < 100 {
        return Ok((socket.to_owned(), None));
    }
    let folder = fs::File::open(socket.parent().unwrap_or(Path::new(".")))?;
    let name = socket.file_name().unwrap_or_default();
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((path, Some(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, want) in [
            ("Buy", "Buy", true),
            ("Buy", "BuyNow", false),
            ("Buy*", "BuyNow", true),
            ("*Now", "BuyNow", true),
            ("*", "", true),
            ("$App*", "$AppStart", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("", "x", false),
        ] {
            assert_eq!(like(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_filter_needs_all_its_parts() {
        let event = TapEvent {
            event: "Buy".into(),
            kind: "track".into(),
            user: "u1".into(),
            project: "shop".into(),
            verdict: "problems",
            ..TapEvent::default()
        };
        let takes = |text: &str| serde_json::from_str::<TailFilter>(text).unwrap().takes(&event);
        assert!(takes("{}"));
        assert!(takes(r#"{"event":"B*","user":"u1","verdict":"kept"}"#));
        assert!(takes(r#"{"event":"track","verdict":"problems"}"#));
        assert!(!takes(r#"{"event":"Buy","user":"u2"}"#));
        assert!(!takes(r#"{"verdict":"rejected"}"#));
        assert!(!takes(r#"{"code":"N101"}"#));
        assert!(serde_json::from_str::<TailFilter>(r#"{"evnt":"x"}"#).is_err());
    }
}
