//! Event analysis.

use super::{Ask, CLIENT, Context, Params, Part, Problem, STEPS_MAX};
use crate::filter::{self, Field, Kind};
use crate::presets;
use serde_json::Value;
use std::fmt::Write as _;

const GROUPS_MAX: usize = 3;
/// How long before a server's event the person's last client event may lie, days.
const LEND_DAYS: i64 = 30;

/// A measure's aggregate over the rows `fits` is true of.
fn aggregate(how: &str, fits: &str, field: Option<&Field>) -> Result<String, Problem> {
    let needs = || {
        field.ok_or_else(|| {
            Problem::parameter("property", "该指标需要一个属性", "this measure needs a property")
        })
    };
    let number = || {
        let field = needs()?;
        if field.kind != Kind::Number {
            return Err(Problem::parameter(
                "property",
                "该指标需要数值属性",
                "this measure needs a number",
            ));
        }
        Ok(field)
    };
    let some = |field: &Field, sql: &str| {
        let Field { value, present, .. } = field;
        let sql = sql.replace("VALUE", value).replace("FITS", &format!("{fits} AND {present}"));
        format!("if(countIf({fits} AND {present}) = 0, NULL, {sql})")
    };
    Ok(match how {
        "count" => format!("countIf({fits})"),
        "users" => format!("uniqExactIf(user_id, {fits})"),
        "per_user" => {
            format!("if(countIf({fits}) = 0, 0, countIf({fits}) / uniqExactIf(user_id, {fits}))")
        }
        "sum" => {
            let Field { value, present, .. } = number()?;
            format!("sumIf({value}, {fits} AND {present})")
        }
        "with" => format!("countIf({fits} AND {})", needs()?.present),
        "distinct" => {
            let Field { value, present, .. } = needs()?;
            format!("uniqExactIf({value}, {fits} AND {present})")
        }
        "avg" | "min" | "max" => some(number()?, &format!("{how}If(VALUE, FITS)")),
        _ => {
            let level: Option<u32> = how
                .strip_prefix('p')
                .and_then(|level| level.parse().ok())
                .filter(|level| (1..=99).contains(level));
            let level = level.ok_or_else(|| {
                Problem::parameter(
                    "measure",
                    "应为 count、users、per_user、sum、avg、min、max、with、distinct 或 p1 到 p99",
                    "count, users, per_user, sum, avg, min, max, with, distinct or p1 to p99 is expected",
                )
            })?;
            some(
                number()?,
                &format!("quantileExactInclusiveIf({})(VALUE, FITS)", f64::from(level) / 100.0),
            )
        }
    })
}

/// A formula over the measures A, B, C…: letters, numbers, `+ - * / ( )`.
fn formula(text: &str, measures: usize) -> Result<String, Problem> {
    let bad = || {
        Problem::parameter(
            "formula",
            "只能用指标 A、B…、数字和 + - * / ( )",
            "measures A, B …, numbers and + - * / ( ) are expected",
        )
    };
    let mut out = String::new();
    let mut operand = false;
    let mut depth = 0_i32;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            ' ' => {}
            'A'..='Z' if !operand => {
                let at = char as usize - 'A' as usize;
                if at >= measures {
                    return Err(bad());
                }
                let _ = write!(out, "toFloat64(m{})", at + 1);
                operand = true;
            }
            '0'..='9' if !operand => {
                let mut number = String::from(char);
                while let Some(next) = chars.next_if(|next| next.is_ascii_digit() || *next == '.') {
                    number.push(next);
                }
                let number: f64 = number.parse().map_err(|_| bad())?;
                let _ = write!(out, "toFloat64({number})");
                operand = true;
            }
            '(' if !operand => {
                depth += 1;
                out.push('(');
            }
            ')' if operand && depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            '+' | '-' | '*' | '/' if operand => {
                out.push(char);
                operand = false;
            }
            _ => return Err(bad()),
        }
    }
    if !operand || depth != 0 {
        return Err(bad());
    }
    Ok(format!("ifNotFinite({out}, NULL)"))
}

