//! People: the list, one person, what they did.

use super::{Ask, CLIENT, Context, Params, Part, Problem, fill};
use crate::filter::{self, Kind};
use crate::presets;

/// Profile properties shown beside each person of the list, at most.
const COLUMNS_MAX: usize = 20;
/// Ids, devices and events listed of one person.
const ITEMS_MAX: usize = 200;
/// Tags computed for one person.
const TAGS_MAX: usize = 20;
/// Days of activity shown of one person.
const DAYS: usize = 400;
/// Longest id that is looked for, bytes.
const ID_BYTES_MAX: usize = 1_000;

/// The list.
pub(super) fn people(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let order = match params.text("order").unwrap_or("last_time") {
        order @ ("last_time" | "first_time" | "events" | "days") => order,
        _ => {
            return Err(Problem::parameter(
                "order",
                "应为 last_time、first_time、events 或 days",
                "last_time, first_time, events or days is expected",
            ));
        }
    };
    let filter = ask.filter()?;
    let mut columns = String::new();
    for (at, one) in params.list("columns", COLUMNS_MAX)?.iter().enumerate() {
        let field = filter::field(one, &mut ask.values)?;
        let Some((map, _)) = field.value.split_once('[') else {
            return Err(Problem::parameter(
                "columns",
                "应为用户属性",
                "properties of profiles are expected",
            ));
        };
        let shown = match field.kind {
            Kind::List => format!("arrayStringConcat(u.{}, ', ')", field.value),
            Kind::Text | Kind::Number => format!("toString(u.{})", field.value),
        };
        let present =
            field.present.replace(&format!("mapContains({map}"), &format!("mapContains(u.{map}"));
        columns.push_str(&format!(", if({present}, {shown}, '') AS c{}", at + 1));
    }
    let profile = if columns.is_empty() {
        ""
    } else {
        "\nLEFT JOIN (SELECT user_id, str, num, arr FROM users_v WHERE project = {project:String}) AS u ON u.user_id = p.user_id"
    };
    let search = params.text("search").map(str::trim).filter(|id| !id.is_empty());
    let (period, profiles, filter) = match search {
        None => ("day BETWEEN {from:Date} AND {to:Date}", String::new(), filter),
        Some(id) if id.len() > ID_BYTES_MAX => {
            return Err(Problem::parameter("search", "ID 太长", "the id is too long"));
        }
        Some(id) => {
            let id = ask.values.text(id);
            let known = format!(
                "user_id IN (SELECT user_id FROM events_v WHERE project = {{project:String}} AND (distinct_id = {id} OR login_id = {id} OR \
                 anonymous_id = {id} OR original_id = {id} OR device_id = {id} OR has(mapValues(identities), {id})) UNION ALL SELECT user_id \
                 FROM profile_ops_v WHERE project = {{project:String}} AND (distinct_id = {id} OR login_id = {id}) UNION ALL SELECT \
                 toUInt64OrZero({id}))"
            );
            let profiles = format!(
                "\n        UNION ALL\n        SELECT user_id, 0, time, toDate(time), login_id, distinct_id, '', '', '', '', ''\n        \
                 FROM profile_ops_v WHERE project = {{project:String}} AND {known}"
            );
            ("1", profiles, format!("{filter} AND {known}"))
        }
    };
    let sql = fill(
        include_str!("../../reports/people.sql"),
        &[
            ("columns", &columns),
            ("profile", profile),
            ("profiles", &profiles),
            ("period", period),
            ("filter", &filter),
            ("order", order),
        ],
    );
    let mut parts = vec![ask.part("rows", sql)];
    if search.is_none() {
        let sql = format!(
            "SELECT uniqExact(user_id) AS people FROM events_v WHERE project = {{project:String}} AND {period} AND {filter}"
        );
        parts.push(ask.part("total", sql));
    }
    Ok(parts)
}

/// Reads `user`, and says how their events are found: by the ids in the table's order first, then by who they belong to.
fn mine(ask: &mut Ask<'_>) -> Result<String, Problem> {
    let user =
        ask.params.text("user").filter(|user| user.parse::<u64>().is_ok()).ok_or_else(|| {
            Problem::parameter(
                "user",
                "应为用户列表里的 user（一个整数）",
                "a user of the list of users is expected (a whole number)",
            )
        })?;
    ask.set("user", user);
    Ok("id_hash IN (SELECT {user:UInt64} UNION ALL SELECT anon_hash FROM id_map WHERE project = {project:String} AND login_hash = {user:UInt64}) \
        AND user_id = {user:UInt64}"
        .to_owned())
}

