//! Events gathered column by column until they are a row group.

use super::fields::{Field, Kind};
use bytes::Bytes;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;
use std::slice::IterMut;

/// Values of a leaf.
#[derive(Debug)]
enum Values {
    Int(Vec<i32>),
    Long(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    /// One after the other, and where each ends.
    Text(Vec<u8>, Vec<u32>),
}

/// A leaf column: values, and how much of the path to each is there.
#[derive(Debug)]
pub(super) struct Leaf {
    values: Values,
    /// Definition levels; empty for what is always there.
    definition: Vec<i16>,
    /// Repetition levels; empty for what is there once.
    repetition: Vec<i16>,
}

impl Leaf {
    fn new(values: Values) -> Self {
        Self { values, definition: Vec::new(), repetition: Vec::new() }
    }

    fn text(&mut self, value: &[u8]) {
        if let Values::Text(all, ends) = &mut self.values {
            all.extend_from_slice(value);
            ends.push(u32::try_from(all.len()).unwrap_or(u32::MAX));
        }
    }

    fn level(&mut self, definition: i16) {
        self.definition.push(definition);
    }

    fn levels(&mut self, definition: i16, repetition: i16) {
        self.definition.push(definition);
        self.repetition.push(repetition);
    }

    /// Writes all of it as one column chunk and forgets it.
    pub(super) fn write(&mut self, mut column: SerializedColumnWriter<'_>) -> Result<()> {
        let definition = (!self.definition.is_empty()).then_some(self.definition.as_slice());
        let repetition = (!self.repetition.is_empty()).then_some(self.repetition.as_slice());
        match &mut self.values {
            Values::Int(values) => {
                column.typed::<Int32Type>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Long(values) => {
                column.typed::<Int64Type>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Double(values) => {
                column.typed::<DoubleType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Bool(values) => {
                column.typed::<BoolType>().write_batch(values, definition, repetition)?;
                values.clear();
            }
            Values::Text(all, ends) => {
                let all = Bytes::from(std::mem::take(all));
                let mut from = 0;
                let slice = |end: &u32| {
                    let end = *end as usize;
                    let value = ByteArray::from(all.slice(from..end));
                    from = end;
                    value
                };
                let values: Vec<ByteArray> = ends.iter().map(slice).collect();
                column.typed::<ByteArrayType>().write_batch(&values, definition, repetition)?;
                ends.clear();
            }
        }
        self.definition.clear();
        self.repetition.clear();
        column.close()
    }
}

/// The leaves of all columns.
pub(super) fn leaves(fields: &[Field]) -> Vec<Leaf> {
    let text = || Leaf::new(Values::Text(Vec::new(), Vec::new()));
    let long = || Leaf::new(Values::Long(Vec::new()));
    let mut leaves = Vec::new();
    for field in fields {
        match field.kind {
            Kind::Text | Kind::SomeText | Kind::List => leaves.push(text()),
            Kind::Int | Kind::SomeInt => leaves.push(Leaf::new(Values::Int(Vec::new()))),
            Kind::Long | Kind::SomeLong | Kind::Time | Kind::SomeTime => leaves.push(long()),
            Kind::SomeDouble => leaves.push(Leaf::new(Values::Double(Vec::new()))),
            Kind::Bool | Kind::SomeBool => leaves.push(Leaf::new(Values::Bool(Vec::new()))),
            Kind::TextMap | Kind::ListMap => leaves.extend([text(), text()]),
            Kind::NumberMap => leaves.extend([text(), Leaf::new(Values::Double(Vec::new()))]),
        }
    }
    leaves
}

/// Fills one row, column by column in the order of the fields.
pub(super) struct Row<'b> {
    leaves: IterMut<'b, Leaf>,
    /// Bytes taken by values and levels.
    bytes: &'b mut usize,
}

impl<'b> Row<'b> {
    pub(super) fn new(leaves: &'b mut [Leaf], bytes: &'b mut usize) -> Self {
        Self { leaves: leaves.iter_mut(), bytes }
    }

    fn next(&mut self, bytes: usize) -> Option<&'b mut Leaf> {
        *self.bytes += bytes;
        self.leaves.next()
    }

    pub(super) fn text(&mut self, value: &[u8]) {
        if let Some(leaf) = self.next(value.len() + 4) {
            leaf.text(value);
        }
    }

    pub(super) fn some_text(&mut self, value: &[u8]) {
        if let Some(leaf) = self.next(value.len() + 6) {
            leaf.level(i16::from(!value.is_empty()));
            if !value.is_empty() {
                leaf.text(value);
            }
        }
    }

    pub(super) fn int(&mut self, value: i32) {
        if let Some(Leaf { values: Values::Int(values), .. }) = self.next(4) {
            values.push(value);
        }
    }

    pub(super) fn some_int(&mut self, value: Option<i32>) {
        if let Some(Leaf { values: Values::Int(values), definition, .. }) = self.next(6) {
            definition.push(i16::from(value.is_some()));
            values.extend(value);
        }
    }

    pub(super) fn long(&mut self, value: i64) {
        if let Some(Leaf { values: Values::Long(values), .. }) = self.next(8) {
            values.push(value);
        }
    }

    pub(super) fn some_long(&mut self, value: Option<i64>) {
        if let Some(Leaf { values: Values::Long(values), definition, .. }) = self.next(10) {
            definition.push(i16::from(value.is_some()));
            values.extend(value);
        }
    }

    pub(super) fn some_double(&mut self, value: Option<f64>) {
        if let Some(Leaf { values: Values::Double(values), definition, .. }) = self.next(10) {
            definition.push(i16::from(value.is_some()));
            values.extend(value);
        }
    }

    pub(super) fn bool(&mut self, value: bool) {
        if let Some(Leaf { values: Values::Bool(values), .. }) = self.next(1) {
            values.push(value);
        }
    }

    pub(super) fn some_bool(&mut self, value: Option<bool>) {
        if let Some(Leaf { values: Values::Bool(values), definition, .. }) = self.next(3) {
            definition.push(i16::from(value.is_some()));
            values.extend(value);
        }
    }

    /// Levels: 1 = an empty list, 2 = a member.
    pub(super) fn list<'v>(&mut self, members: impl Iterator<Item = &'v [u8]>) {
        let Some(leaf) = self.next(4) else { return };
        let mut repetition = 0;
        for member in members {
            *self.bytes += member.len() + 8;
            leaf.levels(2, repetition);
            leaf.text(member);
            repetition = 1;
        }
        if repetition == 0 {
            leaf.levels(1, 0);
        }
    }

