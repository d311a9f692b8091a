//! What makes two events the same.

use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is kept of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Half of a SHA-256 over what makes it itself.
    pub(super) key: [u8; 16],
    /// `event`, else `type`.
    pub(super) name: String,
    /// `lib.$lib`
    pub(super) lib: String,
    /// `distinct_id`, of items `item_id`.
    pub(super) user: String,
    /// `time`; 0 if it is none.
    pub(super) time_ms: i64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(default)]
    distinct_id: Value,
    #[serde(default)]
    item_id: Value,
    #[serde(default)]
    time: Value,
    #[serde(rename = "_track_id", default)]
    track_id: Value,
    #[serde(default)]
    lib: Value,
    #[serde(default)]
    properties: Value,
}

/// The events of a line; `None` if it is none.
pub(super) fn read(line: &[u8]) -> Option<Vec<Event>> {
    if line.first() == Some(&b'[') {
        let lines: Vec<Line<'_>> = serde_json::from_slice(line).ok()?;
        return Some(lines.iter().map(event).collect());
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    // An object of anything.
    line.kind.is_some().then(|| vec![event(&line)])
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn event(line: &Line<'_>) -> Event {
    let kind = line.kind.as_deref().unwrap_or_default();
    let name = line.event.as_deref().filter(|name| !name.is_empty()).unwrap_or(kind);
    let user = match text(&line.distinct_id) {
        user if user.is_empty() => text(&line.item_id),
        user => user,
    };
    let (time, track) = (text(&line.time), text(&line.track_id));
    let mut hash = openssl::sha::Sha256::new();
    let mut add = |part: &str| {
        // A length before each part, so that no two lists of parts read the same.
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    };
    [kind, name, &user, &time, &track].into_iter().for_each(&mut add);
    if track.is_empty()
        && let Value::Object(properties) = &line.properties
    {
        let own: BTreeMap<&String, String> = properties
            .iter()
            .filter(|(name, _)| !name.starts_with('$'))
            .map(|(name, value)| (name, value.to_string()))
            .collect();
        for (name, value) in own {
            add(name);
            add(&value);
        }
    }
    let digest = hash.finish();
    let mut key = [0; 16];
    key.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    Event {
        key,
        name: name.to_owned(),
        lib: text(line.lib.get("$lib").unwrap_or(&Value::Null)).into_owned(),
        user: user.into_owned(),
        time_ms: line.time.as_i64().or_else(|| time.parse().ok()).unwrap_or_default(),
    }
}
