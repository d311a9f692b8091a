//! Tags and segments: rules as data, compiled to SQL over people. A segment's rule becomes one condition on `user_id`, so that `and`, `or` and
//! `not` are what they say in every report; a tag's rule becomes rows of user and value. What is written in a rule goes through
//! a parser of its own ([`expr`]) and never becomes SQL.

mod expr;

use crate::filter;
use crate::report::{Problem, Values};
use expr::{Scope, bad};
use serde_json::Value;

/// Longest look back, days: what is kept of events in the largest installations.
const WINDOW_DAYS_MAX: u64 = 400;
/// Where a rule names no window.
const WINDOW_DEFAULT: &str = "30d";
/// Conditions of a segment.
const LEAVES_MAX: usize = 30;
/// Levels of `and`, `or`, `not`.
const DEPTH_MAX: usize = 8;
/// Steps of a sequence.
const STEPS_MAX: usize = 10;
/// Measures and values of a tag.
const ITEMS_MAX: usize = 30;

/// A length of time such as `7d`, `12h`, `30m`, in milliseconds.
///
/// # Errors
/// It is none, or too long.
pub fn window_ms(text: &str) -> Result<u64, Problem> {
    let wrong = || {
        bad(
            format!("时间窗“{text}”应为 30m、12h、7d 这样，最长 {WINDOW_DAYS_MAX}d"),
            format!("the window `{text}` is written as 30m, 12h, 7d, at most {WINDOW_DAYS_MAX}d"),
        )
    };
    let unit_ms = match text.chars().last() {
        Some('d') => 86_400_000,
        Some('h') => 3_600_000,
        Some('m') => 60_000,
        _ => return Err(wrong()),
    };
    let number: u64 =
        text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let ms = number.checked_mul(unit_ms).ok_or_else(wrong)?;
    if ms == 0 || ms > WINDOW_DAYS_MAX * 86_400_000 { Err(wrong()) } else { Ok(ms) }
}

fn text<'v>(rule: &'v Value, name: &str) -> Option<&'v str> {
    rule.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The events of the window a rule names.
fn within(rule: &Value, values: &mut Values) -> Result<String, Problem> {
    let ms = window_ms(text(rule, "window").unwrap_or(WINDOW_DEFAULT))?;
    let ms = values.put("Int64", ms.to_string());
    let start = format!("fromUnixTimestamp64Milli({{now_ms:Int64}} - {ms}, {{zone:String}})");
    Ok(format!(
        "project = {{project:String}} AND day >= toDate({start}) AND time >= {start} AND time < fromUnixTimestamp64Milli({{now_ms:Int64}}, {{zone:String}})"
    ))
}

/// `event`/`did`, `where`, `filter` of a rule as one condition on an event.
fn fits(rule: &Value, event: Option<&str>, values: &mut Values) -> Result<String, Problem> {
    let mut all = Vec::new();
    if let Some(event) = event.filter(|event| *event != "*") {
        all.push(format!("event = {}", values.text(event)));
    }
    if let Some(text) = text(rule, "where") {
        all.push(expr::condition(text, Scope::Event, values)?);
    }
    if rule.get("filter").is_some() {
        all.push(filter::sql(rule.get("filter"), values)?);
    }
    Ok(if all.is_empty() { "1".to_owned() } else { format!("({})", all.join(" AND ")) })
}

/// A segment's rule as a condition on `user_id`.
///
/// # Errors
/// What is wrong with it.
pub fn segment(rule: &Value, values: &mut Values) -> Result<String, Problem> {
    let mut left = LEAVES_MAX;
    // A saved segment is its rule with a name around it.
    node(rule.get("rule").unwrap_or(rule), values, DEPTH_MAX, &mut left)
}

