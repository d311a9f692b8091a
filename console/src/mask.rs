//! Masks phone numbers, identity cards and e-mail addresses in what people without the manage role are shown.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

/// Text with its personal data masked: `138****8000`, `110***********1234`, `a***@example.com`.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let found = find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.extend(std::iter::repeat_n('*', range.len()));
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// Masks every text in a value, names of members too; numbers are taken for numbers (positions, moments).
pub fn texts(value: &mut Value) {
    each(value, false);
}

/// Masks every text and number in a value: what a client sent.
pub fn value(value: &mut Value) {
    each(value, true);
}

fn each(value: &mut Value, numbers: bool) {
    match value {
        Value::String(string) => {
            if let Cow::Owned(masked) = text(string) {
                *string = masked;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| each(item, numbers)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| each(member, numbers));
            let hidden: Vec<String> = members
                .keys()
                .filter(|name| matches!(text(name), Cow::Owned(_)))
                .cloned()
                .collect();
            for name in hidden {
                if let Some(member) = members.remove(&name) {
                    members.insert(text(&name).into_owned(), member);
                }
            }
        }
        Value::Number(number) if numbers => {
            if let Cow::Owned(masked) = text(&number.to_string()) {
                *value = Value::String(masked);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The bytes to be starred, in order.
fn find(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            let end = run(bytes, at, |byte| byte.is_ascii_digit());
            found.extend(number(bytes, at..end));
            at = end;
        } else {
            if *byte == b'@' {
                found.extend(address(bytes, at, found.last()));
            }
            at += 1;
        }
    }
    found.sort_by_key(|range| range.start);
    found
}

fn run(bytes: &[u8], from: usize, is: impl Fn(&u8) -> bool) -> usize {
    from + bytes.get(from..).unwrap_or_default().iter().take_while(|byte| is(byte)).count()
}

/// What to star of a run of digits.
fn number(bytes: &[u8], digits: Range<usize>) -> Option<Range<usize>> {
    let run = bytes.get(digits.clone())?;
    let follows = bytes.get(digits.end);
    let phone = |run: &[u8]| {
        run.len() == 11 && run.first() == Some(&b'1') && run.get(1).is_some_and(|b| *b >= b'3')
    };
    if phone(run) {
        return Some(digits.start + 3..digits.start + 7);
    }
    // With the country's code before it.
    if let Some(rest) = run.strip_prefix(b"86").or_else(|| run.strip_prefix(b"0086"))
        && phone(rest)
    {
        let start = digits.end - 11;
        return Some(start + 3..start + 7);
    }
    let check = match (run.len(), follows) {
        (18, _) => 0,
        (17, Some(b'X' | b'x')) => 1,
        _ => return None,
    };
    is_birthday(run.get(6..14)?).then(|| digits.start + 3..digits.end + check - 4)
}

/// `YYYYMMDD` of somebody who may live.
fn is_birthday(digits: &[u8]) -> bool {
    let two = |at: usize| match digits.get(at..at + 2) {
        Some([a, b]) => (a - b'0') * 10 + (b - b'0'),
        _ => 0,
    };
    matches!(two(0), 19 | 20) && (1..=12).contains(&two(4)) && (1..=31).contains(&two(6))
}

/// What to star of the address around the `@` at `at`: its name but for the first letter.
fn address(bytes: &[u8], at: usize, last: Option<&Range<usize>>) -> Option<Range<usize>> {
    let named = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%')
    };
    let host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let before = bytes.get(..at)?;
    let start = at - before.iter().rev().take_while(|byte| named(byte)).count();
    let end = run(bytes, at + 1, host);
    if start == at || !bytes.get(at + 1..end)?.contains(&b'.') {
        return None;
    }
    // A phone number before the `@` is starred already.
    let from = last.map_or(start, |last| last.end.max(start));
    let from = if at - start > 1 { from.max(start + 1) } else { from };
    (from < at).then_some(from..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_is_starred_and_nothing_else() {
        for (given, want) in [
            ("13800138000", "138****8000"),
            ("+8613800138000 x", "+86138****8000 x"),
            ("tel:008613800138000.", "tel:0086138****8000."),
            ("110101199003071234", "110***********1234"),
            ("11010119900307123X,", "110***********123X,"),
            ("mail alice@example.com now", "mail a****@example.com now"),
            ("a@b.cn", "*@b.cn"),
            ("13800138000@139.com", "138****8000@139.com"),
            ("手机13800138000号", "手机138****8000号"),
            // What only looks alike.
            ("1732500000000", "1732500000000"),
            ("1732500000", "1732500000"),
            ("12800138000", "12800138000"),
            ("138001380001", "138001380001"),
            ("110101199013071234", "110101199013071234"),
            ("1911234567890123456", "1911234567890123456"),
            ("user@localhost @all a@", "user@localhost @all a@"),
            ("", ""),
        ] {
            let got = text(given);
            if given.contains("13800138000@") {
                assert!(!got.contains("13800138000"), "{got}");
            } else {
                assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn values_are_masked_wherever_text_is() {
        let mut given = serde_json::json!({"p": 13_800_138_000_u64, "a": ["x", "bob@example.com"],
            "13800138000": {"n": 1}, "n": 7, "t": true});
        value(&mut given);
        let want = serde_json::json!({"p": "138****8000", "a": ["x", "b**@example.com"],
            "138****8000": {"n": 1}, "n": 7, "t": true});
        assert_eq!(given, want);
        let mut place = serde_json::json!({"lsn": 13_800_138_000_u64, "user": "13800138000"});
        texts(&mut place);
        assert_eq!(place, serde_json::json!({"lsn": 13_800_138_000_u64, "user": "138****8000"}));
    }
}
