//! Strings, numbers and words.

use super::{Kind, Scanner, Step, number, pos};

impl Scanner<'_> {
    /// Reads the string whose opening quote is at `open`; gives its closing quote and whether it has escapes.
    #[inline(always)]
    pub(crate) fn string(&mut self, open: usize) -> Step<(usize, bool)> {
        let end = self.special(open + 1);
        if self.byte(end) == b'"' { Ok((end, false)) } else { self.string_slow(end) }
    }

    #[cold]
    #[inline(never)]
    fn string_slow(&mut self, mut p: usize) -> Step<(usize, bool)> {
        loop {
            match self.byte(p) {
                b'"' => return Ok((p, true)),
                b'\\' => {
                    let behind = self.escape(p)?;
                    p = self.special(behind);
                }
                _ => return self.broken(p),
            }
        }
    }

    /// Reads the escape whose backslash is at `p`; a surrogate without its partner is remembered.
    fn escape(&mut self, p: usize) -> Step {
        match self.byte(p + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(p + 2),
            b'u' => match self.hex(p + 2)? {
                0xd800..=0xdbff if self.byte(p + 6) == b'\\' && self.byte(p + 7) == b'u' => {
                    if matches!(self.hex(p + 8)?, 0xdc00..=0xdfff) {
                        return Ok(p + 12);
                    }
                    self.memory.lone.push(pos(p));
                    Ok(p + 6)
                }
                0xd800..=0xdfff => {
                    self.memory.lone.push(pos(p));
                    Ok(p + 6)
                }
                _ => Ok(p + 6),
            },
            _ => self.broken(p + 1),
        }
    }

    fn hex(&mut self, at: usize) -> Step<u32> {
        let mut value = 0;
        for p in at..at + 4 {
            match char::from(self.byte(p)).to_digit(16) {
                Some(digit) => value = value * 16 + digit,
                None => return self.broken(p),
            }
        }
        Ok(value)
    }

    /// Behind the digits at `p`, eight at a time.
    #[inline(always)]
    fn digits(&self, mut p: usize) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        while let Some(word) = self.text.get(p..).and_then(<[u8]>::first_chunk::<8>) {
            // A digit becomes 0..=9; adding 0x76 sets the top bit of everything above, and | keeps one that was set.
            let word = u64::from_le_bytes(*word) ^ (ONES * 0x30);
            let others = (word.wrapping_add(ONES * 0x76) | word) & (ONES * 0x80);
            if others != 0 {
                // The lowest byte with its bit set is right: carries only reach bytes above a non-digit.
                return p + (others.trailing_zeros() / 8) as usize;
            }
            p += 8;
        }
        while self.byte(p).is_ascii_digit() {
            p += 1;
        }
        p
    }

    /// Reads the number at `start`.
    #[inline(always)]
    pub(crate) fn number(&mut self, start: usize) -> Step<(usize, Kind)> {
        let mut p = start + usize::from(self.byte(start) == b'-');
        match self.byte(p) {
            b'0' => p += 1,
            b'1'..=b'9' => p = self.digits(p + 1),
            _ => return self.broken(p),
        }
        let mut kind = Kind::Int;
        if self.byte(p) == b'.' {
            let behind = self.digits(p + 1);
            if behind == p + 1 {
                return self.broken(behind);
            }
            (p, kind) = (behind, Kind::Float);
        }
        // Below 300 bytes and without an exponent every double holds it.
        if self.byte(p) | 0x20 == b'e' || p - start > 300 {
            return self.number_slow(start, p, kind);
        }
        Ok((p, kind))
    }

    #[cold]
    #[inline(never)]
    fn number_slow(&mut self, start: usize, mut p: usize, mut kind: Kind) -> Step<(usize, Kind)> {
        if self.byte(p) | 0x20 == b'e' {
            p += 1;
            if matches!(self.byte(p), b'+' | b'-') {
                p += 1;
            }
            let behind = self.digits(p);
            if behind == p {
                return self.broken(p);
            }
            (p, kind) = (behind, Kind::Exponent);
        }
        if !number::fits_double(&self.text[start..p]) {
            self.out_of_range.get_or_insert(pos(start));
        }
        Ok((p, kind))
    }

    #[inline(always)]
    fn literal(&mut self, p: usize, word: &[u8], kind: Kind) -> Step<(usize, Kind)> {
        let end = p + word.len();
        if self.text.get(p..end) == Some(word) {
            Ok((end, kind))
        } else {
            self.literal_slow(p, word)
        }
    }

    #[cold]
    fn literal_slow<T>(&mut self, mut p: usize, word: &[u8]) -> Step<T> {
        for expected in word {
            if self.byte(p) != *expected {
                break;
            }
            p += 1;
        }
        self.broken(p)
    }

    /// Reads a value that is no container.
    #[inline(always)]
    pub(crate) fn scalar(&mut self, p: usize) -> Step<(usize, Kind)> {
        match self.byte(p) {
            b'"' => {
                let (close, escaped) = self.string(p)?;
                Ok((close + 1, if escaped { Kind::Escaped } else { Kind::Text }))
            }
            b'-' | b'0'..=b'9' => self.number(p),
            b't' => self.literal(p, b"true", Kind::Bool),
            b'f' => self.literal(p, b"false", Kind::Bool),
            b'n' => self.literal(p, b"null", Kind::Null),
            _ => self.broken(p),
        }
    }
}
