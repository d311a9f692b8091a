//! `/api/live/…`: the live debugger. A stream of events as they are decided, one event in detail, following one device, recordings.

mod act;
mod audit;
mod detail;
mod filter;
mod hub;
mod judge;
mod recording;
mod report;
mod stream;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::Shared;
use crate::settings::Settings;
use crate::store::Store;
use hub::Hub;

/// The hub of all pages, and who is being recorded.
#[derive(Debug, Default)]
pub struct State {
    hub: Arc<Hub>,
    recordings: recording::Running,
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
        .route("/api/live/stream", get(stream::stream))
        .route("/api/live/seconds", get(stream::seconds))
        .route("/api/live/event", get(detail::event))
        .route("/api/live/raw", post(act::raw))
        .route("/api/live/replay", post(act::replay))
        .route("/api/live/pair", post(act::pair))
        .route("/api/live/pair/{info_id}", get(act::paired))
        .route("/api/live/recordings", get(recording::list).post(recording::start))
        .route("/api/live/recordings/{id}", get(recording::one).delete(recording::remove))
        .route("/api/live/recordings/{id}/stop", post(recording::stop))
        .route("/api/live/recordings/{id}/report.html", get(recording::html))
}

/// Runs the hub, and ends it when the console ends.
pub async fn run(shared: Arc<Shared>) {
    struct Stop(Arc<Hub>);
    impl Drop for Stop {
        fn drop(&mut self) {
            self.0.stop();
        }
    }
    let stop = Stop(Arc::clone(&shared.parts.live.hub));
    let work = Arc::clone(&shared);
    let worked = tokio::task::spawn_blocking(move || work.parts.live.hub.work(&work)).await;
    if let Err(error) = worked {
        tracing::error!(%error, "the live page's thread ended");
    }
    drop(stop);
}
