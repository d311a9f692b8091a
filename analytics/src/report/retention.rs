//! Retention.

use super::{Ask, CLIENT, Context, Params, Part, Problem, fill};
use serde_json::Value;

/// Units looked at after the start, at most.
const SPAN_MAX: i64 = 400;

/// Whether this means "anything": no event is named.
fn named<'v>(params: &'v Params, name: &str, none: &str) -> Option<&'v Value> {
    let step = params.0.get(name)?;
    let event = step.get("event").and_then(Value::as_str).unwrap_or_default();
    (!event.is_empty() && event != none).then_some(step)
}

/// Who came back.
pub(super) fn retention(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let (unit, start, default_span) = match params.text("unit").unwrap_or("day") {
        "day" => ("toInt64(toInt32(day))", "toDate(began)", 14),
        // 1970-01-05 was a Monday.
        "week" => ("intDiv(toInt64(toInt32(day)) - 4, 7)", "toDate(began * 7 + 4)", 8),
        "month" => (
            "toInt64(toYear(day)) * 12 + toMonth(day) - 1",
            "makeDate(intDiv(began, 12), began % 12 + 1, 1)",
            6,
        ),
        _ => {
            return Err(Problem::parameter(
                "unit",
                "应为 day、week 或 month",
                "day, week or month is expected",
            ));
        }
    };
    let span = params.number("span", default_span, 1, SPAN_MAX)?;
    ask.set("span", span.to_string());
    let filter = ask.filter()?;
    let project = "project = {project:String}";
    let starters = match named(params, "start", "$new") {
        None => format!(
            "SELECT user_id, {unit} AS began FROM first_seen_v WHERE {project} AND day BETWEEN {{from:Date}} AND {{to:Date}}"
        ),
        Some(step) => {
            let fits = ask.step(step)?;
            format!(
                "SELECT DISTINCT user_id, {unit} AS began FROM events_v WHERE {project} AND day BETWEEN {{from:Date}} AND {{to:Date}} AND {fits}"
            )
        }
    };
    // With a filter it is about people: those with an event in the period that fits.
    let starters = if ask.has_filter() {
        format!(
            "SELECT user_id, began FROM ({starters}) WHERE user_id IN (SELECT user_id FROM events_v WHERE {project} AND day BETWEEN \
             {{from:Date}} AND {{to:Date}} AND {CLIENT} AND {filter})"
        )
    } else {
        starters
    };
    let returners = match named(params, "return", "$any") {
        None => format!(
            "SELECT user_id, groupUniqArray({unit}) AS units FROM traffic_all_v WHERE {project} AND day >= {{from:Date}} GROUP BY user_id"
        ),
        Some(step) => {
            let fits = ask.step(step)?;
            format!(
                "SELECT user_id, groupUniqArray({unit}) AS units FROM events_v WHERE {project} AND day >= {{from:Date}} AND {fits} GROUP BY user_id"
            )
        }
    };
    let today =
        unit.replace("(day)", "(toDate(fromUnixTimestamp64Milli({now_ms:Int64}, {zone:String})))");
    if let Some(cell) = params.0.get("cell").filter(|cell| !cell.is_null()) {
        let cell = Params(cell.clone());
        let start = cell.date("start")?.to_owned();
        let later = cell.number("later", 0, 0, span)?;
        let came_back = cell.0.get("back").and_then(Value::as_bool).unwrap_or(true);
        ask.set("start", start);
        ask.set("later", later.to_string());
        ask.set("came_back", u8::from(came_back).to_string());
        let unit_of_cell = unit.replace("(day)", "({start:Date})");
        let marks = [
            ("starters", starters.as_str()),
            ("returners", &returners),
            ("unit_of_cell", &unit_of_cell),
            ("names", super::KNOWN_AS),
        ];
        let sql = fill(include_str!("../../reports/retention_people.sql"), &marks);
        return Ok(vec![ask.part("people", sql)]);
    }
    let sql = fill(
        include_str!("../../reports/retention.sql"),
        &[
            ("unit_start", start),
            ("starters", &starters),
            ("returners", &returners),
            ("today", &today),
        ],
    );
    // Of all who began: each cell weighs as many people as it has.
    let mean = format!(
        "SELECT later, sum(people) AS people, sum(back) AS back, back / people AS rate, sum(within) AS within, within / people AS within_rate \
         FROM ({sql}) GROUP BY later ORDER BY later"
    );
    let mut parts = vec![ask.part("rows", sql)];
    if params.0.get("mean").and_then(Value::as_bool).unwrap_or(false) {
        parts.push(ask.part("mean", mean));
    }
    Ok(parts)
}
