//! What the page shows, from the daemon's counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::model::{CodeRow, Counts, Row, Snapshot, TYPES, sum};
use super::version;

/// Days of a trend.
const WEEK: u32 = 7;

/// By what counts are told apart: positions in the key of an event row.
pub(super) const DIMENSIONS: [(&str, usize); 4] =
    [("event", 1), ("lib", 2), ("lib_version", 3), ("app_version", 4)];

/// The four numbers, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Numbers {
    /// Everything that arrived.
    pub received: u64,
    /// Kept, nothing to say.
    pub kept: u64,
    /// Kept, with codes.
    pub problems: u64,
    /// Rejected: in quarantine.
    pub rejected: u64,
    /// Of the kept ones, resends.
    pub duplicates: u64,
    /// Came out of quarantine later.
    pub redriven: u64,
}

impl From<Counts> for Numbers {
    fn from([kept, problems, rejected, duplicates, redriven]: Counts) -> Self {
        let received = kept + problems + rejected;
        Self { received, kept, problems, rejected, duplicates, redriven }
    }
}

/// A line of the verdict table.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct EventLine {
    /// Event, or the type of a record that has no event name.
    pub event: String,
    /// Platform (`$lib`).
    pub lib: String,
    /// SDK version.
    pub lib_version: String,
    /// App version.
    pub app_version: String,
    /// Today.
    pub today: Numbers,
    /// Last seven days.
    pub week: Numbers,
    /// Received on each of them, oldest first.
    pub trend: Vec<u64>,
    /// Rejected on each of them.
    pub trend_rejected: Vec<u64>,
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// Identity of the last one.
    pub sample: (u64, u32),
}

/// The verdict table of a project, by some of [`DIMENSIONS`]; most received first.
pub(super) fn events(snapshot: &Snapshot, project: &str, by: &[usize]) -> Vec<EventLine> {
    let mut lines: BTreeMap<Vec<&str>, (EventLine, [Counts; 2])> = BTreeMap::new();
    for row in snapshot.events.iter().filter(|row| row.word(0) == project) {
        let key: Vec<&str> = by.iter().map(|at| row.word(*at)).collect();
        let (line, sums) = lines.entry(key).or_insert_with(|| {
            let word = |at: usize| if by.contains(&at) { row.word(at).to_owned() } else { String::new() };
            let line = EventLine {
                event: word(1),
                lib: word(2),
                lib_version: word(3),
                app_version: word(4),
                trend: vec![0; WEEK as usize],
                trend_rejected: vec![0; WEEK as usize],
                ..EventLine::default()
            };
            (line, [Counts::default(); 2])
        });
        for (sums, days) in sums.iter_mut().zip([1, WEEK]) {
            for (sum, count) in sums.iter_mut().zip(sum(&row.value.days, snapshot.day, days)) {
                *sum += count;
            }
        }
        for (day, [kept, problems, rejected, ..]) in &row.value.days {
            let Some(at) = trend_place(snapshot.day, *day) else { continue };
            add(&mut line.trend, at, kept + problems + rejected);
            add(&mut line.trend_rejected, at, *rejected);
        }
        line.first_ms = earlier(line.first_ms, row.value.first_ms);
        if row.value.last_ms >= line.last_ms {
            (line.last_ms, line.sample) = (row.value.last_ms, row.value.sample);
        }
    }
    let finished = lines.into_values().map(|(line, [today, week])| EventLine {
        today: today.into(),
        week: week.into(),
        ..line
    });
    let mut lines: Vec<EventLine> = finished.collect();
    lines.sort_by_key(|line| Reverse((line.week.received, line.last_ms)));
    lines
}

/// Where a day stands in a week's trend, oldest first.
fn trend_place(today: u32, day: u32) -> Option<usize> {
    let back = today.checked_sub(day).filter(|back| *back < WEEK)?;
    usize::try_from(WEEK - 1 - back).ok()
}

fn add(trend: &mut [u64], at: usize, count: u64) {
    if let Some(sum) = trend.get_mut(at) {
        *sum += count;
    }
}

fn earlier(a: i64, b: i64) -> i64 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

/// A code at one place: an event on one platform in all its app versions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct CodeLine {
    /// Its four characters.
    pub code: String,
    /// Event; empty where the request could not be read.
    pub event: String,
    /// Platform.
    pub lib: String,
    /// JSON pointer to the place; empty = the whole event.
    pub place: String,
    /// App versions it was seen in, oldest first, with how often in seven days.
    pub versions: Vec<(String, u64)>,
    /// Today.
    pub today: u64,
    /// Last seven days.
    pub week: u64,
    /// On each of them, oldest first.
    pub trend: Vec<u64>,
    /// Received of this event on this platform in seven days: what `week` is a share of.
    pub of: u64,
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// The app version that brought it: the newest one, while older ones were seen without it.
    pub new_in: Option<String>,
    /// Identity of the last one.
    pub sample: (u64, u32),
    /// Whether the last one was rejected.
    pub rejected: bool,
}

/// What was received of an event on a platform.
#[derive(Default)]
struct Seen<'a> {
    week: u64,
    /// By app version: first arrival.
    versions: BTreeMap<&'a str, i64>,
}

