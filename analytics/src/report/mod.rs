//! Reports: from parameters to statements. A report is a name, words for people, and a function that builds its parts; the SQL stands in
//! `reports/*.sql`, with marks `@mark@` where the parameters decide on structure. Values never become SQL: they are parameters.

mod behaviour;
mod events;
mod funnel;
mod params;
mod people;
mod realtime;
mod retention;
mod segment;
mod traffic;
mod words;

pub use params::{Context, Params, Problem, Values};
pub use words::{MEASURES, Measure};

use crate::{filter, tags};
use serde_json::Value;

/// The same in Chinese and English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Chinese.
    pub zh: &'static str,
    /// English.
    pub en: &'static str,
}

/// One statement of a report, and what its place in the answer is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the answer.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// Its parameters: name and value.
    pub params: Vec<(String, String)>,
}

/// A report.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Its name in URLs.
    pub name: &'static str,
    /// What it is called.
    pub title: Text,
    /// What its numbers mean.
    pub definition: Text,
    /// Builds its parts.
    pub build: fn(&Params, &Context<'_>) -> Result<Vec<Part>, Problem>,
}

macro_rules! reports {
    ($($name:literal $zh:literal $en:literal $build:path, $means_zh:literal, $means_en:literal;)+) => {
        /// All of them.
        pub const REPORTS: &[Report] = &[$(Report {
            name: $name,
            title: Text { zh: $zh, en: $en },
            definition: Text { zh: $means_zh, en: $means_en },
            build: $build,
        }),+];
    };
}