fn node(
    rule: &Value,
    values: &mut Values,
    depth: usize,
    left: &mut usize,
) -> Result<String, Problem> {
    let deeper =
        depth.checked_sub(1).ok_or_else(|| bad("规则嵌套太深", "the rule is nested too deeply"))?;
    for (name, word) in [("and", " AND "), ("or", " OR ")] {
        if let Some(list) = rule.get(name) {
            let list = list.as_array().filter(|list| !list.is_empty()).ok_or_else(|| {
                bad(
                    format!("{name} 应为至少一项的列表"),
                    format!("{name} is a list of at least one"),
                )
            })?;
            let parts: Result<Vec<String>, Problem> =
                list.iter().map(|one| node(one, values, deeper, left)).collect();
            return Ok(format!("({})", parts?.join(word)));
        }
    }
    if let Some(inner) = rule.get("not") {
        return Ok(format!("(NOT {})", node(inner, values, deeper, left)?));
    }
    if let Some(inner) = rule.get("segment") {
        return node(inner.get("rule").unwrap_or(inner), values, deeper, left);
    }
    *left = left.checked_sub(1).ok_or_else(|| {
        bad(format!("最多 {LEAVES_MAX} 个条件"), format!("at most {LEAVES_MAX} conditions"))
    })?;
    leaf(rule, values)
}

fn leaf(rule: &Value, values: &mut Values) -> Result<String, Problem> {
    if let Some(event) = text(rule, "did") {
        return did(rule, event, values);
    }
    if let Some(event) = text(rule, "did_not") {
        return Ok(format!("(NOT {})", did(rule, event, values)?));
    }
    if let Some(profile) = rule.get("profile") {
        let fits = match profile.as_str() {
            Some(text) => expr::condition(text, Scope::Profile, values)?,
            None => filter::sql(Some(profile), values)?,
        };
        return Ok(format!(
            "user_id IN (SELECT user_id FROM users_v WHERE project = {{project:String}} AND {fits})"
        ));
    }
    if let Some(steps) = rule.get("sequence") {
        return sequence(rule, steps, values);
    }
    if let Some(tag_rule) = rule.get("tag") {
        if tag_rule.is_string() {
            return Err(bad(
                format!("没有标签 {tag_rule}；先在“标签”页建立它"),
                format!("there is no tag {tag_rule}; make it on the page of tags first"),
            ));
        }
        let wanted: Vec<&str> = rule
            .get("values")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let rows = tag(tag_rule, values)?;
        let among = if wanted.is_empty() {
            "1".to_owned()
        } else {
            format!("has({}, value)", values.texts(wanted))
        };
        return Ok(format!("user_id IN (SELECT user_id FROM ({rows}) WHERE {among})"));
    }
    Err(bad(
        "条件应含 did、did_not、profile、sequence、tag、and、or、not 之一",
        "a condition has one of did, did_not, profile, sequence, tag, and, or, not",
    ))
}

fn count(rule: &Value, name: &str) -> Result<Option<u64>, Problem> {
    match rule.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| {
            bad(
                format!("{name} 应为不小于 0 的整数"),
                format!("{name} is a whole number, not below 0"),
            )
        }),
    }
}

/// Did an event so many times in a window, or so much in it.
fn did(rule: &Value, event: &str, values: &mut Values) -> Result<String, Problem> {
    let within = within(rule, values)?;
    let fits = fits(rule, Some(event), values)?;
    let (least, most) = (count(rule, "at_least")?, count(rule, "at_most")?);
    let mut having = Vec::new();
    if let Some(text) = text(rule, "having") {
        having.push(expr_having(text, values)?);
    }
    // Not at all is at most none, too: whoever did nothing has no rows to count.
    if least.is_none() && most == Some(0) && having.is_empty() {
        return Ok(format!(
            "(NOT user_id IN (SELECT user_id FROM events_v WHERE {within} AND {fits}))"
        ));
    }
    if least == Some(0) && having.is_empty() {
        let Some(most) = most else { return Ok("1".to_owned()) };
        let most = values.put("UInt64", most.to_string());
        return Ok(format!(
            "(NOT user_id IN (SELECT user_id FROM events_v WHERE {within} AND {fits} GROUP BY user_id HAVING count() > {most}))"
        ));
    }
    if let Some(least) = least {
        having.push(format!("count() >= {}", values.put("UInt64", least.to_string())));
    }
    if let Some(most) = most {
        having.push(format!("count() <= {}", values.put("UInt64", most.to_string())));
    }
    let having =
        if having.is_empty() { String::new() } else { format!(" HAVING {}", having.join(" AND ")) };
    Ok(format!(
        "user_id IN (SELECT user_id FROM events_v WHERE {within} AND {fits} GROUP BY user_id{having})"
    ))
}

