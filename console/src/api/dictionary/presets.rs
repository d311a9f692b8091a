//! Names of the preset events and properties of the SDKs, from `presets.csv`.

use std::collections::HashMap;
use std::sync::OnceLock;

const CSV: &str = include_str!("presets.csv");

/// A preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the wire.
    pub name: &'static str,
    /// Type of a property.
    pub kind: &'static str,
    /// Chinese.
    pub zh: &'static str,
    /// English.
    pub en: &'static str,
    /// Whether ClickHouse has a column of its own for it.
    pub column: bool,
}

/// Presets in the order of the file, and by name.
#[derive(Debug, Default)]
pub struct Presets {
    /// In order.
    pub list: Vec<Preset>,
    by_name: HashMap<&'static str, usize>,
}

impl Presets {
    /// The preset of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Preset> {
        self.list.get(*self.by_name.get(name)?)
    }

    fn read(want: &str) -> Self {
        let mut presets = Self::default();
        for line in CSV.lines().skip(1) {
            let mut fields = line.split(',');
            let mut next = || fields.next().unwrap_or_default();
            let (what, name, kind, zh, en, column) = (next(), next(), next(), next(), next(), next());
            if what == want {
                presets.by_name.insert(name, presets.list.len());
                presets.list.push(Preset { name, kind, zh, en, column: column == "y" });
            }
        }
        presets
    }
}

/// Events.
pub fn events() -> &'static Presets {
    static EVENTS: OnceLock<Presets> = OnceLock::new();
    EVENTS.get_or_init(|| Presets::read("event"))
}

/// Properties, of events and of users.
pub fn properties() -> &'static Presets {
    static PROPERTIES: OnceLock<Presets> = OnceLock::new();
    PROPERTIES.get_or_init(|| Presets::read("property"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_two_names() {
        let (events, properties) = (events(), properties());
        assert!(events.list.len() > 40 && properties.list.len() > 100);
        for preset in events.list.iter().chain(&properties.list) {
            assert!(!preset.zh.is_empty() && !preset.en.is_empty(), "{preset:?}");
        }
        for property in &properties.list {
            assert!(
                ["text", "number", "bool", "list", "datetime"].contains(&property.kind),
                "{property:?}"
            );
        }
        assert_eq!(events.find("$pageview").unwrap().zh, "Web 浏览页面");
        assert!(properties.find("$city").unwrap().column);
        assert!(properties.find("nope").is_none());
        assert_eq!(CSV.lines().count(), 1 + events.list.len() + properties.list.len());
    }
}
