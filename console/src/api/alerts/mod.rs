//! `/api/alerts`: rules, robots, what is wrong now; and the task that looks and tells.

mod book;
mod message;
mod rules;
mod send;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State as Extract;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{health, trying};
use crate::Shared;
use crate::error::{Problem, Text};
use crate::guard::{Manager, Viewer};
use crate::settings::Settings;
use crate::store::Store;
use book::Book;
use message::{LINES_MAX, Line};
use rules::Sink;
use send::Sender;
use settings::{Alerts, DOCUMENT, Robot};

/// Document of what was told.
const BOOK: &str = "alerts-book";
/// How often is looked.
const LOOK: Duration = Duration::from_secs(2);
/// First pause after a robot did not take a message; doubled each time …
const RETRY_MS: i64 = 1_000;
/// … up to this.
const RETRY_MS_MAX: i64 = 300_000;

/// What is kept of robots, and the sender.
#[derive(Debug, Default)]
pub struct State {
    robots: Mutex<HashMap<String, Sending>>,
    book: Mutex<Option<Book>>,
    sender: Sender,
}

/// How sending to a robot goes.
#[derive(Clone, Debug, Default, Serialize)]
struct Sending {
    /// Last message taken, ms.
    sent_ms: i64,
    /// Messages not taken since.
    failures: u32,
    /// Why the last one was not.
    error: String,
    /// Not before.
    #[serde(skip)]
    next_ms: i64,
}