fn expr_having(text: &str, values: &mut Values) -> Result<String, Problem> {
    expr::condition(text, Scope::Group("1"), values)
}

/// Did one thing after another, all within `within` of the first.
fn sequence(rule: &Value, steps: &Value, values: &mut Values) -> Result<String, Problem> {
    let steps = steps
        .as_array()
        .filter(|steps| (2..=STEPS_MAX).contains(&steps.len()))
        .ok_or_else(|| {
            bad(
                format!("sequence 应有 2 到 {STEPS_MAX} 步"),
                format!("a sequence has 2 to {STEPS_MAX} steps"),
            )
        })?;
    let span = window_ms(text(rule, "within").unwrap_or("7d"))?;
    let within = within(rule, values)?;
    let mut conditions = Vec::new();
    for step in steps {
        let event = step.as_str().or_else(|| text(step, "event"));
        let event = event.filter(|event| !event.is_empty()).ok_or_else(|| {
            bad("sequence 的每一步要有 event", "each step of a sequence has an event")
        })?;
        conditions.push(fits(step, Some(event), values)?);
    }
    let span = span.to_string();
    Ok(format!(
        "user_id IN (SELECT user_id FROM events_v WHERE {within} AND ({any}) GROUP BY user_id HAVING \
         windowFunnel({span})(toUInt64(toUnixTimestamp64Milli(time)), {all}) = {n})",
        any = conditions.join(" OR "),
        all = conditions.join(", "),
        n = steps.len(),
    ))
}

