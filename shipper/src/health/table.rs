//! A bounded table: rows by a few words.

use super::OTHER;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Longest word of a key, bytes; names that are longer are rejected anyway.
const WORD_BYTES_MAX: usize = 128;
/// Projects with an `(other)` row of their own; those beyond share one.
const PROJECTS_MAX: usize = 64;

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<V> {
    /// Its words.
    pub key: Vec<Box<str>>,
    /// What is counted.
    pub value: V,
}

/// Rows by key. The first word is the project.
#[derive(Debug)]
pub(super) struct Table<V> {
    max: usize,
    index: HashMap<Box<[u8]>, usize>,
    rows: Vec<Row<V>>,
    scratch: Vec<u8>,
    others: usize,
}

impl<V: Default> Table<V> {
    pub(super) fn new(max: usize) -> Self {
        Self { max, index: HashMap::new(), rows: Vec::new(), scratch: Vec::new(), others: 0 }
    }

    pub(super) fn rows(&self) -> &[Row<V>] {
        &self.rows
    }

    /// The row of `words`, made if there is room for it: `hostile` ones get half of the table. Else the project's `(other)` row.
    pub(super) fn row(&mut self, words: &[&[u8]], hostile: bool) -> &mut V {
        let room = if hostile { self.max / 2 } else { self.max };
        let own = self.rows.len() - self.others < room;
        let mut at = self.find(words, own);
        if at.is_none() {
            let other = vec![OTHER.as_bytes(); words.len()];
            let mut of_project = other.clone();
            if let (Some(first), Some(project)) = (of_project.first_mut(), words.first()) {
                *first = project;
            }
            let (before, room) = (self.rows.len(), self.others < PROJECTS_MAX);
            at = self.find(&of_project, room).or_else(|| self.find(&other, true));
            self.others += self.rows.len() - before;
        }
        let at = at.unwrap_or(0);
        &mut self.rows[at].value
    }

    fn find(&mut self, words: &[&[u8]], may_add: bool) -> Option<usize> {
        self.scratch.clear();
        for (i, word) in words.iter().enumerate() {
            if i > 0 {
                self.scratch.push(0);
            }
            self.scratch.extend_from_slice(cut(word));
        }
        if let Some(at) = self.index.get(self.scratch.as_slice()) {
            return Some(*at);
        }
        let key: Vec<Box<str>> =
            words.iter().map(|word| String::from_utf8_lossy(cut(word)).into()).collect();
        // Bytes that are no text go by what is shown of them, now and after a restart.
        let shown = key.join("\0");
        if shown.as_bytes() != self.scratch {
            if let Some(at) = self.index.get(shown.as_bytes()) {
                return Some(*at);
            }
            self.scratch = shown.into_bytes();
        }
        if !may_add {
            return None;
        }
        self.rows.push(Row { key, value: V::default() });
        self.index.insert(self.scratch.as_slice().into(), self.rows.len() - 1);
        Some(self.rows.len() - 1)
    }

    /// Puts a saved row back; false if there is one of that key.
    pub(super) fn put(&mut self, row: Row<V>) -> bool {
        let words: Vec<&[u8]> = row.key.iter().map(|word| word.as_bytes()).collect();
        let other = words.get(1..).is_some_and(|rest| {
            !rest.is_empty() && rest.iter().all(|word| *word == OTHER.as_bytes())
        });
        let before = self.rows.len();
        let Some(at) = self.find(&words, true) else { return false };
        self.rows[at].value = row.value;
        let fresh = self.rows.len() > before;
        self.others += usize::from(other && fresh);
        fresh
    }

    /// A copy of all rows, JSON escapes of their words undone.
    pub(super) fn shown(&self) -> Vec<Row<V>>
    where
        V: Clone,
    {
        let mut rows = self.rows.clone();
        for word in rows.iter_mut().flat_map(|row| &mut row.key).filter(|w| w.contains('\\')) {
            if let Ok(text) = serde_json::from_str::<String>(&format!("\"{word}\"")) {
                *word = text.into();
            }
        }
        rows
    }

    /// Drops the rows `gone` names and hands them over.
    pub(super) fn drop_rows(&mut self, gone: impl Fn(&V) -> bool) -> Vec<Row<V>> {
        let (dropped, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.rows).into_iter().partition(|row| gone(&row.value));
        *self = Self::new(self.max);
        for row in kept {
            self.put(row);
        }
        dropped
    }
}

/// At most [`WORD_BYTES_MAX`] bytes of a word, not ending inside a UTF-8 character.
fn cut(word: &[u8]) -> &[u8] {
    if word.len() <= WORD_BYTES_MAX {
        return word;
    }
    let mut end = WORD_BYTES_MAX;
    while end > 0 && word.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    word.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_counts_what_is_new_under_other() {
        let mut table = Table::<u64>::new(4);
        for n in 0..100 {
            *table.row(&[b"shop", format!("hostile{n}").as_bytes()], true) += 1;
        }
        for n in 0..100 {
            *table.row(&[b"shop", format!("E{n}").as_bytes()], false) += 1;
        }
        *table.row(&[b"news", b"Late"], false) += 1;
        assert_eq!(table.rows().iter().map(|row| row.value).sum::<u64>(), 201, "none is lost");
        let keys: Vec<String> = table.rows().iter().map(|row| row.key.join("/")).collect();
        let want = [
            "shop/hostile0",
            "shop/hostile1",
            "shop/(other)",
            "shop/E0",
            "shop/E1",
            "news/(other)",
        ];
        assert_eq!(keys, want);
    }

    #[test]
    fn projects_beyond_the_limit_share_a_row() {
        let mut table = Table::<u64>::new(0);
        for n in 0..1000 {
            *table.row(&[format!("p{n}").as_bytes(), b"E"], false) += 1;
        }
        assert_eq!(table.rows().len(), PROJECTS_MAX + 1);
        assert_eq!(table.rows().iter().map(|row| row.value).sum::<u64>(), 1000);
    }

    #[test]
    fn a_long_word_is_cut_at_a_character() {
        let mut table = Table::<u64>::new(4);
        table.row(&[b"p", "名".repeat(100).as_bytes()], false);
        assert_eq!(table.rows()[0].key[1].as_ref(), "名".repeat(42));
    }

    #[test]
    fn dropped_rows_make_room() {
        let mut table = Table::<u64>::new(2);
        for name in [b"a", b"b", b"c"] {
            *table.row(&[b"p", name], false) += 1;
        }
        *table.row(&[b"p", b"b"], false) += 1;
        assert_eq!(table.drop_rows(|n| *n == 1).len(), 2);
        assert_eq!(*table.row(&[b"p", b"b"], false), 2);
        assert_eq!(*table.row(&[b"p", b"c"], false), 0);
    }
}
