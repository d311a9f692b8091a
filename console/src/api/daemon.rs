//! `/api/daemon/…`: the daemon's own state, as the control socket tells it.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::trying;
use crate::error::Problem;
use crate::guard::Viewer;
use crate::Shared;

pub use super::{idle as run, Stateless as State};

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/daemon/status", get(status))
        .route("/api/daemon/ledger", get(ledger))
        .route("/api/daemon/reconcile", get(reconcile))
}

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

/// The sums of reports' footers: received = stored + quarantined + deduplicated + in progress (METRICS, 对账), over the journal's life.
async fn reconcile(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
) -> Result<Json<Value>, Problem> {
    let ledger = ask(&shared, json!({"cmd": "ledger"})).await?;
    sums(&ledger).map(Json).ok_or_else(|| {
        Problem::missing(
            "daemon.no_clickhouse",
            "没有 ClickHouse，报表无从对账",
            "there is no ClickHouse for reports to reconcile with",
        )
    })
}

/// From the ledger (`tusk ledger --json`), by the sink that reports read. What is left over, holes of a parked sink too, is the gap.
fn sums(ledger: &Value) -> Option<Value> {
    let sink = ledger["sinks"].as_array()?.iter().find(|sink| sink["name"] == "clickhouse")?;
    let of = |value: &Value| value.as_i64().unwrap_or_default();
    let (received, sealed) = (of(&ledger["received"]), of(&ledger["sealed"]));
    let (stored, deduplicated) = (of(&sink["sums"]["delivered"]), of(&sink["sums"]["deduplicated"]));
    // A re-driven event is rejected and delivered: it counts where it is.
    let rejected = of(&ledger["rejected"]) - of(&ledger["redriven"]);
    let quarantined = rejected + of(&sink["sums"]["refused"]);
    let in_progress = of(&sink["waiting"]) + sealed;
    Some(json!({
        "received": received,
        "stored": stored,
        "quarantined": quarantined,
        "deduplicated": deduplicated,
        "in_progress": in_progress,
        "gap": received - stored - quarantined - deduplicated - in_progress,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_is_somewhere() {
        let mut ledger = json!({
            "received": 100, "kept": 88, "rejected": 10, "sealed": 2, "redriven": 3,
            "sinks": [
                {"name": "file", "sums": {"delivered": 1}, "waiting": 0},
                {"name": "clickhouse", "sums": {"delivered": 80, "refused": 1, "deduplicated": 4}, "waiting": 6},
            ],
        });
        let all = sums(&ledger).unwrap();
        let expected = json!({
            "received": 100, "stored": 80, "quarantined": 8, "deduplicated": 4, "in_progress": 8, "gap": 0,
        });
        assert_eq!(all, expected);
        ledger["sinks"][1]["sums"]["delivered"] = json!(77);
        assert_eq!(sums(&ledger).unwrap()["gap"], 3);
        ledger["sinks"] = json!([]);
        assert_eq!(sums(&ledger), None);
    }
}
