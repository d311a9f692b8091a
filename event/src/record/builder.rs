//! Writing a record.

use super::{CodeRef, Codes, Entry, Reader, Record, Verdict, cut, meta, section_head, tag};

/// What pads a section.
const ZEROES: [u8; 8] = [0; 8];

/// Builds a record's payload in reused buffers. `clear` before each request; nothing is freed.
#[derive(Debug, Default)]
pub struct Builder {
    meta: Vec<u8>,
    entries: Vec<u8>,
    bytes: Vec<u8>,
    codes: Vec<u8>,
    code_count: u32,
    count: u32,
    kept: u32,
    rejected: u32,
}

/// A place to return to if what follows turns out not to be valid.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    entries: usize,
    bytes: usize,
    codes: usize,
    code_count: u32,
    count: u32,
    kept: u32,
    rejected: u32,
}

impl Builder {
    /// Forgets the last request, keeps the memory up to `keep_bytes` a buffer.
    pub fn clear(&mut self, keep_bytes: usize) {
        for buffer in [&mut self.meta, &mut self.entries, &mut self.bytes, &mut self.codes] {
            buffer.clear();
            buffer.shrink_to(keep_bytes);
        }
        (self.code_count, self.count, self.kept, self.rejected) = (0, 0, 0, 0);
    }

    /// Adds a META field, cut to `limit` bytes.
    pub fn meta(&mut self, id: u16, value: &[u8], limit: u16) {
        let value = &value[..value.len().min(usize::from(limit))];
        self.meta.extend_from_slice(&id.to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "cut to a u16 above")]
        self.meta.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.meta.extend_from_slice(value);
    }

    /// The JSON area: append an event's stored bytes here, then call [`Builder::entry`] with their span.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds an event whose JSON was appended to [`Builder::bytes`].
    pub fn entry(&mut self, entry: &Entry) {
        self.count += 1;
        match entry.verdict {
            Verdict::Rejected => self.rejected += 1,
            Verdict::Kept | Verdict::Problems => self.kept += 1,
        }
        entry.write(&mut self.entries);
    }

    /// Adds a code; `pointer` and `detail` are cut to 256 and 128 bytes (at a character).
    pub fn code(&mut self, code: CodeRef<'_>) {
        self.code_count += 1;
        let (pointer, detail) = (cut(code.pointer, 256), cut(code.detail, 128));
        self.codes.extend_from_slice(&code.index.to_le_bytes());
        self.codes.extend_from_slice(&code.code);
        #[expect(clippy::cast_possible_truncation, reason = "cut to 256 above")]
        for length in [pointer.len() as u16, detail.len() as u16] {
            self.codes.extend_from_slice(&length.to_le_bytes());
        }
        self.codes.extend_from_slice(pointer);
        self.codes.extend_from_slice(detail);
    }

    /// Events so far: the index the next one will have.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Events kept so far.
    #[must_use]
    pub fn kept(&self) -> u32 {
        self.kept
    }

    /// Events rejected so far.
    #[must_use]
    pub fn rejected(&self) -> u32 {
        self.rejected
    }

    /// Number of codes so far.
    #[must_use]
    pub fn code_count(&self) -> u32 {
        self.code_count
    }

    /// Codes so far.
    pub fn codes(&self) -> impl Iterator<Item = CodeRef<'_>> {
        Codes(Reader(&self.codes))
    }

    /// The META field PROJECT; empty before it is set.
    #[must_use]
    pub fn project(&self) -> &[u8] {
        Record { meta: &self.meta, ..Record::default() }.meta(meta::PROJECT)
    }

    /// The record as its readers will see it, without RAW.
    #[must_use]
    pub fn view(&self) -> Record<'_> {
        Record {
            meta: &self.meta,
            entries: &self.entries,
            bytes: &self.bytes,
            codes: &self.codes,
            raw: &[],
            import: &[],
        }
    }

    /// Remembers the present state for [`Builder::rollback`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            entries: self.entries.len(),
            bytes: self.bytes.len(),
            codes: self.codes.len(),
            code_count: self.code_count,
            count: self.count,
            kept: self.kept,
            rejected: self.rejected,
        }
    }

    /// Forgets everything added since `mark` (META stays).
    pub fn rollback(&mut self, mark: Mark) {
        self.entries.truncate(mark.entries);
        self.bytes.truncate(mark.bytes);
        self.codes.truncate(mark.codes);
        self.code_count = mark.code_count;
        (self.count, self.kept, self.rejected) = (mark.count, mark.kept, mark.rejected);
    }

    /// Forgets all events and codes (META stays).
    pub fn clear_events(&mut self) {
        for buffer in [&mut self.entries, &mut self.bytes, &mut self.codes] {
            buffer.clear();
        }
        (self.count, self.kept, self.rejected) = (0, 0, 0);
    }

    /// Size the payload will have without RAW.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        [&self.meta, &self.entries, &self.bytes, &self.codes]
            .iter()
            .filter(|section| !section.is_empty())
            .map(|section| 8 + section.len().next_multiple_of(8))
            .sum()
    }

    /// The sections as a list of slices to copy into the ring one after the other, so that no second buffer is needed.
    /// `heads` is scratch space for the section headers; `raw` is left out when empty.
    #[must_use]
    pub fn sections<'b>(&'b self, raw: &'b [u8], heads: &'b mut [[u8; 8]; 5]) -> [&'b [u8]; 15] {
        let parts: [(u16, &[u8]); 5] = [
            (tag::META, &self.meta),
            (tag::ENTRIES, &self.entries),
            (tag::BYTES, &self.bytes),
            (tag::CODES, &self.codes),
            (tag::RAW, raw),
        ];
        let mut out: [&[u8]; 15] = [&[]; 15];
        for (head, (tag, bytes)) in heads.iter_mut().zip(parts) {
            *head = section_head(tag, bytes.len());
        }
        let heads: &[[u8; 8]; 5] = heads;
        for (i, (_, bytes)) in parts.iter().enumerate() {
            if !bytes.is_empty() {
                out[i * 3] = &heads[i];
                out[i * 3 + 1] = bytes;
                out[i * 3 + 2] = &ZEROES[..bytes.len().next_multiple_of(8) - bytes.len()];
            }
        }
        out
    }

    /// The payload in one piece (tests, the shipper's own records).
    #[must_use]
    pub fn payload(&self, raw: &[u8]) -> Vec<u8> {
        let mut heads = [[0; 8]; 5];
        self.sections(raw, &mut heads).concat()
    }
}
