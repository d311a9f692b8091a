//! Recordings: start, act on the phone, stop; what came is compared with what should have come.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, Query, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::filter::{Filter, has_id};
use super::hub::Recorder;
use super::judge::{self, Came, Expected, Verdict};
use super::{audit, detail, report};
use crate::Shared;
use crate::api::trying;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};
use crate::random;
use crate::tap::Event;

/// Events of a recording; more are counted.
const EVENTS_MAX: usize = 2_000;
/// Stored bytes kept of each.
const JSON_BYTES_MAX: usize = 8 << 10;
/// Recordings under way at a time.
const RUNNING_MAX: usize = 10;
/// Recordings kept; the oldest goes.
const KEPT_MAX: usize = 200;
/// Ids followed for one.
const IDS_MAX: usize = 20;
/// Events of an expected list.
const EXPECTED_MAX: usize = 1_000;
/// How their documents begin.
const DOCUMENT: &str = "recording-";

/// One recording, as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Recording {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) by: String,
    pub(super) project: String,
    /// User or device ids it is about; empty: everybody's events of the project.
    pub(super) ids: Vec<String>,
    pub(super) started_ms: i64,
    pub(super) stopped_ms: i64,
    pub(super) expected: Vec<Expected>,
    /// The expected list is an order.
    pub(super) ordered: bool,
    pub(super) events: Vec<Came>,
    /// Events over the limit.
    pub(super) left_out: u64,
    pub(super) verdict: Verdict,
}

/// One under way.
#[derive(Debug)]
pub(super) struct Live(Mutex<Recording>);

