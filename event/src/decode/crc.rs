//! The SDKs' `crc`: Java's `String.hashCode`, h = 31 h + c over the UTF-16 units, wrapping, printed as a signed number.

/// Hashes that run side by side: no lane waits for another, so the compiler makes vectors of them.
const LANES: usize = 8;
/// What a lane is multiplied by for each block of four bytes a lane.
const STEP: u32 = pow31(4 * LANES as u32);

const fn pow31(exponent: u32) -> u32 {
    31u32.wrapping_pow(exponent)
}

/// The hash of a text in UTF-8. Surrogates written as three bytes each (CESU-8) count as the unit they are; other bytes that
/// are no UTF-8 count as one U+FFFD each.
pub(crate) fn hash(text: &[u8]) -> i32 {
    if text.is_ascii() { ascii(text).cast_signed() } else { unicode(text).cast_signed() }
}

/// Four bytes a lane and block; twice two neighbours are joined by shifts before the one multiplication, which plain x86-64
/// has no vector instruction for.
fn ascii(text: &[u8]) -> u32 {
    let (words, _) = text.as_chunks::<4>();
    let (blocks, _) = words.as_chunks::<LANES>();
    let mut lanes = [0u32; LANES];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block) {
            let word = u32::from_le_bytes(*word);
            let (even, odd) = (word & 0x00ff_00ff, (word >> 8) & 0x00ff_00ff);
            let pairs = (even << 5) - even + odd; // 31 a + b in each half: below 2^13
            let (first, second) = (pairs & 0xffff, pairs >> 16);
            let four = (first << 10) - (first << 6) + first + second; // 961 x + y
            *lane = lane.wrapping_mul(STEP).wrapping_add(four);
        }
    }
    let hash =
        lanes.iter().fold(0u32, |hash, lane| hash.wrapping_mul(pow31(4)).wrapping_add(*lane));
    let tail = &text[blocks.len() * 4 * LANES..];
    tail.iter().fold(hash, |hash, &byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

fn unicode(text: &[u8]) -> u32 {
    let mut hash = 0u32;
    let mut unit = |unit: u32| hash = hash.wrapping_mul(31).wrapping_add(unit);
    let mut rest = text;
    while let &[first, ref after @ ..] = rest {
        let more = |n: usize, head: u32| {
            let tail = after.get(..n)?;
            tail.iter().try_fold(head, |code, &byte| {
                (byte & 0xc0 == 0x80).then_some(code << 6 | u32::from(byte & 0x3f))
            })
        };
        let (length, code) = match first {
            0x00..=0x7f => (0, Some(u32::from(first))),
            0xc2..=0xdf => (1, more(1, u32::from(first & 0x1f))),
            0xe0..=0xef => (2, more(2, u32::from(first & 0x0f)).filter(|&c| c >= 0x800)),
            0xf0..=0xf4 => {
                (3, more(3, u32::from(first & 0x07)).filter(|c| (0x1_0000..0x11_0000).contains(c)))
            }
            _ => (0, None),
        };
        match code {
            Some(code) if code >= 0x1_0000 => {
                unit(0xd800 + ((code - 0x1_0000) >> 10));
                unit(0xdc00 + ((code - 0x1_0000) & 0x3ff));
            }
            Some(code) => unit(code),
            None => unit(0xfffd),
        }
        rest = if code.is_some() { &after[length..] } else { after };
    }
    hash
}

/// Reads the number after `crc=`: a signed 32-bit decimal.
pub(crate) fn number(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// The `crc` in the text of `ext`: `k=v` joined by commas.
pub(crate) fn in_ext(ext: &[u8]) -> Option<i32> {
    ext.split(|&byte| byte == b',')
        .find_map(|pair| number(pair.trim_ascii().strip_prefix(b"crc=")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn naive(text: &str) -> i32 {
        text.encode_utf16().fold(0, |hash: i32, unit| {
            hash.wrapping_mul(31).wrapping_add(i32::from(unit.cast_signed()) & 0xffff)
        })
    }

    #[test]
    fn equals_javas_own_values() {
        for (text, want) in [
            ("", 0),
            ("a", 97),
            ("abc", 96_354),
            ("中文", 646_394),
            ("😀", 1_772_899),
            ("eyJ0eXBlIjoi", 1_961_746_290),
        ] {
            assert_eq!(hash(text.as_bytes()), want, "{text}");
        }
        assert_eq!(hash(b"\xed\xa0\xbd\xed\xb8\x80"), 1_772_899, "CESU-8");
    }

    #[test]
    fn equals_the_naive_hash_at_every_length() {
        let mut random = Random::new(5);
        for length in 0..400 {
            let ascii: String =
                random.text(b"aZ0+/=~ ", length).iter().map(|&b| b as char).collect();
            let mixed: String =
                (0..length).map(|_| ['a', 'é', '中', '😀', '\0'][random.below(5)]).collect();
            for text in [ascii, mixed] {
                assert_eq!(hash(text.as_bytes()), naive(&text), "{text}");
            }
        }
    }

    #[test]
    fn any_bytes_have_a_hash() {
        let mut random = Random::new(6);
        for _ in 0..20_000 {
            let text = random.text(b"a\xc2\x80\xed\xa0\xf0\x9f\x98\xff\xe4\xb8", 12);
            if let Ok(text) = std::str::from_utf8(&text) {
                assert_eq!(hash(text.as_bytes()), naive(text));
            }
            hash(&text);
        }
    }

    #[test]
    fn ext_is_a_list_of_pairs() {
        assert_eq!(in_ext(b"crc=-12"), Some(-12));
        assert_eq!(in_ext(b"a=1, crc=7,instant_evnet=true"), Some(7));
        assert_eq!(in_ext(b"crc=99999999999"), None);
        assert_eq!(in_ext(b"xcrc=1"), None);
    }
}
