//! The console: what the pages of `web/` ask. Live debugger, data health and analytics.
//!
//! * [`Console`]: one router to be merged into the shipper's HTTP server, and tasks to be run beside it
//! * [`backend`]: what it asks the daemon; ClickHouse it asks itself ([`Access`])
//! * [`guard`]: who may: host, origin, session, role, action token · [`api`]: one file a part
//! * [`sheet`]: uploaded and exported tables · [`mask`]: personal data for those who may only look
//! * [`store`]: small documents in `<data>/console/` · [`assets`]: the built pages
//!
//! It is a reader: nothing on an event's way waits for it.
#![forbid(unsafe_code)]

pub mod api;
pub mod assets;
pub mod backend;
pub mod clickhouse;
pub mod error;
pub mod guard;
pub mod login;
pub mod mask;
pub mod random;
mod session;
pub mod settings;
pub mod sheet;
pub mod store;
pub mod tap;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub use backend::Backend;
pub use error::{Problem, Text};
pub use guard::{Manager, Viewer, Who};
pub use session::Sessions;
pub use settings::{Access, ApiToken, Role, Settings, User};
use store::Store;

/// What every handler shares.
#[derive(Debug)]
pub struct Shared {
    /// How it was set up.
    pub settings: Settings,
    /// The daemon.
    pub backend: Arc<dyn Backend>,
    /// Documents.
    pub store: Store,
    /// Who is logged in.
    pub sessions: Sessions,
    /// The way to ClickHouse; [`Shared::clickhouse`] says what to do without one.
    pub client: Option<clickhouse::Client>,
    /// State of the parts, made once.
    pub parts: api::Parts,
}

impl Shared {
    /// The way to ClickHouse.
    ///
    /// # Errors
    /// 503: none is set up.
    pub fn clickhouse(&self) -> Result<&clickhouse::Client, Problem> {
        self.client.as_ref().ok_or_else(|| {
            Problem::new(
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                "clickhouse.none",
                "没有配置 ClickHouse，报表不可用；请启用 [olap] 或配置 [sink.clickhouse]",
                "there is no ClickHouse to ask: switch on [olap] or set up [sink.clickhouse]",
            )
        })
    }
}

/// The console.
#[derive(Clone, Debug)]
pub struct Console {
    shared: Arc<Shared>,
}

impl Console {
    /// Opens its folder.
    ///
    /// # Errors
    /// A sentence: the folder cannot be made or written.
    pub fn new(settings: Settings, backend: Arc<dyn Backend>) -> Result<Self, String> {
        let store = Store::open(&settings.folder)?;
        let parts = api::Parts::new(&settings, &store)?;
        let sessions = Sessions::default();
        let client = clickhouse::Client::new(&settings);
        Ok(Self { shared: Arc::new(Shared { settings, backend, store, sessions, client, parts }) })
    }

    /// Everything under `/`: the API and, for every other path, the pages.
    pub fn router(&self) -> Router {
        let shared = Arc::clone(&self.shared);
        api::routes()
            .merge(login::routes())
            .fallback(assets::page)
            .layer(from_fn_with_state(Arc::clone(&shared), guard::guard))
            .with_state(shared)
    }

    /// What runs beside the server, until dropped: refreshes, alerts.
    pub async fn run(&self) {
        api::run(Arc::clone(&self.shared)).await;
    }

    /// A one-time key for the address of the page: whoever opens it within ten minutes may manage.
    #[must_use]
    pub fn invite(&self) -> String {
        self.shared.sessions.invite()
    }
}
