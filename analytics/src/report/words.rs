//! Measures and what they mean: with the list of reports, the one source of docs/metrics.md. The pages say the same, held by a test.

use super::Text;

/// A number that reports show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Name of its column.
    pub name: &'static str,
    /// What it is called.
    pub title: Text,
    /// What it means.
    pub definition: Text,
}

macro_rules! measures {
    ($($name:ident $zh:literal $en:literal, $means_zh:literal, $means_en:literal;)+) => {
        /// All of them.
        pub const MEASURES: &[Measure] = &[$(Measure {
            name: stringify!($name),
            title: Text { zh: $zh, en: $en },
            definition: Text { zh: $means_zh, en: $means_en },
        }),+];
    };
}

measures! {
    pv "浏览量 PV" "Page views",
        "$pageview（Web/H5）+ $AppViewScreen + $MPViewScreen 的条数。刷新计一次；App 内嵌 H5 经 App 转发的只计一次。",
        "$pageview (web) + $AppViewScreen + $MPViewScreen. A reload counts once; a page inside an app, forwarded by the app, counts once.";
    uv "访客数 UV" "Visitors",
        "统计期内至少有 1 次 PV 的去重用户数（身份合并后）。跨日 UV 不是日 UV 之和。",
        "Distinct users (identities merged) with at least one page view in the range. Visitors of several days are not the sum of the days.";
    active "活跃用户" "Active users",
        "统计期内有任意客户端事件的去重用户数。按天看就是日活 DAU。",
        "Distinct users with any client event in the range. By day this is DAU.";
    visits "访问次数" "Visits",
        "至少有 1 次 PV 的会话数。SDK 带会话标识就用它；否则同一设备相邻事件间隔超过 30 分钟切开。跨零点不切，归入开始那天。",
        "Sessions with at least one page view. The SDK's session id if there is one, else a device's events with no pause over 30 minutes. A visit over midnight belongs to the day it began.";
    new_users "新访客" "New visitors",
        "首个客户端事件发生的自然日在统计期内的用户。匿名先到、登录后合并到老用户者算老。",
        "Users whose first client event ever lies in the range. Anonymous first and merged into an older user later counts as old.";
    old_users "老访客" "Returning",
        "期内有 PV 且首日早于统计期的用户。",
        "Users with a page view in the range whose first day is before it.";
    bounce_rate "跳出率" "Bounce rate",
        "只有 1 次 PV 的访问 ÷ 至少 1 次 PV 的访问。",
        "Visits with exactly one page view ÷ visits with at least one.";
    single_event_rate "单事件跳出率" "Single-event rate",
        "会话内只有 1 个事件的会话 ÷ 全部会话（与神策 Session 分析一致）。与跳出率不是一回事。",
        "Sessions with exactly one event ÷ all sessions (as in Sensors session analysis). Not the bounce rate.";
    duration_per_visit_s "平均访问时长" "Time per visit",
        "会话内最后一个事件时间 − 第一个事件时间，求和 ÷ 访问次数。单事件会话计 0，也在分母里。",
        "Last event − first event of each visit, summed ÷ visits. Visits of one event are 0 and do count.";
    duration_per_user_s "人均访问时长" "Time per visitor",
        "访问时长之和 ÷ UV。",
        "Sum of visit durations ÷ visitors.";
    depth "访问深度" "Pages per visit",
        "PV ÷ 访问次数。",
        "Page views ÷ visits.";
    entries "入口次数" "Entries",
        "以这个页面开始的访问次数。",
        "Visits that began on this page.";
    exits "退出次数" "Exits",
        "以这个页面结束的访问次数。",
        "Visits that ended on this page.";
    bounces "跳出次数" "Bounces",
        "只看了这一个页面的访问次数。",
        "Visits that saw this page alone.";
    stay_per_view_s "平均停留" "Time on page",
        "离开事件的 event_duration（秒）的平均；超过 24 小时视为异常，剔除并计数。",
        "Average event_duration (seconds) of leave events; over 24 h is an error, left out and counted.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::REPORTS;
    use std::fmt::Write as _;
    use std::fs;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    const HEAD: &str = include_str!("../../reports/metrics.md");

    fn page() -> String {
        let mut out = HEAD.to_owned();
        let mut table = |title: &str, rows: Vec<(&str, Text, Text)>| {
            let _ = write!(out, "\n## {title}\n\n| name | called | means |\n|---|---|---|\n");
            for (name, called, means) in rows {
                let _ = writeln!(
                    out,
                    "| `{name}` | {}<br>{} | {}<br>{} |",
                    called.en, called.zh, means.en, means.zh
                );
            }
        };
        table("Measures 指标", MEASURES.iter().map(|m| (m.name, m.title, m.definition)).collect());
        table("Reports 报表", REPORTS.iter().map(|r| (r.name, r.title, r.definition)).collect());
        out
    }

    #[test]
    fn the_page_of_definitions_is_made_from_the_lists() {
        let path = format!("{ROOT}/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page()).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page(),
            "docs/metrics.md is old: UPDATE_DOCS=1 cargo test -p analytics words"
        );
    }

    #[test]
    fn the_console_explains_a_measure_in_the_same_words() {
        for language in ["zh", "en"] {
            let path = format!("{ROOT}/console/web/src/locales/{language}/measure.ts");
            let words = fs::read_to_string(path).unwrap();
            for measure in MEASURES {
                let means =
                    if language == "zh" { measure.definition.zh } else { measure.definition.en };
                assert!(words.contains(means), "{language} {}: {means}", measure.name);
            }
            let (_, about) = words.split_once("about: {").unwrap();
            let names =
                about.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
            for name in names.filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name) {
                assert!(
                    MEASURES.iter().any(|measure| measure.name == name),
                    "{name} has no definition"
                );
            }
        }
    }
}
