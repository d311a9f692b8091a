//! Writing an event in its shape. The bytes in the middle are the SDK's, untouched.

use super::Shape;
use super::members::{Members, names};
use crate::facts::flag;
use crate::fill::{Fill, Filled};
use crate::range::EventView;
use event::record::meta;

/// Top-level names the flat shape owns; a client's are cut out.
const FLAT_NAMES: [&str; 8] =
    ["recv_time", "ip", "user_agent", "_node", "_lsn", "_index", "_codes", "_server"];
/// Record types 1 to 4 are events of a user; only they get `$ip` and what is filled, a profile's properties are the user's own.
const LAST_EVENT_KIND: u8 = 4;

/// Encodes events of one node. What events of a request share is escaped once per record.
#[derive(Debug)]
pub struct Encoder {
    shape: Shape,
    node: String,
    epoch: String,
    record_lsn: Option<u64>,
    project: Vec<u8>,
    ip: Vec<u8>,
    user_agent: Vec<u8>,
    codes: Vec<[u8; 4]>,
    fill: Fill,
}

impl Encoder {
    /// An encoder for `node` (`<name>-<epoch>`) that fills by `fill`.
    #[must_use]
    pub fn new(shape: Shape, node: &str, fill: Fill) -> Self {
        Self {
            fill,
            shape,
            node: node.to_owned(),
            epoch: node.rsplit('-').next().unwrap_or_default().to_owned(),
            record_lsn: None,
            project: Vec::new(),
            ip: Vec::new(),
            user_agent: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Appends the event, without a line end. Returns the number of bytes.
    pub fn encode(&mut self, event: &EventView<'_>, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        match self.shape {
            Shape::Bare => out.extend_from_slice(event.json),
            Shape::Server => {
                self.share(event);
                self.server(event, out);
            }
            Shape::Flat => {
                self.share(event);
                self.flat(event, out);
            }
        }
        out.len() - before
    }

    fn share(&mut self, event: &EventView<'_>) {
        if self.record_lsn == Some(event.fact.lsn) {
            return;
        }
        self.record_lsn = Some(event.fact.lsn);
        for (buffer, id) in [
            (&mut self.project, meta::PROJECT),
            (&mut self.ip, meta::IP),
            (&mut self.user_agent, meta::USER_AGENT),
        ] {
            buffer.clear();
            string(event.record.meta(id), buffer);
        }
    }

    /// Codes of the event, of its request, and D001; each once.
    fn gather_codes(&mut self, event: &EventView<'_>, extra: Option<[u8; 4]>) {
        self.codes.clear();
        let duplicate = event.fact.has(flag::DUPLICATE).then_some(*b"D001");
        let own = event.codes.iter().chain(event.request_codes).map(|code| code.code);
        for code in own.chain(duplicate).chain(extra) {
            if !self.codes.contains(&code) {
                self.codes.push(code);
            }
        }
    }

    fn write_codes(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, code) in self.codes.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
            out.extend(code.iter().filter(|byte| byte.is_ascii_alphanumeric()));
            out.push(b'"');
        }
        out.push(b']');
    }

    fn server(&mut self, event: &EventView<'_>, out: &mut Vec<u8>) {
        open_end(event.json, out);
        out.extend_from_slice(b"\"_server\":{\"node\":\"");
        out.extend_from_slice(self.node.as_bytes());
        out.extend_from_slice(b"\",\"lsn\":");
        number(event.lsn, out);
        out.extend_from_slice(b",\"index\":");
        number(event.index, out);
        out.extend_from_slice(b",\"recv_time\":");
        signed(event.recv_ms, out);
        out.extend_from_slice(b",\"project\":");
        match event.entry.project.of(event.json) {
            [] => out.extend_from_slice(&self.project),
            name => string(name, out),
        }
        out.extend_from_slice(b",\"ip\":");
        out.extend_from_slice(&self.ip);
        out.extend_from_slice(b",\"ua\":");
        out.extend_from_slice(&self.user_agent);
        out.extend_from_slice(b",\"codes\":");
        if event.codes.is_empty()
            && event.request_codes.is_empty()
            && !event.fact.has(flag::DUPLICATE)
        {
            out.extend_from_slice(b"[]");
        } else {
            self.gather_codes(event, None);
            self.write_codes(out);
        }
        if event.fact.has(flag::CORRECTED) {
            out.extend_from_slice(b",\"time\":");
            signed(event.fact.time_ms, out);
        }
        if event.fact.has(flag::DUPLICATE) {
            out.extend_from_slice(b",\"duplicate\":true");
        }
        self.server_filled(event, out);
        if event.fact.session != 0 {
            out.extend_from_slice(b",\"session\":\"");
            out.extend_from_slice(self.epoch.as_bytes());
            out.push(b'-');
            hex(event.fact.session, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"}}");
    }

    /// `geo`, `ua_parsed` and the version of the data behind each.
    fn server_filled(&mut self, event: &EventView<'_>, out: &mut Vec<u8>) {
        let mut object = |name: &[u8], filled: &Filled| {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name);
            out.extend_from_slice(b"\":{");
            out.extend_from_slice(&filled.server);
            out.push(b'}');
        };
        let place = self.fill.place(event).map(|place| object(b"geo", place));
        let agent = self.fill.agent(event).map(|agent| object(b"ua_parsed", agent));
        if place.is_none() && agent.is_none() {
            return;
        }
        out.extend_from_slice(b",\"enrich\":{");
        if place.is_some() {
            out.extend_from_slice(b"\"geo\":");
            string(self.fill.place_version().as_bytes(), out);
        }
        if agent.is_some() {
            out.extend_from_slice(if place.is_some() { b",\"ua\":" } else { b"\"ua\":" });
            string(self.fill.agent_version().as_bytes(), out);
        }
        out.push(b'}');
    }

    fn flat(&mut self, event: &EventView<'_>, out: &mut Vec<u8>) {
        let json = event.json;
        let start = out.len();
        out.push(b'{');
        let (mut has_project, mut cut) = (false, false);
        for member in Members::new(json, 0) {
            let name = &json[member.name.clone()];
            if FLAT_NAMES.iter().any(|owned| names(name, owned)) {
                cut = true;
                continue;
            }
            has_project |= names(name, "project");
            if out.len() > start + 1 {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(name);
            out.extend_from_slice(b"\":");
            let value = &json[member.value.clone()];
            if names(name, "properties") && gets_columns(event, value) {
                self.flat_filled(event, value, out);
            } else {
                out.extend_from_slice(value);
            }
        }
        if out.len() > start + 1 {
            out.push(b',');
        }
        out.extend_from_slice(b"\"recv_time\":");
        signed(event.recv_ms, out);
        if !has_project {
            out.extend_from_slice(b",\"project\":");
            out.extend_from_slice(&self.project);
        }
        out.extend_from_slice(b",\"ip\":");
        out.extend_from_slice(&self.ip);
        out.extend_from_slice(b",\"user_agent\":");
        out.extend_from_slice(&self.user_agent);
        out.extend_from_slice(b",\"_node\":\"");
        out.extend_from_slice(self.node.as_bytes());
        out.extend_from_slice(b"\",\"_lsn\":");
        number(event.lsn, out);
        out.extend_from_slice(b",\"_index\":");
        number(event.index, out);
        out.extend_from_slice(b",\"_codes\":");
        self.gather_codes(event, cut.then_some(*b"N010"));
        self.write_codes(out);
        out.push(b'}');
    }

    /// `properties` with each column the SDK did not send itself.
    fn flat_filled(&mut self, event: &EventView<'_>, properties: &[u8], out: &mut Vec<u8>) {
        let sent = |column: &str| {
            Members::new(properties, 0).any(|member| names(&properties[member.name], column))
        };
        let mut first = true;
        let mut add = |column: &str, value: &[u8]| {
            if sent(column) {
                return;
            }
            if first {
                open_end(properties, out);
            } else {
                out.push(b',');
            }
            first = false;
            out.push(b'"');
            out.extend_from_slice(column.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(value);
        };
        if !self.fill.ip(event).is_empty() {
            add("$ip", &self.ip);
        }
        if let Some(place) = self.fill.place(event) {
            place.flat.iter().for_each(|(column, value)| add(column, value));
        }
        if let Some(agent) = self.fill.agent(event) {
            agent.flat.iter().for_each(|(column, value)| add(column, value));
        }
        if first {
            out.extend_from_slice(properties);
        } else {
            out.push(b'}');
        }
    }
}

fn gets_columns(event: &EventView<'_>, properties: &[u8]) -> bool {
    properties.first() == Some(&b'{') && (1..=LAST_EVENT_KIND).contains(&event.entry.kind)
}

/// Copies an object up to its last `}` and stands ready for one more member. Bytes that are no object become an empty one.
fn open_end(json: &[u8], out: &mut Vec<u8>) {
    match memchr::memrchr(b'}', json) {
        Some(end) if json.trim_ascii_start().first() == Some(&b'{') => {
            let body = json[..end].trim_ascii_end();
            out.extend_from_slice(body);
            if body.last() != Some(&b'{') {
                out.push(b',');
            }
        }
        _ => out.push(b'{'),
    }
}

fn number(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn signed(value: i64, out: &mut Vec<u8>) {
    number(value, out);
}

/// Lower-case hex without leading zeroes.
fn hex(value: u64, out: &mut Vec<u8>) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    for i in (0..digits).rev() {
        let digit = (value >> (i * 4)) as u8 & 15;
        out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }
}

/// A JSON string of bytes that should be UTF-8; what is not is replaced by U+FFFD.
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    // Addresses and nearly all user agents. Without an early end, so that it is done many bytes at a time.
    let odd = |b: u8| !(0x20..=0x7e).contains(&b) || b == b'"' || b == b'\\';
    if !bytes.iter().fold(false, |any, b| any | odd(*b)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0..=0x1f | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}
