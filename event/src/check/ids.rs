//! Ids of users and things.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::json::{Kind, Value, chars, unescape};

/// What is wrong with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Absent, null, empty or blank.
    Missing,
    /// Text programs write where there is no id.
    Placeholder,
    /// More characters than allowed.
    TooLong,
    /// Neither text nor a number.
    Type,
}

/// Judges an id. Numbers are taken by their text.
#[inline(always)]
pub(super) fn check(text: &[u8], value: Value, chars_max: u32) -> Result<(), Bad> {
    let raw = value.of(text);
    match value.kind {
        Kind::Text => check_plain(raw, chars_max),
        Kind::Escaped => check_escaped(raw, chars_max),
        Kind::Int | Kind::Float | Kind::Exponent => check_plain(raw, chars_max),
        Kind::Missing | Kind::Null => Err(Bad::Missing),
        Kind::Bool | Kind::List | Kind::Object => Err(Bad::Type),
    }
}

#[inline(always)]
fn check_plain(raw: &[u8], chars_max: u32) -> Result<(), Bad> {
    let (Some(first), Some(last)) = (raw.first(), raw.last()) else { return Err(Bad::Missing) };
    let raw = if *first <= b' ' || *last <= b' ' { raw.trim_ascii() } else { raw };
    if raw.len() <= PLACEHOLDER_BYTES
        && PLACEHOLDER_LENGTHS >> raw.len() & 1 == 1
        && is_placeholder(raw)
    {
        return Err(if raw.is_empty() { Bad::Missing } else { Bad::Placeholder });
    }
    if raw.len() > chars_max as usize && chars(raw, false) > chars_max as usize {
        return Err(Bad::TooLong);
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn check_escaped(raw: &[u8], chars_max: u32) -> Result<(), Bad> {
    check_plain(&unescape(raw), chars_max)
}

/// What programs write where there is no id, in any case of letters.
const PLACEHOLDERS: [&str; 12] = [
    "",
    "0",
    "undefined",
    "null",
    "(null)",
    "<null>",
    "nil",
    "none",
    "nan",
    "[object object]",
    "[object undefined]",
    "00000000-0000-0000-0000-000000000000",
];

/// Length of the longest of [`PLACEHOLDERS`].
const PLACEHOLDER_BYTES: usize = 36;

/// Lengths of [`PLACEHOLDERS`], one bit each.
const PLACEHOLDER_LENGTHS: u64 = {
    let mut bits = 0;
    let mut i = 0;
    while i < PLACEHOLDERS.len() {
        bits |= 1 << PLACEHOLDERS[i].len();
        i += 1;
    }
    bits
};

#[inline(never)]
fn is_placeholder(raw: &[u8]) -> bool {
    PLACEHOLDERS.iter().any(|word| raw.eq_ignore_ascii_case(word.as_bytes()))
}

/// Hash by which an operator follows a user: the same for every project, node and run.
///
/// `id` is the text of `distinct_id` (or `item_id`), escapes undone.
#[must_use]
pub fn watch_hash(id: &[u8]) -> u64 {
    hash([0x7475_736b_2d77_6174, 0x6368_2d69_642d_7631], id)
}

/// Keyed hash (SipHash-1-3) of one text; never 0.
pub(super) fn hash(key: [u64; 2], text: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
    hasher.write(text);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), Bad> {
        let end = u32::try_from(text.len()).unwrap();
        check(text.as_bytes(), Value { at: 0, end, kind: Kind::Text }, 255)
    }

    #[test]
    fn placeholders_are_no_ids() {
        for word in &PLACEHOLDERS[1..] {
            assert_eq!(verdict(word), Err(Bad::Placeholder));
            assert_eq!(verdict(&word.to_uppercase()), Err(Bad::Placeholder));
            assert_eq!(verdict(&format!(" {word} ")), Err(Bad::Placeholder));
        }
        for id in ["1", "00", "nulls", "u", "undefined1", "匿名", "none@x"] {
            assert_eq!(verdict(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn ids_have_one_to_255_characters() {
        assert_eq!(verdict(""), Err(Bad::Missing));
        assert_eq!(verdict("   "), Err(Bad::Missing));
        assert_eq!(verdict(&" ".repeat(200)), Err(Bad::Missing));
        assert_eq!(verdict(&"名".repeat(255)), Ok(()));
        assert_eq!(verdict(&"名".repeat(256)), Err(Bad::TooLong));
    }

    #[test]
    fn numbers_are_ids_and_other_values_are_not() {
        for (text, kind, result) in [
            ("42", Kind::Int, Ok(())),
            ("0", Kind::Int, Err(Bad::Placeholder)),
            ("1.5", Kind::Float, Ok(())),
            ("true", Kind::Bool, Err(Bad::Type)),
            ("null", Kind::Null, Err(Bad::Missing)),
            ("{}", Kind::Object, Err(Bad::Type)),
            (r"nul\u006c", Kind::Escaped, Err(Bad::Placeholder)),
        ] {
            let end = u32::try_from(text.len()).unwrap();
            assert_eq!(check(text.as_bytes(), Value { at: 0, end, kind }, 255), result, "{text}");
        }
    }

    #[test]
    fn watch_hashes_never_change() {
        assert_eq!(watch_hash(b"u1"), watch_hash(b"u1"));
        assert_ne!(watch_hash(b"u1"), watch_hash(b"u2"));
    }
}
