//! The columns, once: the file's schema and the order of filling follow from this list.

use crate::columns::{Preset, Type};
use std::fmt::Write as _;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that is always there.
    Text,
    /// Text; empty = absent.
    SomeText,
    /// A whole number of 32 bits that is always there.
    Int,
    /// The same, or absent.
    SomeInt,
    /// A whole number of 64 bits that is always there.
    Long,
    /// The same, or absent.
    SomeLong,
    /// A number, or absent.
    SomeDouble,
    /// Always true or false.
    Bool,
    /// The same, or absent.
    SomeBool,
    /// A moment, ms since 1970 UTC.
    Time,
    /// The same, or absent.
    SomeTime,
    /// A list of text, perhaps empty.
    List,
    /// Name → text.
    TextMap,
    /// Name → number.
    NumberMap,
    /// Name → list of text.
    ListMap,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether few different values are expected: a dictionary pays.
    pub(super) words: bool,
}

/// Columns before the presets; named as in the ClickHouse schema.
const FIRST: [(&str, Kind, bool); 17] = [
    ("node", Kind::Text, true),
    ("lsn", Kind::Long, false),
    ("idx", Kind::Int, false),
    ("recv_time", Kind::Time, false),
    ("time", Kind::Time, false),
    ("client_time", Kind::SomeTime, false),
    ("type", Kind::Text, true),
    ("event", Kind::SomeText, true),
    ("dup_key", Kind::SomeLong, false),
    ("duplicate", Kind::Bool, false),
    ("track_id", Kind::SomeLong, false),
    ("distinct_id", Kind::SomeText, true),
    ("login_id", Kind::SomeText, true),
    ("anonymous_id", Kind::SomeText, true),
    ("original_id", Kind::SomeText, true),
    ("item_type", Kind::SomeText, true),
    ("identities", Kind::TextMap, true),
];

/// Columns after the presets.
const LAST: [(&str, Kind, bool); 6] = [
    ("codes", Kind::List, true),
    ("conflicts", Kind::List, true),
    ("names", Kind::List, true),
    ("str", Kind::TextMap, true),
    ("num", Kind::NumberMap, true),
    ("arr", Kind::ListMap, true),
];

/// The stored bytes, where wanted.
const JSON: (&str, Kind, bool) = ("json", Kind::SomeText, false);

/// All columns in order.
pub(super) fn fields(json: bool) -> Vec<Field> {
    let preset = |preset: &Preset| {
        let kind = match preset.kind() {
            Type::Word | Type::Text => Kind::SomeText,
            Type::Int => Kind::SomeInt,
            Type::Float => Kind::SomeDouble,
            Type::Bool => Kind::SomeBool,
        };
        Field { name: preset.column(), kind, words: preset.kind() == Type::Word }
    };
    let field = |(name, kind, words): &(&'static str, Kind, bool)| Field {
        name,
        kind: *kind,
        words: *words,
    };
    let first = FIRST.iter().map(field);
    let presets = Preset::ALL.iter().map(preset);
    let last = LAST.iter().chain(json.then_some(&JSON)).map(field);
    first.chain(presets).chain(last).collect()
}

/// The schema in Parquet's own notation.
pub(super) fn message(fields: &[Field]) -> String {
    let mut text = String::from("message event {\n");
    for Field { name, kind, .. } in fields {
        let time = "(TIMESTAMP(MILLIS,true))";
        let list = "repeated group list { required binary element (STRING); }";
        let key = "required binary key (STRING)";
        _ = match kind {
            Kind::Text => writeln!(text, "required binary {name} (STRING);"),
            Kind::SomeText => writeln!(text, "optional binary {name} (STRING);"),
            Kind::Int => writeln!(text, "required int32 {name};"),
            Kind::SomeInt => writeln!(text, "optional int32 {name};"),
            Kind::Long => writeln!(text, "required int64 {name};"),
            Kind::SomeLong => writeln!(text, "optional int64 {name};"),
            Kind::SomeDouble => writeln!(text, "optional double {name};"),
            Kind::Bool => writeln!(text, "required boolean {name};"),
            Kind::SomeBool => writeln!(text, "optional boolean {name};"),
            Kind::Time => writeln!(text, "required int64 {name} {time};"),
            Kind::SomeTime => writeln!(text, "optional int64 {name} {time};"),
            Kind::List => writeln!(text, "optional group {name} (LIST) {{ {list} }}"),
            Kind::TextMap => writeln!(
                text,
                "optional group {name} (MAP) {{ repeated group key_value {{ {key}; required binary value (STRING); }} }}"
            ),
            Kind::NumberMap => writeln!(
                text,
                "optional group {name} (MAP) {{ repeated group key_value {{ {key}; required double value; }} }}"
            ),
            Kind::ListMap => writeln!(
                text,
                "optional group {name} (MAP) {{ repeated group key_value {{ {key}; required group value (LIST) {{ {list} }} }} }}"
            ),
        };
    }
    text.push('}');
    text
}
