//! The daemon's counts as they come from it (`{"cmd":"health"}`), and the words of their keys.

use serde::Deserialize;

/// What stands for everything a full table has no row for.
pub(crate) const OTHER: &str = "(other)";
/// Types of property values, in the order of [`PropertyRow::days`].
pub(crate) const TYPES: [&str; 7] = ["text", "number", "bool", "list", "datetime", "null", "object"];

/// One row of a table: its words and what is counted.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Row<V> {
    /// Words.
    pub key: Vec<String>,
    /// Counts.
    pub value: V,
}

impl<V> Row<V> {
    /// A word; empty if there is none.
    #[must_use]
    pub(crate) fn word(&self, at: usize) -> &str {
        self.key.get(at).map_or("", String::as_str)
    }
}

/// Kept, kept with problems, rejected, of the kept ones duplicates, re-driven later.
pub(crate) type Counts = [u64; 5];

/// Project, event, platform, SDK version, app version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// Identity of the last one.
    pub sample: (u64, u32),
    /// Since it is counted.
    pub total: Counts,
    /// By day.
    pub days: Vec<(u32, Counts)>,
}

/// Project, event: kept, of them with problems, rejected.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SeriesRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// By hour.
    pub hours: Vec<(u32, [u64; 3])>,
    /// By minute.
    pub minutes: Vec<(u32, [u64; 3])>,
}

/// Project, code, event, platform, app version, place.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CodeRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// Identity of the last one.
    pub sample: (u64, u32),
    /// Whether the last one was rejected.
    pub rejected: bool,
    /// Since it is counted.
    pub total: u64,
    /// By day.
    pub days: Vec<(u32, u64)>,
    /// By hour.
    pub hours: Vec<(u32, u64)>,
}

/// Project, event, platform, property; without a name: the events that were looked into.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PropertyRow {
    /// First arrival, ms.
    pub first_ms: i64,
    /// Last arrival, ms.
    pub last_ms: i64,
    /// By day and type.
    pub days: Vec<(u32, [u64; 7])>,
}

/// Everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Snapshot {
    /// Since when it counts, ms; 0 = nothing came yet.
    pub since_ms: i64,
    /// The last arrival counted, ms.
    pub until_ms: i64,
    /// Today, days since 1970.
    pub day: u32,
    /// By platform and version.
    pub events: Vec<Row<EventRow>>,
    /// Over time.
    pub series: Vec<Row<SeriesRow>>,
    /// Codes.
    pub codes: Vec<Row<CodeRow>>,
    /// Types of properties.
    pub properties: Vec<Row<PropertyRow>>,
}

/// Sums of the last `days` days, today included.
pub(crate) fn sum<const N: usize>(list: &[(u32, [u64; N])], today: u32, days: u32) -> [u64; N] {
    let mut sums = [0; N];
    for (_, counts) in list.iter().filter(|(day, _)| *day <= today && today - day < days) {
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums
}
