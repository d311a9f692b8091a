//! HTTP: connections, who may ask, and a thread for each statement.

mod access;
mod body;
mod options;
mod reply;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::error::Exception;
use crate::settings::Settings;
use crate::statement;

pub(crate) use options::Options;
pub(crate) use reply::{Gone, Reply};

use reply::Body;

/// How often a statement whose client left is killed until it ends: it may be between two statements of its session.
const KILL_EVERY: Duration = Duration::from_millis(200);
/// An answer that was taken to its end closes its channel too: the statement gets this long to end by itself.
const KILL_AFTER: Duration = Duration::from_millis(50);

/// How long the last answers have to reach their clients at a stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// What all requests share.
#[derive(Debug)]
pub struct Server {
    pub(crate) engine: Engine,
    pub(crate) settings: Settings,
    statements: Semaphore,
    connections: Arc<Semaphore>,
    /// Makes marks of this life unlike those of any other.
    born: u128,
    next: AtomicU64,
}

impl Server {
    /// Serves this engine.
    #[must_use]
    pub fn new(engine: Engine, settings: Settings) -> Arc<Self> {
        let statements = usize::try_from(settings.queries_max).unwrap_or(1);
        let connections = usize::try_from(settings.connections_max).unwrap_or(1);
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Arc::new(Self {
            engine,
            statements: Semaphore::new(statements),
            connections: Arc::new(Semaphore::new(connections)),
            born,
            next: AtomicU64::new(1),
            settings,
        })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A word no other statement has or had.
    fn mark(&self) -> String {
        format!("{:x}-{:x}", self.born, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes connections until `stop` says true, then lets running statements end for `stop_timeout_s`.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let stopped = stop.clone();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { break };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (server, stopped) = (Arc::clone(&self), stopped.clone());
                        tokio::spawn(async move {
                            server.connection(stream, peer, stopped).await;
                            drop(permit);
                        });
                    }
                    // Out of descriptors, mostly: what is open goes on, and closing gives some back.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        drop(listener);
        let all = self.settings.queries_max;
        let limit = Duration::from_secs(self.settings.stop_timeout_s.into());
        // What is not done by then is not answered, so its client has to ask again anyway.
        let _ = tokio::time::timeout(limit, self.statements.acquire_many(all)).await;
        // The last answers are on their way still; an idle connection is closed at once.
        let all = self.settings.connections_max;
        let _ = tokio::time::timeout(LAST_ANSWERS, self.connections.acquire_many(all)).await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        mut stop: watch::Receiver<bool>,
    ) {
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&self);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(self.settings.keep_alive_s.into()));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // An error ends the connection; there is nobody to tell.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Body> {
        let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/ping" | "/replicas_status") => {
                reply::plain(200, "Ok.\n")
            }
            (&Method::GET | &Method::HEAD, "/") if !has_query => reply::plain(200, "Ok.\n"),
            (&Method::GET | &Method::POST, "/") => self.statement(request, peer).await,
            (_, "/") => reply::plain(405, "Use GET or POST.\n"),
            _ => reply::plain(404, "There is only /, for queries, and /ping.\n"),
        }
    }

    async fn statement(
        self: Arc<Self>,
        request: Request<Incoming>,
        _peer: SocketAddr,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mark = self.mark();
        let options = match Options::new(&parts, mark.clone()) {
            Ok(options) => options,
            Err(error) => return reply::exception(&error, &mark),
        };
        let id = options.query_id.clone();
        if let Err(error) = access::check(&parts.headers, &options, self.engine.key()) {
            return reply::exception(&error, &id);
        }
        let queue = Duration::from_millis(self.settings.queue_ms_max.into());
        // Taken here and not in the thread, so that waiting ones are no threads.
        let Ok(Ok(_)) = tokio::time::timeout(queue, self.statements.acquire())
            .await
            .map(|permit| permit.map(tokio::sync::SemaphorePermit::forget))
        else {
            let message = format!(
                "Too many simultaneous queries. Maximum: {} (queries_max)",
                self.settings.queries_max
            );
            return reply::exception(
                &Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", &message),
                &id,
            );
        };
        let slot = Slot(Arc::clone(&self));
        let limit = Duration::from_secs(self.settings.client_timeout_s.into());
        let source = body::Source::pump(body, limit);
        let (reply, head, pieces) = Reply::channel(&options, limit);
        let gone = reply.gone();
        let server = Arc::clone(&self);
        let job = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            statement::run(&server, options, source, reply);
        });
        tokio::spawn(Arc::clone(&self).watch(job, gone, mark));
        match head.await {
            Ok(head) => reply::response(head, pieces, &id, self.engine.timezone()),
            Err(oneshot::error::RecvError { .. }) => {
                reply::exception(&Exception::unknown("the statement's thread ended"), &id)
            }
        }
    }

    /// Kills the statement once its client is gone.
    async fn watch(self: Arc<Self>, mut job: JoinHandle<()>, gone: Gone, mark: String) {
        tokio::select! {
            biased;
            _ = &mut job => return,
            () = gone.wait() => {}
        }
        let mut pause = KILL_AFTER;
        while tokio::time::timeout(pause, &mut job).await.is_err() {
            let (server, mark) = (Arc::clone(&self), mark.clone());
            // Should it fail, the next round tries again.
            let _ = tokio::task::spawn_blocking(move || server.engine.kill(&mark)).await;
            pause = KILL_EVERY;
        }
    }
}

/// A statement's place among `queries_max`.
#[derive(Debug)]
struct Slot(Arc<Server>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.statements.add_permits(1);
    }
}

/// A piece of a body.
pub(crate) type Piece = Bytes;