reports! {
    "realtime" "实时" "Real time" realtime::realtime,
        "最近 30 分钟（含当前分钟）的浏览量、访客与事件；在线 = 最近 5 分钟有客户端事件的去重用户。按校正后的事件时间，迟到的旧事件不计入。",
        "Views, visitors and events of the last 30 minutes, the running one included; online: people with a client event within 5 minutes. By corrected time: what arrives late counts where it belongs.";
    "overview" "概览" "Overview" traffic::overview,
        "统计期内的浏览量、访客、访问、跳出、时长、深度与新老访客；服务端事件不计，去重后计数。",
        "Views, visitors, visits, bounces, durations, depth, new and old visitors of the period; server events do not count, repeats count once.";
    "trend" "趋势" "Trend" traffic::trend,
        "同概览，按小时、日、周（周一起）或月；跨期访客不是各期之和。",
        "As the overview, by hour, day, week (from Monday) or month; visitors of the whole are not the sum of its parts.";
    "pages" "页面" "Pages" traffic::pages,
        "按页面：浏览量、访客、进入、退出、跳出与停留；停留用 event_duration，超过 24 小时的剔除并计数。",
        "By page: views, visitors, entries, exits, bounces and time on it, from event_duration; over 24 h is left out and counted.";
    "sources" "来源" "Sources" traffic::sources,
        "按访问入口（第一个页面）的来源、UTM 或来源域名。",
        "Visits by where their first page came from: traffic source, UTM or referring host.";
    "regions" "地域" "Regions" traffic::regions,
        "按访问入口的国家、省或城市。",
        "Visits by the country, province or city of their first page.";
    "devices" "设备" "Devices" traffic::devices,
        "按访问入口的平台、系统、浏览器、机型或版本。",
        "Visits by the platform, system, browser, model or version of their first page.";
    "events" "事件分析" "Event analysis" events::events,
        "事件的次数、人数，数值属性的总和、均值、分位数；服务端事件按该用户最近一次客户端事件分组。",
        "Counts and people of events, sums, averages and percentiles of their numbers; server events are grouped by the person's last client event.";
    "funnel" "漏斗" "Funnel" funnel::funnel,
        "第 1 步在统计期内，其后各步按先后在窗口期内完成，同毫秒按上报顺序；每人取最深一次；窗口未走完的人仍可转化；分组取第 1 步的属性；可限定各步同一属性值（如同一商品）。不做按次漏斗。",
        "The first step lies in the period, the others follow in order within the window; each person's deepest try; who has time left may still convert; groups are the first step's; all steps may be asked to share one value, such as a product. Funnels count people, not tries.";
    "retention" "留存" "Retention" retention::retention,
        "起始期做过起始事件的用户中，恰在第 N 个自然日、周或月做过回访事件者的占比；“N 期内”指其间至少一次；未过完的格子不显示；平均按人数加权。",
        "Of those who began in a day, week or month, who came back exactly n later; within n: at least once up to then; cells that are not over are not shown; means weigh by people.";
    "attribution" "归因" "Attribution" behaviour::attribution,
        "目标事件此前 N 天内的渠道触点，每次访问一个；每次转化权重和为 1；没有触点归直接访问。",
        "Channels of the visits in the days before a conversion; weights of one add up to 1; without any it is direct.";
    "paths" "路径" "Paths" behaviour::paths,
        "访问内事件的先后：每一步到下一步的次数与人数。",
        "What follows what within a visit: times and people of each step.";
    "distribution" "分布" "Distribution" behaviour::distribution,
        "统计期内每人的次数、天数或数值落在哪个区间的人数。",
        "People by how often, on how many days or how much they did something.";
    "interval" "间隔" "Interval" behaviour::interval,
        "同一用户从第一个事件到其后第二个事件的时间。",
        "Time from one event to the next other event of the same person.";
    "people" "用户列表" "Users" people::people,
        "统计期内有事件（含服务端事件）的用户，最近活跃的在前；按 ID 查找时不限时间，也包括只有资料的用户。",
        "People with events (server events included) in the period, the latest first; looked for by an id, of all times, those with only a profile too.";
    "person" "用户资料" "Profile" people::person,
        "一个人的资料（按时间回放）、身份标识、设备与活跃天；跨全部历史。",
        "One person's profile (replayed in order of time), ids, devices and active days, over all history.";
    "person_events" "行为序列" "Sequence" people::person_events,
        "一个人的事件按访问分组：SDK 会话标识优先，否则同一设备间隔超过 30 分钟切开；服务端事件不属于访问。",
        "One person's events by visit: the SDK's session, else a device's events with no pause over 30 minutes; server events are in no visit.";
    "segment" "分群" "Segment" segment::segment,
        "符合规则的去重用户数 ÷ 项目全部用户（有事件或有资料）。时间窗从现在往前算。",
        "Distinct people the rule fits, of everybody with events or a profile. Windows reach back from now.";
    "segment_users" "分群用户" "People of a segment" segment::segment_users,
        "符合规则的用户及其最新标识。",
        "People the rule fits, with their newest ids.";
    "overlap" "分群重叠" "Overlap" segment::overlap,
        "同时在哪几个分群里的去重用户数；每人恰好属于一种组合。",
        "People by which of the segments they are in; everybody is in exactly one combination.";
    "portrait" "画像" "Portrait" segment::portrait,
        "分群内某个值的占比与全体占比之比为倾向（lift）；事件属性取每人最近一次的值；占比的分母是全部人数，没有值的人也在内。",
        "Lift = a value's share within the segment ÷ its share of everybody; of event properties the newest value a person had; shares are of all people, those without a value included.";
    "tag" "标签" "Tag" segment::tag,
        "每个标签值的去重用户数；值按顺序判断，取第一个成立的。",
        "People by value of the tag; values are tried in order, the first that holds is it.";
}

/// The report of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Report> {
    REPORTS.iter().find(|report| report.name == name)
}

/// SQL of "an SDK of a client sent it": servers are no traffic.
const CLIENT: &str = "lower(lib) NOT IN ('java', 'python', 'golang', 'node', 'php', 'dotnet', 'ruby') AND lib_method != 'tools'";
/// The session an SDK named itself; 0 = none. One that Tusk gave on arrival (`<epoch>-…`) knew nothing of what came later.
const SESSION: &str = "if(session_id = '' OR startsWith(session_id, concat(splitByChar('-', node)[-1], '-')), 0, sipHash64(session_id))";
/// What a person of a list is called: the login, else the newest id.
const KNOWN_AS: &str = ", if(argMax(login_id, (login_id != '', time)) != '', argMax(login_id, (login_id != '', time)), argMax(distinct_id, time)) AS known_as";
/// A pause that ends a visit.
const GAP_MIN: i64 = 30;
/// Rows of a table.
const ROWS: i64 = 1000;
/// The most anybody can ask for.
const ROWS_MAX: i64 = 100_000;
/// The most steps, measures or groups of a kind that one report takes.
const STEPS_MAX: usize = 20;

