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
    let mut filter = ask.filter()?;
    // The same value in all steps: tries of each value of a person, of which the deepest counts.
    let mut same = String::new();
    let mut one_each = String::new();
    if let Some(field) = params.0.get("same").filter(|field| !field.is_null()) {
        let field = filter::field(field, &mut ask.values)?;
        filter = format!("{filter} AND {}", field.present);
        same = format!(", {}", field.value);
        "ORDER BY depth DESC, best[1] LIMIT 1 BY user_id".clone_into(&mut one_each);
    }
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
    // A start whose window reaches the last of the later steps gets as far as any start behind it: those are not tried.
    let lasts: Vec<String> = (2..=number).map(|step| format!("t{step}[-1]")).collect();
    let starts = "arraySlice(t1, 1, (arrayFirstIndex(a -> intDiv(a, 1048576) + {window_ms:Int64} >= intDiv(last, 1048576), t1) AS enough) = 0 ? \
         length(t1) : enough)";
    let last = format!("greatest({}, 0) AS last", lasts.join(", "));
    let mut chains = format!("arrayMap(a -> [a], {starts})");
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
    let people = People::of(params, number)?;
    let (name, select, behind) = match &people {
        None => {
            let select = format!(
                "{out}count() AS users, [{}] AS reached, countIf(depth < {number} AND intDiv(best[1], 1048576) + {{window_ms:Int64}} > \
                 {{now_ms:Int64}}) AS still, [{}] AS seconds",
                reached.join(", "),
                times.join(", ")
            );
            ("rows", select, format!("{group_by} ORDER BY users DESC"))
        }
        Some(people) => {
            let select = format!(
                "toString(user_id) AS user_id, known_as AS distinct_id, depth, fromUnixTimestamp64Milli(at[1], {{zone:String}}) AS first_time, \
                 fromUnixTimestamp64Milli(at[depth], {{zone:String}}) AS last_time, \
                 depth < {number} AND intDiv(best[1], 1048576) + {{window_ms:Int64}} > {{now_ms:Int64}} AS still{}",
                out.trim_end_matches(", ")
                    .split_terminator(", ")
                    .map(|group| format!(", {group}"))
                    .collect::<String>()
            );
            let mut which = people.condition();
            for (at, value) in people.group.iter().enumerate().take(labels.len()) {
                let value = ask.values.text(value);
                let _ = write!(which, " AND g{} = {value}", at + 1);
            }
            ("people", select, format!("WHERE {which} ORDER BY at[depth] DESC, user_id"))
        }
    };
    let (known_as, names) = match people {
        None => ("", ""),
        Some(_) => (", known_as", super::KNOWN_AS),
    };
    let sql = fill(
        include_str!("../../reports/funnel.sql"),
        &[
            ("out", &select),
            ("known_as", known_as),
            ("names", names),
            ("groups_of_best", &of_best),
            ("last", &last),
            ("chains", &chains),
            ("steps", &of_steps.join(", ")),
            ("marks", &marks),
            ("group_values", &group_values),
            ("filter", &filter),
            ("same", &same),
            ("some_first", &some_first),
            ("one_each", &one_each),
            ("tail", &behind),
        ],
    );
    Ok(vec![ask.part(name, sql)])
}

/// Whose list is asked for: `{"step": k}` those who got to step k, with `"dropped": true` those who got to the step before and no further.
struct People {
    step: i64,
    dropped: bool,
    group: Vec<String>,
}

impl People {
    fn of(params: &Params, steps: usize) -> Result<Option<Self>, Problem> {
        let Some(asked) = params.0.get("people").filter(|asked| !asked.is_null()) else {
            return Ok(None);
        };
        let asked = Params(asked.clone());
        let most = i64::try_from(steps).unwrap_or(i64::MAX);
        let step = asked.number("step", 1, 1, most)?;
        let dropped = asked.0.get("dropped").and_then(Value::as_bool).unwrap_or(false);
        if dropped && step < 2 {
            return Err(Problem::parameter(
                "people.step",
                "流失从第 2 步算起",
                "nobody drops before step 2",
            ));
        }
        let group = asked.list("group", GROUPS_MAX)?;
        let group = group.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Some(Self { step, dropped, group }))
    }

    fn condition(&self) -> String {
        if self.dropped {
            format!("depth = {}", self.step - 1)
        } else {
            format!("depth >= {}", self.step)
        }
    }
}
