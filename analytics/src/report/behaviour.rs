//! Attribution, paths, distribution, interval.

use super::{Ask, Context, Params, Part, Problem, STEPS_MAX, fill};
use crate::filter;
use crate::presets;
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;
/// What a conversion without a channel is put down to.
const DIRECT: &str = "直接访问";
/// Steps of a path, at most.
const WAY_MAX: i64 = 20;

/// Shares of the touches `names` (`n` of them, in order of time; `DIRECT` = none) as (channel, weight).
fn weights(model: &str) -> Result<&'static str, Problem> {
    Ok(match model {
        "last_non_direct" => {
            "[(if(arrayExists(x -> x != {direct:String}, names), arrayLast(x -> x != {direct:String}, names), {direct:String}), 1.)]"
        }
        "first" => "[(names[1], 1.)]",
        "last" => "[(names[-1], 1.)]",
        "linear" => "arrayMap(x -> (x, 1 / n), names)",
        "position" => {
            "arrayMap((x, at) -> (x, multiIf(n <= 2, 1 / n, at = 1 OR at = n, 0.4, 0.2 / (n - 2))), names, arrayEnumerate(names))"
        }
        _ => {
            return Err(Problem::parameter(
                "model",
                "应为 last_non_direct、first、last、linear 或 position",
                "last_non_direct, first, last, linear or position is expected",
            ));
        }
    })
}

fn event(ask: &mut Ask<'_>) -> Result<(), Problem> {
    let name = ask.params.text("event").filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| Problem::parameter("event", "缺少事件名", "an event is needed"))?;
    let name = super::params::escaped(name);
    ask.set("event", name);
    Ok(())
}

fn number(ask: &mut Ask<'_>, name: &str) -> Result<Option<filter::Field>, Problem> {
    let Some(property) = ask.params.text(name).filter(|property| !property.is_empty()) else {
        return Ok(None);
    };
    filter::field(&serde_json::json!({"field": property, "kind": "num"}), &mut ask.values).map(Some)
}

/// Which channel conversions are put down to.
pub(super) fn attribution(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    event(&mut ask)?;
    let days = params.number("window_days", 7, 1, 90)?;
    ask.set("window_days", days.to_string());
    ask.set("window_ms", (days * DAY_MS).to_string());
    ask.set("direct", DIRECT);
    let weights = weights(params.text("model").unwrap_or("last_non_direct"))?;
    let property = params.text("dimension").unwrap_or("$utm_source");
    let (column, _) = presets::column(property)
        .filter(|(_, holds)| *holds == presets::Holds::Word)
        .ok_or_else(|| {
            Problem::parameter(
                "dimension",
                "应为预置的文本属性",
                "a preset text property is expected",
            )
        })?;
    let amount = number(&mut ask, "amount")?;
    let amount = amount.map_or_else(
        || "0.".to_owned(),
        |field| format!("if({}, {}, 0.)", field.present, field.value),
    );
    let filter = ask.filter()?;
    let sql = fill(
        include_str!("../../reports/attribution.sql"),
        &[("weights", weights), ("amount", &amount), ("filter", &filter), ("label", column)],
    );
    Ok(vec![ask.part("rows", sql)])
}

/// What follows what.
pub(super) fn paths(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let steps = params.number("steps", 5, 2, WAY_MAX)?;
    ask.set("steps", steps.to_string());
    let events: Vec<&str> = params.list("events", 100)?.iter().filter_map(Value::as_str).collect();
    let among = if events.is_empty() {
        "1".to_owned()
    } else {
        format!("has({}, name)", ask.values.texts(events))
    };
    let flag = |name: &str| params.0.get(name).and_then(Value::as_bool).unwrap_or(false);
    let names = if flag("collapse") { "arrayCompact(all_names)" } else { "all_names" };
    let text = |name: &str| params.text(name).filter(|event| !event.is_empty());
    let (way, backwards) = match (text("start_event"), text("end_event")) {
        (None, None) => (names.to_owned(), false),
        (Some(start), None) => {
            let start = ask.values.text(start);
            (
                format!(
                    "arraySlice({names}, if(has({names}, {start}), indexOf({names}, {start}), length({names}) + 1))"
                ),
                false,
            )
        }
        // The first time it comes to the end event, read backwards from there.
        (None, Some(end)) => {
            let end = ask.values.text(end);
            (format!("arrayReverse(arraySlice({names}, 1, indexOf({names}, {end})))"), true)
        }
        (Some(_), Some(_)) => {
            return Err(Problem::parameter(
                "end_event",
                "起点和终点只能选一个",
                "a path has a start or an end, not both",
            ));
        }
    };
    let (source, target) = if backwards {
        ("arrayPopFront", "arrayPopBack")
    } else {
        ("arrayPopBack", "arrayPopFront")
    };
    let filter = ask.filter()?;
    let sql = fill(
        include_str!("../../reports/paths.sql"),
        &[
            ("way", &way),
            ("filter", &filter),
            ("among", &among),
            ("source", source),
            ("target", target),
        ],
    );
    Ok(vec![ask.part("rows", sql)])
}

/// People by how much they did.
pub(super) fn distribution(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    event(&mut ask)?;
    let bounds: Vec<f64> = params.list("bounds", 50)?.iter().filter_map(Value::as_f64).collect();
    let bounds = if bounds.is_empty() { vec![1., 2., 3., 4., 5., 10., 20., 50.] } else { bounds };
    if !bounds.is_sorted() {
        return Err(Problem::parameter("bounds", "应从小到大", "they go from small to large"));
    }
    let list: Vec<String> = bounds.iter().map(f64::to_string).collect();
    ask.set("bounds", format!("[{}]", list.join(",")));
    let field = number(&mut ask, "property")?;
    let how = params.text("measure").unwrap_or("count");
    let number = match (how, &field) {
        ("count", _) => "toNullable(toFloat64(count()))".to_owned(),
        ("days", _) => "toNullable(toFloat64(uniqExact(day)))".to_owned(),
        ("sum", Some(field)) => format!("toNullable(sumIf({}, {}))", field.value, field.present),
        ("avg" | "min" | "max", Some(field)) => {
            format!(
                "if(countIf({present}) = 0, NULL, {how}If({value}, {present}))",
                present = field.present,
                value = field.value
            )
        }
        _ => {
            return Err(Problem::parameter(
                "measure",
                "应为 count、days，或带属性的 sum、avg、min、max",
                "count, days, or with a property sum, avg, min, max is expected",
            ));
        }
    };
    let filter = ask.filter()?;
    let sql = fill(
        include_str!("../../reports/distribution.sql"),
        &[("number", &number), ("filter", &filter)],
    );
    Ok(vec![ask.part("rows", sql)])
}

/// Time between two events.
pub(super) fn interval(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let mut step = |name: &str| {
        let step = params
            .0
            .get(name)
            .ok_or_else(|| Problem::parameter(name, "缺少事件", "an event is needed"))?;
        ask.step(step)
    };
    let (first, second) = (step("first")?, step("second")?);
    let filter = ask.filter()?;
    let sql = fill(
        include_str!("../../reports/interval.sql"),
        &[("first", &first), ("second", &second), ("filter", &filter)],
    );
    Ok(vec![ask.part("rows", sql)])
}

const _: () = assert!(STEPS_MAX <= 26, "a formula names measures by letters");
