//! The record: what one request becomes in the ring, the journal and every reader after them.
//!
//! A record is a list of sections (TLV), little-endian, each padded to 8 bytes so that the next header is aligned:
//! ```text
//! | tag u16 | version u16 | length u32 | bytes … | zeroes to 8 |
//! ```
//! Readers carry tags they do not know through unchanged. Normative text: `docs/wire-format.md`, "Record".

mod builder;

pub use builder::{Builder, Mark};

/// What a record is; stored in the ring's and the journal's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request whose events are decided.
    Request = 1,
    /// A request kept unopened (private-key budget spent); the shipper opens it.
    Sealed = 2,
    /// Written by the shipper: a quarantined identity offered again.
    Redrive = 3,
    /// Written by the shipper: a quarantined identity given up.
    Discard = 4,
}

impl Kind {
    /// The kind of a stored byte; `None` for one this version does not know.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Request,
            2 => Self::Sealed,
            3 => Self::Redrive,
            4 => Self::Discard,
            _ => return None,
        })
    }
}

/// Section tags. Add, never reuse.
pub mod tag {
    /// Request facts: fields of `| id u16 | length u16 | bytes |`, ids in [`super::meta`].
    pub const META: u16 = 1;
    /// One [`super::Entry`] per event, in the order sent.
    pub const ENTRIES: u16 = 2;
    /// The events' stored JSON, back to back; entries point into it.
    pub const BYTES: u16 = 3;
    /// Codes of events and of the request, see [`super::CodeRef`].
    pub const CODES: u16 = 4;
    /// The request itself as HTTP/1.1 text (head, blank line, body): for whole-request rejects, sealed and watched requests.
    pub const RAW: u16 = 5;
    /// Of a re-driven record: whose arrival it is. `| lsn u64 | recv_ns u64 | index u32 | length u32 | sink name |`, empty name = all sinks.
    pub const ORIGIN: u16 = 6;
    /// Of a discard: identities given up, `| lsn u64 | index u32 | zero u32 |` each.
    pub const IDENTITIES: u16 = 7;
    /// Of a record that was read from a file instead of a request: where it stood there and when it was logged. The bytes are the
    /// shipper's (`docs/journal-format.md`, "Imported lines").
    pub const IMPORT: u16 = 8;
}

/// Ids of META fields. Add, never reuse.
pub mod meta {
    /// Project of the URL or the location's default.
    pub const PROJECT: u16 = 1;
    /// Client address, text.
    pub const IP: u16 = 2;
    /// `User-Agent`, at most 1,024 bytes.
    pub const USER_AGENT: u16 = 3;
    /// Path of the request, at most 256 bytes.
    pub const PATH: u16 = 4;
    /// Token of the URL; only where a token was refused, so that a re-drive can try again.
    pub const TOKEN: u16 = 5;
    /// How the data came, one byte each: method (`G`/`P`/`H`), parameter (`d` data, `l` data_list, `j` JSON body, `-`),
    /// packing (`n` none, `b` base64, `z` base64+gzip, `1`…`5` envelope shapes A, B, C, D, E of PROTOCOL §2.4).
    pub const TRANSPORT: u16 = 6;
    /// Size of the body or query as received, u32.
    pub const WIRE_BYTES: u16 = 7;
}

/// Verdict of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Kept, nothing to say.
    Kept = 0,
    /// Kept with problems: codes tell which.
    Problems = 1,
    /// Rejected: kept whole in quarantine.
    Rejected = 2,
}

/// A piece of an event's stored JSON, relative to its first byte; for strings without the quotes, escapes untouched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub at: u32,
    /// Length in bytes; 0 = absent.
    pub len: u32,
}

impl Span {
    /// The bytes it names in `json`; empty if absent or out of range.
    #[must_use]
    pub fn of(self, json: &[u8]) -> &[u8] {
        let at = self.at as usize;
        json.get(at..at.saturating_add(self.len as usize)).unwrap_or_default()
    }
}

