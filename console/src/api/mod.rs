//! The API, one file a part. A part is a module with
//! * `routes() -> Router<Arc<Shared>>`, every path under `/api/<part>`;
//! * `State`, what it keeps while the console runs, with `State::new(&Settings, &Store) -> Result<State, String>`, or [`Stateless`];
//! * `run(Arc<Shared>)`, what it does beside answering, or [`idle`].

use std::sync::Arc;

use axum::Router;

use crate::Shared;
use crate::settings::Settings;
use crate::store::Store;

/// One word a part: its file, its field in [`Parts`].
macro_rules! parts {
    ($($part:ident),+ $(,)?) => {
        $(pub mod $part;)+

        /// What the parts keep.
        #[derive(Debug)]
        pub struct Parts {
            $(
                #[doc = concat!("Of `api/", stringify!($part), "`.")]
                pub $part: $part::State,
            )+
        }

        impl Parts {
            /// Opens all of them.
            ///
            /// # Errors
            /// A sentence.
            pub fn new(settings: &Settings, store: &Store) -> Result<Self, String> {
                Ok(Self { $($part: $part::State::new(settings, store)?,)+ })
            }
        }

        /// All routes.
        pub fn routes() -> Router<Arc<Shared>> {
            Router::new()$(.merge($part::routes()))+
        }

        /// What runs beside the server.
        pub async fn run(shared: Arc<Shared>) {
            tokio::join!($($part::run(Arc::clone(&shared)),)+);
        }
    };
}

parts! {
    daemon,
    start,
    boards,
    reports,
    live,
    health,
    dictionary,
    expected,
    alerts,
    segments,
}

/// The `State` of a part that keeps nothing.
#[derive(Debug)]
pub struct Stateless;

impl Stateless {
    /// Nothing to open.
    ///
    /// # Errors
    /// Never.
    pub fn new(_: &Settings, _: &Store) -> Result<Self, String> {
        Ok(Self)
    }
}

/// The `run` of a part that only answers.
pub async fn idle(_: Arc<Shared>) {}

/// Runs what may block (the daemon, files) off the server's threads.
pub async fn blocking<T: Default + Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> T + Send + 'static,
) -> T {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared)).await.unwrap_or_default()
}

/// The same for what can fail.
///
/// # Errors
/// The work's own; `daemon` if it broke off.
pub async fn trying<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, crate::Problem> + Send + 'static,
) -> Result<T, crate::Problem> {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared))
        .await
        .unwrap_or_else(|error| Err(crate::Problem::daemon(&error.to_string())))
}
