//! `/api/health`: what was received, kept and rejected, by whom and why; types of properties; quarantine.

pub(crate) mod model;
mod quarantine;
pub(crate) mod tables;
pub mod version;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, State as Extract};
use axum::routing::get;
use axum::{Json, Router};
use event::Code;
use serde::Deserialize;
use serde_json::{Value, json};

use super::daemon;
use super::dictionary::names::What;
use super::dictionary::names_of;
use super::trying;
use crate::error::Problem;
use crate::guard::Viewer;
use crate::settings::{Role, Settings};
use crate::store::Store;
use crate::{Shared, mask};
use model::Snapshot;

pub use super::idle as run;

/// How long a copy of the daemon's counts is used.
const FRESH: Duration = Duration::from_secs(1);

/// The last copy.
#[derive(Debug, Default)]
pub struct State {
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

impl State {
    /// Nothing to open.
    ///
    /// # Errors
    /// Never.
    pub fn new(_: &Settings, _: &Store) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Arc<Snapshot>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/health/events", get(events))
        .route("/api/health/codes", get(codes))
        .route("/api/health/types", get(types))
        .route("/api/health/flow", get(flow))
        .route("/api/health/event", get(event))
        .merge(quarantine::routes())
}

/// The daemon's counts, at most a second old.
///
/// # Errors
/// 503 with the daemon's sentence.
pub(crate) async fn snapshot(shared: &Arc<Shared>) -> Result<Arc<Snapshot>, Problem> {
    if let Some((at, snapshot)) = &*shared.parts.health.last()
        && at.elapsed() < FRESH
    {
        return Ok(Arc::clone(snapshot));
    }
    let asked = |shared: &Shared| {
        let answer = shared.backend.ask(json!({"cmd": "health"}));
        let answer = answer.map_err(|sentence| Problem::daemon(&sentence))?;
        let read: Result<Snapshot, _> = serde_json::from_value(answer);
        read.map(Arc::new).map_err(|error| Problem::daemon(&error.to_string()))
    };
    let snapshot = trying(shared, asked).await?;
    *shared.parts.health.last() = Some((Instant::now(), Arc::clone(&snapshot)));
    Ok(snapshot)
}

/// Which project.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfProject {
    project: String,
}

/// Which project, and by what.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    project: String,
    /// Some of `event,lib,lib_version,app_version`; empty = all.
    by: String,
}

async fn events(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Problem> {
    let wanted: Vec<&str> = asked.by.split(',').filter(|word| !word.is_empty()).collect();
    let known = tables::DIMENSIONS;
    if let Some(word) = wanted.iter().find(|word| !known.iter().any(|(name, _)| name == *word)) {
        return Err(Problem::bad(
            "health.by",
            format!("不能按“{word}”分组；可用 event、lib、lib_version、app_version"),
            format!("cannot group by `{word}`; use event, lib, lib_version, app_version"),
        ));
    }
    let by: Vec<usize> = known
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.contains(name))
        .map(|(_, at)| *at)
        .collect();
    let snapshot = snapshot(&shared).await?;
    let lines = tables::events(&snapshot, &asked.project, &by);
    let names = names_of(&shared, &asked.project).await?;
    let total = tables::events(&snapshot, &asked.project, &[]).pop().unwrap_or_default();
    let rows: Vec<Value> = lines
        .into_iter()
        .map(|line| {
            let (zh, en) = names.shown(What::Event, &line.event);
            let mut row = serde_json::to_value(line).unwrap_or_default();
            (row["zh"], row["en"]) = (zh.into(), en.into());
            row
        })
        .collect();
    let projects = projects(&snapshot);
    Ok(Json(json!({"since_ms": snapshot.since_ms, "until_ms": snapshot.until_ms, "day": snapshot.day,
        "projects": projects, "rows": rows, "today": total.today, "week": total.week, "trend": total.trend,
        "trend_rejected": total.trend_rejected})))
}

