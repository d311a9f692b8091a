//! One event as columns: preset properties typed, every other property in one of three maps. Used by the ClickHouse sink and by
//! Parquet, so that a property has one type everywhere.
//!
//! * `str`: text, dates as text, and what must not lose digits: integers beyond ±2^53, numbers of a property that was text first.
//! * `num`: numbers, booleans as 0 and 1, and text that is wholly a number. So a sum over `num` misses nothing, whatever an SDK wrote.
//! * `arr`: lists, members as text.
//!
//! The first accepted type of a property is remembered for good ([`Columns::save`]). A value of another type is marked P203 and, by
//! [`Conflict`], converted, kept as it is, or its event refused. Names and values the checks dropped (P201, P202, P204) are left out.

mod preset;
mod read;
#[cfg(test)]
mod tests;
mod text;
mod types;

pub use preset::{Preset, Type};
pub use types::Scope;

use crate::disk::Disk;
use crate::fill::Fill;
use crate::range::EventView;
use event::EventType;
use read::{Piece, Scratch, Top, Value};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::Arc;
use types::Types;

/// What happens to a value whose type is not its property's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// Converted where that loses nothing, else kept under its own type; marked P203 in both cases.
    #[default]
    Convert,
    /// Kept under its own type and marked P203.
    Keep,
    /// Converted where that loses nothing; else the event is refused and goes to quarantine.
    Quarantine,
}

/// Turns events into columns. Its buffers are used again for each event.
#[derive(Debug)]
pub struct Columns {
    types: Types,
    conflict: Conflict,
    fill: Fill,
    epoch: String,
    scratch: Scratch,
}

impl Columns {
    /// For the sink `name` of `node` (`<name>-<epoch>`); the memory of types is `<data>/types/<name>` and holds at most `types_max`
    /// properties, then it learns no more and further ones go by the type of each value.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(
        disk: &Arc<dyn Disk>,
        data: &Path,
        name: &str,
        node: &str,
        fill: Fill,
        (conflict, types_max): (Conflict, usize),
    ) -> io::Result<Self> {
        Ok(Self {
            types: Types::open(disk, data, name, types_max)?,
            conflict,
            fill,
            epoch: node.rsplit('-').next().unwrap_or_default().to_owned(),
            scratch: Scratch::default(),
        })
    }

    /// Reads an event. Call [`Columns::save`] before anything of it is used.
    pub fn read<'c>(&'c mut self, event: &EventView<'c>) -> Row<'c> {
        read::read(self, event);
        Row { scratch: &self.scratch, json: event.json }
    }

    /// Makes durable which types were learned since the last call: before anything read goes to a target, so that the same range
    /// gives the same columns after a crash.
    ///
    /// # Errors
    /// The disk's; call it again.
    pub fn save(&mut self) -> io::Result<()> {
        self.types.save()
    }
}

/// An event's columns. Text is unescaped UTF-8; absent text is empty.
#[derive(Clone, Copy, Debug)]
pub struct Row<'c> {
    scratch: &'c Scratch,
    json: &'c [u8],
}

