//! The items of the pickers: what came, and the presets that may come.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::names::{Project, What};
use super::presets;
use crate::api::health::model::{OTHER, Snapshot, TYPES, sum};
use crate::api::health::tables::scope;

/// Days counted.
const DAYS: u32 = 7;

/// One event or property.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Item {
    /// Name on the wire.
    pub name: String,
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
    /// Of an event: `event`, `user` or `item`. Of a property, how a condition names it: `preset` (a column of its own), else `str`,
    /// `num` or `arr`.
    pub kind: &'static str,
    /// Of a property: `text`, `number`, `bool`, `list` or `datetime`, the one that came most; empty = never seen.
    #[serde(rename = "type")]
    pub value_type: &'static str,
    /// Types that came.
    pub types: Vec<&'static str>,
    /// Whether the SDKs have it.
    pub preset: bool,
    /// Whose property: `event`, `user` or `item`.
    pub scope: &'static str,
    /// Received in seven days.
    pub count: u64,
    /// First arrival, ms; 0 = never.
    pub first_seen_ms: i64,
    /// Last arrival, ms; 0 = never.
    pub last_seen_ms: i64,
    /// A remark people left.
    pub note: String,
}

/// Events of a project: those that came, most first, then presets.
pub(super) fn events(snapshot: &Snapshot, project: &str, names: &Project) -> Vec<Item> {
    let mut found: BTreeMap<&str, Item> = BTreeMap::new();
    for row in snapshot.events.iter().filter(|row| row.word(0) == project) {
        let [kept, problems, ..] = row.value.total;
        let name = row.word(1);
        // What was only ever rejected is no event to pick.
        if name.is_empty() || name == OTHER || kept + problems == 0 {
            continue;
        }
        let item = found.entry(name).or_default();
        let [kept, problems, ..] = sum(&row.value.days, snapshot.day, DAYS);
        item.count += kept + problems;
        seen(item, row.value.first_ms, row.value.last_ms);
    }
    for preset in &presets::events().list {
        found.entry(preset.name).or_default();
    }
    for name in names.events.keys() {
        found.entry(name).or_default();
    }
    let items = found.into_iter().map(|(name, item)| {
        let (zh, en) = names.shown(What::Event, name);
        let preset = presets::events().find(name).is_some();
        let note = names.note(What::Event, name);
        Item { name: name.to_owned(), zh, en, kind: scope(name), scope: scope(name), preset, note, ..item }
    });
    sorted(items.collect())
}

/// Properties of a project, of some events or of all; `scope` is `event`, `user` or `item`.
pub(super) fn properties(
    snapshot: &Snapshot,
    project: &str,
    names: &Project,
    (of, events): (&'static str, &[&str]),
) -> Vec<Item> {
    let mut found: BTreeMap<&str, (Item, [u64; 7])> = BTreeMap::new();
    for row in snapshot.properties.iter().filter(|row| row.word(0) == project) {
        let (event, name) = (row.word(1), row.word(3));
        let meant = scope(event) == of && (events.is_empty() || events.contains(&event));
        if name.is_empty() || name == OTHER || !meant {
            continue;
        }
        let (item, types) = found.entry(name).or_default();
        for (total, count) in types.iter_mut().zip(sum(&row.value.days, snapshot.day, DAYS)) {
            *total += count;
        }
        if types.iter().all(|count| *count == 0) {
            // Not of late: its last type is better than none.
            for (_, counts) in &row.value.days {
                let seen = counts.iter().position(|count| *count > 0);
                if let Some(kind) = seen.and_then(|at| TYPES.get(at)) {
                    item.value_type = kind;
                }
            }
        }
        seen(item, row.value.first_ms, row.value.last_ms);
    }
    if events.is_empty() && of == "event" {
        let seen: BTreeSet<&str> = found.keys().copied().collect();
        let fresh = presets::properties().list.iter().filter(|preset| !seen.contains(preset.name));
        // Those filled in by us have no property in what was sent; the others are offered as they are documented.
        for preset in fresh {
            found.insert(preset.name, (Item { value_type: preset.kind, ..Item::default() }, [0; 7]));
        }
    }
    let items = found.into_iter().map(|(name, (item, types))| {
        let preset = presets::properties().find(name);
        let (zh, en) = names.shown(What::Property, name);
        let came = || TYPES.iter().zip(types).filter(|(kind, count)| *count > 0 && **kind != "null");
        let most = came().max_by_key(|(_, count)| *count).map(|(kind, _)| *kind);
        let value_type = most.unwrap_or(item.value_type);
        let column = of == "event" && preset.is_some_and(|preset| preset.column);
        Item {
            name: name.to_owned(),
            zh,
            en,
            kind: if column { "preset" } else { map_of(value_type) },
            value_type,
            types: came().map(|(kind, _)| *kind).collect(),
            preset: preset.is_some(),
            scope: of,
            count: types.iter().sum(),
            note: names.note(What::Property, name),
            ..item
        }
    });
    sorted(items.collect())
}

/// In which map of ClickHouse values of a type are.
fn map_of(value_type: &str) -> &'static str {
    match value_type {
        "number" | "bool" => "num",
        "list" => "arr",
        _ => "str",
    }
}

