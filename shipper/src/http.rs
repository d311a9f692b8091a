//! `/metrics`, `/healthz`, `/readyz` and the console on loopback: axum on threads of its own, so that a slow reader slows nobody.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use console::Console;
use shipper::engine::Engine;
use shipper::olap::Window;
use tokio::sync::oneshot;

/// Threads of the server: a report being written out does not hold up `/readyz`.
const THREADS: usize = 2;

/// What the handlers share.
struct Shared {
    engine: Arc<Engine>,
    /// Set while the daemon drains: not ready any more.
    stopping: Arc<AtomicBool>,
    /// Host names besides loopback ones.
    hosts: Vec<String>,
    /// The embedded ClickHouse, if there is one.
    olap: Option<Arc<Window>>,
}

/// The running server. Dropped: stopped.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes the address before anything else is opened.
///
/// # Errors
/// A sentence that says which setting to change.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).map_err(|error| {
        format!("cannot listen on {address}: {error}; set `listen` in tusk.toml to a free address")
    })?;
    listener.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(listener)
}

impl Server {
    /// Serves on a bound listener.
    ///
    /// # Errors
    /// A sentence: no thread or no runtime can be had.
    pub(crate) fn start(
        listener: TcpListener,
        engine: Arc<Engine>,
        stopping: Arc<AtomicBool>,
        hosts: &[String],
        olap: Option<Arc<Window>>,
        console: Option<Console>,
    ) -> Result<Self, String> {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        if !address.ip().is_unspecified() {
            hosts.push(address.ip().to_string());
        }
        let shared = Arc::new(Shared { engine, stopping, hosts, olap });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the HTTP runtime: {error}"))?;
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "the HTTP server cannot start"),
                };
                let served = axum::serve(listener, router(shared, console.as_ref())).into_future();
                let beside = async {
                    match &console {
                        Some(console) => console.run().await,
                        None => std::future::pending().await,
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    result = served => if let Err(error) = result {
                        tracing::error!(%error, "the HTTP server stopped");
                    },
                    () = beside => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(work)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn router(shared: Arc<Shared>, console: Option<&Console>) -> Router {
    let known = from_fn_with_state(Arc::clone(&shared), known_host);
    let own = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(shared);
    match console {
        Some(console) => own.merge(console.router()),
        None => own,
    }
    .layer(known)
}

/// A page of another site must not read this through the user's browser (DNS rebinding): only known names are served.
async fn known_host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    if host.is_some_and(|host| is_known(host, &shared.hosts)) {
        return next.run(request).await;
    }
    let text =
        "this host name is not served; ask by 127.0.0.1, or add the name to `hosts` in tusk.toml\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// `host` as in the header, with or without a port.
fn is_known(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    }
    .to_ascii_lowercase();
    name == "localhost"
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || hosts.contains(&name)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = String::with_capacity(16 << 10);
    shared.engine.metrics(&mut text);
    if let Some(olap) = &shared.olap {
        olap.metrics(&mut text);
    }
    let _ = write!(
        text,
        "# HELP tusk_build_info Version of the running shipper.\n# TYPE tusk_build_info gauge\n\
         tusk_build_info{{version=\"{}\"}} 1\n",
        env!("CARGO_PKG_VERSION")
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.stopping.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let status = shared.engine.status();
    // What is wrong stands there also while events are still taken.
    let mut text = if status.ready { "ready\n".to_owned() } else { String::new() };
    for problem in &status.problems {
        text.push_str(problem);
        text.push('\n');
    }
    if status.ready {
        return text.into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_listed_names_are_served() {
        let hosts = ["tusk.internal".to_owned(), "10.0.0.5".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:8190",
            "127.0.0.1:8190",
            "[::1]:8190",
            "::1",
            "tusk.internal",
            "10.0.0.5:1",
        ] {
            let expected = host != "::1"; // without brackets the last part reads as a port
            assert_eq!(is_known(host, &hosts), expected, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "", "10.0.0.6:8190", "[::2]"] {
            assert!(!is_known(host, &hosts), "{host}");
        }
    }
}
