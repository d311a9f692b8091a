//! Text that is nearly UTF-8, made UTF-8. Cold: runs only where the fast check said no.

/// A repaired text, and which of its bytes stand for what was sent.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    text: Vec<u8>,
    /// Places where the two texts part: (position in the repaired text, position in the sent text) just behind a change.
    shifts: Vec<(u32, u32)>,
    /// Places in the repaired text where bytes could not be read at all.
    invalid: Vec<u32>,
    /// Places in the repaired text where half a surrogate pair stood.
    lone: Vec<u32>,
}

impl Repair {
    /// Gives memory above `keep_bytes` back.
    pub(crate) fn shrink(&mut self, keep_bytes: usize) {
        self.text.clear();
        self.shifts.clear();
        self.invalid.clear();
        self.lone.clear();
        self.text.shrink_to(keep_bytes);
        self.shifts.shrink_to(keep_bytes / 8);
        self.invalid.shrink_to(keep_bytes / 4);
        self.lone.shrink_to(keep_bytes / 4);
    }

    /// Joins surrogate pairs written as two characters of three bytes (CESU-8: the mini-program SDK writes emoji so) and
    /// puts U+FFFD for half a pair and for bytes that are no UTF-8 at all.
    pub(crate) fn run(&mut self, sent: &[u8]) {
        self.shrink(usize::MAX);
        let mut rest = sent;
        while !rest.is_empty() {
            let good = match simdutf8::compat::from_utf8(rest) {
                Ok(_) => rest.len(),
                Err(error) => error.valid_up_to(),
            };
            self.text.extend_from_slice(&rest[..good]);
            rest = &rest[good..];
            let mut changed = false;
            // Sequences of broken characters are handled one after the other without a new check of the rest.
            while let Some((replacement, length)) = broken(rest) {
                let at = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
                match replacement {
                    Some(c) if c == char::REPLACEMENT_CHARACTER => self.lone.push(at),
                    Some(_) => {}
                    None => self.invalid.push(at),
                }
                let c = replacement.unwrap_or(char::REPLACEMENT_CHARACTER);
                self.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                changed = true;
            }
            if changed {
                let here = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
                let there = u32::try_from(sent.len() - rest.len()).unwrap_or(u32::MAX);
                self.shifts.push((here, there));
            }
        }
    }

    /// The text made by the last [`Repair::run`].
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The sent bytes that became `at..end` of the repaired text; neither end may lie inside a changed character.
    pub(crate) fn sent<'s>(&self, sent: &'s [u8], at: u32, end: u32) -> &'s [u8] {
        let back = |p: u32| {
            let before = self.shifts.partition_point(|(here, _)| *here <= p);
            match before.checked_sub(1).and_then(|i| self.shifts.get(i)) {
                Some((here, there)) => (there + (p - here)) as usize,
                None => p as usize,
            }
        };
        sent.get(back(at)..back(end)).unwrap_or_default()
    }

    /// Whether a byte in `at..end` of the repaired text stands for bytes that are no UTF-8.
    pub(crate) fn is_invalid(&self, at: u32, end: u32) -> bool {
        within(&self.invalid, at, end)
    }

    /// Whether half a surrogate pair stood in `at..end` of the repaired text.
    pub(crate) fn is_lone(&self, at: u32, end: u32) -> bool {
        within(&self.lone, at, end)
    }
}

/// Whether a sorted list has a place in `at..end`.
fn within(places: &[u32], at: u32, end: u32) -> bool {
    places.get(places.partition_point(|place| *place < at)).is_some_and(|place| *place < end)
}

/// What to write for the broken character at the start of `text`, and its length: a joined pair, U+FFFD for half a pair,
/// or `None` for bytes that are nothing. `None` as a whole if `text` starts with a good character or is empty.
fn broken(text: &[u8]) -> Option<(Option<char>, usize)> {
    if let Some(unit) = surrogate(text) {
        let low = text.get(3..).and_then(surrogate).filter(|low| *low >= 0xdc00);
        return Some(match low {
            Some(low) if unit < 0xdc00 => {
                let joined = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                (Some(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER)), 6)
            }
            _ => (Some(char::REPLACEMENT_CHARACTER), 3),
        });
    }
    let head = &text[..text.len().min(4)];
    match std::str::from_utf8(head) {
        Ok(_) => None,
        Err(error) if error.valid_up_to() > 0 => None,
        // Cut off by `head` itself or by the text's end.
        Err(error) => Some((None, error.error_len().unwrap_or(head.len()))),
    }
}

/// The surrogate at the start of `text`, written as three bytes.
fn surrogate(text: &[u8]) -> Option<u32> {
    match text.first_chunk::<3>()? {
        [0xed, b @ 0xa0..=0xbf, c @ 0x80..=0xbf] => {
            Some(0xd000 | u32::from(b & 0x3f) << 6 | u32::from(c & 0x3f))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(sent: &[u8]) -> (String, Repair) {
        let mut repair = Repair::default();
        repair.run(sent);
        let text = String::from_utf8(repair.text().to_vec()).unwrap();
        (text, repair)
    }

    #[test]
    fn surrogate_pairs_of_three_bytes_each_become_one_character() {
        let (text, repair) = repaired(b"a\xed\xa0\xbd\xed\xb8\x80b");
        assert_eq!(text, "a😀b");
        assert!(!repair.is_invalid(0, 6) && !repair.is_lone(0, 6));
        assert_eq!(repair.sent(b"a\xed\xa0\xbd\xed\xb8\x80b", 5, 6), b"b");
        assert_eq!(repair.sent(b"a\xed\xa0\xbd\xed\xb8\x80b", 0, 6), b"a\xed\xa0\xbd\xed\xb8\x80b");
    }

    #[test]
    fn half_a_pair_becomes_a_replacement_character() {
        for sent in [&b"x\xed\xa0\xbdy"[..], b"x\xed\xb8\x80y"] {
            let (text, repair) = repaired(sent);
            assert_eq!(text, "x\u{fffd}y");
            assert!(repair.is_lone(0, 5) && !repair.is_lone(4, 5) && !repair.is_invalid(0, 5));
        }
        assert_eq!(repaired(b"\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80").0, "\u{fffd}😀");
    }

    #[test]
    fn other_bytes_are_replaced_as_by_the_standard_library_and_marked() {
        for sent in [
            &b"a\xffb"[..],
            b"\xe4\xb8",
            b"\xc3\x28",
            b"\xf0\x9f\x98",
            b"\xd6\xd0\xce\xc4",
            b"\xf0\x9f\x98\xff",
        ] {
            let (text, repair) = repaired(sent);
            assert_eq!(text, String::from_utf8_lossy(sent));
            assert!(repair.is_invalid(0, u32::MAX));
            assert_eq!(repair.sent(sent, 0, u32::try_from(text.len()).unwrap()), sent);
        }
    }

    #[test]
    fn megabytes_of_broken_bytes_take_linear_time() {
        let sent = b"\xed\xa0\xbd\xff a".repeat(1 << 20);
        let (text, _) = repaired(&sent);
        assert_eq!(text.len(), (3 + 3 + 2) << 20);
    }
}
