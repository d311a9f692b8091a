//! Conditions of a report as SQL: `{"and": [condition…]}` or `{"or": […]}`, nested at will; every value is a parameter.

use crate::presets::{self, Holds};
use crate::report::{Problem, Values};
use serde_json::Value;

/// Conditions in one filter.
const CONDITIONS_MAX: usize = 50;
/// Levels of `and` and `or`.
const DEPTH_MAX: usize = 5;

/// A field of an event: where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The value.
    pub value: String,
    /// Whether the event has it.
    pub present: String,
    /// What it is.
    pub kind: Kind,
}

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A list of texts.
    List,
}

fn bad(zh: impl Into<String>, en: impl Into<String>) -> Problem {
    Problem { code: "report.bad_filter", zh: zh.into(), en: en.into() }
}

/// An attribute of an item, for `{"field": "category", "kind": "item", "by": "product_id", "item_type": "sku", "as": "str|num"}`: the event's
/// property `by` holds the item's id. The items' attribute is read once, as a list to look ids up in.
fn item(json: &Value, name: &str, values: &mut Values) -> Result<Field, Problem> {
    let member =
        |member: &str| json.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    let by = member("by").ok_or_else(|| {
        bad(
            "物品属性缺少 by：事件里存放物品 ID 的属性",
            "an item's attribute needs by: the property with the item's id",
        )
    })?;
    let by = values.text(by);
    let id = format!(
        "if(mapContains(str, {by}), str[{by}], if(mapContains(num, {by}), toString(num[{by}]), ''))"
    );
    let key = values.text(name);
    let of_type = member("item_type")
        .map(|kind| format!(" AND item_type = {}", values.text(kind)))
        .unwrap_or_default();
    let items = |column: &str, empty: &str| {
        let what = format!(
            "SELECT item_id, {column}[{key}] AS v FROM items_v WHERE project = {{project:String}}{of_type} AND mapContains({column}, {key}) ORDER BY item_id LIMIT 1 BY item_id"
        );
        // A list of nothing cannot be looked up in.
        format!(
            "transform({id}, (SELECT arrayPushBack(groupArray(item_id), '') FROM ({what})), (SELECT arrayPushBack(groupArray(v), {empty}) FROM ({what})), {empty})"
        )
    };
    Ok(match json.get("as").and_then(Value::as_str).unwrap_or("str") {
        "num" => {
            let value = items("num", "nan");
            Field { present: format!("NOT isNaN({value})"), value, kind: Kind::Number }
        }
        "str" => {
            let value = items("str", "''");
            Field { present: format!("{value} != ''"), value, kind: Kind::Text }
        }
        other => {
            return Err(bad(
                format!("as 应为 str 或 num，不是 {other}"),
                format!("as is str or num, not {other}"),
            ));
        }
    })
}

/// The field of `{"field": …, "kind": "preset|str|num|arr|item"}`.
///
/// # Errors
/// No such preset, no such kind.
pub fn field(json: &Value, values: &mut Values) -> Result<Field, Problem> {
    let name = json.get("field").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| bad("条件缺少 field", "a condition has no field"))?;
    let kind = json.get("kind").and_then(Value::as_str).unwrap_or("preset");
    let map = |column: &str, kind: Kind, values: &mut Values| {
        let key = values.text(name);
        Field {
            value: format!("{column}[{key}]"),
            present: format!("mapContains({column}, {key})"),
            kind,
        }
    };
    Ok(match kind {
        "str" => map("str", Kind::Text, values),
        "num" => map("num", Kind::Number, values),
        "arr" => map("arr", Kind::List, values),
        "item" => item(json, name, values)?,
        "preset" => match presets::column(name) {
            Some((column, Holds::Word)) => Field {
                value: format!("toString({column})"),
                present: format!("{column} != ''"),
                kind: Kind::Text,
            },
            Some((column, Holds::Number)) => Field {
                value: format!("toFloat64({column})"),
                present: format!("{column} != 0"),
                kind: Kind::Number,
            },
            None => {
                return Err(bad(
                    format!("没有预置属性 {name}"),
                    format!("there is no preset property {name}"),
                ));
            }
        },
        _ => {
            return Err(bad(
                format!("kind 应为 preset、str、num、arr 或 item，不是 {kind}"),
                format!("kind is preset, str, num, arr or item, not {kind}"),
            ));
        }
    })
}

/// The SQL of a filter; `1` for none.
///
/// # Errors
/// What is wrong with it.
pub fn sql(json: Option<&Value>, values: &mut Values) -> Result<String, Problem> {
    let mut left = CONDITIONS_MAX;
    match json {
        None | Some(Value::Null) => Ok("1".to_owned()),
        Some(json) => tree(json, values, DEPTH_MAX, &mut left),
    }
}

fn tree(
    json: &Value,
    values: &mut Values,
    depth: usize,
    left: &mut usize,
) -> Result<String, Problem> {
    for (name, word) in [("and", " AND "), ("or", " OR ")] {
        if let Some(all) = json.get(name) {
            let all = all
                .as_array()
                .ok_or_else(|| bad(format!("{name} 应为列表"), format!("{name} is a list")))?;
            if depth == 0 {
                return Err(bad("条件嵌套太深", "conditions are nested too deeply"));
            }
            if all.is_empty() {
                return Ok("1".to_owned());
            }
            let parts: Result<Vec<String>, Problem> =
                all.iter().map(|each| tree(each, values, depth - 1, left)).collect();
            return Ok(format!("({})", parts?.join(word)));
        }
    }
    if json.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok("1".to_owned());
    }
    *left = left.checked_sub(1).ok_or_else(|| {
        bad(format!("最多 {CONDITIONS_MAX} 个条件"), format!("at most {CONDITIONS_MAX} conditions"))
    })?;
    let one = condition(json, values)?;
    if json.get("scope").and_then(Value::as_str) == Some("user") {
        return Ok(format!(
            "user_id IN (SELECT user_id FROM users_v WHERE project = {{project:String}} AND {one})"
        ));
    }
    Ok(one)
}

