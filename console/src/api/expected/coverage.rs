//! What came of what was expected: one cell per event and platform, and the events nobody expected.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::list::{Event, List, Property};
use crate::api::health::model::{OTHER, Snapshot, TYPES, sum};
use crate::api::health::tables::scope;

/// Days looked back.
const DAYS: u32 = 7;

/// State of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// 已上报: came, and nothing is wrong.
    Ok,
    /// 未上报: did not come.
    Absent,
    /// 缺属性: a required property was missing.
    Missing,
    /// 类型不符: a property came with another type.
    WrongType,
}

/// One event on one platform.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cell {
    /// Platform.
    pub lib: String,
    /// Its state; of several the last one in the order of [`State`].
    pub state: State,
    /// Received in seven days.
    pub received: u64,
    /// Of them, kept ones whose properties were looked into.
    pub looked_into: u64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// Required properties that were missing: in how many of `looked_into`.
    pub missing: Vec<Missing>,
    /// Properties of another type.
    pub wrong: Vec<Wrong>,
}

/// A required property that was missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    /// Property.
    pub property: String,
    /// Events without it.
    pub count: u64,
}

/// A property of another type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Wrong {
    /// Property.
    pub property: String,
    /// The type it should have.
    pub expected: String,
    /// The type it had.
    pub got: &'static str,
    /// How often.
    pub count: u64,
}

/// One expected event.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// Event.
    pub event: String,
    /// Display name in the list.
    pub display: String,
    /// One cell per platform that should send it.
    pub cells: Vec<Cell>,
}

/// An event nobody expected.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Unexpected {
    /// Event.
    pub event: String,
    /// Platforms.
    pub libs: Vec<String>,
    /// Received in seven days.
    pub received: u64,
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
}

/// The matrix.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Coverage {
    /// Platforms that stand in a column.
    pub libs: Vec<String>,
    /// Expected events in the order of the list.
    pub lines: Vec<Line>,
    /// Events that came and are not in it; presets of the SDKs are left out.
    pub unexpected: Vec<Unexpected>,
    /// Cells by state, in the order of [`State`].
    pub counts: [u64; 4],
}

/// What came of an event on a platform.
#[derive(Default)]
struct Came<'a> {
    received: u64,
    kept: u64,
    last_ms: i64,
    looked_into: u64,
    properties: HashMap<&'a str, [u64; 7]>,
}

type All<'a> = BTreeMap<(&'a str, &'a str), Came<'a>>;

/// Compares a list with what came.
pub(crate) fn coverage(snapshot: &Snapshot, project: &str, list: &List) -> Coverage {
    let all = came(snapshot, project);
    let mut libs: BTreeSet<&str> =
        list.events.iter().flat_map(|event| &event.platforms).map(String::as_str).collect();
    // Platforms that sent anything stand for "all", server programs too.
    let sending: BTreeSet<&str> =
        all.iter().filter(|(_, came)| came.kept > 0).map(|((_, lib), _)| *lib).collect();
    let sending: BTreeSet<&str> =
        sending.into_iter().filter(|lib| !lib.is_empty() && *lib != OTHER).collect();
    let mut coverage = Coverage::default();
    for event in &list.events {
        let on: Vec<&str> = if event.platforms.is_empty() {
            sending.iter().copied().collect()
        } else {
            event.platforms.iter().map(String::as_str).collect()
        };
        libs.extend(on.iter().copied());
        let cells: Vec<Cell> = on.into_iter().map(|lib| cell(event, lib, &all)).collect();
        for cell in &cells {
            if let Some(count) = coverage.counts.get_mut(cell.state as usize) {
                *count += 1;
            }
        }
        let (event, display) = (event.name.clone(), event.display.clone());
        coverage.lines.push(Line { event, display, cells });
    }
    coverage.libs = libs.into_iter().map(str::to_owned).collect();
    coverage.unexpected = unexpected(snapshot, project, list);
    coverage
}

