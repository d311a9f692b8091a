//! `/api/daemon/…`: the daemon's own state, as the control socket tells it.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::trying;
use crate::error::Problem;
use crate::guard::Viewer;
use crate::settings::Settings;
use crate::store::Store;
use crate::Shared;

/// Nothing is kept.
#[derive(Debug)]
pub struct State;

impl State {
    /// Nothing to open.
    ///
    /// # Errors
    /// Never.
    pub fn new(_: &Settings, _: &Store) -> Result<Self, String> {
        Ok(Self)
    }
}

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/daemon/status", get(status)).route("/api/daemon/ledger", get(ledger))
}

/// Nothing runs.
pub async fn run(_: Arc<Shared>) {}

/// A request of the control socket.
///
/// # Errors
/// 503 with the daemon's sentence.
pub async fn ask(shared: &Arc<Shared>, request: Value) -> Result<Value, Problem> {
    let asked = move |shared: &Shared| {
        shared.backend.ask(request).map_err(|sentence| Problem::daemon(&sentence))
    };
    trying(shared, asked).await
}

async fn status(Extract(shared): Extract<Arc<Shared>>, _: Viewer) -> Result<Json<Value>, Problem> {
    ask(&shared, json!({"cmd": "status"})).await.map(Json)
}

async fn ledger(Extract(shared): Extract<Arc<Shared>>, _: Viewer) -> Result<Json<Value>, Problem> {
    ask(&shared, json!({"cmd": "ledger"})).await.map(Json)
}
