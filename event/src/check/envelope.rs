//! Envelopes: elements that carry encrypted events instead of being one (PROTOCOL "Encrypted envelopes").

use super::element::Element;
use super::names::Field;
use crate::json::{Kind, ScanMemory, Scanner, Value, to_i64, unescape};
use crate::record::Span;

/// An element with `ekey` or `key_id` beside `payloads` or `payload`. Text is in [`Envelopes`], escapes undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    ekey: Span,
    /// Names the private key; `None` if absent or not an integer.
    pub(crate) pkv: Option<i64>,
    /// Names the symmetric key; `None` if absent or not an integer.
    pub(crate) key_id: Option<i64>,
    /// Client clock at sending, ms: goes into each event that has no `_flush_time`.
    pub(crate) flush_time: Option<i64>,
    /// `payloads` (or `payload`) is one text, not a list.
    pub(crate) single: bool,
    first: u32,
    end: u32,
}

impl Envelope {
    /// Number of payloads.
    pub(crate) fn len(&self) -> u32 {
        self.end - self.first
    }
}

/// The envelopes of one request, with their text; reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct Envelopes {
    list: Vec<Envelope>,
    payloads: Vec<Span>,
    bytes: Vec<u8>,
    scan: ScanMemory,
}

/// A place to return to.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnvelopeMark {
    list: usize,
    payloads: usize,
    bytes: usize,
}

impl Envelopes {
    /// Forgets all, keeps memory up to `keep_bytes` a buffer.
    pub(crate) fn clear(&mut self, keep_bytes: usize) {
        self.list.clear();
        self.payloads.clear();
        self.bytes.clear();
        self.list.shrink_to(keep_bytes / size_of::<Envelope>());
        self.payloads.shrink_to(keep_bytes / size_of::<Span>());
        self.bytes.shrink_to(keep_bytes);
    }

    /// The envelopes in the order sent.
    pub(crate) fn list(&self) -> &[Envelope] {
        &self.list
    }

    /// The wrapped key as sent (base64); empty if there is none.
    pub(crate) fn ekey(&self, envelope: &Envelope) -> &[u8] {
        envelope.ekey.of(&self.bytes)
    }

    /// The payloads as sent (base64), in order. A payload that is not text is empty.
    pub(crate) fn payloads(&self, envelope: &Envelope) -> impl Iterator<Item = &[u8]> {
        let spans = self.payloads.get(envelope.first as usize..envelope.end as usize);
        spans.unwrap_or_default().iter().map(|span| span.of(&self.bytes))
    }

    pub(super) fn mark(&self) -> EnvelopeMark {
        let (list, payloads, bytes) = (self.list.len(), self.payloads.len(), self.bytes.len());
        EnvelopeMark { list, payloads, bytes }
    }

    pub(super) fn rollback(&mut self, mark: EnvelopeMark) {
        self.list.truncate(mark.list);
        self.payloads.truncate(mark.payloads);
        self.bytes.truncate(mark.bytes);
    }

    /// Takes over the envelope that `element` of `text` is.
    pub(super) fn add(&mut self, text: &[u8], element: &Element) {
        let integer = |field| {
            let value = element.get(field);
            (value.kind.is_number() || value.kind.is_text())
                .then(|| to_i64(value.of(text)))
                .flatten()
        };
        let mut envelope = Envelope {
            ekey: self.copy(text, element.get(Field::Ekey)),
            pkv: integer(Field::Pkv),
            key_id: integer(Field::KeyId),
            flush_time: integer(Field::EnvelopeFlushTime),
            single: false,
            first: count(self.payloads.len()),
            end: 0,
        };
        let mut payloads = element.get(Field::Payloads);
        if payloads.kind == Kind::Missing {
            payloads = element.get(Field::Payload);
        }
        if payloads.kind == Kind::List {
            let mut memory = std::mem::take(&mut self.scan);
            let mut scanner = Scanner::new(text, u32::MAX, &mut memory);
            // The text has been read before, so this cannot fail.
            let _ = scanner.list(payloads.at as usize, 0, |scanner, at| {
                let (end, kind) = scanner.value(at, 1)?;
                let span = self.copy(text, scanner.seen(at, end, kind));
                self.payloads.push(span);
                Ok(end)
            });
            self.scan = memory;
        } else {
            envelope.single = true;
            let span = self.copy(text, payloads);
            self.payloads.push(span);
        }
        envelope.end = count(self.payloads.len());
        self.list.push(envelope);
    }

    /// Copies a text value, escapes undone; other values give an empty span.
    fn copy(&mut self, text: &[u8], value: Value) -> Span {
        let at = count(self.bytes.len());
        match value.kind {
            Kind::Text => self.bytes.extend_from_slice(value.of(text)),
            Kind::Escaped => self.bytes.extend_from_slice(&unescape(value.of(text))),
            _ => {}
        }
        Span { at, len: count(self.bytes.len()) - at }
    }
}

/// A count or position; texts are below 4 GiB.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
