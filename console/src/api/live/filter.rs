//! Which events a page wants to see. Checked here, so that a page gets what it asked for and not what it must throw away.

use serde::Deserialize;
use serde_json::Value;

use crate::tap::Event;

/// Filters as they stand in the address of a page; empty ones take everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(default)]
pub(super) struct Filter {
    /// Effective project.
    pub(super) project: String,
    /// `kept`, `problems`, `rejected`, or `bad` for the last two.
    pub(super) verdict: String,
    /// A code or its beginning, such as `N101` or `N`.
    pub(super) code: String,
    /// Name of the event, or record type where it has none.
    pub(super) event: String,
    /// Name of a property …
    pub(super) property: String,
    /// … and its value; empty: the property is there.
    pub(super) value: String,
    /// Any id of the event: user, device, login, anonymous.
    pub(super) id: String,
    /// Client address.
    pub(super) ip: String,
    /// SDK or app version.
    pub(super) version: String,
    /// `$lib`.
    pub(super) platform: String,
}

impl Filter {
    /// Whether this event is wanted.
    #[must_use]
    pub(super) fn takes(&self, event: &Event) -> bool {
        let same = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        same(&self.project, &event.project)
            && same(&self.ip, &event.ip)
            && (self.platform.is_empty() || self.platform.eq_ignore_ascii_case(&event.sdk))
            && self.takes_verdict(event.verdict)
            && (self.code.is_empty()
                || event.codes.iter().any(|code| code.code.starts_with(&self.code)))
            && (self.event.is_empty()
                || self.event == event.event
                || event.event.is_empty() && self.event == event.kind)
            && (self.version.is_empty()
                || self.version == event.sdk_version
                || self.version == event.app_version)
            && (self.id.is_empty() || has_id(event, &self.id))
            && (self.property.is_empty() || self.takes_property(&event.json))
    }

    fn takes_verdict(&self, verdict: &str) -> bool {
        match self.verdict.as_str() {
            "" => true,
            "bad" => verdict != "kept",
            wanted => wanted == verdict,
        }
    }

    fn takes_property(&self, json: &str) -> bool {
        // Names without escapes are looked for as text first: parsing every event would cost more than all else.
        if is_plain(&self.property) && !json.contains(&self.property) && !json.contains('\\') {
            return false;
        }
        let Ok(value) = serde_json::from_str::<Value>(json) else { return false };
        let Some(found) = property(&value, &self.property) else { return false };
        match found {
            _ if self.value.is_empty() => true,
            Value::String(text) => *text == self.value,
            Value::Array(list) => list.iter().any(|item| shown(item) == self.value),
            other => shown(other) == self.value,
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

/// A property by name: of `properties`, else of the event itself.
fn property<'v>(event: &'v Value, name: &str) -> Option<&'v Value> {
    event.get("properties").and_then(|properties| properties.get(name)).or_else(|| event.get(name))
}

/// A value as a person writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether the event names this id anywhere an SDK puts one.
#[must_use]
pub(super) fn has_id(event: &Event, id: &str) -> bool {
    if event.user == id {
        return true;
    }
    if !event.json.contains(id) && !event.json.contains('\\') {
        return false;
    }
    let Ok(value) = serde_json::from_str::<Value>(&event.json) else { return false };
    let is = |value: Option<&Value>| value.is_some_and(|value| shown(value) == id);
    ["distinct_id", "anonymous_id", "login_id", "original_id", "$device_id"]
        .iter()
        .any(|name| is(value.get(name)))
        || is(value.pointer("/properties/$device_id"))
        || value.get("identities").and_then(Value::as_object).is_some_and(|identities| {
            identities.values().any(|identity| match identity {
                Value::Array(list) => list.iter().any(|item| shown(item) == id),
                one => shown(one) == id,
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            project: "shop".into(),
            event: "PayOrder".into(),
            kind: "track".into(),
            user: "u1".into(),
            sdk: "iOS".into(),
            sdk_version: "4.9.1".into(),
            app_version: "6.2.0".into(),
            ip: "10.0.0.1".into(),
            verdict: "problems",
            codes: vec![crate::tap::Code { code: "P203".into(), ..Default::default() }],
            json: r#"{"distinct_id":"u1","anonymous_id":"a-1","identities":{"$identity_login_id":"u1","$identity_idfv":"v-9"},"properties":{"price":12.5,"city":"\u676d\u5dde","tags":["a","b"],"$device_id":"d7"}}"#.into(),
            ..Event::default()
        }
    }

    #[test]
    fn each_filter_takes_and_leaves() {
        let cases: [(&str, &[&str], &[&str]); 10] = [
            ("project", &["shop"], &["other"]),
            ("verdict", &["problems", "bad"], &["kept", "rejected"]),
            ("code", &["P203", "P"], &["N101", "P2031"]),
            ("event", &["PayOrder"], &["Pay", "track"]),
            ("id", &["u1", "a-1", "v-9", "d7"], &["u", "a", "shop"]),
            ("ip", &["10.0.0.1"], &["10.0.0.10"]),
            ("version", &["6.2.0", "4.9.1"], &["6.2"]),
            ("platform", &["iOS", "ios"], &["Android"]),
            ("property", &["price", "city", "distinct_id"], &["pric", "missing"]),
            ("verdict", &[""], &["x"]),
        ];
        for (name, takes, leaves) in cases {
            for (values, wanted) in [(takes, true), (leaves, false)] {
                for value in values {
                    let filter: Filter =
                        serde_json::from_value(serde_json::json!({name: value})).unwrap();
                    assert_eq!(filter.takes(&event()), wanted, "{name}={value}");
                }
            }
        }
    }

    #[test]
    fn a_value_is_compared_by_meaning() {
        for (property, value, wanted) in [
            ("price", "12.5", true),
            ("price", "12.50", false),
            ("city", "杭州", true),
            ("city", "杭", false),
            ("tags", "b", true),
            ("tags", "c", false),
        ] {
            let filter =
                Filter { property: property.into(), value: value.into(), ..Filter::default() };
            assert_eq!(filter.takes(&event()), wanted, "{property}={value}");
        }
    }

    #[test]
    fn what_is_no_json_is_no_reason_to_stop() {
        let event = Event { json: "{\"a".into(), user: "u".into(), ..Event::default() };
        let filter = Filter { property: "a".into(), ..Filter::default() };
        assert!(!filter.takes(&event) && !has_id(&event, "a") && has_id(&event, "u"));
    }
}
