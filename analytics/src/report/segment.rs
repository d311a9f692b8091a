//! Segments and tags in numbers: size, overlap, portrait.

use super::{Ask, Context, Params, Part, Problem};
use crate::filter::{self, Kind};
use crate::tags;
use serde_json::Value;

/// Segments laid over each other: two to the power of it are the fields of the matrix.
const OVERLAP_MAX: usize = 6;
/// Properties of a portrait.
const FIELDS_MAX: usize = 10;
/// Values shown of a property.
const VALUES: u64 = 20;

/// Everybody of a project: with events, or with a profile.
const ALL: &str = "SELECT user_id FROM events_v WHERE project = {project:String} UNION DISTINCT \
                   SELECT user_id FROM profile_ops_v WHERE project = {project:String}";

fn rule<'p>(params: &'p Params, name: &str) -> Result<&'p Value, Problem> {
    params.0.get(name).filter(|rule| rule.is_object()).ok_or_else(|| {
        Problem::parameter(
            name,
            "应为规则，或已保存的名称",
            "a rule, or the name of a saved one, is expected",
        )
    })
}

/// How many there are, of how many.
pub(super) fn segment(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let fits = tags::segment(rule(params, "segment")?, &mut ask.values)?;
    let sql = format!("SELECT countIf({fits}) AS users, count() AS everybody FROM ({ALL})");
    Ok(vec![ask.part("size", sql)])
}

/// Those in a segment, with their newest ids.
pub(super) fn segment_users(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let fits = tags::segment(rule(params, "segment")?, &mut ask.values)?;
    let sql = format!(
        "SELECT toString(user_id) AS user, argMax(distinct_id, (login != '', time)) AS distinct_id, argMax(login, (login != '', time)) AS login_id, \
         toString(max(time)) AS last_time FROM (SELECT user_id, distinct_id, toString(login_id) AS login, time FROM events_v \
         WHERE project = {{project:String}} UNION ALL SELECT user_id, distinct_id, toString(login_id), time FROM profile_ops_v \
         WHERE project = {{project:String}}) WHERE {fits} GROUP BY user_id ORDER BY max(time) DESC, user_id LIMIT {{limit:UInt64}}"
    );
    Ok(vec![ask.part("rows", sql)])
}

/// How many are in which of several segments at once: `pattern` has one letter a segment, `1` = in it.
pub(super) fn overlap(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let list = params.list("segments", OVERLAP_MAX)?;
    if list.len() < 2 {
        return Err(Problem::parameter(
            "segments",
            "至少 2 个分群",
            "at least 2 segments are expected",
        ));
    }
    let mut bits = Vec::new();
    for one in list {
        let one = Some(one).filter(|rule| rule.is_object()).ok_or_else(|| {
            Problem::parameter("segments", "没有这个分群", "there is no such segment")
        })?;
        bits.push(format!("if({}, '1', '0')", tags::segment(one, &mut ask.values)?));
    }
    let sql = format!(
        "SELECT concat({}) AS pattern, count() AS users FROM ({ALL}) GROUP BY pattern ORDER BY pattern DESC",
        bits.join(", ")
    );
    Ok(vec![ask.part("rows", sql)])
}

/// What a segment is like, beside everybody: each value's share in both, and how much more often it is inside (lift).
pub(super) fn portrait(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let fits = tags::segment(rule(params, "segment")?, &mut ask.values)?;
    let fields = params.list("fields", FIELDS_MAX)?;
    let mut parts = Vec::new();
    for (at, one) in fields.iter().enumerate() {
        let source = if let Some(tag) = one.get("tag") {
            format!("SELECT user_id, value AS v FROM ({})", tags::tag(tag, &mut ask.values)?)
        } else {
            let field = filter::field(one, &mut ask.values)?;
            let value = match field.kind {
                Kind::List => format!("arrayJoin({})", field.value),
                Kind::Text | Kind::Number => format!("toString({})", field.value),
            };
            if one.get("scope").and_then(Value::as_str) == Some("user") {
                format!(
                    "SELECT user_id, {value} AS v FROM users_v WHERE project = {{project:String}} AND {}",
                    field.present
                )
            } else {
                // Of events: the newest value a person had.
                format!(
                    "SELECT user_id, argMax({value}, time) AS v FROM events_v WHERE project = {{project:String}} AND {} GROUP BY user_id",
                    field.present
                )
            }
        };
        let sql = format!(
            "SELECT p.v AS value, uniqExactIf(p.user_id, p.inside) AS users, uniqExact(p.user_id) AS everybody, users / nullIf(any(n.inside_all), 0) AS share, \
             everybody / nullIf(any(n.all_all), 0) AS share_all, share / nullIf(share_all, 0) AS lift FROM (\
             SELECT user_id, v, {fits} AS inside FROM ({source})) AS p CROSS JOIN (SELECT countIf({fits}) AS inside_all, count() AS all_all \
             FROM ({ALL})) AS n GROUP BY value ORDER BY users DESC, everybody DESC, value LIMIT {VALUES}"
        );
        parts.push(ask.part(&format!("field{}", at + 1), sql));
    }
    let sql = format!("SELECT countIf({fits}) AS users, count() AS everybody FROM ({ALL})");
    parts.push(ask.part("size", sql));
    Ok(parts)
}

/// How many have which value of a tag.
pub(super) fn tag(params: &Params, context: &Context<'_>) -> Result<Vec<Part>, Problem> {
    let mut ask = Ask::undated(params, context)?;
    let rows = tags::tag(rule(params, "tag")?, &mut ask.values)?;
    let sql = format!(
        "SELECT value, count() AS users FROM ({rows}) GROUP BY value ORDER BY users DESC, value LIMIT {{limit:UInt64}}"
    );
    Ok(vec![ask.part("rows", sql)])
}
