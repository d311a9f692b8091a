//! Looking into an event's properties: which there are, and of which type.

use crate::shape::members::{Members, names};

/// Types of values, in the order of [`super::PropertyRow`]'s counts.
pub const TYPES: [&str; 7] = ["text", "number", "bool", "list", "datetime", "null", "object"];

/// Properties of one event looked at; checks reject or drop far fewer.
const PROPERTIES_MAX: usize = 500;

/// Calls `each` with the name and type (index in [`TYPES`]) of every property.
pub(super) fn properties(json: &[u8], mut each: impl FnMut(&[u8], usize)) {
    let Some(at) =
        Members::new(json, 0).find(|member| names(&json[member.name.clone()], "properties"))
    else {
        return;
    };
    for member in Members::new(json, at.value.start).take(PROPERTIES_MAX) {
        let value = json.get(member.value).unwrap_or_default();
        each(json.get(member.name).unwrap_or_default(), type_of(value));
    }
}

fn type_of(value: &[u8]) -> usize {
    match value.first() {
        Some(b'"') if is_date(value) => 4,
        Some(b'"') => 0,
        Some(b't' | b'f') => 2,
        Some(b'[') => 3,
        Some(b'n') => 5,
        Some(b'{') => 6,
        _ => 1,
    }
}

/// Text that begins with `YYYY-MM-DD` and ends there or goes on with a time: what the SDKs write for dates.
fn is_date(quoted: &[u8]) -> bool {
    let Some(text) = quoted.get(1..quoted.len().saturating_sub(1)) else { return false };
    let Some((day, rest)) = text.split_at_checked(10) else { return false };
    let digits = day.iter().enumerate().all(|(i, byte)| match i {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let time = match rest {
        [] => true,
        [b' ' | b'T', time @ ..] => {
            time.len() >= 5
                && time.iter().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'Z' | b'+'))
        }
        _ => false,
    };
    digits && time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_property_has_a_type() {
        let json = br#"{"distinct_id":"u","event":"E","properties":{"a":"x","b":1.5,"c":true,"d":["x"],
            "e":"2026-11-25 10:00:00.123","f":null,"g":{"h":1},"i":"2026-11-25","j":"2026-11-2x","k":"-"},"time":1}"#;
        let mut found = Vec::new();
        properties(json, |name, kind| {
            found.push(format!("{}:{}", String::from_utf8_lossy(name), TYPES[kind]));
        });
        let want = [
            "a:text",
            "b:number",
            "c:bool",
            "d:list",
            "e:datetime",
            "f:null",
            "g:object",
            "i:datetime",
            "j:text",
            "k:text",
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn bytes_that_are_no_event_harm_nothing() {
        for json in [&b""[..], b"{", b"[]", br#"{"properties":7}"#, br#"{"properties":{"a"#] {
            properties(json, |_, _| {});
        }
    }
}
