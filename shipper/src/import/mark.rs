//! How far lines of a file are in the journal, and the section that carries it there.

use crate::journal::layout::u64_at;
use event::record::{self, tag};

/// First 16 bytes of a SHA-256.
pub type Digest = [u8; 16];

/// Bytes of an IMPORT section before the place's text.
const FIXED: usize = 64;

/// The digest after one more line: that of everything up to and with it.
#[must_use]
pub fn chain(before: &Digest, line: &[u8]) -> Digest {
    let mut sha = openssl::sha::Sha256::new();
    sha.update(before);
    sha.update(line);
    let mut digest = Digest::default();
    digest.copy_from_slice(&sha.finish()[..16]);
    digest
}

/// How far a run of lines is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// What is read: for an import the digest of everything before the block, for a followed file its id.
    pub key: Digest,
    /// Who reads it: a number drawn for each import, 0 for a followed file. Marks of one run replace each other.
    pub run: u64,
    /// Bytes done; for an import those of the block up to the end of the line, without its line feed.
    pub bytes: u64,
    /// Lines done.
    pub lines: u64,
    /// Digest of everything up to there, see [`chain`].
    pub digest: Digest,
}

/// What a record that was read from a file says of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// How far its file is with it.
    pub mark: Mark,
    /// When it was logged, ns since 1970; 0 if the line does not tell: then the time it was read.
    pub logged_ns: u64,
    /// `<file name>:<line>`, for people.
    pub place: &'a [u8],
}

impl<'a> Line<'a> {
    /// Appends the IMPORT section.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self { mark, logged_ns, place } = self;
        out.extend_from_slice(&record::section_head(tag::IMPORT, FIXED + place.len()));
        out.extend_from_slice(&mark.key);
        out.extend_from_slice(&mark.digest);
        for number in [mark.run, mark.bytes, mark.lines, *logged_ns] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(place);
        out.resize(out.len().next_multiple_of(8), 0);
    }

    /// The IMPORT section of a payload.
    #[must_use]
    pub fn find(payload: &'a [u8]) -> Option<Self> {
        let (_, bytes) = record::sections(payload).flatten().find(|(t, _)| *t == tag::IMPORT)?;
        Self::read(bytes)
    }

    /// The bytes of an IMPORT section.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let digest = |at: usize| Digest::try_from(bytes.get(at..at + 16)?).ok();
        let place = bytes.get(FIXED..)?;
        Some(Self {
            mark: Mark {
                key: digest(0)?,
                digest: digest(16)?,
                run: u64_at(bytes, 32),
                bytes: u64_at(bytes, 40),
                lines: u64_at(bytes, 48),
            },
            logged_ns: u64_at(bytes, 56),
            place,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reads_back() {
        let mark = Mark { key: [1; 16], run: 2, bytes: 3, lines: 4, digest: [5; 16] };
        let line = Line { mark, logged_ns: 6, place: b"access.log:12" };
        let mut payload = Vec::new();
        line.write(&mut payload);
        assert!(payload.len().is_multiple_of(8));
        assert_eq!(Line::find(&payload), Some(line));
        assert_eq!(Line::find(&[]), None);
    }
}
