//! `/api/segments`: saved segments and tags, each a rule with a name. Everybody who may look sees them; a manager changes them. Rules are
//! shown and taken as TOML too. [`resolve`] puts the rules where a report's parameters name them.

use std::sync::Arc;

use analytics::report::Values;
use analytics::tags;
use axum::extract::{Path, Query, State as Extract};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::trying;
use crate::Shared;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};

pub use super::{idle as run, Stateless as State};

/// Name of the document.
const DOCUMENT: &str = "segments";
/// Rules of all projects.
const RULES_MAX: usize = 500;
/// Longest name, characters.
const NAME_MAX: usize = 60;
/// Longest text of rules, bytes.
const TOML_BYTES_MAX: usize = 64 << 10;
/// How deep a rule may name another: ends circles.
const DEPTH_MAX: usize = 8;
/// Places in parameters where a rule is put in.
const PLACES_MAX: usize = 100;

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/segments", get(list).post(save))
        .route("/api/segments/read", post(read))
        .route("/api/segments/{kind}/{name}", delete(remove))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Segment,
    Tag,
}

/// A saved rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Saved {
    project: String,
    kind: What,
    name: String,
    /// As written in TOML: `name`, `title`, and the rule's own members.
    item: Value,
    /// Who changed it last.
    by: String,
}

fn bad(zh: impl Into<String>, en: impl Into<String>) -> Problem {
    Problem::bad("segments.bad", zh, en)
}

/// `[[segment]]` and `[[tag]]` of a text.
fn parsed(text: &str) -> Result<Vec<(What, Value)>, Problem> {
    if text.len() > TOML_BYTES_MAX {
        return Err(bad("规则文本太长", "the text of the rules is too long"));
    }
    let read: Map<String, Value> = toml::from_str(text).map_err(|error| {
        let line = error.to_string();
        let line = line.replace('\n', " ");
        bad(format!("TOML 有错：{line}"), format!("the TOML is wrong: {line}"))
    })?;
    let mut out = Vec::new();
    for (name, list) in read {
        let kind = match name.as_str() {
            "segment" => What::Segment,
            "tag" => What::Tag,
            _ => {
                return Err(bad(
                    format!("不认识 [[{name}]]；应为 [[segment]] 或 [[tag]]"),
                    format!("[[{name}]] is not known; write [[segment]] or [[tag]]"),
                ));
            }
        };
        let Value::Array(list) = list else {
            return Err(bad(format!("应写作 [[{name}]]"), format!("write [[{name}]]")));
        };
        out.extend(list.into_iter().map(|item| (kind, item)));
    }
    if out.is_empty() {
        return Err(bad("没有 [[segment]] 或 [[tag]]", "there is no [[segment]] or [[tag]]"));
    }
    Ok(out)
}

fn written(kind: What, item: &Value) -> String {
    let name = if kind == What::Segment { "segment" } else { "tag" };
    toml::to_string(&json!({name: [item]})).unwrap_or_default()
}

/// Its name, if the rule can be computed.
fn checked(kind: What, item: &Value, project: &str, known: &[Saved]) -> Result<String, Problem> {
    let name = item.get("name").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.contains(['/', '\\']) {
        return Err(bad(
            format!("名称不能为空，最长 {NAME_MAX} 个字，不含斜线"),
            format!("a name has 1 to {NAME_MAX} characters and no slash"),
        ));
    }
    let mut item = item.clone();
    put(&mut item, &mut Known { project, saved: known, places: PLACES_MAX }, DEPTH_MAX)?;
    let mut values = Values::default();
    let compiled = match kind {
        What::Segment => match item.get("rule") {
            Some(rule) => tags::segment(rule, &mut values),
            None => return Err(bad("分群缺少 rule", "a segment has no rule")),
        },
        What::Tag => tags::tag(&item, &mut values),
    };
    compiled.map_err(|problem| Problem::bad(problem.code, problem.zh, problem.en))?;
    Ok(name.to_owned())
}

fn all(shared: &Shared) -> Result<Vec<Saved>, Problem> {
    let read = shared.store.read::<Vec<Saved>>(DOCUMENT);
    read.map(Option::unwrap_or_default).map_err(|error| Problem::daemon(&error))
}

