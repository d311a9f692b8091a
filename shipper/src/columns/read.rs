//! The walk over an event, and what each value becomes.

use super::preset::{Preset, Type};
use super::text::{is_long, is_name, number, unescape, whole_number};
use super::types::{Kind, Known, Look, Scope};
use super::{Columns, Conflict, scope};
use crate::facts::flag;
use crate::fill::Filled;
use crate::range::EventView;
use crate::shape::members::{Items, Members, value_end};
use event::EventType;
use event::record::{self, Span, meta};
use std::ops::Range;

const P203: [u8; 4] = *b"P203";
/// Lifted to the top level by the SDKs: who writes, and with which token. A token is a secret and stands in no column.
const LEFT_OUT: [&[u8]; 2] = [b"$project", b"$token"];

/// Text in the event's JSON, or in [`Scratch::own`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) at: u32,
    pub(super) len: u32,
    pub(super) own: bool,
}

/// A preset's value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Value {
    #[default]
    Absent,
    Text(Piece),
    Number(f64),
}

/// Top-level members with a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Top {
    Id,
    Event,
    LoginId,
    AnonymousId,
    OriginalId,
    ItemType,
    Schema,
}

const TOPS: usize = Top::Schema as usize + 1;

/// What is known of the event read last.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) own: Vec<u8>,
    pub(super) presets: Presets,
    pub(super) top: [Piece; TOPS],
    pub(super) track_id: i64,
    pub(super) str: Vec<(Piece, Piece)>,
    pub(super) num: Vec<(Piece, f64)>,
    pub(super) arr: Vec<(Piece, Range<usize>)>,
    pub(super) members: Vec<Piece>,
    pub(super) names: Vec<Piece>,
    pub(super) identities: Vec<(Piece, Piece)>,
    pub(super) codes: Vec<[u8; 4]>,
    pub(super) conflicts: Vec<Piece>,
    pub(super) refused: Option<String>,
}

#[derive(Debug)]
pub(super) struct Presets([Value; Preset::ALL.len()]);

impl Default for Presets {
    fn default() -> Self {
        Self([Value::Absent; Preset::ALL.len()])
    }
}

impl std::ops::Index<usize> for Presets {
    type Output = Value;

