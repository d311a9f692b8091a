//! Walks the members of a JSON object without parsing what is in them. The bytes were validated at the edge; bytes that are no
//! JSON all the same end the walk early and harm nothing.

use memchr::memchr2;
use std::ops::Range;

/// One member: where its name (without quotes, escapes untouched) and its value are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name.
    pub name: Range<usize>,
    /// Value.
    pub value: Range<usize>,
}

/// The members of the object that starts at `at` in `json` (blanks may come before it).
#[derive(Clone, Debug)]
pub struct Members<'a> {
    json: &'a [u8],
    at: usize,
    /// Where the closing `}` is, once it was reached.
    pub end: Option<usize>,
}

impl<'a> Members<'a> {
    /// A walk over the object at `at`.
    #[must_use]
    pub fn new(json: &'a [u8], at: usize) -> Self {
        let at = blanks(json, at);
        let at = if json.get(at) == Some(&b'{') { at + 1 } else { json.len() };
        Self { json, at, end: None }
    }
}

impl Members<'_> {
    /// The next member's name and where its value starts. The caller goes on with [`Members::resume`] behind that value: one who
    /// looks into a value need not have it walked twice.
    pub fn head(&mut self) -> Option<(Range<usize>, usize)> {
        let json = self.json;
        let mut at = blanks(json, self.at);
        if json.get(at) == Some(&b',') {
            at = blanks(json, at + 1);
        }
        if json.get(at) != Some(&b'"') {
            if json.get(at) == Some(&b'}') {
                self.end = Some(at);
            }
            self.at = json.len();
            return None;
        }
        let name_end = string_end(json, at + 1)?;
        let name = at + 1..name_end;
        at = blanks(json, name_end + 1);
        if json.get(at) != Some(&b':') {
            self.at = json.len();
            return None;
        }
        Some((name, blanks(json, at + 1)))
    }

    /// Goes on behind the value that ends at `at`.
    pub fn resume(&mut self, at: usize) {
        self.at = at;
    }
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let (name, value) = self.head()?;
        let end = value_end(self.json, value);
        self.at = end;
        Some(Member { name, value: value..end })
    }
}

/// Where the members of the list that starts at `at` are; ends at its `]`, or where the bytes are no list.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    /// A walk over the list at `at`.
    #[must_use]
    pub fn new(json: &'a [u8], at: usize) -> Self {
        let at = if json.get(at) == Some(&b'[') { at + 1 } else { json.len() };
        Self { json, at }
    }
}

impl Iterator for Items<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let mut at = blanks(self.json, self.at);
        if self.json.get(at) == Some(&b',') {
            at = blanks(self.json, at + 1);
        }
        let end = value_end(self.json, at);
        if end == at {
            self.at = self.json.len();
            return None;
        }
        self.at = end;
        Some(at..end)
    }
}

fn blanks(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the quote that ends the string is; `at` is behind its first quote.
fn string_end(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The byte after the value at `at`.
pub(crate) fn value_end(json: &[u8], at: usize) -> usize {
    match json.get(at) {
        Some(b'"') => string_end(json, at + 1).map_or(json.len(), |end| end + 1),
        Some(b'{' | b'[') => nested_end(json, at),
        _ => {
            let rest = json.get(at..).unwrap_or_default();
            let n = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
            at + n.unwrap_or(rest.len())
        }
    }
}

fn nested_end(json: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => match string_end(json, at + 1) {
                Some(end) => at = end,
                None => return json.len(),
            },
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    json.len()
}

/// The value of the member whose name's quote is at `at`, if it belongs to the outermost object: what follows are members up to the
/// `}` that ends the text. Cheap for members near the end; `None` says nothing.
#[must_use]
pub fn value_if_outermost(json: &[u8], at: usize) -> Option<Range<usize>> {
    let mut name = at;
    let mut found = None;
    loop {
        if json.get(name) != Some(&b'"') {
            return None;
        }
        let colon = blanks(json, string_end(json, name + 1)? + 1);
        if json.get(colon) != Some(&b':') {
            return None;
        }
        let value = blanks(json, colon + 1);
        let end = value_end(json, value);
        found.get_or_insert(value..end);
        let next = blanks(json, end);
        match json.get(next)? {
            b',' => name = blanks(json, next + 1),
            b'}' if blanks(json, next + 1) == json.len() => return found,
            _ => return None,
        }
    }
}

/// Whether a name as it stands in the JSON means `wanted` (escapes understood).
#[must_use]
pub fn names(raw: &[u8], wanted: &str) -> bool {
    if raw == wanted.as_bytes() {
        return true;
    }
    if !raw.contains(&b'\\') {
        return false;
    }
    unescape(raw).is_some_and(|name| name == wanted)
}

fn unescape(raw: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(json: &str) -> Vec<(String, String)> {
        Members::new(json.as_bytes(), 0)
            .map(|m| (json[m.name].to_owned(), json[m.value].to_owned()))
            .collect()
    }

    #[test]
    fn members_are_found_whatever_is_in_them() {
        let json = r#" { "a" : "x\"}{" , "b":{"c":["}",{"d":1}]},"e":-1.5e3 ,"f":null,"g":[]} "#;
        let expected = [
            ("a", r#""x\"}{""#),
            ("b", r#"{"c":["}",{"d":1}]}"#),
            ("e", "-1.5e3"),
            ("f", "null"),
            ("g", "[]"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(walk(json), expected);
        let mut members = Members::new(json.as_bytes(), 0);
        while members.next().is_some() {}
        assert_eq!(members.end, json.rfind('}'));
    }

    #[test]
    fn items_of_a_list_are_found_whatever_is_in_them() {
        let json = r#"[ "a,]" , 1,{"b":[2]},[3 , "]"],null ]x"#;
        let found: Vec<_> = Items::new(json.as_bytes(), 0).map(|item| &json[item]).collect();
        assert_eq!(found, [r#""a,]""#, "1", r#"{"b":[2]}"#, r#"[3 , "]"]"#, "null"]);
        assert_eq!(Items::new(b"[]", 0).count() + Items::new(b"{", 0).count(), 0);
        assert_eq!(Items::new(b"", 0).count() + Items::new(b"[", 0).count(), 0);
    }

    #[test]
    fn a_member_near_the_end_is_told_from_a_nested_one() {
        let of = |json: &str| {
            let at = json.rfind("\"id\"").unwrap();
            value_if_outermost(json.as_bytes(), at).map(|value| json[value].to_owned())
        };
        assert_eq!(of(r#"{"a":{"x":1},"id":"d","t":[{}],"u":2}"#).as_deref(), Some("\"d\""));
        assert_eq!(of(r#"{"id" : "d" } "#).as_deref(), Some("\"d\""));
        assert_eq!(of(r#"{"a":{"id":"n"}}"#), None);
        assert_eq!(of(r#"{"a":{"id":"n"},"b":1}"#), None);
        assert_eq!(of(r#"{"a":"id","b":["id"]}"#), None);
    }

    #[test]
    fn broken_bytes_end_the_walk() {
        let json = br#"{"a":"x\"}{","b":{"c":["}",{"d":1}]},"e":-1.5e3}"#;
        for cut in 0..json.len() {
            let _ = Members::new(&json[..cut], 0).count();
            let mut flipped = json.to_vec();
            flipped[cut] ^= 0x22;
            let _ = Members::new(&flipped, 0).count();
        }
    }

    #[test]
    fn escaped_names_are_the_same_names() {
        assert!(names(br"\u0069p", "ip") && names(b"ip", "ip") && !names(b"ip2", "ip"));
    }
}