/// Projects anything came for, most first.
fn projects(snapshot: &Snapshot) -> Vec<String> {
    let mut sums: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for row in &snapshot.events {
        *sums.entry(row.word(0)).or_default() += row.value.total.iter().take(3).sum::<u64>();
    }
    let mut list: Vec<(&str, u64)> = sums.into_iter().collect();
    list.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    list.into_iter().map(|(project, _)| project.to_owned()).collect()
}

async fn codes(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(asked): Query<OfProject>,
) -> Result<Json<Value>, Problem> {
    let snapshot = snapshot(&shared).await?;
    let names = names_of(&shared, &asked.project).await?;
    let received = tables::events(&snapshot, &asked.project, &[]).pop().unwrap_or_default();
    let rows: Vec<Value> = tables::codes(&snapshot, &asked.project)
        .into_iter()
        .map(|line| {
            let (zh, en) = names.shown(What::Event, &line.event);
            let about = about(&line.code);
            let mut row = serde_json::to_value(line).unwrap_or_default();
            (row["event_zh"], row["event_en"], row["about"]) = (zh.into(), en.into(), about);
            row
        })
        .collect();
    Ok(Json(json!({"since_ms": snapshot.since_ms, "until_ms": snapshot.until_ms, "day": snapshot.day,
        "week": received.week, "rows": rows})))
}

/// What a code means: severity, and in both languages what is wrong, what to do, what was done.
pub(crate) fn about(code: &str) -> Value {
    let known = code.as_bytes().try_into().ok().and_then(Code::from_bytes);
    let Some(row) = known.map(Code::row) else { return json!({}) };
    let words = |words: &event::Words| json!({"wrong": words.wrong, "fix": words.fix, "did": words.did});
    json!({"severity": row.severity.as_str(), "limit": row.limit, "zh": words(&row.zh), "en": words(&row.en)})
}

async fn types(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Query(asked): Query<OfProject>,
) -> Result<Json<Value>, Problem> {
    let snapshot = snapshot(&shared).await?;
    let names = names_of(&shared, &asked.project).await?;
    let rows: Vec<Value> = tables::types(&snapshot, &asked.project)
        .into_iter()
        .map(|line| {
            let (zh, en) = names.shown(What::Property, &line.property);
            let mut row = serde_json::to_value(line).unwrap_or_default();
            (row["zh"], row["en"]) = (zh.into(), en.into());
            row
        })
        .collect();
    Ok(Json(json!({"since_ms": snapshot.since_ms, "until_ms": snapshot.until_ms, "rows": rows})))
}

/// Ring, journal, sinks and the ledger at one moment.
async fn flow(Extract(shared): Extract<Arc<Shared>>, _: Viewer) -> Result<Json<Value>, Problem> {
    let ledger = daemon::ask(&shared, json!({"cmd": "ledger"})).await?;
    let status = daemon::ask(&shared, json!({"cmd": "status"})).await?;
    Ok(Json(json!({"status": status, "ledger": ledger})))
}

/// An identity.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    lsn: u64,
    index: u32,
}

/// One event as it was sent, from the journal, or from quarantine where that keeps it longer.
async fn event(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Query(at): Query<Identity>,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, lsn = at.lsn, index = at.index, "raw event looked at");
    let request = json!({"cmd": "event", "lsn": at.lsn, "index": at.index});
    let mut found = daemon::ask(&shared, request).await?;
    if found.is_null() {
        let filter = json!({"identity": [at.lsn, at.index]});
        let request = json!({"cmd": "quarantine_show", "filter": filter, "limit": 1});
        let mut shown = daemon::ask(&shared, request).await?;
        found = shown.get_mut(0).map(Value::take).unwrap_or_default();
    }
    if found.is_null() {
        return Err(Problem::missing(
            "health.gone",
            "这条数据已不在日志段里（保留时间已过）；请到“用户”页或数据表里查找",
            "this event is not in the journal any more; look for it under Users or in its table",
        ));
    }
    quarantine::explain(&mut found);
    if who.role < Role::Manage {
        mask::texts(&mut found);
    }
    Ok(Json(found))
}