    fn index(&self, preset: usize) -> &Value {
        &self.0[preset]
    }
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Scratch {
    fn clear(&mut self) {
        self.own.clear();
        self.presets.0.fill(Value::Absent);
        self.top.fill(Piece::default());
        self.track_id = 0;
        self.str.clear();
        self.num.clear();
        self.arr.clear();
        self.members.clear();
        self.names.clear();
        self.identities.clear();
        self.codes.clear();
        self.conflicts.clear();
        self.refused = None;
    }

    fn keep(&mut self, text: &[u8]) -> Piece {
        let at = self.own.len();
        self.own.extend_from_slice(text);
        Piece { at: to_u32(at), len: to_u32(text.len()), own: true }
    }

    /// The text between `at` and `end` of the JSON (a string's inside), unescaped.
    fn inside(&mut self, json: &[u8], at: usize, end: usize) -> Piece {
        let raw = json.get(at..end).unwrap_or_default();
        if memchr::memchr(b'\\', raw).is_none() {
            return Piece { at: to_u32(at), len: to_u32(raw.len()), own: false };
        }
        let at = self.own.len();
        unescape(raw, &mut self.own);
        Piece { at: to_u32(at), len: to_u32(self.own.len() - at), own: true }
    }

    fn span(&mut self, json: &[u8], span: Span) -> Piece {
        let at = span.at as usize;
        self.inside(json, at, at + span.of(json).len())
    }

    /// A string value with its quotes; anything else is absent.
    fn string(&mut self, json: &[u8], value: &Range<usize>) -> Piece {
        if json.get(value.start) != Some(&b'"') || value.len() < 2 {
            return Piece::default();
        }
        self.inside(json, value.start + 1, value.end - 1)
    }

    fn get<'a>(&'a self, json: &'a [u8], piece: Piece) -> &'a [u8] {
        let from = if piece.own { self.own.as_slice() } else { json };
        from.get(piece.at as usize..(piece.at + piece.len) as usize).unwrap_or_default()
    }

    fn is_absent(&self, preset: Preset) -> bool {
        self.presets.0[preset as usize] == Value::Absent
    }

    fn set(&mut self, preset: Preset, value: Value) {
        self.presets.0[preset as usize] = value;
    }

    fn set_text(&mut self, preset: Preset, text: &[u8]) {
        if !text.is_empty() {
            let piece = self.keep(text);
            self.set(preset, Value::Text(piece));
        }
    }
}

pub(super) fn read(columns: &mut Columns, event: &EventView<'_>) {
    let json = event.json;
    columns.scratch.clear();
    columns.types.next_event();
    let kind = EventType::from_u8(event.entry.kind);
    let table = columns.types.table(event.project(), scope(kind));
    let s = &mut columns.scratch;
    s.top[Top::Id as usize] = s.span(json, event.entry.id);
    s.top[Top::Event as usize] = s.span(json, event.entry.event);
    gather_codes(s, event);
    // An unset names properties and has no values.
    let table = (kind != EventType::ProfileUnset).then_some(table);
    let mut members = Members::new(json, 0);
    while let Some((name, at)) = members.head() {
        let end = if &json[name.clone()] == b"properties" && json.get(at) == Some(&b'{') {
            properties(columns, json, at, table)
        } else {
            let end = value_end(json, at);
            top_level(&mut columns.scratch, json, &json[name], at..end);
            end
        };
        members.resume(end);
    }
    if scope(kind) == Scope::Event {
        library(&mut columns.scratch, event);
        fill(columns, event);
    }
    let s = &mut columns.scratch;
    if !s.conflicts.is_empty() {
        s.codes.push(P203);
    }
}

fn gather_codes(s: &mut Scratch, event: &EventView<'_>) {
    let duplicate = event.fact.has(flag::DUPLICATE).then_some(*b"D001");
    let all = event.codes.iter().chain(event.request_codes).map(|code| code.code);
    for code in all.chain(duplicate) {
        if !s.codes.contains(&code) {
            s.codes.push(code);
        }
    }
}

fn top_level(s: &mut Scratch, json: &[u8], name: &[u8], value: Range<usize>) {
    let top = match name {
        b"login_id" => Top::LoginId,
        b"anonymous_id" => Top::AnonymousId,
        b"original_id" => Top::OriginalId,
        b"item_type" => Top::ItemType,
        b"schema" => Top::Schema,
        b"_track_id" => {
            s.track_id =
                std::str::from_utf8(&json[value]).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
            return;
        }
        b"identities" => return identities(s, json, value.start),
        b"lib" => return lib_method(s, json, value.start),
        _ => return,
    };
    s.top[top as usize] = s.string(json, &value);
}

fn identities(s: &mut Scratch, json: &[u8], at: usize) {
    if !s.identities.is_empty() {
        return;
    }
    for member in Members::new(json, at) {
        let key = s.inside(json, member.name.start, member.name.end);
        let value = s.string(json, &member.value);
        let same = |(known, _): &(Piece, Piece)| s.get(json, *known) == s.get(json, key);
        if value.len > 0 && !s.identities.iter().any(same) {
            s.identities.push((key, value));
        }
    }
}

/// The one member of `lib` that the entry does not name.
fn lib_method(s: &mut Scratch, json: &[u8], at: usize) {
    for member in Members::new(json, at) {
        if &json[member.name] == b"$lib_method" {
            let method = s.string(json, &member.value);
            if method.len > 0 {
                s.set(Preset::LibMethod, Value::Text(method));
            }
        }
    }
}

/// Reads the properties at `at`; gives the byte behind them.
fn properties(columns: &mut Columns, json: &[u8], at: usize, table: Option<usize>) -> usize {
    let mut members = Members::new(json, at);
    while let Some((name, at)) = members.head() {
        let end = value_end(json, at);
        property(columns, json, name, at..end, table);
        members.resume(end);
    }
    members.end.map_or(json.len(), |end| end + 1)
}

/// What a value is as it was sent.
#[derive(Clone, Copy)]
struct Sent {
    kind: Kind,
    /// A string's inside, unescaped; else the value's bytes.
    text: Piece,
    /// Where it is in the JSON.
    at: usize,
}

fn property(
    columns: &mut Columns,
    json: &[u8],
    name: Range<usize>,
    value: Range<usize>,
    table: Option<usize>,
) {
    let s = &mut columns.scratch;
    let name = s.inside(json, name.start, name.end);
    let text = s.get(json, name);
    if !is_name(text) || LEFT_OUT.contains(&text) {
        return;
    }
    let Some(table) = table else {
        s.names.push(name);
        return;
    };
    let raw = Piece { at: to_u32(value.start), len: to_u32(value.len()), own: false };
    let (kind, piece) = match json.get(value.start) {
        Some(b'"') => (Kind::Text, s.string(json, &value)),
        Some(b't' | b'f') => (Kind::Bool, raw),
        Some(b'-' | b'0'..=b'9') => (Kind::Number, raw),
        Some(b'[') if is_flat(json, value.start) => (Kind::List, raw),
        // null has no value; of an object only the name of protocol 2.0's ids means anything.
        Some(b'{') if text == b"identities" => return identities(s, json, value.start),
        _ => {
            s.names.push(name);
            return;
        }
    };
    s.names.push(name);
    let sent = Sent { kind, text: piece, at: value.start };
    match columns.types.look(table, columns.scratch.get(json, name), kind) {
        Look::Known(Known::Preset(preset)) => preset_value(columns, json, name, preset, sent),
        Look::Known(Known::Type(first)) => custom(columns, json, name, first, sent),
        Look::Full => custom(columns, json, name, kind, sent),
        Look::Again => {}
    }
}

/// Whether no member of the list is a list or an object.
fn is_flat(json: &[u8], at: usize) -> bool {
    !Items::new(json, at).any(|item| matches!(json.get(item.start), Some(b'[' | b'{')))
}

/// A property without a column of its own, whose first type is `first`.
fn custom(columns: &mut Columns, json: &[u8], name: Piece, first: Kind, sent: Sent) {
    let convert = columns.conflict != Conflict::Keep;
    let s = &mut columns.scratch;
    let text = s.get(json, sent.text);
    let lost;
    match sent.kind {
        Kind::Text => {
            let number = match first {
                Kind::Bool if convert => truth(text),
                Kind::Text => whole_number(text),
                Kind::Number if convert => whole_number(text),
                _ => None,
            };
            lost = number.is_none();
            s.str.push((name, sent.text));
            s.num.extend(number.map(|number| (name, number)));
        }
        Kind::Number => {
            let value = number(text);
            let also_text = value.is_none() || is_long(text) || (first == Kind::Text && convert);
            s.num.extend(value.map(|value| (name, value)));
            if also_text {
                s.str.push((name, sent.text));
            }
            lost = first == Kind::List;
        }
        Kind::Bool => {
            s.num.push((name, f64::from(u8::from(text == b"true"))));
            if first == Kind::Text && convert {
                s.str.push((name, sent.text));
            }
            lost = first == Kind::List;
        }
        Kind::List => {
            list(s, json, name, sent.at);
            lost = true;
        }
    }
    if sent.kind != first {
        conflict(columns, json, name, first, sent.kind, lost || !convert);
    }
}

fn truth(text: &[u8]) -> Option<f64> {
    match text {
        b"true" | b"1" => Some(1.0),
        b"false" | b"0" => Some(0.0),
        _ => None,
    }
}

fn list(s: &mut Scratch, json: &[u8], name: Piece, at: usize) {
    let from = s.members.len();
    for item in Items::new(json, at) {
        let member = match json.get(item.start) {
            Some(b'"') => s.string(json, &item),
            Some(b'n') => continue,
            _ => Piece { at: to_u32(item.start), len: to_u32(item.len()), own: false },
        };
        s.members.push(member);
    }
    s.arr.push((name, from..s.members.len()));
}

/// A property with a typed column; a value that does not fit goes to the map of its own type, under the property's name.
fn preset_value(columns: &mut Columns, json: &[u8], name: Piece, preset: Preset, sent: Sent) {
    let convert = columns.conflict != Conflict::Keep;
    let s = &mut columns.scratch;
    if !s.is_absent(preset) {
        return; // Sent under both of its names.
    }
    let text = s.get(json, sent.text);
    let wanted = match preset.kind() {
        Type::Word | Type::Text => Kind::Text,
        Type::Int | Type::Float => Kind::Number,
        Type::Bool => Kind::Bool,
    };
    let same = sent.kind == wanted;
    let value = match wanted {
        _ if sent.kind == Kind::List || !(same || convert) => None,
        Kind::Text => Some(Value::Text(sent.text)),
        Kind::Number => {
            let value = match sent.kind {
                Kind::Number => number(text),
                Kind::Text => whole_number(text),
                _ => truth(text),
            };
            let whole = preset.kind() == Type::Int;
            value
                .map(|value| if whole { value.round() } else { value })
                .filter(|value| !whole || value.abs() <= f64::from(i32::MAX))
                .map(Value::Number)
        }
        _ => match sent.kind {
            Kind::Number => number(text).map(|value| f64::from(u8::from(value != 0.0))),
            _ => truth(text),
        }
        .map(Value::Number),
    };
    match value {
        Some(value) => {
            s.set(preset, value);
            if !same {
                conflict(columns, json, name, wanted, sent.kind, false);
            }
        }
        None => {
            custom(columns, json, name, sent.kind, sent);
            conflict(columns, json, name, wanted, sent.kind, true);
        }
    }
}

fn conflict(columns: &mut Columns, json: &[u8], name: Piece, first: Kind, now: Kind, lost: bool) {
    let s = &mut columns.scratch;
    s.conflicts.push(name);
    if lost && columns.conflict == Conflict::Quarantine && s.refused.is_none() {
        let name = String::from_utf8_lossy(s.get(json, name));
        let text = format!(
            "[P203] property {name} is {} here and cannot become {}",
            now.word(),
            first.word()
        );
        s.refused = Some(text);
    }
}

/// What the entry knows of the library, which is what the checks saw.
fn library(s: &mut Scratch, event: &EventView<'_>) {
    for (preset, span) in [
        (Preset::Lib, event.entry.lib),
        (Preset::LibVersion, event.entry.lib_version),
        (Preset::AppVersion, event.entry.app_version),
    ] {
        let text = s.span(event.json, span);
        if text.len > 0 {
            s.set(preset, Value::Text(text));
        }
    }
}

/// Columns the SDK did not send and the request tells. The peer of a server SDK is the customer's own machine and tells nothing.
fn fill(columns: &mut Columns, event: &EventView<'_>) {
    let s = &mut columns.scratch;
    if s.is_absent(Preset::SessionId) && event.fact.session != 0 {
        let session = format!("{}-{:x}", columns.epoch, event.fact.session);
        s.set_text(Preset::SessionId, session.as_bytes());
    }
    if event.entry.flags & record::flag::SERVER_SDK == 0 {
        let (ip, agent) = (columns.fill.ip(event), event.record.meta(meta::USER_AGENT));
        for (preset, text) in [(Preset::Ip, ip), (Preset::UserAgent, agent)] {
            if s.is_absent(preset) {
                s.set_text(preset, text);
            }
        }
    }
    if let Some(place) = columns.fill.place(event) {
        filled(s, place);
    }
    if let Some(agent) = columns.fill.agent(event) {
        filled(s, agent);
    }
}

fn filled(s: &mut Scratch, filled: &Filled) {
    for (property, json) in &filled.flat {
        let preset = Preset::ALL.iter().find(|preset| preset.property() == *property);
        let Some(preset) = preset.filter(|preset| s.is_absent(**preset)) else { continue };
        match json.first() {
            Some(b'"') if json.len() >= 2 => {
                let at = s.own.len();
                unescape(&json[1..json.len() - 1], &mut s.own);
                let piece = Piece { at: to_u32(at), len: to_u32(s.own.len() - at), own: true };
                s.set(*preset, Value::Text(piece));
            }
            _ => {
                if let Some(value) = truth(json).or_else(|| number(json)) {
                    s.set(*preset, Value::Number(value));
                }
            }
        }
    }
}