/// Bits of [`Entry::flags`].
pub mod flag {
    /// `time` was corrected for a wrong client clock: `time_ms` differs from `sent_ms`.
    pub const TIME_CORRECTED: u16 = 1;
    /// The event carries `_track_id`, so `dup_key` can find resends.
    pub const TRACK_ID: u16 = 2;
    /// Sent by a server SDK: the peer address and user agent are not the user's.
    pub const SERVER_SDK: u16 = 4;
    /// `time_free` set and allowed.
    pub const TIME_FREE: u16 = 8;
    /// The bytes are not a JSON object (rejected as such).
    pub const NOT_OBJECT: u16 = 16;
}

/// What is known about one event without parsing its JSON again. Fixed size on the wire: [`Entry::BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its JSON is in BYTES.
    pub json: Span,
    /// Verdict.
    pub verdict: Verdict,
    /// Record type, see [`crate::EventType`].
    pub kind: u8,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Number of code entries that name this event.
    pub codes: u32,
    /// Event time in ms since 1970, corrected; receive time if the event has none.
    pub time_ms: i64,
    /// Event time as sent, ms; `i64::MIN` if absent or not a number.
    pub sent_ms: i64,
    /// Keyed hash of (project, id, `_track_id`, time, event, type); 0 without `_track_id`.
    pub dup_key: u64,
    /// `event`.
    pub event: Span,
    /// `distinct_id`, or `item_id` for items.
    pub id: Span,
    /// Project named by the event itself; absent: META's.
    pub project: Span,
    /// `lib.$lib`.
    pub lib: Span,
    /// `lib.$lib_version`.
    pub lib_version: Span,
    /// `lib.$app_version` or `properties.$app_version`.
    pub app_version: Span,
}

impl Entry {
    /// Size on the wire.
    pub const BYTES: usize = 96;

    /// What stands for something that could not be opened: rejected with one code, no JSON, the time of arrival.
    #[must_use]
    pub fn unopened(recv_ms: i64) -> Self {
        Self {
            json: Span::default(),
            verdict: Verdict::Rejected,
            kind: 0,
            flags: flag::NOT_OBJECT,
            codes: 1,
            time_ms: recv_ms,
            sent_ms: i64::MIN,
            dup_key: 0,
            event: Span::default(),
            id: Span::default(),
            project: Span::default(),
            lib: Span::default(),
            lib_version: Span::default(),
            app_version: Span::default(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut wire = [0; Self::BYTES];
        let spans = [
            (0, self.json),
            (40, self.event),
            (48, self.id),
            (56, self.project),
            (64, self.lib),
            (72, self.lib_version),
            (80, self.app_version),
        ];
        for (at, span) in spans {
            wire[at..at + 4].copy_from_slice(&span.at.to_le_bytes());
            wire[at + 4..at + 8].copy_from_slice(&span.len.to_le_bytes());
        }
        wire[8] = self.verdict as u8;
        wire[9] = self.kind;
        wire[10..12].copy_from_slice(&self.flags.to_le_bytes());
        wire[12..16].copy_from_slice(&self.codes.to_le_bytes());
        wire[16..24].copy_from_slice(&self.time_ms.to_le_bytes());
        wire[24..32].copy_from_slice(&self.sent_ms.to_le_bytes());
        wire[32..40].copy_from_slice(&self.dup_key.to_le_bytes());
        out.extend_from_slice(&wire);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes.get(..Self::BYTES)?);
        Some(Self {
            json: r.span()?,
            verdict: match r.u8()? {
                0 => Verdict::Kept,
                1 => Verdict::Problems,
                2 => Verdict::Rejected,
                _ => return None,
            },
            kind: r.u8()?,
            flags: r.u16()?,
            codes: r.u32()?,
            time_ms: r.i64()?,
            sent_ms: r.i64()?,
            dup_key: r.i64()?.cast_unsigned(),
            event: r.span()?,
            id: r.span()?,
            project: r.span()?,
            lib: r.span()?,
            lib_version: r.span()?,
            app_version: r.span()?,
        })
    }
}

const _: () = assert!(Entry::BYTES == 8 + 8 + 24 + 6 * 8 + 8);

/// One code given to an event or to the request: `| index u32 | code [4] | pointer u16 | detail u16 | bytes … |`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRef<'a> {
    /// Index of the event, or [`CodeRef::REQUEST`].
    pub index: u32,
    /// Such as `N101`.
    pub code: [u8; 4],
    /// JSON pointer to the place, or empty.
    pub pointer: &'a [u8],
    /// What arrived, at most 128 bytes of UTF-8, or empty.
    pub detail: &'a [u8],
}

