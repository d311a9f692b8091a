use serde_json::json;

use super::*;

/// Day 100 is today.
fn snapshot(events: &serde_json::Value, codes: &serde_json::Value, properties: &serde_json::Value) -> Snapshot {
    let all = json!({"day": 100, "events": events, "codes": codes, "properties": properties});
    serde_json::from_value(all).unwrap()
}

fn event(app: &str, first_ms: i64, days: &serde_json::Value) -> serde_json::Value {
    json!({"key": ["shop", "Buy", "iOS", "4.5", app],
        "value": {"first_ms": first_ms, "last_ms": first_ms + 1, "sample": [first_ms, 0], "total": [0, 0, 0, 0, 0], "days": days}})
}

fn code(app: &str, first_ms: i64) -> serde_json::Value {
    json!({"key": ["shop", "P201", "Buy", "iOS", app, "/properties/a-b"],
        "value": {"first_ms": first_ms, "last_ms": first_ms, "sample": [7, 0], "rejected": false, "total": 1,
            "days": [[93, 9], [94, 2], [100, 1]], "hours": []}})
}

#[test]
fn a_week_is_seven_days_with_today() {
    let days = json!([[93, [100, 0, 0, 0, 0]], [94, [1, 2, 3, 1, 0]], [100, [10, 0, 5, 0, 2]], [101, [9, 9, 9, 9, 9]]]);
    let events = json!([event("6.1.9", 5, &days), event("6.2.0", 9, &json!([[100, [1, 0, 0, 0, 0]]]))]);
    let snapshot = snapshot(&events, &json!([]), &json!([]));
    let lines = super::events(&snapshot, "shop", &[1, 2]);
    assert_eq!(lines.len(), 1, "both versions are one line");
    let line = &lines[0];
    assert_eq!((line.today.received, line.week.received), (16, 22));
    assert_eq!((line.week.kept, line.week.problems, line.week.rejected, line.week.redriven), (12, 2, 8, 2));
    assert_eq!(line.trend, [6, 0, 0, 0, 0, 0, 16]);
    assert_eq!(line.trend_rejected, [3, 0, 0, 0, 0, 0, 5]);
    assert_eq!((line.first_ms, line.sample), (5, (9, 0)), "the sample is the last one");
    assert!(line.app_version.is_empty());
    assert_eq!(super::events(&snapshot, "shop", &[4])[0].app_version, "6.1.9", "most first");
    assert!(super::events(&snapshot, "news", &[1]).is_empty());
}

#[test]
fn a_code_is_new_when_the_newest_version_alone_has_it_and_an_older_one_was_there_before() {
    let day = json!([[100, [5, 0, 0, 0, 0]]]);
    let new_in = |versions: &[(&str, i64)], with: &[(&str, i64)]| {
        let events: Vec<_> = versions.iter().map(|(app, ms)| event(app, *ms, &day)).collect();
        let codes: Vec<_> = with.iter().map(|(app, ms)| code(app, *ms)).collect();
        let snapshot = snapshot(&json!(events), &json!(codes), &json!([]));
        let lines = codes_of(&snapshot);
        assert_eq!((lines[0].today, lines[0].week), (with.len() as u64, 3 * with.len() as u64));
        assert_eq!(lines[0].of, 5 * versions.len() as u64);
        lines[0].new_in.clone()
    };
    let both = [("6.9.0", 1), ("6.10.0", 5)];
    assert_eq!(new_in(&both, &[("6.10.0", 6)]).as_deref(), Some("6.10.0"), "by number, not by spelling");
    assert_eq!(new_in(&both, &[("6.9.0", 2), ("6.10.0", 6)]), None, "the old one had it too");
    assert_eq!(new_in(&both, &[("6.9.0", 2)]), None, "only the old one has it");
    assert_eq!(new_in(&[("6.10.0", 5)], &[("6.10.0", 6)]), None, "there is nothing to compare with");
    assert_eq!(new_in(&[("6.9.0", 9), ("6.10.0", 5)], &[("6.10.0", 6)]), None, "the old one came later");
    assert_eq!(new_in(&[("", 1)], &[("", 1)]), None, "no versions at all");
}

fn codes_of(snapshot: &Snapshot) -> Vec<CodeLine> {
    super::codes(snapshot, "shop")
}

#[test]
fn two_types_of_one_property_are_told_by_platform() {
    let property = |event: &str, lib: &str, name: &str, counts: [u64; 7]| {
        json!({"key": ["shop", event, lib, name], "value": {"first_ms": 1, "last_ms": 2, "days": [[99, counts]]}})
    };
    let properties = json!([
        property("Buy", "iOS", "", [9, 0, 0, 0, 0, 0, 0]),
        property("Buy", "iOS", "price", [3, 0, 0, 0, 1, 2, 0]),
        property("Pay", "Android", "price", [0, 4, 0, 0, 0, 0, 0]),
        // A date is a text, null is nothing, and a user's property is another one.
        property("Buy", "iOS", "when", [1, 0, 0, 0, 5, 5, 0]),
        property("profile_set", "js", "level", [1, 0, 0, 0, 0, 0, 0]),
        property("Buy", "js", "level", [0, 1, 0, 0, 0, 0, 0]),
    ]);
    let lines = super::types(&snapshot(&json!([]), &json!([]), &properties), "shop");
    assert_eq!(lines.len(), 1);
    let on: Vec<String> = lines[0]
        .platforms
        .iter()
        .map(|on| format!("{} {} {} {:?}", on.lib, on.kind, on.count, on.events))
        .collect();
    assert_eq!(on, ["Android number 4 [\"Pay\"]", "iOS text 4 [\"Buy\"]"]);
}