/// A tag's rule as `SELECT` of `user_id` and `value`, for those who have one.
///
/// # Errors
/// What is wrong with it.
pub fn tag(rule: &Value, values: &mut Values) -> Result<String, Problem> {
    let within = within(rule, values)?;
    if let Some(top) = rule.get("top") {
        let need = |name: &str| {
            text(top, name)
                .ok_or_else(|| bad(format!("top 缺少 {name}"), format!("top has no {name}")))
        };
        let by = expr::value(need("by")?, Scope::Event, values)?;
        let among = fits(top, None, values)?;
        let score = expr::value(need("score")?, Scope::Group("1"), values)?;
        let least = top.get("min_score").and_then(Value::as_f64).unwrap_or(1.);
        let least = values.put("Float64", least.to_string());
        // Of equal scores the first by name, so that it does not change from run to run.
        return Ok(format!(
            "SELECT user_id, argMin(v, (-s, v)) AS value FROM (SELECT user_id, toString({by}) AS v, toFloat64({score}) AS s FROM events_v \
             WHERE {within} AND {among} GROUP BY user_id, v HAVING v != '' AND s >= {least}) GROUP BY user_id"
        ));
    }
    let measures = rule
        .get("measure")
        .and_then(Value::as_object)
        .filter(|all| (1..=ITEMS_MAX).contains(&all.len()));
    let measures = measures.ok_or_else(|| {
        bad(
            format!("标签要有 [tag.measure]（1 到 {ITEMS_MAX} 个）或 top"),
            format!("a tag has [tag.measure] (1 to {ITEMS_MAX}) or top"),
        )
    })?;
    let names: Vec<String> = measures.keys().cloned().collect();
    let mut columns = String::new();
    for (at, (name, measure)) in measures.iter().enumerate() {
        let what = measure.as_str().or_else(|| text(measure, "agg"));
        let what = what.ok_or_else(|| {
            bad(format!("统计量 {name} 缺少 agg"), format!("the measure {name} has no agg"))
        })?;
        let of = fits(measure, None, values)?;
        columns.push_str(&format!(
            ", {} AS m{}",
            expr::value(what, Scope::Group(&of), values)?,
            at + 1
        ));
    }
    let cases = rule
        .get("value")
        .and_then(Value::as_array)
        .filter(|all| (1..=ITEMS_MAX).contains(&all.len()));
    let cases = cases.ok_or_else(|| {
        bad(
            format!("标签要有 [[tag.value]]（1 到 {ITEMS_MAX} 个）"),
            format!("a tag has [[tag.value]] (1 to {ITEMS_MAX})"),
        )
    })?;
    let mut branches = Vec::new();
    for case in cases {
        let (Some(value), Some(when)) = (text(case, "value"), text(case, "when")) else {
            return Err(bad(
                "[[tag.value]] 要有 value 和 when",
                "[[tag.value]] has value and when",
            ));
        };
        let when = expr::condition(when, Scope::Measures(&names), values)?;
        branches.push(format!("{when}, {}", values.text(value)));
    }
    Ok(format!(
        "SELECT user_id, multiIf({}, '') AS value FROM (SELECT user_id{columns} FROM events_v WHERE {within} GROUP BY user_id) WHERE value != ''",
        branches.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_is_a_condition_on_people() {
        let rule = json!({"and": [
            {"did": "Pay", "at_least": 2, "window": "7d", "where": "num.amount > 10"},
            {"not": {"profile": "str.city = '北京'"}},
            {"or": [{"sequence": ["View", {"event": "Pay"}], "within": "1h"}, {"did_not": "Refund"}]},
        ]});
        let mut values = Values::default();
        let sql = segment(&rule, &mut values).unwrap();
        assert!(
            sql.starts_with(
                "(user_id IN (SELECT user_id FROM events_v WHERE project = {project:String}"
            ),
            "{sql}"
        );
        assert!(
            sql.contains(" HAVING count() >= {v")
                && sql.contains("(NOT user_id IN (SELECT user_id FROM users_v")
        );
        assert!(sql.contains("windowFunnel(3600000)(toUInt64(toUnixTimestamp64Milli(time)), "));
        for written in ["Pay", "View", "Refund", "北京", "amount"] {
            assert!(!sql.contains(written), "{written} in {sql}");
        }
    }

    #[test]
    fn a_tag_is_the_first_value_that_holds() {
        let rule = json!({"window": "7d", "measure": {"days": {"agg": "days()"}, "pays": {"agg": "count()", "where": "event = 'pay'"}},
            "value": [{"value": "高", "when": "days >= 4 or pays >= 2"}, {"value": "低", "when": "days >= 1"}]});
        let sql = tag(&rule, &mut Values::default()).unwrap();
        assert!(
            sql.contains("uniqExactIf(day, 1) AS m1, countIf((")
                && sql.contains("multiIf(((m1 >= "),
            "{sql}"
        );
        let top = json!({"top": {"by": "str.category", "score": "count(event = 'view') + 5 * count(event = 'cart')", "min_score": 3}});
        assert!(tag(&top, &mut Values::default()).unwrap().contains("argMin(v, (-s, v))"));
    }

    #[test]
    fn wrong_rules_are_refused() {
        for wrong in [
            json!({}),
            json!({"and": []}),
            json!({"and": {}}),
            json!({"did": ""}),
            json!({"did": "a", "window": "7"}),
            json!({"did": "a", "window": "0d"}),
            json!({"did": "a", "window": "401d"}),
            json!({"did": "a", "window": "99999999999999999999d"}),
            json!({"did": "a", "window": "日"}),
            json!({"did": "a", "at_least": "1; DROP"}),
            json!({"did": "a", "at_least": -1}),
            json!({"did": "a", "where": "1) OR (1"}),
            json!({"profile": "event = 'a'"}),
            json!({"sequence": ["a"]}),
            json!({"sequence": ["a", {"where": "event = 'b'"}]}),
            json!({"tag": "unknown"}),
            json!({"segment": "unknown"}),
            json!({"tag": {}}),
            json!({"did": "a", "having": "num.x > 1"}),
        ] {
            assert!(segment(&wrong, &mut Values::default()).is_err(), "{wrong}");
        }
        let mut deep = json!({"did": "a"});
        for _ in 0..20 {
            deep = json!({"not": deep});
        }
        assert!(segment(&deep, &mut Values::default()).is_err());
        let many: Vec<Value> = (0..40).map(|_| json!({"did": "a"})).collect();
        assert!(segment(&json!({"or": many}), &mut Values::default()).is_err());
    }
}
