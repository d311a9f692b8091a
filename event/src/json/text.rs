//! Strings that have passed the scanner.

use std::borrow::Cow;

/// A JSON string's content (without the quotes) with its escapes undone. Half surrogates become U+FFFD. Text without
/// escapes is given back as it is; escapes that JSON does not know stay as they stand.
#[must_use]
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some((&byte, behind)) = rest.split_first() {
        if byte != b'\\' {
            let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            continue;
        }
        let Some((&kind, behind)) = behind.split_first() else {
            out.push(byte);
            break;
        };
        rest = behind;
        match kind {
            b'"' | b'\\' | b'/' => out.push(kind),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let Some((c, behind)) = unicode(rest) else {
                    out.extend_from_slice(b"\\u");
                    continue;
                };
                rest = behind;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => out.extend_from_slice(&[byte, kind]),
        }
    }
    Cow::Owned(out)
}

/// The character of an escape behind its `\u`, and what follows it.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let (unit, rest) = hex(text)?;
    if (0xd800..0xdc00).contains(&unit)
        && let Some(second) = rest.strip_prefix(b"\\u")
        && let Some((low, behind)) = hex(second)
        && (0xdc00..0xe000).contains(&low)
    {
        let joined = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return Some((char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER), behind));
    }
    Some((char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), rest))
}

fn hex(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let mut value = 0;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    Some((value, rest))
}

/// Number of characters of a JSON string's content.
#[cold]
#[inline(never)]
pub(crate) fn chars(raw: &[u8], escaped: bool) -> usize {
    let text = if escaped { unescape(raw) } else { Cow::Borrowed(raw) };
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_as_by_serde_json() {
        for raw in [
            "plain",
            "",
            r#"a\"b\\c\/d\b\f\n\r\te"#,
            r"\u0041\u4e2d\ud83d\ude00x",
            "中\\u00e9文",
            r"\u0000",
        ] {
            let twin: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert_eq!(unescape(raw.as_bytes()), twin.as_bytes(), "{raw}");
            assert_eq!(chars(raw.as_bytes(), true), twin.chars().count());
        }
    }

    #[test]
    fn half_surrogates_become_replacement_characters() {
        for (raw, text) in [
            (r"a\ud83d", "a\u{fffd}"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83dx", "\u{fffd}x"),
        ] {
            assert_eq!(unescape(raw.as_bytes()), text.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn broken_escapes_never_panic() {
        let raw = br#"\u12\ud83d\u\x\"#;
        for at in 0..raw.len() {
            for end in at..=raw.len() {
                let _ = unescape(&raw[at..end]);
            }
        }
    }
}