fn came<'a>(snapshot: &'a Snapshot, project: &str) -> All<'a> {
    let mut all: All<'a> = BTreeMap::new();
    for row in snapshot.events.iter().filter(|row| row.word(0) == project) {
        let came = all.entry((row.word(1), row.word(2))).or_default();
        let [kept, problems, rejected, ..] = sum(&row.value.days, snapshot.day, DAYS);
        came.received += kept + problems + rejected;
        came.kept += kept + problems;
        came.last_ms = came.last_ms.max(row.value.last_ms);
    }
    for row in snapshot.properties.iter().filter(|row| row.word(0) == project) {
        let came = all.entry((row.word(1), row.word(2))).or_default();
        let sums = sum(&row.value.days, snapshot.day, DAYS);
        match row.word(3) {
            "" => came.looked_into = sums.iter().sum(),
            property => _ = came.properties.insert(property, sums),
        }
    }
    all
}

fn cell(event: &Event, lib: &str, all: &All<'_>) -> Cell {
    let mut cell = Cell {
        lib: lib.to_owned(),
        state: State::Absent,
        received: 0,
        looked_into: 0,
        last_ms: 0,
        missing: Vec::new(),
        wrong: Vec::new(),
    };
    let Some(came) = all.get(&(event.name.as_str(), lib)) else { return cell };
    (cell.received, cell.looked_into, cell.last_ms) =
        (came.received, came.looked_into, came.last_ms);
    if came.kept == 0 {
        // What was only rejected did not come: the page shows `received` beside it.
        return cell;
    }
    let here = |property: &&Property| {
        property.platforms.is_empty() || property.platforms.iter().any(|name| name == lib)
    };
    for property in event.properties.iter().filter(here) {
        let counts = came.properties.get(property.name.as_str()).copied().unwrap_or_default();
        let null = counts[5];
        let with = counts.iter().sum::<u64>() - null;
        if property.required && with < came.looked_into {
            let count = came.looked_into - with;
            cell.missing.push(Missing { property: property.name.clone(), count });
        }
        for (got, count) in TYPES.iter().zip(counts).filter(|(kind, count)| {
            *count > 0 && **kind != "null" && !fits(&property.kind, kind)
        }) {
            let (name, expected) = (property.name.clone(), property.kind.clone());
            cell.wrong.push(Wrong { property: name, expected, got, count });
        }
    }
    cell.state = if !cell.wrong.is_empty() {
        State::WrongType
    } else if cell.missing.is_empty() {
        State::Ok
    } else {
        State::Missing
    };
    cell
}

/// Whether a value of type `got` may stand where `expected` is; a date is a text as well.
fn fits(expected: &str, got: &str) -> bool {
    expected.is_empty() || expected == got || (expected == "text" && got == "datetime")
}

fn unexpected(snapshot: &Snapshot, project: &str, list: &List) -> Vec<Unexpected> {
    let expected: BTreeSet<&str> = list.events.iter().map(|event| event.name.as_str()).collect();
    let presets = crate::api::dictionary::presets::events();
    let mut found: BTreeMap<&str, (Unexpected, BTreeSet<&str>)> = BTreeMap::new();
    for row in snapshot.events.iter().filter(|row| row.word(0) == project) {
        let name = row.word(1);
        let [kept, problems, ..] = sum(&row.value.days, snapshot.day, DAYS);
        let ours = name.starts_with('$') || presets.find(name).is_some() || scope(name) != "event";
        if kept + problems == 0 || ours || name == OTHER || expected.contains(name) {
            continue;
        }
        let (line, libs) = found.entry(name).or_insert_with(|| {
            let event = name.to_owned();
            let line = Unexpected { event, libs: Vec::new(), received: 0, first_ms: i64::MAX, last_ms: 0 };
            (line, BTreeSet::new())
        });
        line.received += kept + problems;
        line.first_ms = line.first_ms.min(row.value.first_ms);
        line.last_ms = line.last_ms.max(row.value.last_ms);
        libs.insert(row.word(2));
    }
    let mut lines: Vec<Unexpected> = found
        .into_values()
        .map(|(line, libs)| Unexpected { libs: libs.into_iter().map(str::to_owned).collect(), ..line })
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.received));
    lines
}