/// Counts, people and numbers of events.
pub(super) fn events(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let measures = params.list("measures", STEPS_MAX)?;
    if measures.is_empty() {
        return Err(Problem::parameter(
            "measures",
            "至少一个指标",
            "at least one measure is needed",
        ));
    }
    let mut names: Vec<&str> =
        measures.iter().filter_map(|one| one.get("event").and_then(Value::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let list: Vec<String> = names.iter().map(|name| crate::quoted(name)).collect();
    ask.set("events", format!("[{}]", list.join(",")));
    let mut columns = Vec::new();
    for one in measures {
        let fits = ask.step(one)?;
        let property = one.get("property").filter(|property| !property.is_null());
        let field = match property {
            None => None,
            Some(Value::String(name)) => Some(filter::field(
                &serde_json::json!({"field": name, "kind": "num"}),
                &mut ask.values,
            )?),
            Some(json) => Some(filter::field(json, &mut ask.values)?),
        };
        let how = one.get("measure").and_then(Value::as_str).unwrap_or("count");
        columns.push(format!(
            "{} AS m{}",
            aggregate(how, &fits, field.as_ref())?,
            columns.len() + 1
        ));
    }
    if let Some(text) = params.text("formula").filter(|text| !text.is_empty()) {
        columns.push(format!("{} AS formula", formula(text, measures.len())?));
    }
    let (mut keys, mut lent) = (Vec::new(), Vec::new());
    if let Some(unit) = params.text("unit").filter(|unit| !unit.is_empty()) {
        keys.push(match unit {
            "hour" => "toString(toStartOfHour(time)) AS bucket".to_owned(),
            "day" => "toString(day) AS bucket".to_owned(),
            "week" => "toString(toMonday(day)) AS bucket".to_owned(),
            "month" => "toString(toStartOfMonth(day)) AS bucket".to_owned(),
            _ => {
                return Err(Problem::parameter(
                    "unit",
                    "应为 hour、day、week 或 month",
                    "hour, day, week or month is expected",
                ));
            }
        });
    }
    for (at, group) in params.list("group_by", GROUPS_MAX)?.iter().enumerate() {
        let field = filter::field(group, &mut ask.values)?;
        let preset = group.get("kind").and_then(Value::as_str).unwrap_or("preset") == "preset";
        let column =
            group.get("field").and_then(Value::as_str).filter(|_| preset).and_then(presets::column);
        let label = match (column, field.kind) {
            (Some((column, presets::Holds::Word)), _) if !column.starts_with("lib") => {
                lent.push(column);
                format!(
                    "if(e.server AND e.{column} = '', toString(c.{column}), toString(e.{column}))"
                )
            }
            (_, Kind::List) => format!("arrayJoin(if(empty({0}), [''], {0}))", field.value),
            (_, Kind::Number) => format!("if({}, toString({}), '')", field.present, field.value),
            _ => field.value,
        };
        keys.push(format!("{label} AS g{}", at + 1));
    }
    let filter = ask.filter()?;
    let range = "project = {project:String} AND day BETWEEN {from:Date} AND {to:Date} AND event IN {events:Array(String)}";
    let mut source =
        format!("SELECT *, NOT ({CLIENT}) AS server FROM events_v WHERE {range} AND {filter}");
    lent.sort_unstable();
    lent.dedup();
    if lent.is_empty() {
        source = format!("({source}) AS e");
    } else {
        let columns = lent.join(", ");
        source = format!(
            "({source}) AS e ASOF LEFT JOIN (SELECT user_id, time, {columns} FROM events_v WHERE project = {{project:String}} AND day BETWEEN \
             toDate({{from:Date}}) - {LEND_DAYS} AND {{to:Date}} AND {CLIENT} AND user_id IN (SELECT user_id FROM events_v WHERE {range} AND NOT ({CLIENT}))) \
             AS c ON e.user_id = c.user_id AND e.time >= c.time"
        );
    }
    let by: Vec<&str> = keys.iter().filter_map(|key| key.rsplit(' ').next()).collect();
    let group = if by.is_empty() { String::new() } else { format!(" GROUP BY {}", by.join(", ")) };
    let order = match (by.first(), by.len()) {
        (None, _) => String::new(),
        (Some(&"bucket"), 1) => " ORDER BY bucket".to_owned(),
        (Some(&"bucket"), _) => " ORDER BY bucket, m1 DESC".to_owned(),
        _ => " ORDER BY m1 DESC".to_owned(),
    };
    let all: Vec<String> = keys.iter().chain(&columns).cloned().collect();
    let sql =
        format!("SELECT {} FROM {source}{group}{order} LIMIT {{limit:UInt64}}", all.join(", "));
    Ok(vec![ask.part("rows", sql)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_arithmetic_and_nothing_else() {
        assert_eq!(
            formula("A / (B + 1.5)", 2).unwrap(),
            "ifNotFinite(toFloat64(m1)/(toFloat64(m2)+toFloat64(1.5)), NULL)"
        );
        for wrong in ["", "C", "A B", "A +", "(A", "A)", "1; DROP", "now()", "A//B", "1.2.3", "-A"]
        {
            assert!(formula(wrong, 2).is_err(), "{wrong}");
        }
    }
}