fn seen(item: &mut Item, first_ms: i64, last_ms: i64) {
    let first = item.first_seen_ms;
    item.first_seen_ms = if first == 0 { first_ms } else { first.min(first_ms) };
    item.last_seen_ms = item.last_seen_ms.max(last_ms);
}

fn sorted(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|a, b| {
        let order = |item: &Item| (item.last_seen_ms == 0, std::cmp::Reverse(item.count));
        order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name))
    });
    items
}

/// Those whose name in any language holds what was typed; names that begin with it first.
pub(super) fn search(items: Vec<Item>, typed: &str, limit: usize) -> Vec<Item> {
    let typed = typed.trim().to_lowercase();
    if typed.is_empty() {
        return items.into_iter().take(limit).collect();
    }
    let mut hits: Vec<(bool, Item)> = items
        .into_iter()
        .filter_map(|item| {
            let names = [item.name.to_lowercase(), item.zh.to_lowercase(), item.en.to_lowercase()];
            let begins = |name: &String| name.trim_start_matches('$').starts_with(&typed) || name.starts_with(&typed);
            let hit = names.iter().any(|name| name.contains(&typed));
            hit.then(|| (!names.iter().any(begins), item))
        })
        .collect();
    hits.sort_by_key(|(late, _)| *late);
    hits.into_iter().map(|(_, item)| item).take(limit).collect()
}

/// One event on one platform in one version.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SeenOn {
    /// Platform.
    pub lib: String,
    /// App version.
    pub app_version: String,
    /// SDK versions.
    pub lib_versions: Vec<String>,
    /// Received since it is counted.
    pub total: u64,
    /// Received in seven days.
    pub week: u64,
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
}

/// Where an event came from.
pub(super) fn seen_on(snapshot: &Snapshot, project: &str, event: &str) -> Vec<SeenOn> {
    let mut found: BTreeMap<(&str, &str), SeenOn> = BTreeMap::new();
    let rows = snapshot.events.iter().filter(|row| row.word(0) == project && row.word(1) == event);
    for row in rows {
        let on = found.entry((row.word(2), row.word(4))).or_insert_with(|| SeenOn {
            lib: row.word(2).to_owned(),
            app_version: row.word(4).to_owned(),
            lib_versions: Vec::new(),
            total: 0,
            week: 0,
            first_ms: row.value.first_ms,
            last_ms: 0,
        });
        on.lib_versions.push(row.word(3).to_owned());
        on.total += row.value.total.iter().take(3).sum::<u64>();
        on.week += sum(&row.value.days, snapshot.day, DAYS).iter().take(3).sum::<u64>();
        on.first_ms = on.first_ms.min(row.value.first_ms);
        on.last_ms = on.last_ms.max(row.value.last_ms);
    }
    let mut list: Vec<SeenOn> = found.into_values().collect();
    list.sort_by_key(|on| std::cmp::Reverse(on.last_ms));
    list
}

/// How often a property is filled on a platform.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fill {
    /// Property.
    pub property: String,
    /// Platform.
    pub lib: String,
    /// Events that had it (null is not having it) …
    pub with: u64,
    /// … of so many that were looked into.
    pub of: u64,
    /// How often it came as each type.
    pub types: BTreeMap<&'static str, u64>,
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
}

/// The properties of an event by platform, over seven days.
pub(super) fn fill(snapshot: &Snapshot, project: &str, event: &str) -> Vec<Fill> {
    let rows = || {
        let all = snapshot.properties.iter();
        all.filter(|row| row.word(0) == project && row.word(1) == event)
    };
    let mut looked_into: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows().filter(|row| row.word(3).is_empty()) {
        let sums = sum(&row.value.days, snapshot.day, DAYS);
        *looked_into.entry(row.word(2)).or_default() += sums.iter().sum::<u64>();
    }
    let mut list: Vec<Fill> = rows()
        .filter(|row| !row.word(3).is_empty() && row.word(3) != OTHER)
        .map(|row| {
            let sums = sum(&row.value.days, snapshot.day, DAYS);
            let types = TYPES.iter().copied().zip(sums).filter(|(_, count)| *count > 0);
            Fill {
                property: row.word(3).to_owned(),
                lib: row.word(2).to_owned(),
                with: sums.iter().sum::<u64>() - sums[5],
                of: looked_into.get(row.word(2)).copied().unwrap_or(0),
                types: types.collect(),
                first_ms: row.value.first_ms,
                last_ms: row.value.last_ms,
            }
        })
        .collect();
    list.sort_by(|a, b| a.property.cmp(&b.property).then_with(|| a.lib.cmp(&b.lib)));
    list
}
