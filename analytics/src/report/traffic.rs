//! Overview, trend, pages, and visits by what they begin with.

use super::{Ask, CLIENT, Context, Params, Part, Problem, SESSION, fill};
use crate::presets;

/// Properties a visit can be told apart by, of each report; the first is what is asked for where nothing is said.
pub(super) const SOURCES: &[&str] = &[
    "$latest_traffic_source_type",
    "$utm_source",
    "$utm_medium",
    "$utm_campaign",
    "$utm_content",
    "$utm_term",
    "$referrer_host",
    "$scene",
];
const REGIONS: &[&str] = &["$province", "$city", "$country"];
const DEVICES: &[&str] = &[
    "$lib",
    "$os",
    "$os_version",
    "$browser",
    "$browser_version",
    "$manufacturer",
    "$brand",
    "$model",
    "$app_version",
    "$network_type",
    "$carrier",
];

/// How time is cut: of a row's `day` or `ms`, of a visit's `start`.
struct Unit {
    row: String,
    visit: String,
    all: String,
}

fn unit(name: &str) -> Result<Unit, Problem> {
    let days = "SELECT toDate({from:Date} + number) AS day FROM numbers(toUInt64(toDate({to:Date}) - toDate({from:Date}) + 1))";
    let by = |function: &str| Unit {
        row: format!("{function}(day)"),
        visit: format!("{function}(toDate(fromUnixTimestamp64Milli(start, {{zone:String}})))"),
        all: format!("SELECT DISTINCT {function}(day) AS bucket FROM ({days})"),
    };
    Ok(match name {
        "day" => by("toDate"),
        "week" => by("toMonday"),
        "month" => by("toStartOfMonth"),
        "hour" => {
            let of = |ms: &str| {
                format!("toStartOfHour(toDateTime(intDiv({ms}, 1000), {{zone:String}}))")
            };
            Unit {
                row: of("ms"),
                visit: of("start"),
                all: format!(
                    "SELECT toDateTime(day, {{zone:String}}) + 3600 * hour AS bucket FROM ({days}) ARRAY JOIN range(24) AS hour"
                ),
            }
        }
        _ => {
            return Err(Problem::parameter(
                "unit",
                "应为 hour、day、week 或 month",
                "hour, day, week or month is expected",
            ));
        }
    })
}

/// What a page is called: its path, or an app's screen.
const PAGE: &str = "if(url_path = '', toString(screen_name), toString(url_path))";

/// Client events as (user_id, device, session, day, ms, is_page, passive, fit, label): the narrow copy, or where a filter asks for more the
/// events. `label` is of pages alone: the column of the copy and its expression over the events.
fn source(ask: &Ask<'_>, filter: &str, days: &str, (column, expression): (&str, &str)) -> String {
    if !ask.has_filter() {
        return format!(
            "SELECT user_id, device, session, day, ms, kind = 'page' AS is_page, kind = 'passive' AS passive, 1 AS fit, toString(t.{column}) AS \
             label FROM traffic_v AS t WHERE project = {{project:String}} AND {days}"
        );
    }
    format!(
        "SELECT user_id, sipHash64(e.device) AS device, {SESSION} AS session, day, toUnixTimestamp64Milli(time) AS ms, event IN \
         ('$pageview', '$AppViewScreen', '$MPViewScreen') AS is_page, event = '$AppStartPassively' AS passive, {filter} AS fit, if(is_page, \
         {expression}, '') AS label FROM events_v AS e WHERE project = {{project:String}} AND {days} AND {CLIENT}"
    )
}

/// Days whose events may belong to visits that begin in the period.
const WIDE: &str = "day BETWEEN toDate({from:Date}) - 1 AND toDate({to:Date}) + 1";

fn table(ask: &mut Ask<'_>, unit: &Unit) -> Result<String, Problem> {
    let filter = ask.filter()?;
    let none = ("page", "''");
    let narrow = source(ask, &filter, "day BETWEEN {from:Date} AND {to:Date}", none);
    let wide = source(ask, &filter, WIDE, none);
    let users = fill(
        include_str!("../../reports/users.sql"),
        &[("bucket_of_row", &unit.row), ("bucket", "bucket"), ("source", &narrow)],
    );
    let visits = fill(
        include_str!("../../reports/visits.sql"),
        &[("bucket_of_visit", &unit.visit), ("wide_source", &wide)],
    );
    Ok(fill(
        include_str!("../../reports/trend.sql"),
        &[("buckets", &unit.all), ("users", &users), ("visits", &visits)],
    ))
}

/// One row: the whole period; and one of the period it is compared with.
pub(super) fn overview(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    // All of it in one bucket that begins with the period.
    let whole = || {
        let one = "toDate({from:Date})".to_owned();
        Unit { row: one.clone(), visit: one.clone(), all: format!("SELECT {one} AS bucket") }
    };
    let sql = table(&mut ask, &whole())?;
    let mut parts = vec![ask.part("total", sql)];
    if let Some(compare) = params.0.get("compare").filter(|value| value.is_object()) {
        let compare = Params(compare.clone());
        let (from, to) = (compare.date("from")?.to_owned(), compare.date("to")?.to_owned());
        let mut ask = Ask::new(params, context)?;
        ask.set("from", from);
        ask.set("to", to);
        let sql = table(&mut ask, &whole())?;
        parts.push(ask.part("compare", sql));
    }
    Ok(parts)
}

/// One row a unit of time.
pub(super) fn trend(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let unit = unit(params.text("unit").unwrap_or("day"))?;
    let sql = table(&mut ask, &unit)?;
    Ok(vec![ask.part("rows", sql)])
}

/// One row a page.
pub(super) fn pages(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let filter = ask.filter()?;
    let source = source(&ask, &filter, WIDE, ("page", PAGE));
    let sql =
        fill(include_str!("../../reports/pages.sql"), &[("filter", &filter), ("source", &source)]);
    Ok(vec![ask.part("rows", sql)])
}

fn entries(params: &Params, context: &Context<'_>, allowed: &[&str]) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let property = params.text("dimension").unwrap_or(allowed[0]);
    let column =
        presets::column(property).filter(|_| allowed.contains(&property)).ok_or_else(|| {
            let all = allowed.join("、");
            Problem::parameter(
                "dimension",
                &format!("应为 {all} 之一"),
                &format!("one of {} is expected", allowed.join(", ")),
            )
        })?;
    let filter = ask.filter()?;
    let source = source(&ask, &filter, WIDE, (column.0, &format!("toString(e.{})", column.0)));
    let sql = fill(include_str!("../../reports/entries.sql"), &[("source", &source)]);
    Ok(vec![ask.part("rows", sql)])
}

pub(super) fn sources(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    entries(params, context, SOURCES)
}

pub(super) fn regions(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    entries(params, context, REGIONS)
}

pub(super) fn devices(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    entries(params, context, DEVICES)
}