impl CodeRef<'_> {
    /// Index that stands for the whole request.
    pub const REQUEST: u32 = u32::MAX;
}

/// Header of a section.
#[must_use]
pub fn section_head(tag: u16, length: usize) -> [u8; 8] {
    let mut head = [0; 8];
    head[..2].copy_from_slice(&tag.to_le_bytes());
    head[2..4].copy_from_slice(&1u16.to_le_bytes());
    head[4..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    head
}

/// A record's payload, taken apart. Borrowed; nothing is copied. Hostile or damaged bytes give `None` or shorter lists, never a panic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    meta: &'a [u8],
    entries: &'a [u8],
    bytes: &'a [u8],
    codes: &'a [u8],
    /// The raw request, if kept; empty otherwise.
    pub raw: &'a [u8],
    /// The IMPORT section of a line that was read from a file; empty for a request.
    pub import: &'a [u8],
}

impl<'a> Record<'a> {
    /// Finds the sections; `None` if a length does not fit.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut record = Self::default();
        for section in sections(payload) {
            let (tag, bytes) = section?;
            match tag {
                tag::META => record.meta = bytes,
                tag::ENTRIES => record.entries = bytes,
                tag::BYTES => record.bytes = bytes,
                tag::CODES => record.codes = bytes,
                tag::RAW => record.raw = bytes,
                tag::IMPORT => record.import = bytes,
                _ => {}
            }
        }
        Some(record)
    }

    /// A META field; empty if absent.
    #[must_use]
    pub fn meta(&self, id: u16) -> &'a [u8] {
        let mut r = Reader(self.meta);
        while let (Some(field), Some(length)) = (r.u16(), r.u16()) {
            let Some(value) = r.take(usize::from(length)) else { break };
            if field == id {
                return value;
            }
        }
        &[]
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() / Entry::BYTES
    }

    /// Whether it holds no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One event: its entry and its stored JSON.
    #[must_use]
    pub fn event(&self, index: usize) -> Option<(Entry, &'a [u8])> {
        let entry = Entry::read(self.entries.get(index.checked_mul(Entry::BYTES)?..)?)?;
        let at = entry.json.at as usize;
        Some((entry, self.bytes.get(at..at.checked_add(entry.json.len as usize)?)?))
    }

    /// Its events in order; stops at a damaged entry.
    pub fn events(self) -> impl Iterator<Item = (Entry, &'a [u8])> {
        (0..self.len()).map_while(move |index| self.event(index))
    }

    /// All codes, in the order of their events.
    pub fn codes(&self) -> impl Iterator<Item = CodeRef<'a>> + use<'a> {
        Codes(Reader(self.codes))
    }
}

/// Sections of a payload in order; an item is `None` where a length does not fit, and nothing follows it.
pub fn sections(payload: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut r = Reader(rest);
        let section = (|| {
            let (tag, _version, length) = (r.u16()?, r.u16()?, r.u32()? as usize);
            let bytes = r.take(length)?;
            r.take(length.checked_next_multiple_of(8)? - length)?;
            Some((tag, bytes))
        })();
        rest = if section.is_some() { r.0 } else { &[] };
        Some(section)
    })
}

struct Codes<'a>(Reader<'a>);

impl<'a> Iterator for Codes<'a> {
    type Item = CodeRef<'a>;

    fn next(&mut self) -> Option<CodeRef<'a>> {
        let r = &mut self.0;
        let index = r.u32()?;
        let code = r.take(4)?.try_into().ok()?;
        let (pointer, detail) = (r.u16()?, r.u16()?);
        Some(CodeRef {
            index,
            code,
            pointer: r.take(usize::from(pointer))?,
            detail: r.take(usize::from(detail))?,
        })
    }
}

/// At most `limit` bytes of `text`, not ending inside a UTF-8 character.
fn cut(text: &[u8], limit: usize) -> &[u8] {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

/// A cursor over little-endian fields.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn span(&mut self) -> Option<Span> {
        Some(Span { at: self.u32()?, len: self.u32()? })
    }
}

#[cfg(test)]
mod tests;
