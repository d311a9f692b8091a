//! The acceptance report (验收报告) of a recording: one HTML file without scripts, to be sent around and printed. Everything in it came
//! from a client and is escaped.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::judge::{Came, Finding};
use super::recording::Recording;

const STYLE: &str = "body{font:14px/1.6 system-ui,'PingFang SC','Microsoft YaHei',sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1d2129}\
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
.state{display:inline-block;padding:.1rem .8rem;border-radius:1rem;font-weight:600;color:#fff}.good{background:#1a7f4b}.bad{background:#c0362c}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}dt{color:#6b7280}dd{margin:0;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}th,td{border:1px solid #d9dce1;padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#f5f6f8;white-space:nowrap}\
td.time{white-space:nowrap;font-variant-numeric:tabular-nums}ul{margin:0;padding-left:1.1rem}.no{color:#c0362c}.yes{color:#1a7f4b}.mild{color:#8a5a00}\
details pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0;font-size:12px}footer{margin:2rem 0;color:#6b7280}\
@media print{body{margin:0}details{display:none}}";

/// The report in one language.
pub(super) fn html(recording: &Recording, zh: bool, timezone: &str) -> String {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let t = |chinese: &'static str, english: &'static str| if zh { chinese } else { english };
    let mut out = String::with_capacity(64 << 10);
    let name = if recording.name.is_empty() { &recording.id } else { &recording.name };
    let title = t("埋点验收报告", "Tracking acceptance report");
    let lang = if zh { "zh-CN" } else { "en" };
    let _ = write!(
        out,
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} · {0}</title><style>{STYLE}</style></head><body><h1>{title} · {0}</h1>",
        Escaped(name)
    );
    let (class, word) = match (recording.verdict.passed, recording.expected.is_empty()) {
        (true, true) => ("good", t("未发现问题（没有期望列表）", "no problem found (no expected list)")),
        (true, false) => ("good", t("通过", "passed")),
        (false, _) => ("bad", t("未通过", "not passed")),
    };
    let _ = write!(out, "<p><span class=\"state {class}\">{word}</span></p><dl>");
    let everybody = t("全部", "everybody").to_owned();
    let ids = if recording.ids.is_empty() { everybody } else { recording.ids.join(", ") };
    let project = if recording.project.is_empty() { t("全部", "all") } else { &recording.project };
    let stopped = if recording.stopped_ms > 0 {
        moment(recording.stopped_ms, &zone)
    } else {
        t("进行中", "under way").to_owned()
    };
    let facts = [
        (t("项目", "Project"), project.to_owned()),
        (t("用户 / 设备", "User / device"), ids),
        (t("开始", "Start"), moment(recording.started_ms, &zone)),
        (t("结束", "End"), stopped),
        (t("录制人", "Recorded by"), recording.by.clone()),
        (t("收到事件", "Events received"), (recording.events.len() as u64 + recording.left_out).to_string()),
        (t("期望事件", "Events expected"), recording.expected.len().to_string()),
    ];
    for (label, value) in facts {
        let _ = write!(out, "<dt>{label}</dt><dd>{}</dd>", Escaped(&value));
    }
    out.push_str("</dl>");
    expected(recording, zh, &mut out);
    let _ = write!(
        out,
        "<h2>{}</h2><table><thead><tr><th>#</th><th>{}</th><th>{}</th><th>{}</th><th>{}</th><th>{}</th></tr></thead><tbody>",
        t("事件顺序（按发生时间）", "Events in order of their time"),
        t("时间", "Time"),
        t("事件", "Event"),
        t("用户", "User"),
        t("SDK / App 版本", "SDK / app version"),
        t("结论", "Findings"),
    );
    for (number, event) in (1_usize..).zip(&recording.events) {
        line(number, event, zh, &zone, &mut out);
    }
    out.push_str("</tbody></table>");
    if recording.left_out > 0 {
        let _ = write!(
            out,
            "<p class=\"no\">{} {}</p>",
            recording.left_out,
            t("条事件超出上限，没有记录", "events over the limit were not recorded")
        );
    }
    let _ = write!(
        out,
        "<footer>{} · {} {}</footer></body></html>",
        moment(Timestamp::now().as_millisecond(), &zone),
        t("由 Tusk 生成，时区", "made by Tusk, time zone"),
        Escaped(timezone)
    );
    out
}

fn expected(recording: &Recording, zh: bool, out: &mut String) {
    if recording.expected.is_empty() {
        return;
    }
    let t = |chinese: &'static str, english: &'static str| if zh { chinese } else { english };
    let _ = write!(
        out,
        "<h2>{}</h2><table><thead><tr><th>{}</th><th>{}</th><th>{}</th></tr></thead><tbody>",
        t("期望列表", "Expected"),
        t("事件", "Event"),
        t("次数", "Times"),
        t("结论", "Finding")
    );
    for wanted in &recording.expected {
        let times = recording.events.iter().filter(|event| event.event == wanted.event).count();
        let (class, word) = match (times, wanted.optional) {
            (0, true) => ("mild", t("未出现（可选）", "did not come (optional)")),
            (0, false) => ("no", t("缺失", "missing")),
            _ => ("yes", t("已上报", "reported")),
        };
        let _ = write!(
            out,
            "<tr><td>{} {}</td><td>{times}</td><td class=\"{class}\">{word}</td></tr>",
            Escaped(&wanted.event),
            Escaped(&wanted.display)
        );
    }
    out.push_str("</tbody></table>");
}

fn line(number: usize, event: &Came, zh: bool, zone: &TimeZone, out: &mut String) {
    let shown = if event.event.is_empty() { &event.kind } else { &event.event };
    let _ = write!(
        out,
        "<tr><td>{number}</td><td class=\"time\">{}</td><td>{}</td><td>{}</td><td>{} {}<br>{}</td><td>",
        moment(event.time_ms, zone),
        Escaped(shown),
        Escaped(&event.user),
        Escaped(&event.sdk),
        Escaped(&event.sdk_version),
        Escaped(&event.app_version)
    );
    if event.findings.is_empty() {
        out.push_str("<span class=\"yes\">✓</span>");
    } else {
        out.push_str("<ul>");
        for finding in &event.findings {
            let (class, text) = words(finding, zh);
            let _ = write!(out, "<li class=\"{class}\">{}</li>", Escaped(&text));
        }
        for message in &event.messages {
            let text = message[if zh { "zh" } else { "en" }].as_str().unwrap_or_default();
            let _ = write!(out, "<li>{}</li>", Escaped(text));
        }
        out.push_str("</ul>");
    }
    if !event.json.is_empty() {
        let _ = write!(out, "<details><summary>JSON</summary><pre>{}</pre></details>", Escaped(&event.json));
    }
    out.push_str("</td></tr>");
}

/// A finding in words.
fn words(finding: &Finding, zh: bool) -> (&'static str, String) {
    let detail = &finding.detail;
    let seconds = || detail.parse::<i64>().unwrap_or_default() / 1000;
    let (class, chinese, english) = match finding.what.as_str() {
        "rejected" => ("no", "被拒收，进了隔离区".to_owned(), "rejected, kept in quarantine".to_owned()),
        "problems" => ("mild", "已入库，但有问题".to_owned(), "stored with problems".to_owned()),
        "duplicate" if detail.is_empty() => {
            ("no", "重复上报（SDK 重发）".to_owned(), "duplicate (sent again by the SDK)".to_owned())
        }
        "duplicate" => (
            "no",
            format!("重复触发：与上一条相同，间隔 {detail} ms"),
            format!("triggered twice: as the one before, {detail} ms later"),
        ),
        "late" => (
            "mild",
            format!("迟到：发生后 {} 秒才到达", seconds()),
            format!("late: arrived {} s after it happened", seconds()),
        ),
        "order" => ("no", "顺序不对".to_owned(), "out of order".to_owned()),
        "property" => ("no", format!("缺少属性 {detail}"), format!("property {detail} is missing")),
        "type" => ("no", format!("属性 {detail} 类型不符"), format!("property {detail} has another type")),
        "unexpected" => ("mild", "不在期望列表里".to_owned(), "not on the expected list".to_owned()),
        other => ("mild", other.to_owned(), other.to_owned()),
    };
    (class, if zh { chinese } else { english })
}

fn moment(ms: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(ms) else { return String::new() };
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Text that cannot become markup.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                    f.write_char('\u{fffd}')?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Expected, judge};
    use super::*;

    #[test]
    fn nothing_a_client_sent_becomes_markup() {
        let evil = "\"><script>alert('x')</script>\u{202e}&";
        let mut recording = Recording {
            name: evil.into(),
            ids: vec![evil.into()],
            project: evil.into(),
            expected: vec![Expected { event: "Pay".into(), display: evil.into(), ..Expected::default() }],
            events: vec![Came {
                event: evil.into(),
                user: evil.into(),
                sdk: evil.into(),
                app_version: evil.into(),
                kind: "track".into(),
                json: format!("{{\"a\":\"{evil}\"}}"),
                messages: vec![serde_json::json!({"zh": evil, "en": evil})],
                ..Came::default()
            }],
            ..Recording::default()
        };
        recording.verdict = judge(&mut recording.events, &recording.expected, true);
        for zh in [true, false] {
            let page = html(&recording, zh, "Asia/Shanghai");
            assert!(!page.contains("<script") && !page.contains('\u{202e}'));
            assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
            assert!(page.contains(if zh { "缺失" } else { "missing" }));
            assert!(page.contains(if zh { "未通过" } else { "not passed" }));
            assert!(!page.contains("http://") && !page.contains("https://"));
        }
    }
}
