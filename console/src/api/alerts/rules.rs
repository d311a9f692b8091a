//! What is watched, and what is wrong now: a pure function of the counts, the sinks' state and the moment.

use serde::{Deserialize, Serialize};

use crate::api::health::model::{OTHER, Row, SeriesRow, Snapshot};
use crate::error::{Problem, Text};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Longest name of an event in a message, characters.
const NAME_CHARS_MAX: usize = 60;

/// Rejected share of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rejected {
    /// Whether it is watched.
    pub on: bool,
    /// Alarm above this share, per cent …
    pub percent: f64,
    /// … over so many minutes, 1 to 30 …
    pub minutes: u32,
    /// … if at least so many events came: one bad event of two is no alarm.
    pub events_min: u64,
}

/// An event that came every day and does not any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Absent {
    /// Whether it is watched.
    pub on: bool,
    /// Alarm after so long without one, hours, 1 to 48.
    pub hours: u32,
    /// An event is a daily one after so many days in a row, 1 to 6.
    pub days: u32,
}

/// A sink that is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Lag {
    /// Whether it is watched.
    pub on: bool,
    /// Alarm when its oldest undelivered event is older, minutes; a stopped or parked sink at once.
    pub minutes: u32,
}

impl Default for Rejected {
    fn default() -> Self {
        Self { on: true, percent: 5.0, minutes: 5, events_min: 20 }
    }
}

impl Default for Absent {
    fn default() -> Self {
        Self { on: true, hours: 6, days: 3 }
    }
}

impl Default for Lag {
    fn default() -> Self {
        Self { on: true, minutes: 10 }
    }
}

/// The three rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rules {
    /// Rejected share.
    pub rejected: Rejected,
    /// Absent events.
    pub absent: Absent,
    /// Sinks behind.
    pub lag: Lag,
}

impl Rules {
    /// # Errors
    /// 400: a value out of range.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let bad = |zh: &str, en: &str| Err(Problem::bad("alerts.rule", zh, en));
        if !(0.0..=100.0).contains(&self.rejected.percent) || !(1..=30).contains(&self.rejected.minutes)
        {
            return bad("被拒占比应为 0–100%，时间 1–30 分钟", "the rejected share must be 0 to 100 %, over 1 to 30 minutes");
        }
        if !(1..=48).contains(&self.absent.hours) || !(1..=6).contains(&self.absent.days) {
            return bad("事件缺失应为 1–48 小时，连续 1–6 天", "absence must be 1 to 48 hours, after 1 to 6 days in a row");
        }
        if !(1..=10_080).contains(&self.lag.minutes) {
            return bad("落后时间应为 1–10080 分钟", "the lag must be 1 to 10,080 minutes");
        }
        Ok(())
    }
}

/// A sink as its status tells.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sink {
    /// Its name.
    pub name: String,
    /// `idle`, `delivering`, `retrying`, `parked` or `stopped`.
    pub state: String,
    /// Age of the oldest undelivered record, ms.
    pub lag_ms: u64,
    /// Why its last try failed.
    pub last_error: String,
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The same as long as it is the same trouble.
    pub key: String,
    /// `rejected`, `absent` or `lag`.
    pub rule: &'static str,
    /// Project; empty for a sink.
    pub project: String,
    /// Event or sink, harmless to show.
    pub subject: String,
    /// What to tell.
    pub text: Text,
}

/// Everything that is wrong at `now_ms`.
#[must_use]
pub(super) fn wrong(rules: &Rules, snapshot: &Snapshot, sinks: &[Sink], now_ms: i64) -> Vec<Wrong> {
    let mut found = Vec::new();
    if rules.rejected.on {
        let rows = snapshot.series.iter();
        found.extend(rows.filter_map(|row| rejected(&rules.rejected, row, now_ms)));
    }
    if rules.absent.on {
        absent(&rules.absent, snapshot, now_ms, &mut found);
    }
    if rules.lag.on {
        found.extend(sinks.iter().filter_map(|sink| lag(&rules.lag, sink)));
    }
    found
}

fn rejected(rule: &Rejected, row: &Row<SeriesRow>, now_ms: i64) -> Option<Wrong> {
    let minute = now_ms.div_euclid(MINUTE_MS);
    let recent = row.value.minutes.iter().filter(|(at, _)| {
        let age = minute - i64::from(*at);
        (0..i64::from(rule.minutes)).contains(&age)
    });
    let (kept, rejected) = recent.fold((0, 0), |(kept, rejected), (_, [k, _, r])| (kept + k, rejected + r));
    let all = kept + rejected;
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let percent = if all > 0 { rejected as f64 * 100.0 / all as f64 } else { 0.0 };
    if all < rule.events_min.max(1) || percent <= rule.percent {
        return None;
    }
    let (project, event) = (plain(row.word(0)), shown_event(row.word(1)));
    let minutes = rule.minutes;
    Some(Wrong {
        key: format!("rejected|{}|{}", row.word(0), row.word(1)),
        rule: "rejected",
        text: Text::new(
            format!("项目 {project} 的事件 {event}：近 {minutes} 分钟被拒 {percent:.1}%（{rejected}/{all} 条）。请到“数据健康”查看原因码，修好后可重放，不会丢数据"),
            format!("project {project}, event {event}: {percent:.1} % rejected in {minutes} minutes ({rejected} of {all}). See the codes under Data health; nothing is lost, re-drive after the fix"),
        ),
        project,
        subject: event,
    })
}

