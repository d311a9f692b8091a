//! One element of a report: which members it has, where they are, and what is wrong inside them.

use super::names::{self, Field, NO_FIELD, Tag};
use super::properties;
use crate::json::{Kind, Memo, Name, Scanner, Step, Value, pos, unescape};
use crate::{Code, Limits};

/// Depth of the event itself; its `properties` have 2.
const EVENT: u32 = 1;

/// Which part of the event a problem is in; decides the pointer's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The event as a whole.
    Event,
    /// A member the checks know.
    Field(Field),
    /// A top-level member, by its name.
    Top,
    /// A member of `properties`.
    Properties,
    /// A member of `identities`.
    Identities,
}

/// Something wrong, as positions in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) part: Part,
    /// The member's name, without quotes.
    pub(super) name: (u32, u32),
    /// What arrived, as it stands.
    pub(super) detail: (u32, u32),
}

/// Problems of one event, at most [`Problems::MAX`]: a hostile event must not write a thousand codes.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) list: Vec<Problem>,
    /// Some were left out.
    pub(super) more: bool,
}

impl Problems {
    /// Most problems listed for one event (L004). Real events have one or two.
    pub(super) const MAX: usize = 32;

    #[cold]
    #[inline(never)]
    pub(super) fn add(&mut self, code: Code, part: Part, name: Name, detail: (usize, usize)) {
        if self.list.len() >= Self::MAX {
            self.more = true;
            return;
        }
        let (name, detail) = ((pos(name.at), pos(name.end)), (pos(detail.0), pos(detail.1)));
        self.list.push(Problem { code, part, name, detail });
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.more = false;
    }
}

/// A member of the event that stored JSON may lose or change: from its name's quote to behind its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: u32,
    pub(super) end: u32,
}

/// The names of events and their usual order.
#[derive(Debug, Default)]
pub(super) struct Memos {
    top: Memo<64>,
    lib: Memo<16>,
    properties: Memo<256>,
}

/// What one pass over an element finds. Reused: a field counts only while its bit in `seen` is set.
#[derive(Debug)]
pub(super) struct Element {
    /// First byte and behind the last.
    pub(super) at: u32,
    pub(super) end: u32,
    /// It is an object.
    pub(super) object: bool,
    seen: u64,
    fields: [Value; NO_FIELD as usize + 1],
    /// The name of the first top-level member that repeats one before it.
    pub(super) repeated: Option<(u32, u32)>,
    /// `_server` as sent.
    pub(super) server: Option<Place>,
    /// Good members of `identities`.
    pub(super) identities: u32,
    /// Names of top-level members that have no field of their own.
    others: Vec<(u32, u32, bool)>,
    pub(super) problems: Problems,
    /// First place nested too deeply; first number no double holds.
    pub(super) too_deep: Option<u32>,
    pub(super) out_of_range: Option<u32>,
}

impl Default for Element {
    fn default() -> Self {
        Self {
            at: 0,
            end: 0,
            object: false,
            seen: 0,
            fields: [Value::default(); NO_FIELD as usize + 1],
            repeated: None,
            server: None,
            identities: 0,
            others: Vec::new(),
            problems: Problems::default(),
            too_deep: None,
            out_of_range: None,
        }
    }
}

impl Element {
    /// A field; [`Kind::Missing`] if it was not sent.
    #[inline(always)]
    pub(super) fn get(&self, field: Field) -> Value {
        if self.seen >> (field as u32) & 1 == 1 {
            self.fields[field as usize]
        } else {
            Value::default()
        }
    }

    /// Remembers a field; [`NO_FIELD`] goes where nobody looks.
    #[inline(always)]
    pub(super) fn set(&mut self, tag: Tag, value: Value) {
        let tag = tag & NO_FIELD;
        self.seen |= 1 << tag;
        self.fields[usize::from(tag)] = value;
    }

    /// Whether the element carries encrypted events: `payloads` or `payload` beside `ekey` or `key_id`.
    #[inline(always)]
    pub(super) fn is_envelope(&self) -> bool {
        const PAYLOAD: u64 = 1 << Field::Payload as u32 | 1 << Field::Payloads as u32;
        const KEY: u64 = 1 << Field::Ekey as u32 | 1 << Field::KeyId as u32;
        self.seen & PAYLOAD != 0 && self.seen & KEY != 0
    }

