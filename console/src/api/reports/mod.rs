//! `/api/reports…`: the list, a report's answer, its SQL, its rows as a file.

mod export;
mod file;
mod fresh;
mod shown;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use analytics::report::{self, Context, MEASURES, Params, Part, REPORTS, Report};
use axum::extract::{Path, State as Extract};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::try_join_all;
use serde_json::{Map, Value, json};

use super::segments;
use crate::clickhouse::Answer;
use crate::error::Problem;
use crate::guard::Viewer;
use crate::mask;
use crate::settings::{Role, Settings};
use crate::store::Store;
use crate::Shared;

pub use super::idle as run;

/// How far the data reaches, as last seen.
#[derive(Debug, Default)]
pub struct State {
    fresh: fresh::Fresh,
}

impl State {
    /// Nothing to open.
    ///
    /// # Errors
    /// Never.
    pub fn new(_: &Settings, _: &Store) -> Result<Self, String> {
        Ok(Self::default())
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/reports", get(list))
        .route("/api/reports/{name}", post(run_one))
        .route("/api/reports/{name}/sql", post(sql))
        .route("/api/reports/{name}/{file}", get(export::export))
}

async fn list(_: Viewer) -> Json<Value> {
    let text = |text: report::Text| json!({"zh": text.zh, "en": text.en});
    let reports: Vec<Value> = REPORTS
        .iter()
        .map(|one| json!({"name": one.name, "title": text(one.title), "definition": text(one.definition)}))
        .collect();
    let measures: Vec<Value> = MEASURES
        .iter()
        .map(|one| json!({"name": one.name, "title": text(one.title), "definition": text(one.definition)}))
        .collect();
    Json(json!({"reports": reports, "measures": measures}))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The report of a name, built of what was asked.
fn built(shared: &Shared, name: &str, params: &Params) -> Result<(&'static Report, Vec<Part>), Problem> {
    let report = report::find(name).ok_or_else(|| {
        Problem::missing("report.unknown", "没有这个报表", "there is no such report")
    })?;
    let context = Context { timezone: &shared.settings.timezone, now_ms: now_ms() };
    let parts = (report.build)(params, &context);
    let parts = parts.map_err(|problem| Problem::bad(problem.code, problem.zh, problem.en))?;
    Ok((report, parts))
}

async fn run_one(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Path(name): Path<String>,
    Json(mut body): Json<Value>,
) -> Result<Json<Value>, Problem> {
    segments::resolve(&shared, &mut body).await?;
    let params = Params(body);
    let (report, parts) = built(&shared, &name, &params)?;
    let client = shared.clickhouse()?;
    let started = Instant::now();
    let mut asked = Vec::with_capacity(parts.len());
    for part in &parts {
        asked.push(client.rows(&part.sql, &part.params));
    }
    let asked = try_join_all(asked);
    let until = shared.parts.reports.fresh.until(client, params.project());
    let (answers, until_ms) = tokio::try_join!(asked, until)?;
    let mut rows_read = 0;
    let mut found = Map::new();
    for (part, answer) in parts.iter().zip(answers) {
        let Answer { columns, mut rows, rows_read: read } = answer;
        rows_read += read;
        if who.role < Role::Manage {
            rows.iter_mut().flatten().for_each(mask::texts);
        }
        found.insert(part.name.clone(), json!({"columns": columns, "rows": rows}));
    }
    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(json!({
        "name": report.name,
        "parts": found,
        "data_until_ms": until_ms,
        "elapsed_ms": elapsed_ms,
        "rows_read": rows_read,
        // Distinct users are counted one by one.
        "approximate": false,
    })))
}

async fn sql(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Path(name): Path<String>,
    Json(mut body): Json<Value>,
) -> Result<Json<Value>, Problem> {
    segments::resolve(&shared, &mut body).await?;
    let (_, parts) = built(&shared, &name, &Params(body))?;
    let statements: Vec<Value> =
        parts.iter().map(|part| json!({"part": part.name, "sql": shown::whole(part)})).collect();
    Ok(Json(json!({"statements": statements})))
}