/// One person: who they are, by which ids, what they are like, when they were here.
pub(super) fn person(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let mine = mine(&mut ask)?;
    let events = format!("FROM events_v WHERE project = {{project:String}} AND {mine}");
    let ops = format!("FROM profile_ops_v WHERE project = {{project:String}} AND {mine}");
    let who = format!(
        "SELECT argMax(if(login_id != '', login_id, distinct_id), (login_id != '', time)) AS known_as, count() AS events, \
         uniqExact(day) AS days, uniqExactIf(device, {CLIENT}) AS devices, toString(min(time)) AS first_time, toString(max(time)) AS last_time, \
         argMaxIf(lib, time, {CLIENT}) AS platform, argMaxIf(app_version, time, app_version != '') AS app_version, \
         argMaxIf(model, time, model != '') AS model, argMaxIf(os, time, os != '') AS os, argMaxIf(province, time, province != '') AS province, \
         argMaxIf(city, time, city != '') AS city, argMinIf(utm_source, time, utm_source != '') AS first_source {events} HAVING events > 0"
    );
    let profile = "SELECT key AS property, kind, value, updated_at FROM (SELECT arrayJoin(arrayConcat(\
                   arrayMap((k, v) -> (k, 'str', v), mapKeys(str), mapValues(str)), \
                   arrayMap((k, v) -> (k, 'num', toString(v)), mapKeys(num), mapValues(num)), \
                   arrayMap((k, v) -> (k, 'arr', toJSONString(v)), mapKeys(arr), mapValues(arr)))) AS one, \
                   toString(one.1) AS key, one.2 AS kind, one.3 AS value, toString(users_v.updated_at) AS updated_at FROM users_v \
                   WHERE project = {project:String} AND user_id = {user:UInt64}) ORDER BY property, kind";
    // Whose else an id is: people whose events carry it, and logins on one device.
    let ids = format!(
        "SELECT kind, id, toString(min(at)) AS first_time, toString(max(at)) AS last_time, sum(n) AS events FROM (\
         SELECT time AS at, 1 AS n, arrayJoin(arrayFilter(x -> x.2 != '', arrayConcat([('distinct_id', distinct_id), ('login_id', \
         toString(login_id)), ('anonymous_id', anonymous_id), ('device_id', device_id)], arrayMap((k, v) -> (concat('identity ', k), v), \
         mapKeys(identities), mapValues(identities))))) AS one, one.1 AS kind, one.2 AS id {events} \
         UNION ALL SELECT time, 0, ('distinct_id', distinct_id), 'distinct_id', distinct_id {ops}) \
         GROUP BY kind, id ORDER BY kind, events DESC, id LIMIT {ITEMS_MAX}"
    );
    let shared = format!(
        "SELECT device, uniqExactIf(login_id, login_id != '') AS logins, uniqExact(user_id) AS people, count() AS events FROM events_v \
         WHERE project = {{project:String}} AND {CLIENT} AND device IN (SELECT device {events} AND {CLIENT}) GROUP BY device \
         ORDER BY logins DESC, device LIMIT {ITEMS_MAX}"
    );
    let days = format!(
        "SELECT toString(day) AS bucket, count() AS events, countIf(event IN ('$pageview', '$AppViewScreen', '$MPViewScreen')) AS pv {events} \
         GROUP BY day ORDER BY day DESC LIMIT {DAYS}"
    );
    let did = format!(
        "SELECT event, count() AS count, toString(max(time)) AS last_time {events} GROUP BY event ORDER BY count DESC, event LIMIT {ITEMS_MAX}"
    );
    let mut parts = vec![
        ask.part("who", who),
        ask.part("profile", profile.to_owned()),
        ask.part("ids", ids),
        ask.part("shared", shared),
        ask.part("days", days),
        ask.part("events", did),
    ];
    let mut tags = Vec::new();
    for rule in params.list("tags", TAGS_MAX)? {
        let name = rule.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
        let name = ask.values.text(name);
        let rows = crate::tags::tag(rule, &mut ask.values)?;
        tags.push(format!(
            "SELECT {name} AS tag, value FROM ({rows}) WHERE user_id = {{user:UInt64}}"
        ));
    }
    if !tags.is_empty() {
        parts.push(ask.part("tags", tags.join(" UNION ALL ")));
    }
    Ok(parts)
}

/// What one person did.
pub(super) fn person_events(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::new(params, context)?;
    let mine = mine(&mut ask)?;
    let filter = ask.filter()?;
    let presets: Vec<String> = presets::PRESETS
        .iter()
        .map(|(property, column, _)| format!("'{property}', toString({column})"))
        .collect();
    let sql = fill(
        include_str!("../../reports/person_events.sql"),
        &[("presets", &presets.join(", ")), ("mine", &mine), ("filter", &filter)],
    );
    Ok(vec![ask.part("rows", sql)])
}
