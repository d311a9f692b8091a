//! `/api/dictionary`: events and properties with names people understand; what every picker searches.

mod items;
pub mod names;
pub mod presets;
mod table;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State as Extract};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{health, trying};
use crate::Shared;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};
use crate::sheet;
use items::Item;
use names::{DOCUMENT, Document, Names, What};

pub use super::{idle as run, Stateless as State};

/// Items of one answer.
const ITEMS_MAX: usize = 5_000;
/// Items a picker gets if it does not say how many it wants.
const ITEMS: usize = 200;

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/dictionary/events", get(events))
        .route("/api/dictionary/properties", get(properties))
        .route("/api/dictionary/event", get(event))
        .route("/api/dictionary/names", put(rename))
        .route(
            "/api/dictionary/import",
            post(import).layer(DefaultBodyLimit::max(sheet::UPLOAD_BYTES_MAX)),
        )
        .route("/api/dictionary/export.csv", get(export))
}

/// What a picker wants.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    project: String,
    /// What was typed.
    q: String,
    /// Only properties of these events, by comma.
    event: String,
    /// Whose properties: `event` (default), `user` or `item`.
    scope: String,
    limit: Option<usize>,
}

/// Names that people gave in one project.
///
/// # Errors
/// The store's.
pub(crate) async fn names_of(shared: &Arc<Shared>, project: &str) -> Result<names::Project, Problem> {
    let project = project.to_owned();
    trying(shared, move |shared| names::load(&shared.store, &project)).await
}

fn answer(wanted: &Wanted, items: Vec<Item>) -> Json<Value> {
    let limit = wanted.limit.unwrap_or(ITEMS).min(ITEMS_MAX);
    let total = items.len();
    Json(json!({"items": items::search(items, &wanted.q, limit), "total": total}))
}

async fn events(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Problem> {
    let snapshot = health::snapshot(&shared).await?;
    let names = names_of(&shared, &wanted.project).await?;
    Ok(answer(&wanted, items::events(&snapshot, &wanted.project, &names)))
}

async fn properties(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Problem> {
    let snapshot = health::snapshot(&shared).await?;
    let names = names_of(&shared, &wanted.project).await?;
    let scope = match wanted.scope.as_str() {
        "user" => "user",
        "item" => "item",
        _ => "event",
    };
    let events: Vec<&str> = wanted.event.split(',').filter(|name| !name.is_empty()).collect();
    Ok(answer(&wanted, items::properties(&snapshot, &wanted.project, &names, (scope, &events))))
}

/// One event.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Event {
    project: String,
    event: String,
}

async fn event(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(wanted): Query<Event>,
) -> Result<Json<Value>, Problem> {
    let snapshot = health::snapshot(&shared).await?;
    let names = names_of(&shared, &wanted.project).await?;
    let fill: Vec<Value> = items::fill(&snapshot, &wanted.project, &wanted.event)
        .into_iter()
        .map(|fill| {
            let (zh, en) = names.shown(What::Property, &fill.property);
            let mut row = serde_json::to_value(fill).unwrap_or_default();
            (row["zh"], row["en"]) = (zh.into(), en.into());
            row
        })
        .collect();
    let (zh, en) = names.shown(What::Event, &wanted.event);
    let seen_on = items::seen_on(&snapshot, &wanted.project, &wanted.event);
    Ok(Json(json!({"name": wanted.event, "zh": zh, "en": en, "seen_on": seen_on, "properties": fill,
        "note": names.note(What::Event, &wanted.event)})))
}

/// A name to be given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    project: String,
    what: What,
    name: String,
    #[serde(default)]
    zh: String,
    #[serde(default)]
    en: String,
    #[serde(default)]
    note: String,
}

async fn rename(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(_): Manager,
    Json(asked): Json<Rename>,
) -> Result<Json<Value>, Problem> {
    let names = Names { zh: asked.zh, en: asked.en, note: asked.note };
    change(&shared, asked.project, move |project| project.give(asked.what, &asked.name, &names)).await?;
    Ok(Json(json!({})))
}

/// Changes the names of a project; none of it where something is wrong.
async fn change<T: Send + 'static>(
    shared: &Arc<Shared>,
    project: String,
    work: impl FnOnce(&mut names::Project) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = move |shared: &Shared| {
        let mut said = None;
        let changed = shared.store.change(DOCUMENT, |all: &mut Document| {
            work(all.entry(project).or_default()).map_err(|problem| {
                let sentence = problem.text.en.clone();
                said = Some(problem);
                sentence
            })
        });
        changed.map_err(|error| said.unwrap_or_else(|| Problem::daemon(&error)))
    };
    trying(shared, done).await
}

/// A project.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfProject {
    project: String,
}

async fn import(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Query(of): Query<OfProject>,
    bytes: Bytes,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, bytes = bytes.len(), "names uploaded");
    let changed = change(&shared, of.project, move |project| {
        let rows = sheet::read(&bytes)?;
        table::take(project, &rows)
    })
    .await?;
    Ok(Json(json!({"changed": changed})))
}

async fn export(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(of): Query<OfProject>,
) -> Result<impl IntoResponse, Problem> {
    let snapshot = health::snapshot(&shared).await?;
    let names = names_of(&shared, &of.project).await?;
    let events = items::events(&snapshot, &of.project, &names);
    let mut properties = Vec::new();
    for scope in ["event", "user", "item"] {
        properties.extend(items::properties(&snapshot, &of.project, &names, (scope, &[])));
    }
    let csv = table::write(&events, &properties);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"dictionary.csv\""),
    ];
    Ok((headers, csv))
}
