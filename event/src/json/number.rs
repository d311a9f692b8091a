//! Numbers as text. Nothing here goes through a double but the one question a double answers: whether it can hold the
//! number at all.

/// Whether a reader that uses doubles can hold the number. `text` is a number by JSON's grammar.
///
/// serde_json itself answers, so that what is stored can be read by every reader built on it.
#[cold]
#[inline(never)]
pub(super) fn fits_double(text: &[u8]) -> bool {
    serde_json::from_slice::<f64>(text).is_ok()
}

/// A decimal number taken apart: `± digits × 10^exponent`, where `digits` is the number's text with at most one point in it.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// `None` if it is not a number by JSON's grammar (leading zeroes pass).
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, text) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, text),
        };
        let at = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
        let (whole, mut rest) = text.split_at(at);
        let mut fraction = &text[..0];
        if let Some((b'.', behind)) = rest.split_first() {
            let at = behind.iter().position(|b| !b.is_ascii_digit()).unwrap_or(behind.len());
            (fraction, rest) = behind.split_at(at);
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', digits)) => exponent(digits)?,
            Some(_) => return None,
        };
        (!whole.is_empty()).then_some(Self { negative, whole, fraction, exponent })
    }

    /// The digits in front of the decimal point once the exponent is applied; `None` if they do not fit 19.
    fn integer(&self) -> Option<u64> {
        let count = i64::try_from(self.whole.len()).ok()?.checked_add(self.exponent)?;
        let mut digits = self.whole.iter().chain(self.fraction);
        let mut value = 0u64;
        let mut left = count;
        while left > 0 {
            let Some(digit) = digits.next() else {
                // Only zeroes follow.
                if value == 0 {
                    return Some(0);
                }
                value = value.checked_mul(10)?;
                left -= 1;
                continue;
            };
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            left -= 1;
        }
        Some(value)
    }

    /// Whether anything but zeroes stands behind the decimal point once the exponent is applied.
    fn has_fraction(&self) -> bool {
        let whole = i64::try_from(self.whole.len()).unwrap_or(i64::MAX);
        let count = usize::try_from(whole.saturating_add(self.exponent)).unwrap_or(0);
        self.whole.iter().chain(self.fraction).skip(count).any(|digit| *digit != b'0')
    }
}

/// An exponent behind its `e`, held within ±10^9: beyond that the size of the text decides nothing any more.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + i64::from(digit - b'0')).min(1_000_000_000);
    }
    Some(if negative { -value } else { value })
}

/// The whole part of a number, exact; `None` if `text` is no number or its whole part does not fit.
pub(crate) fn to_i64(text: &[u8]) -> Option<i64> {
    // Times have 13 digits: the first eight and the last eight are read as one word each, what both read counts once.
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>())
        && let Some(power) = POWERS.get(text.len() - 8)
        && let (Some(first), Some(last)) = (eight_digits(*first), eight_digits(*last))
    {
        return Some(first * power + last % power);
    }
    let number = Decimal::parse(text)?;
    let value = number.integer()?;
    if number.negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

const POWERS: [i64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The value of eight digits; `None` if one is none. Three multiplications join neighbours: 2, 4, then 8 digits.
#[inline(always)]
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    let word = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    if (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (word * 10 + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let all = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    i64::try_from(all).ok()
}

/// Whether the number's magnitude is above `limit`, exactly. `text` is a number by JSON's grammar.
#[cold]
#[inline(never)]
pub(crate) fn exceeds(text: &[u8], limit: u64) -> bool {
    let Some(number) = Decimal::parse(text) else { return false };
    match number.integer() {
        Some(value) => value > limit || (value == limit && number.has_fraction()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_are_exact() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1700000000000", Some(1_700_000_000_000)),
            ("1700000000000.9", Some(1_700_000_000_000)),
            ("1.7e12", Some(1_700_000_000_000)),
            ("17000000000000e-1", Some(1_700_000_000_000)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e400", None),
            ("0e999999999999999999999", Some(0)),
            ("1e-999999999999999999999", Some(0)),
            ("1e", None),
            ("", None),
            ("-", None),
            ("1 ", None),
            ("x", None),
        ] {
            assert_eq!(to_i64(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn the_bound_is_compared_digit_by_digit() {
        let limit = 9_000_000_000_000_000;
        for (text, over) in [
            ("9000000000000000", false),
            ("-9000000000000000", false),
            ("9000000000000000.0", false),
            ("9000000000000000.00000000000000000001", true),
            ("9000000000000001", true),
            ("9e15", false),
            ("9.000000000000000000000000001e15", true),
            ("0.00000000000000000000001", false),
            ("1e300", true),
            ("-1e300", true),
            ("123456789012345678901234567890", true),
        ] {
            assert_eq!(exceeds(text.as_bytes(), limit), over, "{text}");
        }
    }

    #[test]
    fn eight_digits_are_read_as_by_the_standard_library() {
        for text in ["00000000", "12345678", "99999999", "00000001", "90000000", "01020304"] {
            let bytes: [u8; 8] = text.as_bytes().try_into().unwrap();
            assert_eq!(eight_digits(bytes), text.parse().ok());
            for place in 0..8 {
                for byte in 0..=255u8 {
                    let mut other = bytes;
                    other[place] = byte;
                    let twin = other
                        .iter()
                        .all(u8::is_ascii_digit)
                        .then(|| std::str::from_utf8(&other).unwrap().parse::<i64>().unwrap());
                    assert_eq!(eight_digits(other), twin);
                }
            }
        }
    }

    #[test]
    fn random_integers_read_as_by_the_standard_library() {
        let mut seed = 7u64;
        for _ in 0..20_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = (seed >> (seed % 60)).cast_signed();
            assert_eq!(to_i64(value.to_string().as_bytes()), Some(value));
            assert_eq!(
                exceeds(value.to_string().as_bytes(), 1 << 53),
                value.unsigned_abs() > 1 << 53
            );
        }
    }
}
