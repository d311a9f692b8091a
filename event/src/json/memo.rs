//! Names seen before, so that the next event need not look at them byte by byte.
//!
//! An SDK sends the same names in the same order, event after event. Each name remembers what was found out about it and
//! which name followed it; the scanner compares the predicted `"name":` with the text in one step. A wrong guess costs
//! that comparison. What a memo says is a function of the name alone, so results never depend on what was seen before.

use wide::u8x16;

/// Bytes of one remembered `"name":`; longer names are read the long way.
const WINDOW: usize = 32;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Seen {
    /// `"name":`, then zeroes.
    bytes: [u8; WINDOW],
    /// One bit for each byte that counts.
    mask: u32,
    /// Length of the name.
    length: u8,
    /// What the caller found out about it.
    tag: u8,
    /// The name that followed it last.
    next: u8,
}

/// A set of remembered names, `N - 1` of them; `N` is a power of two up to 256. Slot 0 is no name: it stands before the
/// first one.
#[derive(Debug)]
pub(crate) struct Memo<const N: usize> {
    seen: [Seen; N],
    /// Slots by a hash of the name: where to look when the guess was wrong.
    index: [u8; N],
    /// The slot written last.
    newest: u8,
}

impl<const N: usize> Default for Memo<N> {
    fn default() -> Self {
        // No text has such bytes, so nothing is found before it was learnt.
        let nothing = Seen { bytes: [0xff; WINDOW], mask: u32::MAX, length: 0, tag: 0, next: 0 };
        Self { seen: [nothing; N], index: [0; N], newest: 0 }
    }
}

/// Where an object's names have come to: the slot of the last one that is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trail(u8);

/// A remembered name that stands in the text: its length and tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) length: usize,
    pub(super) tag: u8,
}

impl<const N: usize> Memo<N> {
    /// Whether the name that should come next stands, with its quotes and colon, at `p`.
    #[inline(always)]
    pub(super) fn hit(&self, text: &[u8], p: usize, trail: &mut Trail) -> Option<Hit> {
        let slot = self.seen[usize::from(trail.0) % N].next;
        let seen = &self.seen[usize::from(slot) % N];
        let window = text.get(p..).and_then(<[u8]>::first_chunk::<WINDOW>)?;
        let (ours, _) = seen.bytes.as_chunks::<16>();
        let (theirs, _) = window.as_chunks::<16>();
        let [low, high] =
            [0, 1].map(|i| u8x16::new(ours[i]).simd_eq(u8x16::new(theirs[i])).to_bitmask());
        if !(low | high << 16) & seen.mask != 0 {
            return None;
        }
        trail.0 = slot;
        Some(Hit { length: usize::from(seen.length), tag: seen.tag })
    }

    /// Remembers a name without escapes that was read the long way, with what was found out about it.
    #[cold]
    #[inline(never)]
    pub(super) fn learn(&mut self, name: &[u8], tag: u8, trail: &mut Trail) {
        let length = name.len() + 3;
        if length > WINDOW {
            return;
        }
        let hash = name
            .iter()
            .fold(0x9e37u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let index = &mut self.index[(hash >> 16) as usize % N];
        let mask = u32::MAX >> (WINDOW - length);
        let known = &self.seen[usize::from(*index) % N];
        if known.mask != mask || known.bytes[1..=name.len()] != *name || known.tag != tag {
            // Two names with one hash both stay: each is found by the name before it.
            self.newest = self.newest.wrapping_add(1);
            if usize::from(self.newest) % N == 0 {
                self.newest = 1;
            }
            *index = self.newest;
            let seen = &mut self.seen[usize::from(self.newest) % N];
            seen.bytes = [0; WINDOW];
            seen.bytes[0] = b'"';
            seen.bytes[1..=name.len()].copy_from_slice(name);
            seen.bytes[length - 2..length].copy_from_slice(b"\":");
            (seen.mask, seen.tag) = (mask, tag);
            seen.length = u8::try_from(name.len()).unwrap_or(0);
        }
        self.seen[usize::from(trail.0) % N].next = *index;
        trail.0 = *index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(memo: &Memo<16>, text: &str, trail: Trail) -> Option<(usize, u8)> {
        let padded = format!("{text}{}", " ".repeat(WINDOW));
        memo.hit(padded.as_bytes(), 0, &mut trail.clone()).map(|hit| (hit.length, hit.tag))
    }

    #[test]
    fn a_name_is_predicted_by_the_one_before_it() {
        let mut memo = Memo::<16>::default();
        assert_eq!(hits(&memo, "\"a\":1", Trail::default()), None);
        let mut trail = Trail::default();
        memo.learn(b"a", 7, &mut trail);
        let behind = trail;
        memo.learn(b"a_name_of_twenty_nine_bytes__", 9, &mut trail);
        assert_eq!(hits(&memo, "\"a\":1", Trail::default()), Some((1, 7)));
        assert_eq!(hits(&memo, "\"a_name_of_twenty_nine_bytes__\":", behind), Some((29, 9)));
        for other in ["\"b\":1", "\"a\" :1", "\"ab\":", "a\":1", "\"a:1", "\"A\":1", ""] {
            assert_eq!(hits(&memo, other, Trail::default()), None, "{other}");
        }
    }

    #[test]
    fn more_names_than_slots_take_turns() {
        let mut memo = Memo::<16>::default();
        for round in 0..3 {
            let mut trail = Trail::default();
            for i in 0..40 {
                let name = format!("name_{i}");
                let before = trail;
                memo.learn(name.as_bytes(), i, &mut trail);
                let found = hits(&memo, &format!("\"{name}\":1"), before);
                assert_eq!(found, Some((name.len(), i)), "{round} {i}");
            }
        }
        assert_eq!(memo.seen[0].mask, u32::MAX, "slot 0 stays no name");
    }

    #[test]
    fn names_that_do_not_fit_are_not_remembered() {
        let mut memo = Memo::<16>::default();
        let mut trail = Trail::default();
        memo.learn(&[b'a'; 30], 7, &mut trail);
        assert_eq!(trail.0, 0);
    }

    #[test]
    fn the_end_of_the_text_is_read_the_long_way() {
        let mut memo = Memo::<16>::default();
        memo.learn(b"a", 7, &mut Trail::default());
        assert!(memo.hit(b"\"a\":1", 0, &mut Trail::default()).is_none());
        assert!(memo.hit(b"", 9, &mut Trail::default()).is_none());
    }
}