impl State {
    /// Nothing to open.
    ///
    /// # Errors
    /// Never.
    pub fn new(_: &Settings, _: &Store) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn book(&self) -> MutexGuard<'_, Option<Book>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn robots(&self) -> MutexGuard<'_, HashMap<String, Sending>> {
        self.robots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/alerts", get(show).put(save))
        .route("/api/alerts/test", post(test))
}

/// Looks and tells, for ever.
pub async fn run(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(problem) = look(&shared).await {
            tracing::warn!(problem = problem.text.en, "alerts: could not look");
            // A daemon that does not answer is no reason to ask it all the time.
            tokio::time::sleep(LOOK * 10).await;
        }
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn load<T: Default + serde::de::DeserializeOwned>(shared: &Shared, name: &str) -> Result<T, Problem> {
    shared.store.read(name).map(Option::unwrap_or_default).map_err(|error| Problem::daemon(&error))
}

async fn look(shared: &Arc<Shared>) -> Result<(), Problem> {
    let alerts: Alerts = trying(shared, |shared| load(shared, DOCUMENT)).await?;
    let mut book = book(shared).await?;
    let before = book.clone();
    let snapshot = health::snapshot(shared).await?;
    let status = super::daemon::ask(shared, json!({"cmd": "status"})).await?;
    let sinks: Vec<Sink> = status
        .get("sinks")
        .and_then(|sinks| serde_json::from_value(sinks.clone()).ok())
        .unwrap_or_default();
    let now = now_ms();
    book.note(rules::wrong(&alerts.rules, &snapshot, &sinks, now), i64::from(alerts.quiet_s) * 1000, now);
    for robot in alerts.robots.iter().filter(|robot| robot.on) {
        tell(shared, &alerts, robot, &mut book).await;
    }
    let on: Vec<&str> =
        alerts.robots.iter().filter(|robot| robot.on).map(|robot| robot.id.as_str()).collect();
    book.sweep(&on);
    shared.parts.alerts.robots().retain(|id, _| alerts.robots.iter().any(|robot| robot.id == *id));
    let news = told(&book) != told(&before);
    *shared.parts.alerts.book() = Some(book.clone());
    if news {
        trying(shared, move |shared| {
            shared.store.write(BOOK, &book).map_err(|error| Problem::daemon(&error))
        })
        .await?;
    }
    Ok(())
}

/// What must be written down. When something was last seen wrong is no news.
fn told(book: &Book) -> Vec<Value> {
    book.0.iter().map(|(key, e)| json!([key, e.since_ms, e.resolved_ms, e.told])).collect()
}

/// The book as it stands; the first time, as it was written.
async fn book(shared: &Arc<Shared>) -> Result<Book, Problem> {
    if let Some(book) = shared.parts.alerts.book().clone() {
        return Ok(book);
    }
    let mut book: Book = trying(shared, |shared| load(shared, BOOK)).await?;
    // A restart must not take its own pause for the end of a trouble.
    let now = now_ms();
    book.0.values_mut().for_each(|entry| entry.seen_ms = now);
    Ok(book)
}

/// Tells a robot what is due, unless it had a message just now or did not take the last one.
async fn tell(shared: &Arc<Shared>, alerts: &Alerts, robot: &Robot, book: &mut Book) {
    let now = now_ms();
    let sending = shared.parts.alerts.robots().get(&robot.id).cloned().unwrap_or_default();
    let lines = book.due(&robot.id, i64::from(alerts.repeat_hours) * 3_600_000, now);
    if lines.is_empty() || now < sending.next_ms {
        return;
    }
    let sent = send(shared, alerts, robot, &lines).await;
    let mut robots = shared.parts.alerts.robots();
    let sending = robots.entry(robot.id.clone()).or_default();
    match sent {
        Ok(()) => {
            book.told(&robot.id, &lines, now);
            let next_ms = now + i64::from(alerts.pause_s) * 1000;
            *sending = Sending { sent_ms: now, next_ms, ..Sending::default() };
        }
        Err(error) => {
            let pause = RETRY_MS << sending.failures.min(20);
            sending.next_ms = now + pause.min(RETRY_MS_MAX);
            sending.failures += 1;
            tracing::warn!(robot = robot.name, error, "an alert was not taken; it is tried again");
            sending.error = error;
        }
    }
}

async fn send(
    shared: &Arc<Shared>,
    alerts: &Alerts,
    robot: &Robot,
    lines: &[Line],
) -> Result<(), String> {
    let node = &shared.settings.node;
    let to = (robot.url.as_str(), robot.secret.as_str());
    let request = message::request(robot.kind, to, lines, (node, alerts.lang == "zh"), now_ms())?;
    shared.parts.alerts.sender.send(robot.kind, &request).await
}

async fn show(Extract(shared): Extract<Arc<Shared>>, Viewer(who): Viewer) -> Result<Json<Value>, Problem> {
    let alerts: Alerts = trying(&shared, |shared| load(shared, DOCUMENT)).await?;
    let book = book(&shared).await?;
    let sending = shared.parts.alerts.robots().clone();
    let robots: Vec<Value> = alerts
        .robots
        .iter()
        .map(|robot| {
            json!({"id": robot.id, "name": robot.name, "kind": robot.kind, "on": robot.on,
                "shown": robot.shown(), "signed": !robot.secret.is_empty(),
                "sending": sending.get(&robot.id).cloned().unwrap_or_default()})
        })
        .collect();
    let firing: Vec<Value> = book
        .0
        .iter()
        .map(|(key, entry)| {
            json!({"key": key, "rule": entry.rule, "project": entry.project, "subject": entry.subject,
                "zh": entry.zh, "en": entry.en, "since_ms": entry.since_ms, "resolved_ms": entry.resolved_ms})
        })
        .collect();
    let may_edit = who.role == crate::Role::Manage;
    Ok(Json(json!({"rules": alerts.rules, "robots": robots, "lang": alerts.lang,
        "quiet_s": alerts.quiet_s, "pause_s": alerts.pause_s, "repeat_hours": alerts.repeat_hours,
        "firing": firing, "lines_max": LINES_MAX, "may_edit": may_edit})))
}

async fn save(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(new): Json<Alerts>,
) -> Result<Json<Value>, Problem> {
    tracing::info!(user = who.user, "alert settings changed");
    trying(&shared, move |shared| {
        let mut alerts: Alerts = load(shared, DOCUMENT)?;
        alerts.take(new)?;
        shared.store.write(DOCUMENT, &alerts).map_err(|error| Problem::daemon(&error))
    })
    .await?;
    Ok(Json(json!({})))
}

/// A robot of the settings.
#[derive(Debug, Deserialize)]
struct Test {
    id: String,
}

async fn test(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(_): Manager,
    Json(asked): Json<Test>,
) -> Result<Json<Value>, Problem> {
    let alerts: Alerts = trying(&shared, |shared| load(shared, DOCUMENT)).await?;
    let robot = alerts.robots.iter().find(|robot| robot.id == asked.id).ok_or_else(|| {
        Problem::missing("alerts.robot", "没有这个机器人；请先保存", "no such robot; save it first")
    })?;
    let line = Line {
        key: "test".to_owned(),
        rule: "test".to_owned(),
        state: "firing",
        project: String::new(),
        subject: String::new(),
        since_ms: now_ms(),
        text: Text::new("这是一条测试消息，收到即配置正确", "this is a test message: what you read this with is set up well"),
    };
    match send(&shared, &alerts, robot, &[line]).await {
        Ok(()) => Ok(Json(json!({"taken": true}))),
        Err(error) => Ok(Json(json!({"taken": false, "error": error}))),
    }
}
