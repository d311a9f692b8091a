//! Funnels.

use super::{Ask, Context, Params, Part, Problem, STEPS_MAX, fill};
use crate::filter;
use serde_json::Value;
use std::fmt::Write as _;

const DAY_MS: i64 = 86_400_000;
const GROUPS_MAX: usize = 3;

/// How far people get.
pub(super) fn funnel(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let steps = params.list("steps", STEPS_MAX)?;
    if steps.len() < 2 {
        return Err(Problem::parameter("steps", "至少 2 步", "at least 2 steps are needed"));
    }
    let window_ms = params.number("window_ms", 7 * DAY_MS, 1000, 366 * DAY_MS)?;
    ask.set("window_ms", window_ms.to_string());
    ask.set("window_days", (window_ms / DAY_MS + 1).to_string());
    let number = steps.len();
    let mut names: Vec<&str> =
        steps.iter().filter_map(|step| step.get("event").and_then(Value::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let list: Vec<String> = names.iter().map(|name| crate::quoted(name)).collect();
    ask.set("events", format!("[{}]", list.join(",")));
    let fits: Result<Vec<String>, Problem> = steps.iter().map(|step| ask.step(step)).collect();
    let fits = fits?;
    let filter = ask.filter()?;
    let mut labels = Vec::new();
    for group in params.list("group_by", GROUPS_MAX)? {
        let field = filter::field(group, &mut ask.values)?;
        labels.push(format!("toString({})", field.value));
    }
    // Members of e: ms, lsn, idx, one a step, in the period, one a group.
    let marks = fits.join(", ");
    let group_values: String = labels.iter().map(|label| format!(", {label}")).collect();
    let (first_mark, in_period) = (4, 4 + number);
    let mut of_steps = Vec::new();
    for step in 0..number {
        let also = if step == 0 { format!(" AND x.{in_period}") } else { String::new() };
        of_steps.push(format!(
            "arrayFilter((n, x) -> x.{}{also}, t, e) AS t{}",
            first_mark + step,
            step + 1
        ));
    }
    // Each step's moment follows from the one before; the window runs from the first. A number holds the millisecond times 2^20.
    let mut chains = "arrayMap(a -> [a], t1)".to_owned();
    for step in 2..=number {
        chains = format!(
            "arrayMap(c -> arrayPushBack(c, if(c[-1] = 0, 0, arrayFirst(n -> n > c[-1] AND intDiv(n, 1048576) <= intDiv(c[1], 1048576) + \
             {{window_ms:Int64}}, t{step}))), {chains})"
        );
    }
    let reached: Vec<String> =
        (1..=number).map(|step| format!("countIf(depth >= {step})")).collect();
    let mut times = Vec::new();
    for step in 2..=number {
        times.push(format!(
            "quantileExactInclusiveIf(0.5)((at[{step}] - at[{}]) / 1000, depth >= {step})",
            step - 1
        ));
    }
    let mut of_best = String::new();
    let mut out = String::new();
    for at in 0..labels.len() {
        let _ = write!(of_best, ", e[best[1] % 1048576].{} AS g{}", in_period + 1 + at, at + 1);
        let _ = write!(out, "g{}, ", at + 1);
    }
    let group_by = if labels.is_empty() {
        String::new()
    } else {
        format!("GROUP BY {}", out.trim_end_matches(", "))
    };
    let some_first = format!("arrayExists(x -> x.{first_mark} AND x.{in_period}, e)");
    let sql = fill(
        include_str!("../../reports/funnel.sql"),
        &[
            ("groups_out", &out),
            ("reached", &format!("[{}]", reached.join(", "))),
            ("number", &number.to_string()),
            ("times", &format!("[{}]", times.join(", "))),
            ("groups_of_best", &of_best),
            ("chains", &chains),
            ("steps", &of_steps.join(", ")),
            ("marks", &marks),
            ("group_values", &group_values),
            ("filter", &filter),
            ("some_first", &some_first),
            ("group_by", &group_by),
        ],
    );
    Ok(vec![ask.part("rows", sql)])
}
