//! What is wrong with a recording: missing, duplicate, late, in the wrong order. A pure function of what came and what was expected.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event this much later than it happened is called late: longer than the apps' own interval of sending, 15 s.
pub(super) const LATE_MS: i64 = 30_000;
/// The same event twice within this is called a duplicate.
pub(super) const TWICE_MS: i64 = 500;

/// An event that should come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Expected {
    /// Name on the wire.
    pub(super) event: String,
    /// Display name.
    pub(super) display: String,
    /// Properties it must have, and their types (`text`, `number`, `bool`, `list`; empty = any).
    pub(super) properties: BTreeMap<String, String>,
    /// It may be missing.
    pub(super) optional: bool,
}

/// An event that came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Came {
    pub(super) lsn: u64,
    pub(super) index: u32,
    pub(super) recv_ms: i64,
    pub(super) time_ms: i64,
    pub(super) kind: String,
    pub(super) event: String,
    pub(super) user: String,
    pub(super) sdk: String,
    pub(super) sdk_version: String,
    pub(super) app_version: String,
    pub(super) verdict: String,
    pub(super) duplicate: bool,
    /// Messages in both languages, as the detail shows them.
    pub(super) messages: Vec<Value>,
    /// The stored bytes, shortened.
    pub(super) json: String,
    /// What the judge found.
    pub(super) findings: Vec<Finding>,
}

/// One remark on one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    /// `duplicate`, `late`, `order`, `property`, `type`, `rejected`, `problems`, `unexpected`.
    pub(super) what: String,
    /// Name of a property, or a number of ms; empty if there is nothing to say.
    #[serde(default)]
    pub(super) detail: String,
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Verdict {
    /// Nothing is missing and nothing is wrong.
    pub(super) passed: bool,
    /// Expected and not there.
    pub(super) missing: Vec<Expected>,
    /// Events by what was found.
    pub(super) counts: BTreeMap<String, u64>,
}

/// Judges `came`, which is put in the order of event time; `ordered`: the expected list is an order.
pub(super) fn judge(came: &mut [Came], expected: &[Expected], ordered: bool) -> Verdict {
    came.sort_by_key(|event| (event.time_ms, event.lsn, event.index));
    let mut last: HashMap<(String, String, u64), i64> = HashMap::new();
    for event in came.iter_mut() {
        let mut found = Vec::new();
        let mut find = |what: &str, detail: String| {
            found.push(Finding { what: what.to_owned(), detail });
        };
        match event.verdict.as_str() {
            "rejected" => find("rejected", String::new()),
            "problems" => find("problems", String::new()),
            _ => {}
        }
        let value: Value = serde_json::from_str(&event.json).unwrap_or_default();
        let properties = &value["properties"];
        let key = (event.event.clone(), event.user.clone(), hash(properties));
        let before = last.insert(key, event.time_ms);
        if event.duplicate {
            find("duplicate", String::new());
        } else if let Some(before) = before.filter(|at| event.time_ms - at < TWICE_MS) {
            find("duplicate", (event.time_ms - before).to_string());
        }
        let late_ms = event.recv_ms - event.time_ms;
        if late_ms > LATE_MS {
            find("late", late_ms.to_string());
        }
        let wanted = expected.iter().find(|wanted| wanted.event == event.event);
        match wanted {
            None if !expected.is_empty() && !event.event.starts_with('$') && is_event(event) => {
                find("unexpected", String::new());
            }
            Some(wanted) => {
                for (name, kind) in &wanted.properties {
                    match properties.get(name) {
                        None | Some(Value::Null) => find("property", name.clone()),
                        Some(value) if !fits(value, kind) => find("type", name.clone()),
                        Some(_) => {}
                    }
                }
            }
            None => {}
        }
        event.findings = found;
    }
    if ordered {
        out_of_order(came, expected);
    }
    let there: HashSet<&str> = came.iter().map(|event| event.event.as_str()).collect();
    let is_missing = |wanted: &&Expected| !wanted.optional && !there.contains(&*wanted.event);
    let missing: Vec<Expected> = expected.iter().filter(is_missing).cloned().collect();
    let mut counts = BTreeMap::new();
    for event in came.iter() {
        let kinds: HashSet<&str> = event.findings.iter().map(|found| &*found.what).collect();
        for kind in kinds {
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
    }
    let harmless = ["unexpected", "late"];
    let passed = missing.is_empty() && counts.keys().all(|kind| harmless.contains(&&**kind));
    Verdict { passed, missing, counts }
}

fn is_event(event: &Came) -> bool {
    event.kind.starts_with("track")
}

fn hash(value: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "text" | "datetime" => value.is_string(),
        _ => true,
    }
}