/// A statement being built: its values, and what all reports share.
#[derive(Clone, Debug)]
struct Ask<'a> {
    params: &'a Params,
    values: Values,
}

impl<'a> Ask<'a> {
    fn new(params: &'a Params, context: &Context<'_>) -> Result<Self, Problem> {
        let (from, to) = (params.date("from")?, params.date("to")?);
        if to < from {
            return Err(Problem::parameter("to", "早于 from", "it is before from"));
        }
        let mut ask = Self::undated(params, context)?;
        ask.set("from", from);
        ask.set("to", to);
        Ok(ask)
    }

    /// Without a period: what is asked lies around now.
    fn undated(params: &'a Params, context: &Context<'_>) -> Result<Self, Problem> {
        let gap_ms = params.number("session_gap_min", GAP_MIN, 1, 1440)? * 60_000;
        let limit = params.number("limit", ROWS, 1, ROWS_MAX)?;
        let values = [
            ("project", params::escaped(params.project())),
            ("zone", context.timezone.to_owned()),
            ("now_ms", context.now_ms.to_string()),
            ("gap_ms", gap_ms.to_string()),
            ("limit", limit.to_string()),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value));
        Ok(Self { params, values: Values(values.to_vec()) })
    }

    /// Sets a named value.
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.0.retain(|(known, _)| known != name);
        self.values.0.push((name.to_owned(), value.into()));
    }

    /// The report's filter, and the segment it is limited to.
    fn filter(&mut self) -> Result<String, Problem> {
        let fits = filter::sql(self.params.0.get("filter"), &mut self.values)?;
        Ok(match self.params.0.get("segment") {
            None | Some(Value::Null) => fits,
            Some(rule) => {
                let among = tags::segment(rule, &mut self.values)?;
                if fits == "1" { among } else { format!("({fits} AND {among})") }
            }
        })
    }

    fn has_filter(&self) -> bool {
        self.params
            .0
            .get("filter")
            .is_some_and(|filter| !filter.is_null() && filter != &serde_json::json!({}))
            || self.params.0.get("segment").is_some_and(|segment| !segment.is_null())
    }

    /// An event and its own filter, as a condition: `{"event": …, "filter": …}`.
    fn step(&mut self, step: &Value) -> Result<String, Problem> {
        let name = step.get("event").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name =
            name.ok_or_else(|| Problem::parameter("event", "缺少事件名", "a step has no event"))?;
        let name = self.values.text(name);
        let filter = filter::sql(step.get("filter"), &mut self.values)?;
        Ok(format!("(event = {name} AND {filter})"))
    }

    /// A part of the values its statement names.
    fn part(&self, name: &str, sql: String) -> Part {
        let params = self
            .values
            .0
            .iter()
            .filter(|(name, _)| sql.contains(&format!("{{{name}:")))
            .cloned()
            .collect();
        Part { name: name.to_owned(), sql, params }
    }
}