/// Whether parameters name a saved rule anywhere.
fn names_one(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, member)| match name.as_str() {
            "segment" | "tag" => member.is_string() || names_one(member),
            "segments" | "tags" => {
                member.as_array().is_some_and(|list| list.iter().any(|one| one.is_string() || names_one(one)))
            }
            _ => names_one(member),
        }),
        Value::Array(list) => list.iter().any(names_one),
        _ => false,
    }
}

fn find(kind: What, name: &str, project: &str, known: &[Saved]) -> Result<Value, Problem> {
    let found = known.iter().find(|saved| saved.kind == kind && saved.name == name && saved.project == project);
    found.map(|saved| saved.item.clone()).ok_or_else(|| {
        let (zh, en) = if kind == What::Segment { ("分群", "segment") } else { ("标签", "tag") };
        Problem::missing("segments.unknown", format!("没有{zh}“{name}”，可能已删除"), format!("there is no {en} `{name}`; it may have been deleted"))
    })
}

/// Where rules are looked for, and how many may still be put in.
struct Known<'a> {
    project: &'a str,
    saved: &'a [Saved],
    places: usize,
}

/// Puts in the rules that `value` names.
fn put(value: &mut Value, known: &mut Known<'_>, depth: usize) -> Result<(), Problem> {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("segment", member) => put_one(What::Segment, member, known, depth)?,
                    ("tag", member) => put_one(What::Tag, member, known, depth)?,
                    ("segments", Value::Array(list)) => {
                        list.iter_mut().try_for_each(|each| put_one(What::Segment, each, known, depth))?;
                    }
                    ("tags", Value::Array(list)) => {
                        list.iter_mut().try_for_each(|each| put_one(What::Tag, each, known, depth))?;
                    }
                    (_, member) => put(member, known, depth)?,
                }
            }
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|member| put(member, known, depth)),
        _ => Ok(()),
    }
}

fn put_one(kind: What, member: &mut Value, known: &mut Known<'_>, depth: usize) -> Result<(), Problem> {
    let Value::String(name) = member else { return put(member, known, depth) };
    known.places = known.places.saturating_sub(1);
    let deeper = depth.checked_sub(1).filter(|_| known.places > 0).ok_or_else(|| {
        bad("分群互相引用太深，或绕成了圈", "segments name each other too deeply, or in a circle")
    })?;
    let mut item = find(kind, name, known.project, known.saved)?;
    put(&mut item, known, deeper)?;
    *member = item;
    Ok(())
}

/// Puts saved rules where parameters of a report name them.
///
/// # Errors
/// There is no such rule.
pub(crate) async fn resolve(shared: &Arc<Shared>, params: &mut Value) -> Result<(), Problem> {
    if !names_one(params) {
        return Ok(());
    }
    let project = params.get("project").and_then(Value::as_str).unwrap_or("default").to_owned();
    let known = trying(shared, all).await?;
    put(params, &mut Known { project: &project, saved: &known, places: PLACES_MAX }, DEPTH_MAX)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    project: String,
}

async fn list(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let known = trying(&shared, all).await?;
    let of = |kind: What| -> Vec<Value> {
        let saved = known.iter().filter(|saved| saved.kind == kind && saved.project == which.project);
        saved
            .map(|saved| json!({"name": saved.name, "item": saved.item, "by": saved.by, "toml": written(kind, &saved.item)}))
            .collect()
    };
    Ok(Json(json!({"segments": of(What::Segment), "tags": of(What::Tag)})))
}

/// Rules as TOML, or one as JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    project: String,
    #[serde(default)]
    toml: Option<String>,
    #[serde(default)]
    segment: Option<Value>,
    #[serde(default)]
    tag: Option<Value>,
}

impl Wanted {
    fn items(&self) -> Result<Vec<(What, Value)>, Problem> {
        let mut items = match &self.toml {
            Some(text) => parsed(text)?,
            None => Vec::new(),
        };
        items.extend(self.segment.iter().map(|item| (What::Segment, item.clone())));
        items.extend(self.tag.iter().map(|item| (What::Tag, item.clone())));
        Ok(items)
    }
}

