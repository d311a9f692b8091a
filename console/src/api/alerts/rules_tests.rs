use super::*;

const NOW: i64 = 1_795_600_000_000;

fn row(event: &str, value: SeriesRow) -> Row<SeriesRow> {
    Row { key: vec!["shop".into(), event.into()], value }
}

fn minutes(list: &[(i64, u64, u64)]) -> SeriesRow {
    let minute = NOW / MINUTE_MS;
    let minutes = list.iter().map(|(ago, kept, rejected)| {
        (u32::try_from(minute - ago).unwrap(), [*kept, 0, *rejected])
    });
    SeriesRow { minutes: minutes.collect(), last_ms: NOW, ..SeriesRow::default() }
}

fn hours(ago: &[i64]) -> SeriesRow {
    let hour = NOW / HOUR_MS;
    let hours = ago.iter().rev().map(|ago| (u32::try_from(hour - ago).unwrap(), [1, 0, 0]));
    let last_ms = NOW - ago.iter().min().unwrap() * HOUR_MS;
    SeriesRow { hours: hours.collect(), last_ms, ..SeriesRow::default() }
}

fn keys(rules: &Rules, series: Vec<Row<SeriesRow>>, sinks: &[Sink]) -> Vec<String> {
    let snapshot = Snapshot { series, ..Snapshot::default() };
    wrong(rules, &snapshot, sinks, NOW).into_iter().map(|wrong| wrong.key).collect()
}

#[test]
fn the_rejected_share_counts_over_the_last_minutes_only() {
    let rules = Rules { absent: Absent { on: false, ..Absent::default() }, ..Rules::default() };
    let series = vec![
        row("bad", minutes(&[(0, 10, 5), (4, 10, 5)])),
        row("over", minutes(&[(5, 0, 100), (4, 30, 0)])),
        row("few", minutes(&[(0, 0, 19)])),
        row("edge", minutes(&[(0, 95, 5)])),
        row("later", minutes(&[(-3, 0, 100)])),
    ];
    assert_eq!(keys(&rules, series, &[]), ["rejected|shop|bad"]);
}

#[test]
fn an_event_seen_daily_that_stays_away_is_told_until_it_is_back() {
    let rules = Rules::default();
    let daily = |last: i64| hours(&[last, last + 20, last + 30, last + 60]);
    let series = vec![
        row("here", daily(1)),
        row("gone", daily(7)),
        row("long", daily(100)),
        row("new", hours(&[7, 8])),
        row("gaps", hours(&[7, 100])),
    ];
    assert_eq!(keys(&rules, series, &[]), ["absent|shop|gone", "absent|shop|long"]);
    let silent = vec![row("a", daily(7)), row("b", daily(9)), row("c", hours(&[8]))];
    assert_eq!(keys(&rules, silent, &[]), ["absent|shop|"], "one trouble, not one per event");
}

#[test]
fn a_sink_is_told_when_it_is_behind_or_halted() {
    let sink = |name: &str, state: &str, minutes: u64| Sink {
        name: name.into(),
        state: state.into(),
        lag_ms: minutes * 60_000,
        last_error: "refused".into(),
    };
    let sinks = [
        sink("kafka", "retrying", 11),
        sink("file", "delivering", 9),
        sink("hdfs", "stopped", 0),
        sink("mysql", "parked", 0),
    ];
    assert_eq!(keys(&Rules::default(), Vec::new(), &sinks), ["lag|kafka", "lag|hdfs", "lag|mysql"]);
}

#[test]
fn names_from_outside_are_harmless_in_a_chat() {
    let hostile = "<at user_id=\"all\">x</at>\n@all [a](http://evil)\u{202e}";
    let text = plain(hostile);
    assert!(!text.contains(['<', '>', '@', '\n', '[', ']', '\u{202e}']), "{text}");
    assert_eq!(plain(&"长".repeat(100)).chars().count(), NAME_CHARS_MAX + 1);
}

#[test]
fn settings_out_of_range_are_refused() {
    assert!(Rules::default().check().is_ok());
    for text in [
        r#"{"rejected":{"percent":101}}"#,
        r#"{"rejected":{"minutes":0}}"#,
        r#"{"absent":{"hours":49}}"#,
        r#"{"absent":{"days":7}}"#,
        r#"{"lag":{"minutes":0}}"#,
    ] {
        let rules: Rules = serde_json::from_str(text).unwrap();
        assert!(rules.check().is_err(), "{text}");
    }
}
