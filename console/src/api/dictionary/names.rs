//! Display names people gave, kept in the document `dictionary`; presets have theirs from the start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::presets::{self, Presets};
use crate::error::Problem;
use crate::store::Store;

/// Name of the document.
pub const DOCUMENT: &str = "dictionary";
/// Names of a project; a tracking plan has hundreds.
const NAMES_MAX: usize = 20_000;
/// Longest name on the wire that can be given a display name, bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest display name, characters.
const SHOWN_CHARS_MAX: usize = 100;
/// Longest note, characters.
const NOTE_CHARS_MAX: usize = 500;

/// Whether an event or a property is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// An event.
    Event,
    /// A property.
    Property,
}

impl What {
    /// The presets of that kind.
    #[must_use]
    pub fn presets(self) -> &'static Presets {
        match self {
            Self::Event => presets::events(),
            Self::Property => presets::properties(),
        }
    }
}

/// What people call it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// Chinese; empty = as the preset, or the name itself.
    pub zh: String,
    /// English.
    pub en: String,
    /// A remark.
    pub note: String,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.zh.is_empty() && self.en.is_empty() && self.note.is_empty()
    }
}

/// Names of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// Of events.
    pub events: BTreeMap<String, Names>,
    /// Of properties.
    pub properties: BTreeMap<String, Names>,
}

impl Project {
    fn of(&self, what: What) -> &BTreeMap<String, Names> {
        match what {
            What::Event => &self.events,
            What::Property => &self.properties,
        }
    }

    /// Chinese and English display name; the name itself where there is none.
    #[must_use]
    pub fn shown(&self, what: What, name: &str) -> (String, String) {
        let given = self.of(what).get(name);
        let preset = what.presets().find(name);
        let pick = |given: Option<&String>, preset: Option<&'static str>| {
            let given = given.filter(|text| !text.is_empty()).map(String::as_str);
            given.or(preset).map(str::to_owned)
        };
        let zh = pick(given.map(|names| &names.zh), preset.map(|preset| preset.zh));
        let en = pick(given.map(|names| &names.en), preset.map(|preset| preset.en));
        // A name in one language is better than none in the other.
        let fallback = || zh.clone().or_else(|| en.clone()).unwrap_or_else(|| name.to_owned());
        (zh.clone().unwrap_or_else(fallback), en.clone().unwrap_or_else(fallback))
    }

    /// The remark.
    #[must_use]
    pub fn note(&self, what: What, name: &str) -> String {
        self.of(what).get(name).map(|names| names.note.clone()).unwrap_or_default()
    }

    /// Gives a name; an empty one takes it back.
    ///
    /// # Errors
    /// 400: too long, or too many.
    pub fn give(&mut self, what: What, name: &str, names: &Names) -> Result<(), Problem> {
        let long = name.is_empty() || name.len() > NAME_BYTES_MAX;
        let shown = names.zh.chars().count().max(names.en.chars().count());
        if long || shown > SHOWN_CHARS_MAX || names.note.chars().count() > NOTE_CHARS_MAX {
            return Err(Problem::bad(
                "dictionary.too_long",
                format!("名称为空或太长：显示名最长 {SHOWN_CHARS_MAX} 个字符，备注最长 {NOTE_CHARS_MAX} 个字符"),
                format!("no name, or too long: a display name has at most {SHOWN_CHARS_MAX} characters, a note {NOTE_CHARS_MAX}"),
            ));
        }
        let map = match what {
            What::Event => &mut self.events,
            What::Property => &mut self.properties,
        };
        if names.is_empty() {
            map.remove(name);
        } else if map.len() >= NAMES_MAX && !map.contains_key(name) {
            return Err(Problem::bad(
                "dictionary.full",
                format!("一个项目最多 {NAMES_MAX} 个名称；请先删除不用的"),
                format!("a project has at most {NAMES_MAX} names; remove some that are not used"),
            ));
        } else {
            map.insert(name.to_owned(), names.clone());
        }
        Ok(())
    }
}

/// Names of all projects.
pub type Document = BTreeMap<String, Project>;

/// The names of a project.
///
/// # Errors
/// 503: the document cannot be read.
pub fn load(store: &Store, project: &str) -> Result<Project, Problem> {
    let document: Option<Document> =
        store.read(DOCUMENT).map_err(|error| Problem::daemon(&error))?;
    Ok(document.and_then(|mut all| all.remove(project)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(zh: &str, en: &str) -> Names {
        Names { zh: zh.into(), en: en.into(), note: String::new() }
    }

    #[test]
    fn given_names_come_before_presets_and_those_before_the_name_itself() {
        let mut project = Project::default();
        let shown = |project: &Project, name: &str| project.shown(What::Event, name);
        assert_eq!(shown(&project, "$pageview"), ("Web 浏览页面".into(), "Web page view".into()));
        assert_eq!(shown(&project, "Buy"), ("Buy".into(), "Buy".into()));
        project.give(What::Event, "Buy", &names("购买", "")).unwrap();
        project.give(What::Event, "$pageview", &names("", "View")).unwrap();
        assert_eq!(shown(&project, "Buy"), ("购买".into(), "购买".into()));
        assert_eq!(shown(&project, "$pageview"), ("Web 浏览页面".into(), "View".into()));
        project.give(What::Event, "Buy", &names("", "")).unwrap();
        assert_eq!(shown(&project, "Buy"), ("Buy".into(), "Buy".into()));
        assert!(project.give(What::Event, "x", &names(&"长".repeat(101), "")).is_err());
        assert!(project.give(What::Event, "", &names("a", "")).is_err());
    }
}
