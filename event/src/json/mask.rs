//! Sixteen bytes at a time: which bytes end a run of plain string text, and which cannot stand in a name.

use wide::u8x16;

/// Bytes of one block; [`special`] gives one bit for each.
pub(super) const BLOCK: usize = 64;

/// One bit per byte of the block at `block`, lowest first: set where a string's plain text stops, at a quote, a backslash
/// or a control character. Behind the end of the text: clear.
#[inline(always)]
pub(super) fn special(text: &[u8], block: usize) -> u64 {
    match text.get(block..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        Some(bytes) => special_block(bytes),
        None => special_tail(text, block),
    }
}

#[inline(always)]
fn special_block(bytes: &[u8; BLOCK]) -> u64 {
    let (lanes, _) = bytes.as_chunks::<16>();
    let mut mask = 0;
    for (i, lane) in lanes.iter().enumerate() {
        let lane = u8x16::new(*lane);
        let control = lane.min(u8x16::splat(0x1f)).simd_eq(lane);
        let hit = lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\')) | control;
        mask |= u64::from(hit.to_bitmask()) << (16 * i);
    }
    mask
}

#[cold]
#[inline(never)]
fn special_tail(text: &[u8], block: usize) -> u64 {
    let mut bytes = [b' '; BLOCK];
    let rest = text.get(block..).unwrap_or_default();
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    special_block(&bytes)
}

/// Bytes that may stand in a name: `A-Z a-z 0-9 _ $`.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || c == b'_' || c == b'$';
        byte += 1;
    }
    table
};

/// Whether every byte of `text[at..end]` may stand in a name. Reads up to 16 bytes at a time, also behind `end`.
#[inline(always)]
pub(super) fn is_name(text: &[u8], at: usize, end: usize) -> bool {
    let mut at = at;
    loop {
        let left = end.saturating_sub(at);
        let Some(lane) = text.get(at..).and_then(<[u8]>::first_chunk::<16>) else {
            return text
                .get(at..end)
                .is_some_and(|rest| rest.iter().all(|b| NAME[usize::from(*b)]));
        };
        let bad = !name_lane(*lane) & 0xffff;
        if left <= 16 {
            // Bits of the bytes behind `end` are shifted out.
            return left == 0 || bad << (32 - left) == 0;
        }
        if bad != 0 {
            return false;
        }
        at += 16;
    }
}

#[inline(always)]
fn name_lane(lane: [u8; 16]) -> u32 {
    let (lane, splat) = (u8x16::new(lane), u8x16::splat);
    let (letter, digit) = ((lane | splat(0x20)) - splat(b'a'), lane - splat(b'0'));
    let is_letter = letter.min(splat(25)).simd_eq(letter);
    let is_digit = digit.min(splat(9)).simd_eq(digit);
    let hit = is_letter | is_digit | lane.simd_eq(splat(b'_')) | lane.simd_eq(splat(b'$'));
    hit.to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Naive twin of [`special`].
    fn special_slow(text: &[u8], block: usize) -> u64 {
        let block = text.get(block..).unwrap_or_default();
        (0..BLOCK)
            .filter(|i| block.get(*i).is_some_and(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)))
            .map(|i| 1 << i)
            .sum()
    }

    /// Naive twin of [`is_name`].
    fn is_name_slow(name: &[u8]) -> bool {
        name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'))
    }

    #[test]
    fn each_byte_at_each_place_is_judged_as_by_its_naive_twin() {
        for byte in 0..=255u8 {
            for place in 0..BLOCK {
                for length in [BLOCK, place + 1] {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    assert_eq!(special(&text, 0), special_slow(&text, 0), "{byte} at {place}");
                    for end in [place, place + 1, length] {
                        let same = is_name(&text, 0, end) == is_name_slow(&text[..end]);
                        assert!(same, "{byte} at {place} of {end}");
                    }
                }
            }
        }
        assert_eq!(special(b"\"", 64), 0);
    }
}
