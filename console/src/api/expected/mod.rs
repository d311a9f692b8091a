//! `/api/expected`: the list of expected events (an uploaded table) and what came of it. It is observed only.

mod coverage;
pub mod list;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State as Extract};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{health, trying};
use crate::Shared;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};
use crate::sheet;
use crate::store::Store;
use list::{DOCUMENT, Document, List};

pub use super::{idle as run, Stateless as State};

/// Longest name of a file, characters.
const FILE_CHARS_MAX: usize = 200;

/// The template people fill in.
const TEMPLATE: [[&str; 7]; 4] = [
    ["事件名", "显示名", "属性名", "类型", "必填", "枚举", "平台"],
    ["PayOrder", "支付订单", "order_id", "文本", "是", "", "Android|iOS|Web|小程序"],
    ["", "", "price", "数值", "是", "", ""],
    ["", "", "pay_method", "文本", "否", "wechat|alipay", ""],
];

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/expected", get(show).post(upload).delete(remove))
        .route("/api/expected/coverage", get(coverage_of))
        .route("/api/expected/template.csv", get(template))
        .layer(DefaultBodyLimit::max(sheet::UPLOAD_BYTES_MAX))
}

/// Which project, and the name of what is uploaded.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    project: String,
    file: String,
}

/// The list of a project; `None` if there is none.
///
/// # Errors
/// 503: the document cannot be read.
pub fn load(store: &Store, project: &str) -> Result<Option<List>, Problem> {
    let document: Option<Document> =
        store.read(DOCUMENT).map_err(|error| Problem::daemon(&error))?;
    Ok(document.and_then(|mut all| all.remove(project)))
}

async fn list_of(shared: &Arc<Shared>, project: &str) -> Result<Option<List>, Problem> {
    let project = project.to_owned();
    trying(shared, move |shared| load(&shared.store, &project)).await
}

async fn show(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    let list = list_of(&shared, &asked.project).await?;
    Ok(Json(json!({"list": list})))
}

async fn upload(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Query(asked): Query<Asked>,
    bytes: Bytes,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, bytes = bytes.len(), "expected events uploaded");
    let (events, properties) = trying(&shared, move |shared| {
        let events = list::parse(&sheet::read(&bytes)?)?;
        let sizes = (events.len(), events.iter().map(|event| event.properties.len()).sum::<usize>());
        let list = List {
            file: asked.file.chars().take(FILE_CHARS_MAX).collect(),
            uploaded_ms: jiff::Timestamp::now().as_millisecond(),
            by: who.user,
            events,
        };
        let changed = shared.store.change(DOCUMENT, |all: &mut Document| {
            all.insert(asked.project, list);
            Ok(())
        });
        changed.map(|()| sizes).map_err(|error| Problem::daemon(&error))
    })
    .await?;
    Ok(Json(json!({"events": events, "properties": properties})))
}

async fn remove(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, project = asked.project, "expected events removed");
    trying(&shared, move |shared| {
        let changed = shared.store.change(DOCUMENT, |all: &mut Document| {
            all.remove(&asked.project);
            Ok(())
        });
        changed.map_err(|error| Problem::daemon(&error))
    })
    .await?;
    Ok(Json(json!({})))
}

async fn coverage_of(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    let snapshot = health::snapshot(&shared).await?;
    let Some(list) = list_of(&shared, &asked.project).await? else {
        return Ok(Json(json!({"list": null})));
    };
    let coverage = coverage::coverage(&snapshot, &asked.project, &list);
    let about = json!({"file": list.file, "uploaded_ms": list.uploaded_ms, "by": list.by, "events": list.events.len()});
    Ok(Json(json!({"list": about, "coverage": coverage, "until_ms": snapshot.until_ms})))
}

async fn template(_: Viewer) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"expected-events.csv\""),
    ];
    (headers, sheet::write_csv(TEMPLATE.map(Vec::from)))
}