/// Marks what does not belong to the longest part that is in order: the fewest marks that explain what came.
fn out_of_order(came: &mut [Came], expected: &[Expected]) {
    let place = |name: &str| expected.iter().position(|wanted| wanted.event == name);
    let known: Vec<(usize, usize)> = came
        .iter()
        .enumerate()
        .filter(|(_, event)| !event.findings.iter().any(|found| found.what == "duplicate"))
        .filter_map(|(at, event)| Some((at, place(&event.event)?)))
        .collect();
    // Longest part that never goes back; recordings are a few hundred events, so the plain way does.
    let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(known.len());
    for (i, (_, place)) in known.iter().enumerate() {
        let longest = (0..i)
            .filter(|&j| known[j].1 <= *place)
            .max_by_key(|&j| (best[j].0, std::cmp::Reverse(j)));
        best.push((1 + longest.map_or(0, |j| best[j].0), longest));
    }
    let mut inside = HashSet::new();
    let mut at = (0..best.len()).max_by_key(|&i| (best[i].0, std::cmp::Reverse(i)));
    while let Some(i) = at {
        inside.insert(known[i].0);
        at = best[i].1;
    }
    for (index, _) in known {
        if !inside.contains(&index)
            && let Some(event) = came.get_mut(index)
        {
            event.findings.push(Finding { what: "order".to_owned(), detail: String::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(event: &str, time_ms: i64) -> Came {
        Came {
            event: event.into(),
            kind: "track".into(),
            user: "u".into(),
            time_ms,
            recv_ms: time_ms + 1_000,
            verdict: "kept".into(),
            json: r#"{"properties":{"price":1,"id":"x"}}"#.into(),
            ..Came::default()
        }
    }

    fn expected(names: &[&str]) -> Vec<Expected> {
        names.iter().map(|name| Expected { event: (*name).into(), ..Expected::default() }).collect()
    }

    fn found(came: &[Came]) -> Vec<(&str, Vec<&str>)> {
        came.iter()
            .map(|e| (&*e.event, e.findings.iter().map(|found| &*found.what).collect()))
            .collect()
    }

    #[test]
    fn all_there_and_in_order_passes() {
        let mut all = [came("B", 2_000), came("A", 1_000), came("$AppEnd", 3_000)];
        let verdict = judge(&mut all, &expected(&["A", "B"]), true);
        assert_eq!((verdict.passed, verdict.missing.len()), (true, 0));
        assert_eq!(found(&all), [("A", vec![]), ("B", vec![]), ("$AppEnd", vec![])]);
    }

    #[test]
    fn missing_duplicate_late_and_wrong_order_are_told_apart() {
        let mut late = came("C", 3_000);
        late.recv_ms = 3_000 + LATE_MS + 1;
        let mut all =
            [came("B", 1_000), came("B", 1_200), came("B", 1_800), came("A", 2_000), late, came("X", 4_000)];
        let verdict = judge(&mut all, &expected(&["A", "B", "C", "D"]), true);
        assert!(!verdict.passed);
        assert_eq!(verdict.missing.iter().map(|e| &*e.event).collect::<Vec<_>>(), ["D"]);
        assert_eq!(
            found(&all),
            [
                ("B", vec![]),
                ("B", vec!["duplicate"]),
                ("B", vec![]),
                ("A", vec!["order"]),
                ("C", vec!["late"]),
                ("X", vec!["unexpected"]),
            ]
        );
        assert_eq!(verdict.counts.values().sum::<u64>(), 4);
    }

    #[test]
    fn properties_are_compared_with_the_list() {
        let mut wanted = expected(&["A"]);
        for (name, kind) in [("price", "text"), ("id", "text"), ("sku", "")] {
            wanted[0].properties.insert(name.into(), kind.into());
        }
        let mut all = [came("A", 1)];
        let verdict = judge(&mut all, &wanted, false);
        let findings: Vec<_> = all[0].findings.iter().map(|f| (&*f.what, &*f.detail)).collect();
        assert_eq!(findings, [("type", "price"), ("property", "sku")]);
        assert!(!verdict.passed);
    }

    #[test]
    fn optional_events_may_be_missing() {
        let mut wanted = expected(&["A", "B"]);
        wanted[1].optional = true;
        assert!(judge(&mut [came("A", 1)], &wanted, true).passed);
    }
}