/// Reads rules without saving them: TOML to members, members to TOML, and whether they can be computed.
async fn read(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Problem> {
    let known = trying(&shared, all).await?;
    let mut out = Vec::new();
    for (kind, item) in wanted.items()? {
        checked(kind, &item, &wanted.project, &known)?;
        out.push(json!({"kind": kind, "item": item, "toml": written(kind, &item)}));
    }
    Ok(Json(json!({"rules": out})))
}

async fn save(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Problem> {
    let items = wanted.items()?;
    let change = move |shared: &Shared| {
        let mut said = None;
        let mut names = Vec::new();
        let changed = shared.store.change(DOCUMENT, |known: &mut Vec<Saved>| {
            for (kind, item) in items {
                let name = checked(kind, &item, &wanted.project, known).map_err(|problem| {
                    let sentence = problem.text.en.clone();
                    said = Some(problem);
                    sentence
                })?;
                known.retain(|saved| saved.kind != kind || saved.name != name || saved.project != wanted.project);
                known.push(Saved { project: wanted.project.clone(), kind, name: name.clone(), item, by: who.user.clone() });
                names.push(name);
            }
            if known.len() > RULES_MAX {
                return Err(format!("at most {RULES_MAX} segments and tags: delete some first"));
            }
            Ok(())
        });
        changed.map_err(|error| said.unwrap_or_else(|| Problem::daemon(&error)))?;
        Ok(names)
    };
    let names = trying(&shared, change).await?;
    Ok(Json(json!({"saved": names})))
}

async fn remove(
    Extract(shared): Extract<Arc<Shared>>,
    _: Manager,
    Path((kind, name)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let kind = match kind.as_str() {
        "segment" => What::Segment,
        "tag" => What::Tag,
        _ => return Err(Problem::missing("segments.unknown", "没有这种规则", "there is no such kind of rule")),
    };
    let change = move |shared: &Shared| {
        let changed = shared.store.change(DOCUMENT, |known: &mut Vec<Saved>| {
            let before = known.len();
            known.retain(|saved| saved.kind != kind || saved.name != name || saved.project != which.project);
            Ok(before - known.len())
        });
        changed.map_err(|error| Problem::daemon(&error))
    };
    let removed = trying(&shared, change).await?;
    Ok(Json(json!({"removed": removed})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(kind: What, item: Value) -> Saved {
        let name = item["name"].as_str().unwrap().to_owned();
        Saved { project: "p".to_owned(), kind, name, item, by: String::new() }
    }

    #[test]
    fn toml_and_members_are_the_same() {
        let text = "[[segment]]\nname = \"高价值\"\n[segment.rule]\nand = [{ did = \"Pay\", at_least = 2 }, { not = { tag = \"活跃度\", values = [\"低\"] } }]\n\
                    [[tag]]\nname = \"活跃度\"\nwindow = \"7d\"\n[tag.measure]\ndays = { agg = \"days()\" }\n[[tag.value]]\nvalue = \"高\"\nwhen = \"days >= 4\"\n";
        let items = parsed(text).unwrap();
        assert_eq!(items.len(), 2);
        for (kind, item) in &items {
            assert_eq!(parsed(&written(*kind, item)).unwrap(), [(*kind, item.clone())]);
        }
        let (_, tag) = items.iter().find(|(kind, _)| *kind == What::Tag).unwrap();
        let (_, segment) = items.iter().find(|(kind, _)| *kind == What::Segment).unwrap();
        let known = [saved(What::Tag, tag.clone())];
        assert_eq!(checked(What::Segment, segment, "p", &known).unwrap(), "高价值");
        assert!(checked(What::Segment, segment, "other", &known).is_err());
        for wrong in ["", "x = 1", "[segment]\nname = 1", "[[rule]]\nname = \"a\"", "[[segment]]\nname = \"a", "segment = 1"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_circle_ends() {
        let a = saved(What::Segment, json!({"name": "a", "rule": {"segment": "b"}}));
        let b = saved(What::Segment, json!({"name": "b", "rule": {"or": [{"segment": "a"}, {"segment": "a"}]}}));
        let mut params = json!({"segment": "a"});
        let all = [a, b];
        let mut known = Known { project: "p", saved: &all, places: PLACES_MAX };
        assert!(put(&mut params, &mut known, DEPTH_MAX).is_err());
        let c = saved(What::Segment, json!({"name": "c", "rule": {"did": "x"}}));
        let mut params = json!({"segments": ["c", {"did": "y"}], "filter": {"field": "segment"}});
        let all = [c];
        let mut known = Known { project: "p", saved: &all, places: PLACES_MAX };
        put(&mut params, &mut known, DEPTH_MAX).unwrap();
        assert_eq!(params["segments"][0]["rule"]["did"], "x");
        assert!(!names_one(&json!({"filter": {"field": "tag", "values": ["segment"]}})));
    }
}
