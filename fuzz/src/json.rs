//! The oracle: JSON by serde_json, keeping the order of members and those that repeat.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// What a text is, as far as the promises about stored bytes go.
#[derive(Debug)]
pub enum Tree {
    /// Anything but an object or a list.
    Scalar,
    /// A list of this many elements.
    List(usize),
    /// The names of an object's members, in order.
    Object(Vec<String>),
}

impl Tree {
    /// Parses `text` strictly; `None` if serde_json refuses it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Whether it is an object whose names all differ.
    #[must_use]
    pub fn is_clean_object(&self) -> bool {
        match self {
            Self::Object(names) => names.iter().collect::<BTreeSet<_>>().len() == names.len(),
            Self::Scalar | Self::List(_) => false,
        }
    }

    /// Whether it is an object with this member.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        matches!(self, Self::Object(names) if names.iter().any(|known| known == name))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }
    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut count = 0;
        while list.next_element::<Tree>()?.is_some() {
            count += 1;
        }
        Ok(Tree::List(count))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut names = Vec::new();
        while let Some((name, _)) = map.next_entry::<String, Tree>()? {
            names.push(name);
        }
        Ok(Tree::Object(names))
    }
}
