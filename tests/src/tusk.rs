//! The real shipper.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::{Dir, Process, wait_for};

/// A running `tusk run` with its data under `<dir>/data`. Dropped: killed.
#[derive(Debug)]
pub struct Tusk {
    process: Process,
    data: PathBuf,
    config: PathBuf,
    console: std::net::SocketAddr,
}

/// The embedded ClickHouse has tests of its own; each start of it costs half a second.
const NO_OLAP: &str = "[olap]\nenabled = false\n";

/// The file sink of tests: plain lines, closed early so that no test waits long.
const FILE_SINK: &str = "[sink.file]\ncompression = \"none\"\nrange_age_ms_max = 300\n";

/// The test's whole `tusk.toml`: data in the test's folder, then `toml`, then [`FILE_SINK`] and [`NO_OLAP`] unless `toml` has its own.
fn config(dir: &Dir, port: u16, toml: &str) -> String {
    let sink = if toml.contains("[sink.file]") { "" } else { FILE_SINK };
    let olap = if toml.contains("[olap]") { "" } else { NO_OLAP };
    format!(
        "data = \"{data}\"\nring = \"{ring}\"\nlisten = \"127.0.0.1:{port}\"\n{toml}\n{sink}\n{olap}",
        data = dir.join("data").display(),
        ring = dir.ring().display(),
    )
}

impl Tusk {
    /// Starts the shipper; `toml` is added to the test's own `tusk.toml`. Waits until `/readyz` answers.
    ///
    /// # Panics
    /// If it does not come up; the message holds its log.
    #[track_caller]
    pub fn start(dir: &Dir, toml: &str) -> Self {
        let mut tusk = Self::spawn(dir, toml);
        tusk.ready(dir);
        tusk
    }

    /// Starts the shipper and does not wait.
    #[must_use]
    pub fn spawn(dir: &Dir, toml: &str) -> Self {
        Self::spawn_with(dir, toml, &[])
    }

    /// The same, with more environment variables.
    #[must_use]
    pub fn spawn_with(dir: &Dir, toml: &str, environment: &[(&str, &str)]) -> Self {
        let data = dir.join("data");
        fs::create_dir_all(&data).unwrap();
        let port = crate::free_port();
        let config = dir.write("tusk.toml", self::config(dir, port, toml));
        let mut command = Command::new(crate::tusk_path());
        command.arg("run").arg("--config").arg(&config);
        command.envs(environment.iter().copied());
        let process = Process::start(&mut command, &dir.join("tusk.log"));
        let console = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, data, config, console }
    }

    /// Waits until `/readyz` says 200.
    #[track_caller]
    pub fn ready(&mut self, dir: &Dir) {
        wait_for(20, "the shipper to be ready", || {
            if let Some(status) = self.process.ended() {
                panic!("`tusk run` ended with {status}:\n{}", dir.read("tusk.log"));
            }
            crate::http::try_get(self.console, "/readyz").filter(|answer| answer.status == 200)
        });
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are.
    #[must_use]
    pub fn console(&self) -> std::net::SocketAddr {
        self.console
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// The file sink's folder.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.data.join("files")
    }

    /// Runs another `tusk` command with the same configuration, such as `["ledger", "--json"]`.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(crate::tusk_path());
        command.args(arguments).arg("--config").arg(&self.config).output().unwrap()
    }

    /// The Prometheus text.
    #[must_use]
    pub fn metrics(&self) -> String {
        crate::http::get(self.console, "/metrics").text()
    }

    /// SIGTERM, and waits for the clean end.
    #[track_caller]
    pub fn stop(mut self) {
        self.process.signal(rustix::process::Signal::TERM);
        let status = self.process.wait(30);
        assert!(status.success(), "`tusk run` ended with {status} after SIGTERM");
    }

    /// Ends it like a crash.
    pub fn kill(mut self) {
        self.process.kill();
    }
}