/// A template with its marks filled in; comments are left out.
fn fill(template: &str, marks: &[(&str, &str)]) -> String {
    let lines: Vec<&str> = template.lines().filter(|line| !line.starts_with("--")).collect();
    let mut text = lines.join("\n");
    for (mark, value) in marks.iter().chain(&[("client", CLIENT), ("session", SESSION)]) {
        text = text.replace(&format!("@{mark}@"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CONTEXT: Context<'_> = Context { timezone: "Asia/Shanghai", now_ms: 1_795_600_000_000 };

    fn asked() -> Value {
        json!({
            "project": "shop'", "from": "2026-05-01", "to": "2026-05-07", "event": "Pay'", "amount": "am'ount",
            "steps": [{"event": "A'"}, {"event": "B"}], "measures": [{"event": "A'", "measure": "count"}],
            "first": {"event": "A'"}, "second": {"event": "B"},
            "filter": {"field": "fie'ld", "kind": "str", "op": "is", "values": ["val'ue"]},
            "user": "42", "search": "some'id", "columns": [{"field": "co'l", "kind": "str"}],
            "segment": {"did": "seg'did", "where": "str.seg = 'quo\"te'"}, "segments": [{"did": "o'ne"}, {"did_not": "tw'o"}],
            "fields": [{"field": "po'r", "kind": "str", "scope": "user"}, {"field": "$city"}],
            "tag": {"measure": {"n": {"agg": "count()", "where": "event = \"t'g\""}}, "value": [{"value": "v'1", "when": "n > 0"}]},
        })
    }

    #[test]
    fn every_report_is_built_and_holds_nothing_from_outside() {
        for report in REPORTS {
            let params = if report.name == "paths" {
                let mut asked = asked();
                asked["steps"] = json!(5);
                Params(asked)
            } else {
                Params(asked())
            };
            let parts = (report.build)(&params, &CONTEXT);
            let parts = parts.unwrap_or_else(|problem| panic!("{}: {problem:?}", report.name));
            assert!(!parts.is_empty());
            for part in parts {
                assert!(!part.sql.contains('@'), "{}: {}", report.name, part.sql);
                for bad in [
                    "some'id", "co'l", "seg'did", "quo\"te", "o'ne", "tw'o", "po'r", "t'g", "v'1",
                    "shop'", "Pay'", "am'ount", "A'", "fie'ld", "val'ue",
                ] {
                    assert!(!part.sql.contains(bad), "{}: {bad} in {}", report.name, part.sql);
                }
            }
        }
    }

    fn built(name: &str, own: Value) -> Result<Vec<Part>, Problem> {
        let mut all = json!({"from": "2026-05-01", "to": "2026-05-07", "steps": [{"event": "A"}, {"event": "B"}]});
        if let (Some(all), Value::Object(own)) = (all.as_object_mut(), own) {
            all.extend(own);
        }
        (find(name).unwrap().build)(&Params(all), &CONTEXT)
    }

    #[test]
    fn lists_of_people_hold_nothing_from_outside() {
        let group = json!([{"field": "p'", "kind": "str"}]);
        for (name, own) in [
            (
                "funnel",
                json!({"people": {"step": 2, "dropped": true, "group": ["g'"]}, "group_by": group}),
            ),
            ("funnel", json!({"people": {"step": 1}, "same": {"field": "p'", "kind": "str"}})),
            ("retention", json!({"cell": {"start": "2026-05-02", "later": 3, "back": false}})),
        ] {
            let parts = built(name, own).unwrap();
            assert_eq!((parts.len(), parts[0].name.as_str()), (1, "people"));
            assert!(
                !parts[0].sql.contains("p'") && !parts[0].sql.contains("g'"),
                "{}",
                parts[0].sql
            );
            assert!(!parts[0].sql.contains('@'), "{}", parts[0].sql);
        }
        for (name, own) in [
            ("funnel", json!({"people": {"step": 1, "dropped": true}})),
            ("funnel", json!({"people": {"step": 3}})),
            ("retention", json!({"cell": {"start": "2026-05-02' OR 1", "later": 3}})),
            ("retention", json!({"cell": {"start": "2026-05-02", "later": 1000}})),
            ("paths", json!({"steps": 5, "start_event": "A", "end_event": "B"})),
        ] {
            assert_eq!(built(name, own).unwrap_err().code, "report.bad_parameter", "{name}");
        }
    }

    #[test]
    fn without_dates_there_is_no_report() {
        for report in REPORTS.iter().filter(|report| report.name != "realtime") {
            let problem =
                (report.build)(&Params(json!({"to": "2026-05-01"})), &CONTEXT).unwrap_err();
            assert_eq!(problem.code, "report.bad_parameter", "{}", report.name);
        }
        assert!(find("overview").is_some() && find("../x").is_none());
    }
}
