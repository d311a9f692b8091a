//! How a console is set up. The shipper makes this from `[console]` of `tusk.toml`; passwords come in read.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What somebody may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look; personal data is masked.
    #[default]
    View,
    /// Everything.
    Manage,
}

/// Who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The password itself.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish()
    }
}

/// A program that asks the API with `Authorization: Bearer …`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Name, for the audit.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The token itself.
    pub token: String,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").field("name", &self.name).field("role", &self.role).finish()
    }
}

/// The way to ClickHouse.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Database.
    pub database: String,
    /// Whether it is the embedded one.
    pub embedded: bool,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its documents: `<data>/console`.
    pub folder: PathBuf,
    /// Built pages in a folder, instead of those in the binary.
    pub web: Option<PathBuf>,
    /// Whether only this machine can reach it: then looking needs no login.
    pub loopback: bool,
    /// Who may log in.
    pub users: Vec<User>,
    /// Programs.
    pub tokens: Vec<ApiToken>,
    /// `zh` or `en`, where a browser says nothing.
    pub lang: &'static str,
    /// ClickHouse, if there is one.
    pub clickhouse: Option<Access>,
    /// Where SDKs report to; the first is shown first. Replay goes to these alone.
    pub receive: Vec<String>,
    /// IANA name of the project's zone.
    pub timezone: String,
    /// `<name>-<epoch>`.
    pub node: String,
    /// The program's version.
    pub version: &'static str,
    /// Longest report, seconds.
    pub query_timeout_s: u32,
    /// Memory of one report, bytes.
    pub query_memory_bytes_max: u64,
    /// Rows of an export.
    pub export_rows_max: u64,
    /// A session ends after so long without a request, minutes.
    pub session_idle_min: u32,
}
