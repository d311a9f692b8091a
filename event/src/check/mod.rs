//! Checks of events: names, ids, properties, time, project. One pass over the text, one entry per event.

mod envelope;

pub(crate) use envelope::{Envelope, Envelopes};

use crate::record::{Builder, Entry, Span, Verdict};
use crate::{Code, Limits, Project, Projects};

/// What the checks of one text depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// Bounds.
    pub(crate) limits: &'a Limits,
    /// Arrival, ms since 1970.
    pub(crate) recv_ms: i64,
    /// `flush_time` of the envelope the text came in: becomes each event's `_flush_time`.
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
    let _ = (envelopes, &scratch.follows);
    let fault = |at: usize| Fault {
        code: if context.inside_envelope { Code::K506 } else { Code::J001 },
        reason: Code::J001,
        at: u32::try_from(at).unwrap_or(u32::MAX),
    };
    let list: Vec<&serde_json::value::RawValue> = serde_json::from_slice(text)
        .or_else(|_| serde_json::from_slice(text).map(|one| vec![one]))
        .map_err(|error| fault(error.column()))?;
    for one in &list {
        let at = u32::try_from(out.bytes().len()).unwrap_or(u32::MAX);
        out.bytes().extend_from_slice(one.get().as_bytes());
        out.entry(&Entry {
            json: Span { at, len: u32::try_from(one.get().len()).unwrap_or(u32::MAX) },
            verdict: Verdict::Kept,
            kind: 1,
            flags: 0,
            codes: 0,
            time_ms: context.recv_ms,
            sent_ms: i64::MIN,
            dup_key: 0,
            event: Span::default(),
            id: Span::default(),
            project: Span::default(),
            lib: Span::default(),
            lib_version: Span::default(),
            app_version: Span::default(),
        });
    }
    Ok(u32::try_from(list.len()).unwrap_or(u32::MAX))
}
