//! Checks of events: names, ids, properties, time, project. One pass over the text, one entry per event.

mod element;
mod envelope;
mod identity;
mod ids;
mod kind;
mod names;
mod properties;
mod report;
mod rules;
mod store;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use envelope::{Envelope, Envelopes};
pub use ids::watch_hash;
pub use kind::EventType;
pub use time::corrected;

use element::{Element, Memos};
use rules::{RuleMemory, Source};

use crate::json::{Repair, ScanMemory, Scanner};
use crate::record::Builder;
use crate::{Code, Limits, Project, Projects};

/// What the checks of one text depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Bounds.
    pub(crate) limits: &'a Limits,
    /// Arrival, ms since 1970.
    pub(crate) recv_ms: i64,
    /// `flush_time` of the envelope the text came in: goes into each event that has no `_flush_time`.
    pub(crate) flush_time: Option<i64>,
    /// `project` of the URL; empty if it names none.
    pub(crate) url_project: &'a [u8],
    /// `token` of the URL.
    pub(crate) url_token: &'a [u8],
    /// Project of the location.
    pub(crate) project: &'a Project,
    /// Known projects.
    pub(crate) projects: Option<&'a Projects>,
    /// Key of `dup_key`.
    pub(crate) dup_hash_key: [u64; 2],
    /// The text was decrypted: whatever is wrong with its JSON is K506.
    pub(crate) inside_envelope: bool,
    /// Sorted hashes of followed ids.
    pub(crate) followed: &'a [u64],
}

/// Why a text gave no events at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The code to store: J…, or K506 inside an envelope, or L003.
    pub(crate) code: Code,
    /// The reason in any case.
    pub(crate) reason: Code,
    /// Byte of the text.
    pub(crate) at: u32,
}

/// Reused memory of the checks.
#[derive(Debug, Default)]
pub(crate) struct JsonScratch {
    /// An event of a followed id was seen; the caller clears it.
    pub(crate) follows: bool,
    /// The text around the byte of the last [`Fault`], for its code's detail; not to be told where it was decrypted.
    pub(crate) near: Vec<u8>,
    scan: ScanMemory,
    element: Element,
    memos: Memos,
    rules: RuleMemory,
    repair: Repair,
}

impl JsonScratch {
    /// Gives memory above `keep_bytes` a buffer back.
    pub(crate) fn shrink(&mut self, keep_bytes: usize) {
        self.scan.shrink(keep_bytes);
        self.element.shrink(keep_bytes);
        self.rules.shrink(keep_bytes);
        self.repair.shrink(keep_bytes);
    }
}

/// Reads one JSON text (an object or an array of them), checks each element and appends to `out` its stored bytes, entry
/// and codes. Envelopes are appended to `envelopes` instead, unless the text is itself decrypted. Returns how many
/// events were added.
///
/// # Errors
/// [`Fault`] if the text as a whole cannot be read; `out` and `envelopes` are then as before.
pub(crate) fn events(
    text: &[u8],
    context: &Context<'_>,
    scratch: &mut JsonScratch,
    envelopes: &mut Envelopes,
    out: &mut Builder,
) -> Result<u32, Fault> {
    if text.len() > Scanner::TEXT_BYTES / 2 {
        return Err(Fault { code: Code::L002, reason: Code::L002, at: 0 });
    }
    let JsonScratch { follows, near, scan, element, memos, rules, repair } = scratch;
    rules.start();
    let source = if simdutf8::basic::from_utf8(text).is_ok() {
        Source { text, repair: None }
    } else {
        repair.run(text);
        Source { text: repair.text(), repair: Some((text, repair)) }
    };
    let (first, marks) = (out.count(), (out.mark(), envelopes.mark()));
    let mut scanner = Scanner::new(source.text, context.limits.depth_max, scan);
    let mut too_many = false;
    let mut one = |scanner: &mut Scanner<'_>, p: usize| {
        let end = element.read(scanner, p, context.limits, memos)?;
        if element.is_envelope() && !context.inside_envelope {
            envelopes.add(source.text, element);
        } else if out.count() >= context.limits.events_max {
            too_many = true;
            return Err(crate::json::Broken);
        } else {
            let lone = std::mem::take(scanner.lone());
            *follows |= rules::judge(source, element, &lone, context, rules, out);
            *scanner.lone() = lone;
        }
        scanner.lone().clear();
        Ok(end)
    };
    let read = (|| {
        let start = skip_marks(&scanner);
        let end = if scanner.byte(start) == b'[' {
            scanner.list(start, 0, |scanner, p| one(scanner, p))?
        } else {
            one(&mut scanner, start)?
        };
        scanner.end(end)
    })();
    if read.is_ok() {
        return Ok(out.count() - first);
    }
    let (reason, at) = if too_many { (Code::L003, 0) } else { scanner.fault() };
    let unreadable = source.repair.is_some_and(|(_, repair)| repair.is_invalid(0, u32::MAX));
    let reason = if unreadable && !too_many { Code::J006 } else { reason };
    out.rollback(marks.0);
    envelopes.rollback(marks.1);
    near.clear();
    near.extend_from_slice(around(source.text, at));
    let hidden = context.inside_envelope && !too_many;
    Err(Fault { code: if hidden { Code::K506 } else { reason }, reason, at })
}

/// Up to 24 bytes before and behind `at`, whole characters.
fn around(text: &[u8], at: u32) -> &[u8] {
    let inside = |p: usize| text.get(p).is_some_and(|byte| byte & 0xc0 == 0x80);
    let (mut from, mut to) = ((at as usize).saturating_sub(24), (at as usize + 24).min(text.len()));
    while inside(from) {
        from += 1;
    }
    while inside(to) {
        to -= 1;
    }
    text.get(from..to).unwrap_or_default()
}

/// Where the text starts behind byte order marks and blanks.
fn skip_marks(scanner: &Scanner<'_>) -> usize {
    let mut p = scanner.blanks(0);
    while scanner.text().get(p..).is_some_and(|rest| rest.starts_with(b"\xef\xbb\xbf")) {
        p = scanner.blanks(p + 3);
    }
    p
}