/// Codes of a project, most of the week first; those of the newest release before all others.
pub(super) fn codes(snapshot: &Snapshot, project: &str) -> Vec<CodeLine> {
    let mut seen: HashMap<(&str, &str), Seen<'_>> = HashMap::new();
    for row in snapshot.events.iter().filter(|row| row.word(0) == project) {
        let seen = seen.entry((row.word(1), row.word(2))).or_default();
        seen.week += Numbers::from(sum(&row.value.days, snapshot.day, WEEK)).received;
        let first = seen.versions.entry(row.word(4)).or_insert(row.value.first_ms);
        *first = earlier(*first, row.value.first_ms);
    }
    let mut lines: BTreeMap<[&str; 4], Vec<&Row<CodeRow>>> = BTreeMap::new();
    for row in snapshot.codes.iter().filter(|row| row.word(0) == project) {
        let key = [row.word(1), row.word(2), row.word(3), row.word(5)];
        lines.entry(key).or_default().push(row);
    }
    let nothing = Seen::default();
    let mut lines: Vec<CodeLine> = lines
        .into_iter()
        .map(|([code, event, lib, place], rows)| {
            let seen = seen.get(&(event, lib)).unwrap_or(&nothing);
            let line = code_line(snapshot.day, &rows, seen);
            CodeLine {
                code: code.to_owned(),
                event: event.to_owned(),
                lib: lib.to_owned(),
                place: place.to_owned(),
                ..line
            }
        })
        .collect();
    lines.sort_by_key(|line| Reverse((line.new_in.is_some(), line.week, line.last_ms)));
    lines
}

fn code_line(today: u32, rows: &[&Row<CodeRow>], seen: &Seen<'_>) -> CodeLine {
    let mut line = CodeLine { trend: vec![0; WEEK as usize], of: seen.week, ..CodeLine::default() };
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let value = &row.value;
        let version = versions.entry(row.word(4)).or_default();
        for (day, count) in &value.days {
            let Some(at) = trend_place(today, *day) else { continue };
            add(&mut line.trend, at, *count);
            line.week += count;
            line.today += if *day == today { *count } else { 0 };
            *version += count;
        }
        line.first_ms = earlier(line.first_ms, value.first_ms);
        if value.last_ms >= line.last_ms {
            (line.last_ms, line.sample, line.rejected) =
                (value.last_ms, value.sample, value.rejected);
        }
    }
    line.new_in = brought_by(&versions, &seen.versions, line.first_ms);
    let mut versions: Vec<(String, u64)> =
        versions.into_iter().map(|(version, count)| (version.to_owned(), count)).collect();
    versions.sort_by(|a, b| version::compare(&a.0, &b.0));
    line.versions = versions;
    line
}

/// The newest app version of an event, if it alone has the code and an older one was received before the code was.
fn brought_by(
    with: &BTreeMap<&str, u64>,
    all: &BTreeMap<&str, i64>,
    first_ms: i64,
) -> Option<String> {
    let named = |version: &&str| !version.is_empty() && *version != super::model::OTHER;
    let newest = all.keys().copied().filter(named).max_by(|a, b| version::compare(a, b))?;
    let only = with.keys().all(|version| *version == newest);
    let older = all.iter().any(|(version, first)| {
        named(version) && version::compare(version, newest).is_lt() && *first < first_ms
    });
    (only && older && !with.is_empty()).then(|| newest.to_owned())
}

/// A property that came with two types.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TypeLine {
    /// Property.
    pub property: String,
    /// `event`, `user` or `item`: whose property it is.
    pub scope: &'static str,
    /// What came on each platform: type, how often in seven days, and in which events.
    pub platforms: Vec<TypeOn>,
    /// Last arrival, ms.
    pub last_ms: i64,
}

/// One type on one platform.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TypeOn {
    /// Platform.
    pub lib: String,
    /// Type.
    pub kind: &'static str,
    /// How often in seven days.
    pub count: u64,
    /// Events, most first.
    pub events: Vec<String>,
}

/// Whose properties the records of a name carry.
pub(crate) fn scope(event: &str) -> &'static str {
    match event {
        "profile_set" | "profile_set_once" | "profile_increment" | "profile_append"
        | "profile_unset" | "profile_delete" => "user",
        "item_set" | "item_delete" => "item",
        _ => "event",
    }
}

/// Properties of a project that came with more than one type in seven days; a date is a text, null is nothing.
pub(super) fn types(snapshot: &Snapshot, project: &str) -> Vec<TypeLine> {
    type Key<'a> = (&'static str, &'a str);
    type On<'a> = BTreeMap<(&'a str, usize), (u64, BTreeSet<&'a str>)>;
    let mut found: BTreeMap<Key<'_>, (On<'_>, i64)> = BTreeMap::new();
    for row in snapshot.properties.iter().filter(|row| row.word(0) == project) {
        let (event, lib, property) = (row.word(1), row.word(2), row.word(3));
        // `profile_unset` names properties, whatever they are.
        if property.is_empty() || event == "profile_unset" || property == super::model::OTHER {
            continue;
        }
        let (on, last_ms) = found.entry((scope(event), property)).or_default();
        *last_ms = (*last_ms).max(row.value.last_ms);
        for (kind, count) in sum(&row.value.days, snapshot.day, WEEK).into_iter().enumerate() {
            let kind = if kind == 4 { 0 } else { kind };
            if count > 0 && kind != 5 {
                let (sum, events) = on.entry((lib, kind)).or_default();
                *sum += count;
                events.insert(event);
            }
        }
    }
    let mut lines = Vec::new();
    for ((scope, property), (on, last_ms)) in found {
        let kinds: BTreeSet<usize> = on.keys().map(|(_, kind)| *kind).collect();
        if kinds.len() < 2 {
            continue;
        }
        let platforms = on.into_iter().map(|((lib, kind), (count, events))| TypeOn {
            lib: lib.to_owned(),
            kind: TYPES.get(kind).copied().unwrap_or(""),
            count,
            events: events.into_iter().map(str::to_owned).collect(),
        });
        let platforms = platforms.collect();
        lines.push(TypeLine { property: property.to_owned(), scope, platforms, last_ms });
    }
    lines.sort_by_key(|line| Reverse(line.last_ms));
    lines
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