    /// Reads the element at `p`.
    ///
    /// # Errors
    /// The text is no JSON.
    #[inline(never)]
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        p: usize,
        limits: &Limits,
        memos: &mut Memos,
    ) -> Step {
        (self.seen, self.identities) = (0, 0);
        (self.repeated, self.server) = (None, None);
        self.others.clear();
        self.problems.clear();
        (scanner.too_deep, scanner.out_of_range) = (None, None);
        self.object = scanner.byte(p) == b'{';
        let end = if self.object {
            let end = self.members(scanner, p, limits, memos)?;
            if self.others.len() > 1 && self.repeated.is_none() {
                self.repeated = names::repeated(scanner.text(), &mut self.others);
            }
            end
        } else {
            scanner.value(p, EVENT)?.0
        };
        (self.at, self.end) = (pos(p), pos(end));
        (self.too_deep, self.out_of_range) = (scanner.too_deep, scanner.out_of_range);
        Ok(end)
    }

    #[inline(always)]
    fn members(
        &mut self,
        scanner: &mut Scanner<'_>,
        p: usize,
        limits: &Limits,
        memos: &mut Memos,
    ) -> Step {
        const PROPERTIES: Tag = Field::Properties as Tag;
        const LIB: Tag = Field::Lib as Tag;
        const IDENTITIES: Tag = Field::Identities as Tag;
        const DEPTH: u32 = EVENT + 1;
        let Memos { top, lib, properties } = memos;
        let tag = |scanner: &Scanner<'_>, name: Name| Some(names::tag(scanner.raw(name)));
        scanner.object_like(p, EVENT, top, tag, |scanner, name, known, at| {
            let tag = known.unwrap_or_else(|| names::tag(&unescape(scanner.raw(name))));
            let (end, kind) = if scanner.byte(at) == b'{' {
                let end = match tag {
                    PROPERTIES => properties::read(scanner, at, DEPTH, limits, self, properties)?,
                    LIB => self.lib(scanner, at, lib)?,
                    IDENTITIES => properties::identities(scanner, at, DEPTH, limits, self)?,
                    _ => scanner.skip(at, DEPTH)?,
                };
                (end, Kind::Object)
            } else {
                scanner.value(at, DEPTH)?
            };
            self.note(tag, name, scanner.seen(at, end, kind));
            Ok(end)
        })
    }

    /// Remembers a top-level member.
    #[inline(always)]
    fn note(&mut self, tag: Tag, name: Name, value: Value) {
        if tag == NO_FIELD {
            self.others.push((pos(name.at), pos(name.end), name.escaped));
            return;
        }
        if self.seen >> tag & 1 == 1 {
            self.repeated.get_or_insert((pos(name.at), pos(name.end)));
        }
        if tag == Field::Server as Tag {
            let quote = u32::from(value.kind.is_text());
            self.server = Some(Place { at: pos(name.at - 1), end: value.end + quote });
        }
        self.set(tag, value);
    }

    /// Whether any top-level member is left, `_server` counted only if it stays.
    pub(super) fn has_members(&self, without_server: bool) -> bool {
        let top = self.seen & ((1 << Field::LibName as u32) - 1);
        let server = if without_server { 1 << Field::Server as u32 } else { 0 };
        !self.others.is_empty() || top & !server != 0
    }

    /// Gives memory above `keep_bytes` back.
    pub(super) fn shrink(&mut self, keep_bytes: usize) {
        self.others.clear();
        self.others.shrink_to(keep_bytes / 12);
    }

    #[inline(never)]
    fn lib(&mut self, scanner: &mut Scanner<'_>, p: usize, memo: &mut Memo<16>) -> Step {
        let tag = |scanner: &Scanner<'_>, name: Name| Some(names::lib_tag(scanner.raw(name)));
        scanner.object_like(p, EVENT + 1, memo, tag, |scanner, _, known, at| {
            let (end, kind) = scanner.value(at, EVENT + 2)?;
            if kind.is_text() {
                self.set(known.unwrap_or(NO_FIELD), scanner.seen(at, end, kind));
            }
            Ok(end)
        })
    }
}