impl<'c> Row<'c> {
    fn piece(self, piece: Piece) -> &'c [u8] {
        let from = if piece.own { self.scratch.own.as_slice() } else { self.json };
        let at = piece.at as usize;
        from.get(at..at + piece.len as usize).unwrap_or_default()
    }

    fn top(self, top: Top) -> &'c [u8] {
        self.piece(self.scratch.top[top as usize])
    }

    /// A preset of type [`Type::Word`] or [`Type::Text`]; empty = absent.
    #[must_use]
    pub fn text(self, preset: Preset) -> &'c [u8] {
        match self.scratch.presets[preset as usize] {
            Value::Text(piece) => self.piece(piece),
            Value::Absent | Value::Number(_) => &[],
        }
    }

    /// A preset of type [`Type::Int`] (whole, fits i32), [`Type::Float`] or [`Type::Bool`] (0 or 1).
    #[must_use]
    pub fn number(self, preset: Preset) -> Option<f64> {
        match self.scratch.presets[preset as usize] {
            Value::Number(value) => Some(value),
            Value::Absent | Value::Text(_) => None,
        }
    }

    /// Custom properties that are text: (name, value). Each name at most once.
    pub fn str(self) -> impl ExactSizeIterator<Item = (&'c [u8], &'c [u8])> {
        self.scratch.str.iter().map(move |(name, value)| (self.piece(*name), self.piece(*value)))
    }

    /// Custom properties that are numbers: (name, value). Each name at most once.
    pub fn num(self) -> impl ExactSizeIterator<Item = (&'c [u8], f64)> {
        self.scratch.num.iter().map(move |(name, value)| (self.piece(*name), *value))
    }

    /// Custom properties that are lists: (name, members). Each name at most once.
    pub fn arr(
        self,
    ) -> impl ExactSizeIterator<Item = (&'c [u8], impl ExactSizeIterator<Item = &'c [u8]>)> {
        self.scratch.arr.iter().map(move |(name, members)| {
            let members = self.scratch.members.get(members.clone()).unwrap_or_default();
            (self.piece(*name), members.iter().map(move |member| self.piece(*member)))
        })
    }

    /// Names of `properties` in the order sent, whatever became of their values: what a `profile_unset` names.
    pub fn names(self) -> impl ExactSizeIterator<Item = &'c [u8]> {
        self.scratch.names.iter().map(move |name| self.piece(*name))
    }

    /// `identities`: (key, value).
    pub fn identities(self) -> impl ExactSizeIterator<Item = (&'c [u8], &'c [u8])> {
        self.scratch
            .identities
            .iter()
            .map(move |(key, value)| (self.piece(*key), self.piece(*value)))
    }

    /// `distinct_id`; of an item or detail its id.
    #[must_use]
    pub fn id(self) -> &'c [u8] {
        self.top(Top::Id)
    }

    /// `event`.
    #[must_use]
    pub fn event(self) -> &'c [u8] {
        self.top(Top::Event)
    }

    /// `login_id`.
    #[must_use]
    pub fn login_id(self) -> &'c [u8] {
        self.top(Top::LoginId)
    }

    /// `anonymous_id`.
    #[must_use]
    pub fn anonymous_id(self) -> &'c [u8] {
        self.top(Top::AnonymousId)
    }

    /// `original_id`.
    #[must_use]
    pub fn original_id(self) -> &'c [u8] {
        self.top(Top::OriginalId)
    }

    /// `item_type`, or `schema` (protocol 2.0).
    #[must_use]
    pub fn item_type(self) -> &'c [u8] {
        match self.top(Top::ItemType) {
            [] => self.top(Top::Schema),
            item_type => item_type,
        }
    }

    /// `_track_id`; 0 = absent.
    #[must_use]
    pub fn track_id(self) -> i64 {
        self.scratch.track_id
    }

    /// Codes of the event and its request, D001, P203; each once.
    #[must_use]
    pub fn codes(self) -> &'c [[u8; 4]] {
        &self.scratch.codes
    }

    /// Names of properties marked P203.
    pub fn conflicts(self) -> impl ExactSizeIterator<Item = &'c [u8]> {
        self.scratch.conflicts.iter().map(move |name| self.piece(*name))
    }

    /// Why the event is to be refused ([`Conflict::Quarantine`]); `None` = it is not.
    #[must_use]
    pub fn refused(self) -> Option<&'c str> {
        self.scratch.refused.as_deref()
    }
}

/// Whose properties a record type carries.
#[must_use]
pub fn scope(kind: EventType) -> Scope {
    if kind.is_track() {
        Scope::Event
    } else if kind.is_item() || kind.is_detail() {
        Scope::Item
    } else {
        Scope::User
    }
}
