//! Text and numbers as they stand in JSON.

/// Longest text looked at as a number: no number people mean is longer.
const NUMBER_BYTES_MAX: usize = 40;
/// Integers up to this are exact in a double.
const EXACT: &[u8] = b"9007199254740992";

/// Appends what the inside of a JSON string means. Escapes that mean no character become U+FFFD.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(step) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        out.extend_from_slice(&raw[at..at + step]);
        at += step;
        let escape = raw.get(at + 1).copied().unwrap_or(b'\\');
        at += 2;
        let plain = match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (unit, mut behind) = (hex(raw, at), at + 4);
                let mut char = unit.and_then(char::from_u32);
                if let (Some(high @ 0xd800..=0xdbff), Some(b"\\u")) =
                    (unit, raw.get(behind..behind + 2))
                    && let Some(low @ 0xdc00..=0xdfff) = hex(raw, behind + 2)
                {
                    char = char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                    behind += 6;
                }
                at = behind.min(raw.len());
                let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        };
        out.push(plain);
    }
    out.extend_from_slice(raw.get(at..).unwrap_or_default());
}

fn hex(raw: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(raw.get(at..at + 4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// The number, if the text is one wholly, by JSON's grammar: `007` and `1.` are none, so that codes with leading zeroes stay text.
pub(super) fn whole_number(text: &[u8]) -> Option<f64> {
    let first = text.first()?;
    if !(first.is_ascii_digit() || *first == b'-') || text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, mut rest) = digits.split_at(count);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let digits = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+"));
        let digits = digits.unwrap_or(exponent);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    number(text)
}

/// The value of a JSON number; `None` if no double can hold it.
pub(super) fn number(raw: &[u8]) -> Option<f64> {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    if digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() {
        let value = digits.iter().fold(0u64, |value, digit| value * 10 + u64::from(digit & 15));
        #[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
        let value = value as f64;
        return Some(if digits.len() < raw.len() { -value } else { value });
    }
    let value: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Whether it is an integer that a double may change: beyond ±2^53.
pub(super) fn is_long(raw: &[u8]) -> bool {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    digits.len() >= EXACT.len()
        && digits.iter().all(u8::is_ascii_digit)
        && (digits.len() > EXACT.len() || digits > EXACT)
}

/// Whether a property may have this name: letters, digits, `_` and `$`, not starting with a digit, at most 100 bytes (P201).
pub(super) fn is_name(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    name.len() <= 100
        && name.first().is_some_and(|first| !first.is_ascii_digit())
        && name.iter().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_means_what_serde_says() {
        for raw in [
            "plain",
            "",
            r#"a\"b\\c\/d\b\f\n\r\t"#,
            r"\u4e2d\u6587 \ud83d\ude00!",
            r"\u0041\u00e9",
            "中文",
        ] {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            let twin: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), twin);
        }
    }

    #[test]
    fn broken_escapes_do_no_harm() {
        for raw in [r"\", r"\u", r"\u12", r"\ud800", r"\ud800\u0041", r"\udc00x", r"\uzzzz\"] {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out);
            assert!(String::from_utf8(out).is_ok(), "{raw}");
        }
    }

    #[test]
    fn only_whole_numbers_are_numbers() {
        for (text, value) in [
            ("12.50", Some(12.5)),
            ("-3", Some(-3.0)),
            ("0", Some(0.0)),
            ("0.5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("1E+2", Some(100.0)),
            ("12345678901234567890", Some(12_345_678_901_234_567_890.0)),
            ("007", None),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("-", None),
            ("", None),
            ("12 ", None),
            ("1,000", None),
            ("NaN", None),
            ("inf", None),
            ("1e999", None),
            ("0x10", None),
        ] {
            assert_eq!(whole_number(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn long_integers_are_those_a_double_may_change() {
        for (text, long) in [
            ("9007199254740992", false),
            ("9007199254740993", true),
            ("-9007199254740993", true),
            ("-9007199254740992", false),
            ("1234567890123456789", true),
            ("12345678901234567.5", false),
            ("123", false),
        ] {
            assert_eq!(is_long(text.as_bytes()), long, "{text}");
        }
    }
}
