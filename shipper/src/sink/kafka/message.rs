//! What a record is: topic, key, value, headers. One set of buffers for all events.

use super::{Config, KeyBy};
use crate::facts::flag;
use crate::fill::Fill;
use crate::range::EventView;
use crate::shape::Shape;
use crate::shape::encode::Encoder;
use crate::shape::members::{Members, names};
use event::EventType;
use event::record::meta;
use std::collections::HashMap;
use std::ops::Range;

/// Version of the headers and of `_server`; a reader that knows it can read all that follow with the same number.
pub const SCHEMA: &str = "1";
/// Names of topics remembered for projects; they are few, and a flood of names must not become one of memory.
const TOPICS_MAX: usize = 10_000;

/// Which topic a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `topic_events`
    Events = 0,
    /// `topic_profiles`
    Profiles = 1,
    /// `topic_items`
    Items = 2,
    /// `topic_rejected`
    Rejected = 3,
}

impl Class {
    /// The class of a record.
    #[must_use]
    pub fn of(event: &EventView<'_>) -> Self {
        if event.fact.has(flag::REJECTED) {
            return Self::Rejected;
        }
        match EventType::from_u8(event.entry.kind) {
            kind if kind.is_item() || kind.is_detail() => Self::Items,
            kind if kind.is_track() || kind == EventType::Unknown => Self::Events,
            _ => Self::Profiles,
        }
    }
}

/// Makes records. What it made last stays readable until the next call.
#[derive(Debug)]
pub struct Maker {
    encoder: Encoder,
    shape: Shape,
    node: String,
    key_by: KeyBy,
    templates: [String; 4],
    topics: HashMap<(Vec<u8>, Class), String>,
    topic: String,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(&'static str, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Maker {
    /// A maker of records of `node`, `<name>-<epoch>`.
    #[must_use]
    pub fn new(config: &Config, node: &str, fill: Fill) -> Self {
        Self {
            encoder: Encoder::new(config.shape, node, fill),
            shape: config.shape,
            node: node.to_owned(),
            key_by: config.key_by,
            templates: [
                config.topic_events.clone(),
                config.topic_profiles.clone(),
                config.topic_items.clone(),
                config.topic_rejected.clone(),
            ],
            topics: HashMap::new(),
            topic: String::new(),
            key: Vec::new(),
            value: Vec::new(),
            headers: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Makes the record of an event.
    pub fn make(&mut self, event: &EventView<'_>) {
        self.choose_topic(event);
        self.choose_key(event);
        self.value.clear();
        self.encoder.encode(event, &mut self.value);
        self.write_headers(event);
    }

    /// Topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Key; `None` where the event names nobody.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        (!self.key.is_empty()).then_some(&self.key)
    }

    /// Value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let bytes = &self.bytes;
        self.headers.iter().map(|(name, at)| (*name, bytes.get(at.clone()).unwrap_or_default()))
    }

    fn choose_topic(&mut self, event: &EventView<'_>) {
        let class = Class::of(event);
        let template = &self.templates[class as usize];
        if !template.contains("{project}") {
            template.clone_into(&mut self.topic);
            return;
        }
        let key = (event.project().to_vec(), class);
        if let Some(topic) = self.topics.get(&key) {
            topic.clone_into(&mut self.topic);
            return;
        }
        self.topic = template.replace("{project}", &String::from_utf8_lossy(&key.0));
        if self.topics.len() < TOPICS_MAX {
            self.topics.insert(key, self.topic.clone());
        }
    }

    fn choose_key(&mut self, event: &EventView<'_>) {
        self.key.clear();
        if self.key_by == KeyBy::Device
            && let Some(device) = device(event.json)
        {
            unescape(device, &mut self.key);
        }
        if self.key.is_empty() {
            unescape(event.entry.id.of(event.json), &mut self.key);
        }
    }

    fn write_headers(&mut self, event: &EventView<'_>) {
        self.headers.clear();
        self.bytes.clear();
        self.text("project", event.project());
        self.text("kind", EventType::from_u8(event.entry.kind).as_str().as_bytes());
        let from = self.bytes.len();
        unescape(event.entry.event.of(event.json), &mut self.bytes);
        self.headers.push(("event", from..self.bytes.len()));
        let from = self.bytes.len();
        self.bytes.extend_from_slice(self.node.as_bytes());
        self.headers.push(("node", from..self.bytes.len()));
        self.number("lsn", event.lsn);
        self.number("index", event.index);
        self.number("recv_time", event.recv_ms);
        let shape = match self.shape {
            Shape::Server => "server",
            Shape::Flat => "flat",
            Shape::Bare => "bare",
        };
        self.text("shape", shape.as_bytes());
        self.text("schema", SCHEMA.as_bytes());
        if event.fact.has(flag::REDRIVEN) {
            // Its identity is older than its place among the others.
            self.number("position", event.fact.lsn);
        }
        let rejected = event.fact.has(flag::REJECTED);
        if rejected {
            self.text("verdict", b"rejected");
        }
        if rejected || self.shape == Shape::Bare {
            self.codes(event);
        }
        if self.shape == Shape::Bare {
            self.text("ip", event.record.meta(meta::IP));
            self.text("ua", event.record.meta(meta::USER_AGENT));
            if event.fact.has(flag::CORRECTED) {
                self.number("time", event.fact.time_ms);
            }
        }
    }

    fn text(&mut self, name: &'static str, value: &[u8]) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.headers.push((name, from..self.bytes.len()));
    }

    fn number(&mut self, name: &'static str, value: impl itoa::Integer) {
        self.text(name, itoa::Buffer::new().format(value).as_bytes());
    }

    /// The event's codes and its request's, each once, by commas.
    fn codes(&mut self, event: &EventView<'_>) {
        let from = self.bytes.len();
        let duplicate = event.fact.has(flag::DUPLICATE).then_some(*b"D001");
        let all = event.codes.iter().chain(event.request_codes).map(|one| one.code);
        for code in all.chain(duplicate) {
            let seen = self.bytes.get(from..).unwrap_or_default();
            if seen.chunks(5).any(|one| one.starts_with(&code)) {
                continue;
            }
            if self.bytes.len() > from {
                self.bytes.push(b',');
            }
            self.bytes.extend_from_slice(&code);
        }
        self.headers.push(("codes", from..self.bytes.len()));
    }
}

/// The outermost `anonymous_id`, without its quotes.
fn device(json: &[u8]) -> Option<&[u8]> {
    let member = Members::new(json, 0).find(|m| names(&json[m.name.clone()], "anonymous_id"))?;
    let value = json.get(member.value)?;
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Appends what the inside of a JSON string means.
fn unescape(inside: &[u8], out: &mut Vec<u8>) {
    if !inside.contains(&b'\\') {
        out.extend_from_slice(inside);
        return;
    }
    let quoted = [b"\"", inside, b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(text) => out.extend_from_slice(text.as_bytes()),
        Err(_) => out.extend_from_slice(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_the_json_means() {
        let key = |inside: &str| {
            let mut out = Vec::new();
            unescape(inside.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(key("user_1"), "user_1");
        assert_eq!(key(r#"\u738b\"\/"#), "王\"/");
        assert_eq!(key(r"broken\q"), r"broken\q");
        let json = br#"{"properties":{"anonymous_id":"no"},"anonymous_id":"d\u0031"}"#;
        assert_eq!(device(json), Some(&br"d\u0031"[..]));
        assert_eq!(device(br#"{"anonymous_id":7}"#), None);
    }
}