impl Live {
    fn get(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for Live {
    fn ids(&self) -> Vec<String> {
        self.get().ids.clone()
    }

    fn take(&self, event: &Arc<Event>) {
        let mut recording = self.get();
        let project = Filter { project: recording.project.clone(), ..Filter::default() };
        let ours = recording.ids.is_empty() || recording.ids.iter().any(|id| has_id(event, id));
        if !ours || !project.takes(event) || event.recv_ms < recording.started_ms {
            return;
        }
        if recording.events.len() >= EVENTS_MAX {
            recording.left_out += 1;
            return;
        }
        recording.events.push(came(event));
    }
}

fn came(event: &Event) -> Came {
    let messages = event.codes.iter().map(|code| detail::message(event, code)).collect();
    let json = if event.json.len() > JSON_BYTES_MAX { String::new() } else { event.json.clone() };
    Came {
        lsn: event.lsn,
        index: event.index,
        recv_ms: event.recv_ms,
        time_ms: event.time_ms,
        kind: event.kind.clone(),
        event: event.event.clone(),
        user: event.user.clone(),
        sdk: event.sdk.clone(),
        sdk_version: event.sdk_version.clone(),
        app_version: event.app_version.clone(),
        verdict: event.verdict.to_owned(),
        duplicate: event.duplicate,
        messages,
        json,
        findings: Vec::new(),
    }
}

/// Those under way.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<String, Arc<Live>>>);

impl Running {
    fn get(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ask {
    name: String,
    project: String,
    ids: Vec<String>,
    /// A list of its own …
    expected: Vec<Expected>,
    /// … or the events of the project's expected list with these names (empty list: all of them).
    of_list: Option<Vec<String>>,
    ordered: bool,
}

/// `POST /api/live/recordings`
pub(super) async fn start(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(ask): Json<Ask>,
) -> Result<Json<Value>, Problem> {
    let ids: Vec<String> =
        ask.ids.iter().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
    if ids.len() > IDS_MAX || ids.iter().any(|id| id.len() > 255) || ask.name.len() > 200 {
        return Err(Problem::bad(
            "live.recording_ask",
            format!("最多填 {IDS_MAX} 个 ID，每个不超过 255 字节，名称不超过 200 字节"),
            format!("at most {IDS_MAX} ids of 255 bytes, and a name of 200 bytes"),
        ));
    }
    let mut expected = ask.expected;
    if let Some(names) = ask.of_list {
        expected.extend(of_list(&shared, ask.project.clone(), names).await?);
    }
    if expected.len() > EXPECTED_MAX {
        return Err(Problem::bad(
            "live.recording_expected",
            format!("期望列表最多 {EXPECTED_MAX} 个事件"),
            format!("an expected list has {EXPECTED_MAX} events at most"),
        ));
    }
    let id = random::token().map_err(|error| Problem::daemon(&error))?;
    let id = id.get(..16).unwrap_or(&id).to_owned();
    let recording = Recording {
        id: id.clone(),
        name: ask.name,
        by: who.user.clone(),
        project: ask.project,
        ids,
        started_ms: jiff::Timestamp::now().as_millisecond(),
        expected,
        ordered: ask.ordered,
        ..Recording::default()
    };
    let what = json!({"id": id, "ids": recording.ids, "project": recording.project});
    audit::write(&shared, &who, "record", &what).await?;
    let live = Arc::new(Live(Mutex::new(recording)));
    let parts = &shared.parts.live;
    {
        let mut running = parts.recordings.get();
        if running.len() >= RUNNING_MAX {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "live.recordings",
                format!("正在进行的录制已有 {RUNNING_MAX} 个，请先停止一个"),
                format!("{RUNNING_MAX} recordings are under way: stop one first"),
            ));
        }
        running.insert(id.clone(), Arc::clone(&live));
    }
    parts.hub.record(&id, live);
    Ok(Json(json!({"id": id})))
}

/// The events of the uploaded list with these names, in the order of the names, else of the list.
async fn of_list(
    shared: &Arc<Shared>,
    project: String,
    names: Vec<String>,
) -> Result<Vec<Expected>, Problem> {
    let read = move |shared: &Shared| {
        let read = shared.store.read::<Value>("expected");
        read.map_err(|error| Problem::daemon(&error))
    };
    let lists = trying(shared, read).await?.unwrap_or_default();
    let project = if project.is_empty() { "default".to_owned() } else { project };
    let events = lists[&project]["events"].as_array().cloned().unwrap_or_default();
    let mut wanted: Vec<Expected> = events.iter().map(expected_of).collect();
    if !names.is_empty() {
        wanted.retain(|event| names.contains(&event.event));
        wanted.sort_by_key(|event| names.iter().position(|name| *name == event.event));
    }
    Ok(wanted)
}

fn expected_of(event: &Value) -> Expected {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let required = event["properties"].as_array().into_iter().flatten();
    let required = required.filter(|property| property["required"] == true);
    Expected {
        event: text(&event["name"]),
        display: text(&event["display"]),
        properties: required.map(|p| (text(&p["name"]), text(&p["kind"]))).collect::<BTreeMap<_, _>>(),
        optional: false,
    }
}

/// `POST /api/live/recordings/{id}/stop`: judges and keeps it.
pub(super) async fn stop(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(_): Manager,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let parts = &shared.parts.live;
    let Some(live) = parts.recordings.get().remove(&id) else { return Err(gone()) };
    parts.hub.let_go(&id);
    let mut recording = live.get().clone();
    recording.stopped_ms = jiff::Timestamp::now().as_millisecond();
    recording.verdict = judge::judge(&mut recording.events, &recording.expected, recording.ordered);
    let kept = recording.clone();
    trying(&shared, move |shared| {
        let fail = |error: String| Problem::daemon(&error);
        shared.store.write(&format!("{DOCUMENT}{}", kept.id), &kept).map_err(fail)?;
        trim(shared).map_err(fail)
    })
    .await?;
    Ok(Json(json!(recording)))
}

/// The oldest go where there are too many.
fn trim(shared: &Shared) -> Result<(), String> {
    let names = shared.store.names(DOCUMENT);
    if names.len() <= KEPT_MAX {
        return Ok(());
    }
    let mut all = Vec::new();
    for name in names {
        let at = shared.store.read::<Recording>(&name)?.map_or(0, |recording| recording.started_ms);
        all.push((at, name));
    }
    all.sort();
    let over = all.len() - KEPT_MAX;
    all.iter().take(over).try_for_each(|(_, name)| shared.store.remove(name))
}

fn gone() -> Problem {
    Problem::missing("live.recording_gone", "没有这个录制", "there is no such recording")
}

/// `GET /api/live/recordings`: those under way first, then those kept, newest first.
pub(super) async fn list(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
) -> Result<Json<Value>, Problem> {
    let running: Vec<Arc<Live>> = shared.parts.live.recordings.get().values().cloned().collect();
    let mut rows: Vec<Value> = running.iter().map(|live| summary(&live.get(), true)).collect();
    let kept = trying(&shared, |shared| {
        let names = shared.store.names(DOCUMENT);
        let read = |name: &String| shared.store.read::<Recording>(name).ok().flatten();
        Ok(names.iter().filter_map(read).map(|one| summary(&one, false)).collect::<Vec<_>>())
    })
    .await?;
    rows.extend(kept);
    rows.sort_by_key(|row| {
        (row["running"] != true, std::cmp::Reverse(row["started_ms"].as_i64().unwrap_or_default()))
    });
    let mut value = json!(rows);
    detail::mask(&mut value, &who);
    Ok(Json(value))
}

fn summary(recording: &Recording, running: bool) -> Value {
    json!({
        "id": recording.id,
        "name": recording.name,
        "by": recording.by,
        "project": recording.project,
        "ids": recording.ids,
        "started_ms": recording.started_ms,
        "stopped_ms": recording.stopped_ms,
        "running": running,
        "events": recording.events.len(),
        "expected": recording.expected.len(),
        "missing": recording.verdict.missing.len(),
        "passed": recording.verdict.passed,
        "counts": recording.verdict.counts,
    })
}

async fn find(shared: &Arc<Shared>, id: String) -> Result<Recording, Problem> {
    let live = shared.parts.live.recordings.get().get(&id).cloned();
    if let Some(live) = live {
        let mut now = live.get().clone();
        now.verdict = judge::judge(&mut now.events, &now.expected, now.ordered);
        return Ok(now);
    }
    let read = move |shared: &Shared| {
        let name = format!("{DOCUMENT}{id}");
        shared.store.read::<Recording>(&name).map_err(|_| gone())?.ok_or_else(gone)
    };
    trying(shared, read).await
}

/// `GET /api/live/recordings/{id}`: also of one under way, judged as it is now.
pub(super) async fn one(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let mut value = json!(find(&shared, id).await?);
    detail::mask(&mut value, &who);
    Ok(Json(value))
}

/// `DELETE /api/live/recordings/{id}`
pub(super) async fn remove(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(_): Manager,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    shared.parts.live.recordings.get().remove(&id);
    shared.parts.live.hub.let_go(&id);
    let remove = move |shared: &Shared| {
        shared.store.remove(&format!("{DOCUMENT}{id}")).map_err(|_| gone())
    };
    trying(&shared, remove).await?;
    Ok(Json(json!({})))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Language {
    lang: String,
}

/// `GET /api/live/recordings/{id}/report.html`: the acceptance report, one file that needs nothing else.
pub(super) async fn html(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Path(id): Path<String>,
    Query(language): Query<Language>,
) -> Result<Response, Problem> {
    let recording = find(&shared, id).await?;
    let mut value = json!(recording);
    detail::mask(&mut value, &who);
    let recording: Recording = serde_json::from_value(value).unwrap_or_default();
    let zh = match language.lang.as_str() {
        "" => shared.settings.lang == "zh",
        lang => lang == "zh",
    };
    let page = report::html(&recording, zh, &shared.settings.timezone);
    let name = format!("attachment; filename=\"tusk-acceptance-{}.html\"", recording.id);
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, page).into_response())
}