fn condition(json: &Value, values: &mut Values) -> Result<String, Problem> {
    let field = field(json, values)?;
    let op = json.get("op").and_then(Value::as_str).unwrap_or("is");
    let given: &[Value] = json.get("values").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let Field { value, present, kind } = &field;
    let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
    let number = |one: &Value| {
        one.as_f64().or_else(|| one.as_str()?.trim().parse().ok()).filter(|n: &f64| n.is_finite())
    };
    let numbers = || -> Result<Vec<f64>, Problem> {
        given
            .iter()
            .map(|one| {
                number(one)
                    .ok_or_else(|| bad(format!("{one} 不是数值"), format!("{one} is not a number")))
            })
            .collect()
    };
    let texts: Vec<String> = given.iter().map(text).collect();
    let any = |values: &mut Values| -> Result<String, Problem> {
        Ok(match kind {
            Kind::Number => format!("has({}, {value})", values.numbers(&numbers()?)),
            Kind::Text => {
                format!("has({}, {value})", values.texts(texts.iter().map(String::as_str)))
            }
            Kind::List => {
                format!("hasAny({value}, {})", values.texts(texts.iter().map(String::as_str)))
            }
        })
    };
    Ok(match op {
        "set" => format!("({present})"),
        "unset" => format!("NOT ({present})"),
        "is" | "in" => format!("({present} AND {})", any(values)?),
        "is_not" => format!("NOT ({present} AND {})", any(values)?),
        "contains" if *kind == Kind::List => format!("({present} AND {})", any(values)?),
        "contains" if *kind == Kind::Text => {
            let words = values.texts(texts.iter().map(String::as_str));
            format!("({present} AND arrayExists(word -> position({value}, word) > 0, {words}))")
        }
        "gt" | "ge" | "lt" | "le" | "between" if *kind == Kind::Number => {
            let given = numbers()?;
            let mut at = |at: usize| {
                let found = given
                    .get(at)
                    .copied()
                    .ok_or_else(|| bad("条件缺少数值", "a condition has no value"));
                found.map(|number| values.put("Float64", number.to_string()))
            };
            match op {
                "gt" => format!("({present} AND {value} > {})", at(0)?),
                "ge" => format!("({present} AND {value} >= {})", at(0)?),
                "lt" => format!("({present} AND {value} < {})", at(0)?),
                "le" => format!("({present} AND {value} <= {})", at(0)?),
                _ => format!("({present} AND {value} BETWEEN {} AND {})", at(0)?, at(1)?),
            }
        }
        _ => {
            return Err(bad(
                format!("这种属性没有条件 {op}"),
                format!("a property of this kind has no condition {op}"),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(json: &Value) -> Result<String, Problem> {
        sql(Some(json), &mut Values::default())
    }

    #[test]
    fn values_never_become_sql() {
        let mut values = Values::default();
        let filter = json!({"and": [
            {"field": "$city", "kind": "preset", "op": "is", "values": ["x') OR 1 --"]},
            {"field": "a'b", "kind": "str", "op": "contains", "values": ["'"]},
        ]});
        let text = sql(Some(&filter), &mut values).unwrap();
        assert_eq!(
            text,
            "((city != '' AND has({v1:Array(String)}, toString(city))) AND (mapContains(str, {v2:String}) AND \
             arrayExists(word -> position(str[{v2:String}], word) > 0, {v3:Array(String)})))"
        );
        assert_eq!(values.0.len(), 3);
    }

    #[test]
    fn items_are_looked_up_by_an_id_of_the_event() {
        let mut values = Values::default();
        let asked = json!({"field": "cat'", "kind": "item", "by": "sku'", "item_type": "t'", "op": "is", "values": ["x'"]});
        let text = sql(Some(&asked), &mut values).unwrap();
        assert!(text.contains("items_v") && text.contains("item_type = {v3:String}"), "{text}");
        for bad in ["cat'", "sku'", "t'", "x'"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
        assert!(of(&json!({"field": "category", "kind": "item"})).is_err());
        assert!(
            of(&json!({"field": "category", "kind": "item", "by": "id", "as": "arr"})).is_err()
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(of(&json!({})), Ok("1".to_owned()));
        assert_eq!(of(&json!({"and": []})), Ok("1".to_owned()));
        for wrong in [
            json!({"field": "nothing"}),
            json!({"field": "x", "kind": "sql"}),
            json!({"field": "x", "kind": "num", "op": "gt", "values": ["1 OR 1"]}),
            json!({"field": "x", "kind": "num", "op": "gt"}),
            json!({"field": "x", "kind": "str", "op": "gt", "values": [1]}),
            json!({"and": {"field": "x"}}),
            json!({"and": [{"and": [{"and": [{"and": [{"and": [{"and": []}]}]}]}]}]}),
        ] {
            assert!(of(&wrong).is_err(), "{wrong}");
        }
    }
}
