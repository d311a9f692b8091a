//! Envelopes: elements that carry encrypted events instead of being one (PROTOCOL "Encrypted envelopes").

use crate::record::Span;

/// An element with `ekey` or `key_id` beside `payloads` or `payload`. Text is in [`Envelopes`], escapes undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    ekey: Span,
    /// Names the private key; `None` if absent or not an integer.
    pub(crate) pkv: Option<i64>,
    /// Names the symmetric key; `None` if absent or not an integer.
    pub(crate) key_id: Option<i64>,
    /// Client clock at sending, ms: goes into each event as `_flush_time`.
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
}