fn absent(rule: &Absent, snapshot: &Snapshot, now_ms: i64, found: &mut Vec<Wrong>) {
    let limit = now_ms - i64::from(rule.hours) * HOUR_MS;
    let mut projects: Vec<&str> = snapshot.series.iter().map(|row| row.word(0)).collect();
    projects.sort_unstable();
    projects.dedup();
    for project in projects {
        let rows = || snapshot.series.iter().filter(move |row| row.word(0) == project && row.word(1) != OTHER);
        let daily = |row: &&Row<SeriesRow>| is_daily(&row.value, rule.days);
        let hours = rule.hours;
        let shown = plain(project);
        if rows().all(|row| last_kept_ms(&row.value) < limit) {
            // The whole project is silent: that is one trouble, not one per event.
            if rows().any(|row| daily(&row)) {
                found.push(Wrong {
                    key: format!("absent|{project}|"),
                    rule: "absent",
                    text: Text::new(
                        format!("项目 {shown}：超过 {hours} 小时没有收到任何事件。请检查 nginx、域名和上报地址"),
                        format!("project {shown}: no event at all for more than {hours} h. Check nginx, the domain and the server URL"),
                    ),
                    project: shown,
                    subject: String::new(),
                });
            }
            continue;
        }
        for row in rows().filter(daily).filter(|row| last_kept_ms(&row.value) < limit) {
            let event = shown_event(row.word(1));
            found.push(Wrong {
                key: format!("absent|{project}|{}", row.word(1)),
                rule: "absent",
                text: Text::new(
                    format!("项目 {shown} 的事件 {event}：每天都有，现在超过 {hours} 小时没有收到。请确认最近的发版是否改了埋点"),
                    format!("project {shown}, event {event}: came every day, absent for more than {hours} h. Did the last release change its tracking?"),
                ),
                project: shown.clone(),
                subject: event,
            });
        }
    }
}

/// End of the last hour in which one was kept, ms; 0 = never.
fn last_kept_ms(row: &SeriesRow) -> i64 {
    let last = row.hours.iter().rev().find(|(_, [kept, ..])| *kept > 0);
    // The row knows the moment, if the last one was kept.
    last.map_or(0, |(hour, _)| ((i64::from(*hour) + 1) * HOUR_MS).min(row.last_ms))
}

/// Whether one was kept in each of the 24-hour windows before the last one.
fn is_daily(row: &SeriesRow, days: u32) -> bool {
    let last = last_kept_ms(row);
    (0..i64::from(days)).all(|back| {
        let window = last - (back + 1) * DAY_MS..=last - back * DAY_MS;
        row.hours.iter().any(|(hour, [kept, ..])| {
            let from = i64::from(*hour) * HOUR_MS;
            *kept > 0 && from + HOUR_MS > *window.start() && from <= *window.end()
        })
    })
}

fn lag(rule: &Lag, sink: &Sink) -> Option<Wrong> {
    let halted = matches!(sink.state.as_str(), "stopped" | "parked");
    let limit = u64::from(rule.minutes) * 60_000;
    if !halted && sink.lag_ms <= limit {
        return None;
    }
    let (name, minutes) = (plain(&sink.name), sink.lag_ms / 60_000);
    let why = plain(&sink.last_error);
    let (zh_state, en_state) = match sink.state.as_str() {
        "stopped" => ("已停止，".to_owned(), "is stopped, ".to_owned()),
        "parked" => ("已搁置，".to_owned(), "is parked, ".to_owned()),
        _ => (String::new(), String::new()),
    };
    let (zh_why, en_why) = if why.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("：{why}"), format!(": {why}"))
    };
    Some(Wrong {
        key: format!("lag|{}", sink.name),
        rule: "lag",
        project: String::new(),
        text: Text::new(
            format!("目标 {name} {zh_state}落后 {minutes} 分钟{zh_why}。数据在日志段里，不会丢；请检查目标，或运行 tusk check"),
            format!("sink {name} {en_state}{minutes} min behind{en_why}. Its data waits in the journal; check the target, or run `tusk check`"),
        ),
        subject: name,
    })
}

fn shown_event(name: &str) -> String {
    if name.is_empty() { "(unreadable)".to_owned() } else { plain(name) }
}

/// Names are sent by clients: no line breaks, nothing a chat takes for a mention, a link or markup, not long.
fn plain(text: &str) -> String {
    let clean = text.chars().map(|c| match c {
        '<' => '‹',
        '>' => '›',
        '@' => '＠',
        '[' => '［',
        ']' => '］',
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => ' ',
        c => c,
    });
    let mut out: String = clean.take(NAME_CHARS_MAX).collect();
    if text.chars().nth(NAME_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
