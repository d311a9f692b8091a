//! One event as a row of its table, in ClickHouse's RowBinary; columns in the order of `Table::columns`.

use crate::columns::{Preset, Row, Type};
use crate::range::EventView;
use event::EventType;
use event::record::meta;

/// What a `DateTime64(3)` can show: 1970 to 2299.
const TIME_MS_MAX: i64 = 10_413_791_999_999;

/// One event on its way into a row.
pub(super) struct One<'e> {
    pub(super) event: &'e EventView<'e>,
    pub(super) row: Row<'e>,
    pub(super) node: &'e str,
    pub(super) day: u16,
    pub(super) filed: bool,
    pub(super) dup_key: u64,
    pub(super) duplicate: bool,
}

impl One<'_> {
    pub(super) fn event(&self, kind: EventType, out: &mut Vec<u8>) {
        let (event, row) = (self.event, self.row);
        text(event.project(), out);
        text(row.event(), out);
        text(kind.as_str().as_bytes(), out);
        out.extend_from_slice(&self.day.to_le_bytes());
        self.times(true, out);
        self.identity(out);
        out.push(u8::from(self.duplicate));
        out.extend_from_slice(&row.track_id().to_le_bytes());
        text(row.id(), out);
        text(row.login_id(), out);
        // Mostly the same as distinct_id, and then not worth its bytes.
        text(if row.anonymous_id() == row.id() { b"" } else { row.anonymous_id() }, out);
        text(row.original_id(), out);
        count(row.identities().len(), out);
        for (key, value) in row.identities() {
            text(key, out);
            text(value, out);
        }
        for preset in Preset::ALL {
            match preset.kind() {
                Type::Word | Type::Text => text(row.text(*preset), out),
                #[expect(clippy::cast_possible_truncation, reason = "whole and fits, by its type")]
                Type::Int => {
                    let value = row.number(*preset).unwrap_or(0.0) as i32;
                    out.extend_from_slice(&value.to_le_bytes());
                }
                Type::Float => {
                    out.extend_from_slice(&row.number(*preset).unwrap_or(0.0).to_le_bytes());
                }
                Type::Bool => out.push(u8::from(row.number(*preset) == Some(1.0))),
            }
        }
        self.codes(out);
        count(row.conflicts().len(), out);
        row.conflicts().for_each(|name| text(name, out));
        self.maps(out);
    }

    /// One row a property; without any, one that names none.
    pub(super) fn profile(&self, kind: EventType, out: &mut Vec<u8>) {
        let row = self.row;
        let (mut str, mut num, mut arr) =
            (row.str().peekable(), row.num().peekable(), row.arr().peekable());
        let mut some = false;
        for name in row.names() {
            // Each map has the properties in the order they were sent.
            let text = str.next_if(|(key, _)| *key == name).map(|(_, value)| value);
            let number = num.next_if(|(key, _)| *key == name).map(|(_, value)| value);
            let list = arr.next_if(|(key, _)| *key == name).map(|(_, members)| members);
            let has = match (text.is_some(), number.is_some(), list.is_some()) {
                (true, false, _) => 1,
                (false, true, _) => 2,
                (true, true, _) => 4,
                (_, _, true) => 3,
                _ if kind == EventType::ProfileUnset => 0,
                _ => continue,
            };
            some = true;
            self.operation(kind, name, out);
            out.push(has);
            self::text(text.unwrap_or_default(), out);
            out.extend_from_slice(&number.unwrap_or(0.0).to_le_bytes());
            match list {
                None => out.push(0),
                Some(members) => {
                    count(members.len(), out);
                    members.for_each(|member| self::text(member, out));
                }
            }
            self.profile_end(out);
        }
        if !some {
            self.operation(kind, b"", out);
            // kind none, no text, 0.0, no list.
            out.extend_from_slice(&[0; 11]);
            self.profile_end(out);
        }
    }

    fn operation(&self, kind: EventType, key: &[u8], out: &mut Vec<u8>) {
        text(self.event.project(), out);
        let op = kind.as_str();
        text(op.strip_prefix("profile_").unwrap_or(op).as_bytes(), out);
        text(key, out);
    }

    fn profile_end(&self, out: &mut Vec<u8>) {
        self.times(false, out);
        self.identity(out);
        out.extend_from_slice(&self.row.track_id().to_le_bytes());
        text(self.row.id(), out);
        text(self.row.login_id(), out);
        text(self.event.entry.lib.of(self.event.json), out);
        self.codes(out);
    }

    pub(super) fn item(&self, kind: EventType, out: &mut Vec<u8>) {
        text(self.event.project(), out);
        text(kind.as_str().as_bytes(), out);
        text(self.row.item_type(), out);
        text(self.row.id(), out);
        self.times(false, out);
        self.identity(out);
        out.extend_from_slice(&self.row.track_id().to_le_bytes());
        text(self.event.entry.lib.of(self.event.json), out);
        self.codes(out);
        self.maps(out);
    }

    /// Who an anonymous id belongs to, if this event tells: a sign-up, or both ids at once.
    pub(super) fn bindings(
        &self,
        kind: EventType,
        fresh: &mut dyn FnMut(&[&[u8]; 3]) -> bool,
        out: &mut Vec<u8>,
    ) {
        let (row, project) = (self.row, self.event.project());
        let signup = kind == EventType::TrackSignup;
        for (anonymous, login, told) in [
            (row.original_id(), row.id(), signup),
            (row.anonymous_id(), row.login_id(), true),
        ] {
            let binds = told && !anonymous.is_empty() && !login.is_empty() && anonymous != login;
            if binds && fresh(&[project, anonymous, login]) {
                text(project, out);
                text(anonymous, out);
                text(login, out);
                time(self.event.fact.time_ms, out);
            }
        }
    }

    /// time, client_time (events only), recv_time.
    fn times(&self, client: bool, out: &mut Vec<u8>) {
        let (sent, corrected) = (self.event.entry.sent_ms, self.event.fact.time_ms);
        time(corrected, out);
        if client {
            time(if sent == i64::MIN { corrected } else { sent }, out);
        }
        time(self.event.recv_ms, out);
    }

    /// node, lsn, idx, dup_key.
    fn identity(&self, out: &mut Vec<u8>) {
        text(self.node.as_bytes(), out);
        out.extend_from_slice(&self.event.lsn.to_le_bytes());
        out.extend_from_slice(&self.event.index.to_le_bytes());
        out.extend_from_slice(&self.dup_key.to_le_bytes());
    }

    fn codes(&self, out: &mut Vec<u8>) {
        let filed = self.filed.then_some(b"T003");
        let codes = self.row.codes();
        count(codes.len() + usize::from(self.filed), out);
        codes.iter().chain(filed).for_each(|code| text(code, out));
    }

    fn maps(&self, out: &mut Vec<u8>) {
        let row = self.row;
        count(row.str().len(), out);
        for (name, value) in row.str() {
            text(name, out);
            text(value, out);
        }
        count(row.num().len(), out);
        for (name, value) in row.num() {
            text(name, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        count(row.arr().len(), out);
        for (name, members) in row.arr() {
            text(name, out);
            count(members.len(), out);
            members.for_each(|member| text(member, out));
        }
    }
}

/// A copy of an event that was rejected, as a row of `bad_events`.
pub(super) fn bad(event: &EventView<'_>, node: &str, out: &mut Vec<u8>) {
    let (entry, json, record) = (event.entry, event.json, event.record);
    let first = event.codes.iter().chain(event.request_codes).next();
    text(event.project(), out);
    text(first.map_or(&b"X001"[..], |code| &code.code), out);
    count(event.codes.len() + event.request_codes.len(), out);
    event.codes.iter().chain(event.request_codes).for_each(|code| text(&code.code, out));
    text(first.map_or(b"", |code| code.pointer), out);
    text(first.map_or(b"", |code| code.detail), out);
    for span in [entry.event, entry.lib, entry.lib_version, entry.app_version, entry.id] {
        text(span.of(json), out);
    }
    time(event.recv_ms, out);
    text(node.as_bytes(), out);
    out.extend_from_slice(&event.lsn.to_le_bytes());
    out.extend_from_slice(&event.index.to_le_bytes());
    text(record.meta(meta::IP), out);
    text(record.meta(meta::USER_AGENT), out);
    text(if json.is_empty() { record.raw } else { json }, out);
}

/// A moment as `DateTime64(3)`.
fn time(ms: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&ms.clamp(0, TIME_MS_MAX).to_le_bytes());
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    count(text.len(), out);
    out.extend_from_slice(text);
}

/// LEB128.
fn count(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        let of = |n| {
            let mut out = Vec::new();
            count(n, &mut out);
            out
        };
        assert_eq!(of(0), [0]);
        assert_eq!(of(127), [127]);
        assert_eq!(of(128), [0x80, 1]);
        assert_eq!(of(300), [0xac, 2]);
        assert_eq!(of(1 << 21), [0x80, 0x80, 0x80, 1]);
    }
}
