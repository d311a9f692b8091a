//! `/api/health/quarantine`: groups, samples, re-drive, discard, by the doors the command line uses.

use std::sync::Arc;

use axum::extract::{Query, State as Extract};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::about;
use crate::api::daemon::ask;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};
use crate::settings::Role;
use crate::{Shared, mask};

/// Events of a group shown at once.
const SHOWN_MAX: usize = 50;
/// Events of one re-drive or discard; a page that wants more asks again.
const DECIDED_MAX: u64 = 100_000;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/health/quarantine", get(groups))
        .route("/api/health/quarantine/items", get(items))
        .route("/api/health/quarantine/redrive", post(redrive))
        .route("/api/health/quarantine/discard", post(discard))
}

/// Which events are meant; an absent field means any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    code: Option<String>,
    event: Option<String>,
    sdk: Option<String>,
    project: Option<String>,
    lsn: Option<u64>,
    index: Option<u32>,
    limit: Option<usize>,
}

impl Filter {
    /// As the daemon wants it.
    fn daemon(&self) -> Value {
        let mut filter = Map::new();
        for (name, word) in [
            ("code", &self.code),
            ("event", &self.event),
            ("sdk", &self.sdk),
            ("project", &self.project),
        ] {
            if let Some(word) = word {
                filter.insert(name.to_owned(), word.as_str().into());
            }
        }
        if let (Some(lsn), Some(index)) = (self.lsn, self.index) {
            filter.insert("identity".to_owned(), json!([lsn, index]));
        }
        filter.into()
    }
}

async fn groups(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, Problem> {
    let request = json!({"cmd": "quarantine_list", "filter": filter.daemon()});
    let mut groups = ask(&shared, request).await?;
    for group in groups.as_array_mut().into_iter().flatten() {
        let about = about(group["code"].as_str().unwrap_or_default());
        group["about"] = about;
    }
    Ok(Json(json!({"rows": groups})))
}

async fn items(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, Problem> {
    let limit = filter.limit.unwrap_or(10).min(SHOWN_MAX);
    tracing::info!(user = who.user, ?filter, "quarantined events looked at");
    let request = json!({"cmd": "quarantine_show", "filter": filter.daemon(), "limit": limit});
    let mut items = ask(&shared, request).await?;
    for item in items.as_array_mut().into_iter().flatten() {
        explain(item);
        if who.role < Role::Manage {
            mask::texts(item);
        }
    }
    Ok(Json(json!({"rows": items})))
}

/// Puts beside each code of an event what it means.
pub(super) fn explain(item: &mut Value) {
    for code in item["codes"].as_array_mut().into_iter().flatten() {
        let about = about(code["code"].as_str().unwrap_or_default());
        code["about"] = about;
    }
}

async fn redrive(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(filter): Json<Filter>,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, ?filter, "redrive asked for in the console");
    decide(&shared, "quarantine_redrive", &filter).await
}

async fn discard(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(filter): Json<Filter>,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, ?filter, "discard asked for in the console");
    if filter.daemon().as_object().is_none_or(Map::is_empty) {
        return Err(Problem::bad(
            "health.discard_all",
            "请指明丢弃哪一组（code、event、sdk 或 project）",
            "say which group to discard (code, event, sdk or project)",
        ));
    }
    let answer = decide(&shared, "quarantine_discard", &filter).await?;
    Ok(Json(json!({"discarded": answer.0})))
}

async fn decide(shared: &Arc<Shared>, verb: &str, filter: &Filter) -> Result<Json<Value>, Problem> {
    let request = json!({"cmd": verb, "filter": filter.daemon(), "limit": DECIDED_MAX});
    ask(shared, request).await.map(Json)
}
