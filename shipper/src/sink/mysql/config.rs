//! `[sink.mysql]` of `tusk.toml`.

use crate::secret::Secret;
use crate::sink::Start;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest table name: ours are made of it, and the server allows 64 bytes.
const TABLE_BYTES_MAX: usize = 48;

/// `[sink.mysql]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap (and so bring the edge to 503) rather than be parked. A debug store should not.
    pub required: bool,
    /// Where an optional sink is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// Where a new one starts: `oldest` or `now`.
    pub start: Start,
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// With which password; `env:NAME` reads it from the environment.
    pub password: Option<Secret>,
    /// A file that holds the password instead.
    pub password_file: Option<PathBuf>,
    /// The database; it must exist.
    pub database: String,
    /// The table; made by us, with `<table>_sinks` and `<table>_schema` beside it.
    pub table: String,
    /// `off`, `required` (encrypted, whoever the server is) or `verified`.
    pub tls: Tls,
    /// With `verified`: a PEM file of authorities besides the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// Share of the users whose events are stored, 0 to 1, always the same users. Rejected events and events with problems are
    /// stored whoever sent them.
    pub sample: f64,
    /// Rows older than this by receive time are deleted, hours; 0 = never.
    pub keep_hours: u32,
    /// Rows deleted by one statement: few, so that no lock is held long.
    pub delete_rows_max: u32,
    /// Rows of one statement; above 500 nothing is gained.
    pub statement_rows_max: usize,
    /// Bytes of one statement, below the server's `max_allowed_packet` in any case.
    pub statement_bytes_max: usize,
    /// A range, which is one transaction, is closed at this many journal bytes …
    pub range_bytes_max: u64,
    /// … or at this age, ms.
    pub range_age_ms_max: u64,
    /// How long a connection may take to come up, ms.
    pub connect_timeout_ms: u64,
    /// How long any statement may take, ms.
    pub timeout_ms: u64,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Plain.
    Off,
    /// Encrypted; the server's certificate is not looked at.
    Required,
    /// Encrypted, and the certificate is the named host's.
    Verified,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            required: false,
            lag_bytes_max: 0,
            start: Start::Oldest,
            host: "127.0.0.1".to_owned(),
            port: 3306,
            user: "tusk".to_owned(),
            password: None,
            password_file: None,
            database: "tusk".to_owned(),
            table: "tusk_events".to_owned(),
            tls: Tls::Off,
            tls_ca_file: None,
            sample: 1.0,
            keep_hours: 72,
            delete_rows_max: 1000,
            statement_rows_max: 500,
            statement_bytes_max: 8 << 20,
            range_bytes_max: 4 << 20,
            range_age_ms_max: 1000,
            connect_timeout_ms: 5000,
            timeout_ms: 30_000,
        }
    }
}

impl Config {
    /// Where it delivers to, without user and password.
    pub(super) fn target(&self) -> String {
        format!("mysql://{}:{}/{} table {}", self.host, self.port, self.database, self.table)
    }

    /// Values that cannot be, as (setting, what to write instead).
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut wrong = |setting: &str, fix: String| problems.push((setting.to_owned(), fix));
        let name = |text: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            !text.is_empty() && text.len() <= TABLE_BYTES_MAX && text.bytes().all(plain)
        };
        if !name(&self.table) {
            wrong("table", format!("use 1 to {TABLE_BYTES_MAX} of A-Z, a-z, 0-9 and _"));
        }
        if self.database.is_empty() || self.database.contains(['`', '/', '\0']) {
            wrong("database", "name a database that exists".to_owned());
        }
        if self.host.is_empty() || self.host.contains(['/', '@', ' ']) {
            wrong("host", "write a host name or an address; the port is `port`".to_owned());
        }
        if self.user.is_empty() {
            wrong("user", "name a user of the database".to_owned());
        }
        let password = Secret::read(self.password.as_ref(), self.password_file.as_deref(), "password");
        if let Err(problem) = password {
            wrong("password", problem);
        }
        if self.tls_ca_file.is_some() && self.tls != Tls::Verified {
            wrong("tls_ca_file", "it is used with tls = \"verified\" only".to_owned());
        }
        if !(0.0..=1.0).contains(&self.sample) {
            wrong("sample", "write a share from 0 to 1".to_owned());
        }
        let numbers = [
            ("delete_rows_max", u64::from(self.delete_rows_max), 1, 100_000),
            ("statement_rows_max", self.statement_rows_max as u64, 1, 2000),
            ("statement_bytes_max", self.statement_bytes_max as u64, 64 << 10, 1 << 30),
            ("range_bytes_max", self.range_bytes_max, 64 << 10, 256 << 20),
            ("range_age_ms_max", self.range_age_ms_max, 100, 3_600_000),
            ("connect_timeout_ms", self.connect_timeout_ms, 100, 60_000),
            ("timeout_ms", self.timeout_ms, 100, 600_000),
        ];
        for (setting, value, low, high) in numbers {
            if !(low..=high).contains(&value) {
                wrong(setting, format!("write a number from {low} to {high}"));
            }
        }
        problems
    }
}
