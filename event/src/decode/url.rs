//! Percent-decoding.

/// What a `+` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself: base64 that a sloppy client did not encode.
    Plus,
    /// A blank, as in every HTML form.
    Blank,
}

/// Decodes `raw`; the result is `raw` itself where there is nothing to decode, else it is in `out` (overwritten).
/// A `%` that no two hex digits follow stays as it is.
pub(crate) fn decode<'a>(raw: &'a [u8], plus: Plus, out: &'a mut Vec<u8>) -> &'a [u8] {
    out.clear();
    let blanks = plus == Plus::Blank;
    let mut rest = raw;
    while let Some(at) = next(rest, blanks) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = match *special {
            [b'%', high, low, ref after @ ..] => {
                if let (Some(high), Some(low)) = (nibble(high), nibble(low)) {
                    out.push(high << 4 | low);
                    after
                } else {
                    out.push(b'%');
                    &special[1..]
                }
            }
            [byte, ref after @ ..] => {
                out.push(if byte == b'+' { b' ' } else { byte });
                after
            }
            [] => break,
        };
    }
    if out.is_empty() && rest.len() == raw.len() {
        return raw;
    }
    out.extend_from_slice(rest);
    out
}

/// As [`decode`] into a buffer of fixed size; what does not fit is cut. `+` stays.
pub(crate) fn decode_small<'a>(raw: &'a [u8], out: &'a mut [u8]) -> &'a [u8] {
    if memchr::memchr(b'%', raw).is_none() {
        return raw;
    }
    let (mut rest, mut length) = (raw, 0);
    while let (&[byte, ref after @ ..], Some(slot)) = (rest, out.get_mut(length)) {
        (*slot, rest) = match (byte, after) {
            (b'%', &[high, low, ref after @ ..]) => match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (byte, &rest[1..]),
            },
            _ => (byte, after),
        };
        length += 1;
    }
    out.get(..length).unwrap_or_default()
}

fn next(text: &[u8], blanks: bool) -> Option<usize> {
    // Text with many escapes (JSON) would pay the call's set-up at every third byte: look at the next ones by hand first.
    let (near, far) = text.split_at(text.len().min(4));
    let special = |&byte: &u8| byte == b'%' || blanks && byte == b'+';
    if let Some(at) = near.iter().position(special) {
        return Some(at);
    }
    let found = if blanks { memchr::memchr2(b'%', b'+', far) } else { memchr::memchr(b'%', far) };
    found.map(|at| near.len() + at)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn naive(raw: &[u8], plus: Plus) -> Vec<u8> {
        let (mut out, mut i) = (Vec::new(), 0);
        while i < raw.len() {
            let hex = raw.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
            let hex = hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
            if let (b'%', Some(hex)) = (raw[i], hex) {
                out.push(u8::from_str_radix(hex, 16).unwrap());
                i += 3;
                continue;
            }
            out.push(if raw[i] == b'+' && plus == Plus::Blank { b' ' } else { raw[i] });
            i += 1;
        }
        out
    }

    #[test]
    fn equals_the_naive_decoder() {
        let mut random = Random::new(11);
        let mut out = Vec::new();
        for _ in 0..50_000 {
            let alphabet: &[u8] = if random.below(2) == 0 {
                b"%%%+ab019fFgZ=\xff"
            } else {
                b"%+abcdefghijklmnopqrstuvwxyz012"
            };
            let raw = random.text(alphabet, 80);
            for plus in [Plus::Plus, Plus::Blank] {
                assert_eq!(decode(&raw, plus, &mut out), naive(&raw, plus), "{raw:?}");
            }
        }
    }

    #[test]
    fn a_broken_escape_stays() {
        let mut out = Vec::new();
        for (raw, want) in [("%", "%"), ("a%4", "a%4"), ("%zz%41", "%zzA"), ("100%+1", "100% 1")] {
            assert_eq!(decode(raw.as_bytes(), Plus::Blank, &mut out), want.as_bytes());
        }
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        let raw = b"abc+def";
        assert_eq!(decode(raw, Plus::Plus, &mut Vec::new()).as_ptr(), raw.as_ptr());
    }
}
