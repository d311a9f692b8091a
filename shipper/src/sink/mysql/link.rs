//! The connection: one at a time, blocking for the caller, each call with a time limit of ours.

use super::config::{Config, Tls};
use crate::secret::Secret;
use crate::sink::DeliverError;
use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Error, IoError, OptsBuilder, Params, SslOpts, Value};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Prepared statements kept: a full one and the last rests.
const STATEMENTS: usize = 16;
/// A connection that rested longer is asked whether it still lives before it is used.
const REST: Duration = Duration::from_secs(20);
/// The server ends a connection that says nothing for so long, s: a transaction whose client is gone holds its locks until then.
const WAIT_TIMEOUT_S: u32 = 60;
/// What a statement needs in a packet besides its values.
const PACKET_REST_BYTES: usize = 64 << 10;
/// Errors about a row that have no class of their own (SQLSTATE `HY000`): wrong text, a check that fails, a row too large.
const ROW_ERRORS: [u16; 5] = [1118, 1153, 1366, 3819, 4025];

/// Each session sets these for itself, whatever the server's defaults: values are stored whole or refused.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 10, wait_timeout = ";

/// Why a statement did not work.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server will never take a row of it; the transaction goes on.
    Row(String),
    /// Anything else: the connection must not be used any more.
    Other(String),
}

impl From<Failure> for DeliverError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Row(text) | Failure::Other(text) => Self::Unavailable(text),
        }
    }
}

/// The connection and how to make it anew.
pub(super) struct Link {
    config: Config,
    open: Option<Open>,
    /// A lock at the server that the connection in use holds, so that one which was given up can be found there and ended.
    lock: Option<String>,
}

/// A connection that is up.
struct Open {
    // One runtime each: what a cancelled call left behind ends with it.
    runtime: Runtime,
    conn: Option<Conn>,
    used: Instant,
    row_bytes_max: usize,
    version: String,
    flush_at_commit: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Outside the runtime, so that nothing is said to a server that may never answer.
        self.conn = None;
    }
}

impl Link {
    /// A link that is not up yet. A `writer` names who writes by it: only one connection of a name works at a time.
    pub(super) fn new(config: &Config, writer: Option<&str>) -> Self {
        let lock = writer.map(|writer| {
            let name = format!("{}/{}/{writer}", config.database, config.table);
            format!("tusk.{:08x}", crc32c::crc32c(name.as_bytes()))
        });
        Self { config: config.clone(), open: None, lock }
    }

