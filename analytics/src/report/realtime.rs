//! The last half hour, and who is here now.

use super::{Ask, Context, Params, Part, Problem, fill};

/// What is looked back at, minutes, the running one among them.
const SPAN_MIN: i64 = 30;
/// Whoever had a client event within it is online, ms.
const ONLINE_MS: i64 = 5 * 60_000;
/// Rows of each list.
const ROWS: i64 = 10;
const ROWS_MAX: i64 = 100;

/// All of it, by minute, and by what is seen most. `at_ms` looks back from another moment than now.
pub(super) fn realtime(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let now_ms = params.number("at_ms", context.now_ms, 0, context.now_ms)?;
    let start_ms = now_ms.div_euclid(60_000) * 60_000 - (SPAN_MIN - 1) * 60_000;
    ask.set("now_ms", now_ms.to_string());
    ask.set("start_ms", start_ms.to_string());
    ask.set("online_ms", (now_ms - ONLINE_MS).to_string());
    ask.set("limit", params.number("limit", ROWS, 1, ROWS_MAX)?.to_string());
    let filter = ask.filter()?;
    let source = fill(include_str!("../../reports/realtime.sql"), &[("filter", &filter)]);
    let list = |what: &str, among: &str| {
        format!(
            "SELECT toString({what}) AS label, countIf(page) AS pv, uniqExactIf(user_id, page) AS uv FROM ({source}) WHERE {among} \
             GROUP BY label ORDER BY pv DESC, label LIMIT {{limit:UInt64}}"
        )
    };
    let total = format!(
        "SELECT uniqExactIf(user_id, client AND ms >= {{online_ms:Int64}}) AS online, countIf(page) AS pv, \
         uniqExactIf(user_id, page) AS uv, uniqExactIf(user_id, client) AS active, count() AS events FROM ({source})"
    );
    let minutes = format!(
        "SELECT toString(toDateTime(intDiv({{start_ms:Int64}}, 1000) + 60 * number, {{zone:String}})) AS bucket, pv, uv, active, events \
         FROM numbers({SPAN_MIN}) AS m LEFT JOIN (SELECT intDiv(ms - {{start_ms:Int64}}, 60000) AS minute, countIf(page) AS pv, \
         uniqExactIf(user_id, page) AS uv, uniqExactIf(user_id, client) AS active, count() AS events FROM ({source}) GROUP BY minute) AS e \
         ON m.number = toUInt64(e.minute) ORDER BY number"
    );
    let events = format!(
        "SELECT event, count() AS events, uniqExact(user_id) AS users FROM ({source}) GROUP BY event ORDER BY events DESC, event \
         LIMIT {{limit:UInt64}}"
    );
    Ok(vec![
        ask.part("total", total),
        ask.part("minutes", minutes),
        ask.part("events", events),
        ask.part("pages", list("label", "page")),
        ask.part("regions", list("province", "page")),
        ask.part("platforms", list("lib", "page")),
    ])
}