    /// Levels: 1 = an empty map, 2 = an entry.
    pub(super) fn text_map<'v>(&mut self, entries: impl Iterator<Item = (&'v [u8], &'v [u8])>) {
        let (Some(names), Some(values)) = (self.next(4), self.next(4)) else { return };
        let mut repetition = 0;
        for (name, value) in entries {
            *self.bytes += name.len() + value.len() + 16;
            names.levels(2, repetition);
            names.text(name);
            values.levels(2, repetition);
            values.text(value);
            repetition = 1;
        }
        if repetition == 0 {
            names.levels(1, 0);
            values.levels(1, 0);
        }
    }

    /// As [`Row::text_map`].
    pub(super) fn number_map<'v>(&mut self, entries: impl Iterator<Item = (&'v [u8], f64)>) {
        let (Some(names), Some(values)) = (self.next(4), self.next(4)) else { return };
        let mut repetition = 0;
        for (name, value) in entries {
            *self.bytes += name.len() + 20;
            names.levels(2, repetition);
            names.text(name);
            values.levels(2, repetition);
            if let Values::Double(values) = &mut values.values {
                values.push(value);
            }
            repetition = 1;
        }
        if repetition == 0 {
            names.levels(1, 0);
            values.levels(1, 0);
        }
    }

    /// Levels: 1 = an empty map, 2 = an entry (of members: an empty list), 3 = a member.
    pub(super) fn list_map<'v, L>(&mut self, entries: impl Iterator<Item = (&'v [u8], L)>)
    where
        L: Iterator<Item = &'v [u8]>,
    {
        let (Some(names), Some(members)) = (self.next(4), self.next(4)) else { return };
        let mut repetition = 0;
        for (name, list) in entries {
            *self.bytes += name.len() + 12;
            names.levels(2, repetition);
            names.text(name);
            let mut any = false;
            for member in list {
                *self.bytes += member.len() + 8;
                members.levels(3, if any { 2 } else { repetition });
                members.text(member);
                any = true;
            }
            if !any {
                members.levels(2, repetition);
            }
            repetition = 1;
        }
        if repetition == 0 {
            names.levels(1, 0);
            members.levels(1, 0);
        }
    }
}
