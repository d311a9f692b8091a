//! The embedded ClickHouse as a server: the product's own `tusk-olap`, which is also the engine of tests that need a ClickHouse.
//! Its library comes from `scripts/libchdb.sh`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::http::{Answer, Connection, escape};
use crate::{Dir, Process, Signal, free_port, wait_for};

/// How long a start may take: 0.1 s on a quiet machine, longer after a crash.
const START_LIMIT_S: u64 = 60;
/// How long a question of the harness may take.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// A running `tusk-olap`. Dropped: killed.
#[derive(Debug)]
pub struct Olap {
    // Before the folder, so that it ends first.
    process: Option<Process>,
    dir: Dir,
    port: u16,
    settings: Vec<String>,
}

impl Olap {
    /// Starts one on a new folder and waits until it answers.
    ///
    /// # Panics
    /// If it does not come up; the message holds its log.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further settings, such as `["--queries_max", "2"]`.
    ///
    /// # Panics
    /// As [`Olap::start`].
    #[track_caller]
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        let mut olap = Self {
            process: None,
            dir: Dir::new("olap"),
            port: free_port(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
        };
        for _ in 0..3 {
            olap.spawn();
            if olap.answers() {
                return olap;
            }
            // A port that was free may be another's by now.
            assert!(olap.log().contains("in use"), "tusk-olap did not start:\n{}", olap.log());
            olap.process = None;
            olap.port = free_port();
        }
        panic!("three free ports were all taken by others");
    }

    /// Where it listens; the same after [`Olap::restart`].
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What clients have to show: password of user `default`, or the header `X-ClickHouse-Key`.
    #[must_use]
    pub fn key(&self) -> String {
        self.dir.read("data/key")
    }

    /// Its data folder; the file `key` in it is the one `[olap]` of the shipper would read.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// A command that would start another one with the same settings.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(crate::olap_path());
        command.arg("--data").arg(self.data()).arg("--library").arg(crate::libchdb_path());
        command.arg("--listen").arg(self.address().to_string()).args(&self.settings);
        command
    }

    /// The process, for signals.
    ///
    /// # Panics
    /// If it was ended.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Ends it like a crash.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it in order (TERM).
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            let status = process.wait(40);
            assert!(
                status.success(),
                "tusk-olap ended with {status} after SIGTERM:\n{}",
                self.log()
            );
        }
    }

    /// Starts it again on the same folder and port after [`Olap::kill`] or [`Olap::stop`], and waits until it answers.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.spawn();
        assert!(self.answers(), "tusk-olap did not start again:\n{}", self.log());
    }

    /// Freezes it: it takes connections and answers nothing.
    pub fn pause(&mut self) {
        self.process().signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.process().signal(Signal::CONT);
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.dir.read("olap.log")
    }

    /// Sends a statement with these further parameters of the URL (`"&database=x"`); data may follow it.
    ///
    /// # Errors
    /// A broken connection.
    pub fn try_send(&self, parameters: &str, body: &[u8]) -> std::io::Result<Answer> {
        let target = format!("/?password={}{parameters}", self.key());
        let mut connection = Connection::open_with_limit(self.address(), ASK_LIMIT)?;
        connection.request("POST", &target, &[("Connection", "close")], body)
    }

    /// The same, and it has to be answered.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    pub fn send(&self, parameters: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        self.try_send(parameters, body).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            panic!("no answer to {text}: {error}\n{}", self.log())
        })
    }

    /// Runs a statement and gives its answer (tab-separated) without the last line end.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let answer = self.send("", sql);
        assert_eq!(answer.status, 200, "{sql}\n{}", answer.text());
        answer.text().trim_end_matches('\n').to_owned()
    }

    /// Inserts data in a format: the statement in the URL, the data as the body.
    #[track_caller]
    pub fn insert(&self, statement: &str, parameters: &str, data: impl AsRef<[u8]>) -> Answer {
        let query = escape(statement.as_bytes());
        self.send(&format!("{parameters}&query={query}"), data)
    }

    fn spawn(&mut self) {
        let log = self.dir.join("olap.log");
        self.process = Some(Process::start(&mut self.command(), &log));
    }

    /// Waits until it answers or has ended.
    fn answers(&mut self) -> bool {
        let address = self.address();
        wait_for(START_LIMIT_S, "tusk-olap to answer", || {
            if self.process().ended().is_some() {
                return Some(false);
            }
            let answer = crate::http::try_get(address, "/ping")?;
            (answer.status == 200).then_some(true)
        })
    }
}