    /// Bytes one row may have at most.
    pub(super) fn row_bytes_max(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.row_bytes_max)
    }

    /// Name and version of the server.
    pub(super) fn version(&self) -> String {
        let version = self.open.as_ref().map(|open| open.version.clone()).unwrap_or_default();
        if version.contains("MariaDB") { version } else { format!("MySQL {version}") }
    }

    /// Whether the server syncs its log at each commit.
    pub(super) fn flush_at_commit(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.flush_at_commit)
    }

    /// Connects unless a connection is up; `true` if it is a new one.
    pub(super) fn up(&mut self) -> Result<bool, Failure> {
        let rested = self.open.as_ref().is_some_and(|open| open.used.elapsed() > REST);
        if rested && self.exec("DO 1", Vec::new()).is_err() {
            self.lose();
        }
        if self.open.is_some() {
            return Ok(false);
        }
        let limit = Duration::from_millis(self.config.connect_timeout_ms);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Other(error.to_string()))?;
        let opened = self.options().and_then(|options| {
            let connect = async { tokio::time::timeout(limit, Conn::new(options)).await };
            match runtime.block_on(connect) {
                Ok(Ok(conn)) => Ok(conn),
                Ok(Err(error)) => Err(self.words(&error)),
                Err(_) => Err(self.say(&format!(
                    "no connection within {} ms; check host, port and firewalls",
                    limit.as_millis()
                ))),
            }
        });
        match opened {
            Ok(conn) => {
                self.open = Some(Open {
                    runtime,
                    conn: Some(conn),
                    used: Instant::now(),
                    row_bytes_max: 0,
                    version: String::new(),
                    flush_at_commit: true,
                });
            }
            Err(text) => {
                // It may still look up a name, or say goodbye to nobody.
                runtime.shutdown_background();
                return Err(Failure::Other(text));
            }
        }
        let ready = self.ready();
        if ready.is_err() {
            self.lose();
        }
        ready.map(|()| true)
    }

    /// Gives the connection up; what it began is rolled back by the server.
    pub(super) fn lose(&mut self) {
        self.open = None;
    }

    /// Sets up a new session.
    fn ready(&mut self) -> Result<(), Failure> {
        self.own()?;
        self.exec(&format!("{SESSION}{WAIT_TIMEOUT_S}"), Vec::new())?;
        self.exec("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", Vec::new())?;
        self.exec("SET NAMES utf8mb4 COLLATE utf8mb4_bin", Vec::new())?;
        let facts: Vec<(String, u64, u64, String)> = self.rows(
            "SELECT @@version, @@max_allowed_packet, @@innodb_flush_log_at_trx_commit, @@sql_mode",
            Vec::new(),
        )?;
        let Some((version, packet, flush, mode)) = facts.into_iter().next() else {
            return Err(Failure::Other(self.say("it answers no question about itself")));
        };
        if !mode.contains("STRICT_ALL_TABLES") {
            return Err(Failure::Other(self.say(&format!(
                "the session's sql_mode stays {mode:?}: a strict one is needed, or values would be cut silently; \
                 take away what resets it (init_connect, a proxy)"
            ))));
        }
        if let Some(open) = &mut self.open {
            let packet = usize::try_from(packet).unwrap_or(usize::MAX);
            open.row_bytes_max = packet.saturating_sub(PACKET_REST_BYTES).max(packet / 2);
            open.version = version;
            open.flush_at_commit = flush == 1;
        }
        Ok(())
    }

    /// Takes the writer's lock. Who holds it is a former connection of ours that the server has not missed yet: it is ended, or its
    /// transaction would hold its rows for up to [`WAIT_TIMEOUT_S`].
    fn own(&mut self) -> Result<(), Failure> {
        let Some(lock) = self.lock.clone() else { return Ok(()) };
        let holder: Vec<Option<u64>> =
            self.rows("SELECT IS_USED_LOCK(?)", vec![lock.clone().into()])?;
        if let Some(Some(id)) = holder.first() {
            // It may end by itself in this moment.
            if self.exec(&format!("KILL {id}"), Vec::new()).is_err() {
                self.exec("DO 1", Vec::new())?;
            }
        }
        let got: Vec<Option<u64>> = self.rows("SELECT GET_LOCK(?, 5)", vec![lock.into()])?;
        match got.first() {
            Some(Some(1)) => Ok(()),
            _ => Err(Failure::Other(
                self.say("a former connection of this node still works there; it is tried again"),
            )),
        }
    }

    fn options(&self) -> Result<OptsBuilder, String> {
        let config = &self.config;
        let password =
            Secret::read(config.password.as_ref(), config.password_file.as_deref(), "password")
                .map_err(|problem| self.say(&problem))?;
        let tls = match config.tls {
            Tls::Off => None,
            Tls::Required => Some(
                SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true),
            ),
            Tls::Verified => {
                let file = config.tls_ca_file.iter();
                Some(SslOpts::default().with_root_certs(file.map(|f| f.clone().into()).collect()))
            }
        };
        Ok(OptsBuilder::default()
            .ip_or_hostname(config.host.clone())
            .tcp_port(config.port)
            .user(Some(config.user.clone()))
            .pass(password.map(|password| password.expose().to_owned()))
            .db_name(Some(config.database.clone()))
            .prefer_socket(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .stmt_cache_size(STATEMENTS)
            .ssl_opts(tls))
    }

    /// Runs a statement that gives no rows.
    pub(super) fn exec(&mut self, sql: &str, values: Vec<Value>) -> Result<(), Failure> {
        let values = params(values);
        self.call(async |conn| {
            match values {
                // As plain text: not every statement can be prepared.
                Params::Empty => conn.query_drop(sql).await,
                values => conn.exec_drop(sql, values).await,
            }
        })
    }

    /// Runs a query.
    pub(super) fn rows<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, Failure> {
        let values = params(values);
        self.call(async |conn| conn.exec(sql, values).await)
    }

    /// Rows the last statement changed.
    pub(super) fn affected(&self) -> u64 {
        let conn = self.open.as_ref().and_then(|open| open.conn.as_ref());
        conn.map_or(0, Conn::affected_rows)
    }

    fn call<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let limit = Duration::from_millis(self.config.timeout_ms);
        let Some(Open { runtime, conn: Some(conn), used, .. }) = &mut self.open else {
            return Err(Failure::Other(self.say("not connected")));
        };
        *used = Instant::now();
        let done = runtime.block_on(async { tokio::time::timeout(limit, work(conn)).await });
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::Server(error))) if is_row(&error.state, error.code) => {
                Err(Failure::Row(format!("MySQL error {}: {}", error.code, one_line(&error.message))))
            }
            Ok(Err(error)) => Err(Failure::Other(self.words(&error))),
            Err(_) => Err(Failure::Other(self.say(&format!(
                "no answer within {} ms; what it did is asked again (sink.mysql.timeout_ms)",
                limit.as_millis()
            )))),
        }
    }

    /// One line with the server's name.
    pub(super) fn say(&self, what: &str) -> String {
        let Config { host, port, database, .. } = &self.config;
        one_line(&format!("MySQL {host}:{port}/{database}: {what}"))
    }

    /// What is wrong and what to change.
    fn words(&self, error: &Error) -> String {
        let Config { user, database, table, .. } = &self.config;
        let text = match error {
            Error::Server(error) => match error.code {
                1045 | 1698 => format!(
                    "it refuses user `{user}` with this password; check user and password, and from which hosts the user may come ({})",
                    error.message
                ),
                1044 => format!(
                    "user `{user}` may not use this database, or there is none: CREATE DATABASE `{database}` CHARACTER SET utf8mb4; \
                     GRANT ALL ON `{database}`.* TO `{user}`"
                ),
                1049 => format!(
                    "there is no such database: CREATE DATABASE `{database}` CHARACTER SET utf8mb4, or change `database`"
                ),
                1142 => format!(
                    "user `{user}` lacks a right on table `{table}` ({}): GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON `{database}`.* TO `{user}`",
                    error.message
                ),
                1040 | 1203 => format!("no connection is free ({})", error.message),
                1290 | 1836 | 3100 => format!(
                    "it takes no writes ({}): name the primary in `host`",
                    error.message
                ),
                1021 | 1030 | 1041 | 1114 | 1871 => {
                    format!("its disk is full or broken ({}): make room there", error.message)
                }
                1130 | 1129 => format!("it refuses this machine ({})", error.message),
                code => format!("error {code} ({}): {}", error.state, error.message),
            },
            Error::Io(IoError::Io(error)) => {
                format!("cannot reach it or lost it: {error}; check host, port and whether it runs")
            }
            Error::Io(IoError::Tls(error)) => {
                format!("no encrypted connection: {error}; check `tls`, `tls_ca_file` and the host's name")
            }
            other => other.to_string(),
        };
        self.say(&text)
    }
}

/// Whether the server speaks of a value in a row: class 22 (data), 23 (constraint), 45 (a trigger's own word), or one of [`ROW_ERRORS`].
fn is_row(state: &str, code: u16) -> bool {
    ["22", "23", "45"].iter().any(|class| state.starts_with(class)) || ROW_ERRORS.contains(&code)
}

fn params(values: Vec<Value>) -> Params {
    if values.is_empty() { Params::Empty } else { Params::Positional(values) }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
