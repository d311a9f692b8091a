//! The unread end of one file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// A longer line is none of an SDK's; 64 KiB of it are kept. See `import::blocks`.
const LINE_BYTES_MAX: usize = 16 << 20;
const CUT_BYTES: usize = 64 << 10;

/// Reads whole lines behind an offset.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Offset of the first byte in `held`.
    pub(super) offset: u64,
    held: Vec<u8>,
    /// In the rest of a line that was cut.
    skipping: bool,
}

/// A line and the offset behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: Vec<u8>,
    pub(super) end: u64,
}

impl Tail {
    pub(super) fn at(offset: u64) -> Self {
        Self { offset, ..Self::default() }
    }

    /// The lines that are whole, of the next MiB; empty if there are none. `last`: nothing more will be written, so what is behind the
    /// last line feed is a line too. The second value: whether there is more to read.
    pub(super) fn read(&mut self, file: &File, last: bool) -> io::Result<(Vec<Piece>, bool)> {
        let from = self.held.len();
        self.held.resize(from + CHUNK_BYTES, 0);
        let read = file.read_at(&mut self.held[from..], self.offset + from as u64);
        let n = *read.as_ref().unwrap_or(&0);
        self.held.truncate(from + n);
        read?;
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\n', &self.held[at..]) {
            let line = &self.held[at..at + found];
            at += found + 1;
            let end = self.offset + at as u64;
            // The rest of a cut line only moves the offset, with an empty line.
            let text = if std::mem::take(&mut self.skipping) { &[] } else { line };
            pieces.push(Piece { text: text.to_vec(), end });
        }
        self.held.drain(..at);
        self.offset += at as u64;
        if self.held.len() >= LINE_BYTES_MAX || (self.skipping && !self.held.is_empty()) {
            self.offset += self.held.len() as u64;
            if !self.skipping {
                let mut text = self.held[..CUT_BYTES].to_vec();
                text.push(0);
                pieces.push(Piece { text, end: self.offset });
            }
            self.skipping = true;
            self.held = Vec::new();
        }
        if last && n == 0 && !self.held.is_empty() {
            self.offset += self.held.len() as u64;
            pieces.push(Piece { text: std::mem::take(&mut self.held), end: self.offset });
        }
        if self.held.is_empty() {
            self.held.shrink_to(2 * CHUNK_BYTES);
        }
        Ok((pieces, n == CHUNK_BYTES))
    }

    /// Forgets what was read behind `offset`, to read it again.
    pub(super) fn rewind(&mut self, offset: u64) {
        *self = Self::at(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn piece(text: &str, end: u64) -> Piece {
        Piece { text: text.as_bytes().to_vec(), end }
    }

    #[test]
    fn only_whole_lines_are_taken() {
        let path = std::env::temp_dir().join(format!("tusk-tail-{}", std::process::id()));
        let mut writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        let mut tail = Tail::at(0);
        assert_eq!(tail.read(&file, false).unwrap(), (vec![], false));
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.read(&file, false).unwrap(), (vec![piece("one", 4)], false));
        assert_eq!(tail.read(&file, false).unwrap().0, []);
        writer.write_all(b"o\n\nthr").unwrap();
        assert_eq!(tail.read(&file, false).unwrap().0, [piece("two", 8), piece("", 9)]);
        tail.rewind(4);
        assert_eq!(tail.read(&file, true).unwrap().0, [piece("two", 8), piece("", 9)]);
        assert_eq!(tail.read(&file, true).unwrap().0, [piece("thr", 12)]);
        // A line without end costs 64 KiB.
        for _ in 0..40 {
            writer.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        writer.write_all(b"\nnext\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut all = Vec::new();
        loop {
            let (pieces, more) = tail.read(&file, false).unwrap();
            all.extend(pieces);
            if !more {
                break;
            }
        }
        let lengths: Vec<usize> = all.iter().map(|piece| piece.text.len()).collect();
        assert_eq!(lengths, [CUT_BYTES + 1, 0, 4]);
        assert_eq!(all[2], piece("next", 12 + (40 << 20) + 6));
    }
}
