//! The plain implementation of scanner and rules: serde_json's reading, judged step by step.

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::EventType;

/// JSON with order, repeated names and the text of numbers kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

impl Tree {
    /// Reads text that serde_json's `Value` has accepted.
    fn read(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Bool(text == "true"),
            b'"' => Self::Text(serde_json::from_str(text).unwrap()),
            b'[' => {
                let list: Vec<&RawValue> = serde_json::from_str(text).unwrap();
                Self::List(list.into_iter().map(|raw| Self::read(raw.get())).collect())
            }
            b'{' => {
                let mut reader = serde_json::Deserializer::from_str(text);
                let members = reader.deserialize_map(Members).unwrap();
                Self::Object(
                    members.into_iter().map(|(name, raw)| (name, Self::read(raw.get()))).collect(),
                )
            }
            _ => Self::Number(text.into()),
        }
    }

    /// Reads any bytes; `None` if serde_json refuses them.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
        Some(Self::read(std::str::from_utf8(bytes).ok()?))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Self::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    pub(super) fn repeats(&self) -> bool {
        let Self::Object(members) = self else { return false };
        let mut names: Vec<_> = members.iter().map(|(name, _)| name).collect();
        names.sort();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }
}

fn legal(name: &str) -> bool {
    let reserved = [
        "distinct_id",
        "original_id",
        "time",
        "properties",
        "id",
        "first_id",
        "second_id",
        "users",
        "events",
        "event",
        "user_id",
        "date",
        "datetime",
    ];
    let lower = name.to_ascii_lowercase();
    (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !reserved.contains(&&*lower)
        && !lower.starts_with("user_tag")
        && !lower.starts_with("user_group")
}

fn id_code(id: Option<&Tree>) -> Option<&'static str> {
    let text = match id {
        None | Some(Tree::Null) => return Some("I402"),
        Some(Tree::Text(text) | Tree::Number(text)) => {
            text.trim_matches(|c: char| c.is_ascii_whitespace())
        }
        Some(_) => return Some("I404"),
    };
    if text.is_empty() {
        Some("I402")
    } else if ["0", "undefined", "null", "(null)", "<null>", "nil", "none", "nan"]
        .contains(&&*text.to_ascii_lowercase())
    {
        Some("I401")
    } else if text.chars().count() > 255 {
        Some("I403")
    } else {
        None
    }
}

/// Magnitude above 9e15; exact enough for the numbers of this test.
fn large(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(|n| n.abs() > 9e15)
}

fn property_code(kind: &str, name: &str, value: &Tree) -> Option<&'static str> {
    if !legal(name) {
        return Some("P201");
    }
    let code = match value {
        Tree::Null => Some("P202"),
        Tree::Object(_) => Some("P204"),
        Tree::List(list) if list.iter().any(|v| matches!(v, Tree::List(_) | Tree::Object(_))) => {
            Some("P204")
        }
        Tree::List(list) if list.iter().any(|v| !matches!(v, Tree::Text(_))) => Some("P208"),
        Tree::List(list) if list.len() > 500 => Some("P206"),
        Tree::Text(text) if text.chars().count() > 8192 => Some("P205"),
        Tree::Number(number) if large(number) => Some("P207"),
        _ => None,
    };
    match (kind, value) {
        _ if name == "$is_login_id" => code,
        ("profile_unset", _) => None,
        ("profile_increment", value) if !matches!(value, Tree::Number(_)) => Some("P210"),
        ("profile_append", Tree::List(_)) if matches!(code, Some("P204" | "P208")) => Some("P211"),
        ("profile_append", value) if !matches!(value, Tree::List(_)) => Some("P211"),
        _ => code,
    }
}

/// All codes of one event that do not depend on time or project; protocol 2.0 is left out of this test's mutants.
pub(super) fn judge(event: &Tree) -> Vec<&'static str> {
    let mut codes = Vec::new();
    if !matches!(event, Tree::Object(_)) {
        codes.push("J003");
        codes.extend((event.depth() > 32).then_some("J002"));
        return codes;
    }
    if event.repeats() {
        codes.push("J005");
    }
    if event.depth() > 32 {
        codes.push("J002");
    }
    let kind = match event.get("type") {
        None | Some(Tree::Null) => Err("N104"),
        Some(Tree::Text(kind)) if kind.is_empty() => Err("N104"),
        Some(Tree::Text(kind)) if EventType::from_name(kind.as_bytes()) != EventType::Unknown => {
            Ok(kind.as_str())
        }
        Some(_) => Err("N103"),
    };
    codes.extend(kind.err());
    let kind = kind.unwrap_or("");
    if kind.starts_with("item") {
        if !event.text("item_type").is_some_and(legal) {
            codes.push("I409");
        }
        if !matches!(id_code(event.get("item_id")), None | Some("I401")) {
            codes.push("I409");
        }
    } else {
        codes.extend(id_code(event.get("distinct_id")));
    }
    let mut good_identities = 0;
    if let Some(Tree::Object(identities)) = event.get("identities") {
        for (name, value) in identities {
            if name.is_empty() || !matches!(value, Tree::Text(_)) || id_code(Some(value)).is_some()
            {
                codes.push("I408");
            } else {
                good_identities += 1;
            }
        }
    }
    if kind.starts_with("track") {
        match event.get("event") {
            None | Some(Tree::Null) => codes.push("N102"),
            Some(Tree::Text(name)) if name.is_empty() => codes.push("N102"),
            Some(Tree::Text(name)) if legal(name) => {}
            Some(_) => codes.push("N101"),
        }
    }
    if kind == "track_signup" {
        match (event.text("original_id"), event.get("original_id"), event.get("distinct_id")) {
            (Some(a), _, Some(Tree::Text(b) | Tree::Number(b))) if a == b => codes.push("I406"),
            (None, Some(Tree::Number(_)), _) | (Some(_), _, _) => {}
            _ => codes.push("I405"),
        }
    }
    if kind.starts_with("track_id") && good_identities == 0 {
        codes.push("I407");
    }
    match event.get("properties") {
        None | Some(Tree::Null) => {}
        Some(Tree::List(list)) if list.is_empty() => {}
        Some(Tree::Object(properties)) => {
            codes.extend(properties.iter().filter_map(|(n, v)| property_code(kind, n, v)));
        }
        Some(_) => codes.push("P209"),
    }
    if event.has("_server") {
        codes.push("N010");
    }
    codes
}

pub(super) fn is_envelope(tree: &Tree) -> bool {
    (tree.has("payloads") || tree.has("payload")) && (tree.has("ekey") || tree.has("key_id"))
}
