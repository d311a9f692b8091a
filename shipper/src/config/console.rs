//! `[console]` of `tusk.toml`, and what the console is set up with.

use std::path::PathBuf;

use console::{Access, ApiToken, Role, Settings, User};
use event::Lang;
use serde::{Deserialize, Serialize};
use shipper::secret::Secret;

use super::Config;
use crate::lang;

/// `[console]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConsoleConfig {
    /// Whether pages and API are served at `listen`.
    pub(crate) enabled: bool,
    /// Built pages in a folder, instead of those in the binary.
    pub(crate) web: Option<PathBuf>,
    /// Who may log in.
    pub(crate) user: Vec<Entry>,
    /// Programs that ask the API.
    pub(crate) token: Vec<Entry>,
    /// Receive URLs, as SDKs are to be given them.
    pub(crate) receive: Vec<String>,
    /// Longest report, seconds.
    pub(crate) query_timeout_s: u32,
    /// Memory of one report, bytes.
    pub(crate) query_memory_bytes_max: u64,
    /// Rows of an export.
    pub(crate) export_rows_max: u64,
    /// A session ends after so long without a request, minutes.
    pub(crate) session_idle_min: u32,
}

/// `[[console.user]]` with a password, `[[console.token]]` with a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Entry {
    /// Who.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
    /// The password or token, or `env:NAME`.
    pub(crate) secret: Option<Secret>,
    /// File with it.
    pub(crate) secret_file: Option<PathBuf>,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            web: None,
            user: Vec::new(),
            token: Vec::new(),
            receive: vec!["http://127.0.0.1:8106/sa?project=default".to_owned()],
            query_timeout_s: 30,
            query_memory_bytes_max: 2 << 30,
            export_rows_max: 1_000_000,
            session_idle_min: 720,
        }
    }
}

impl ConsoleConfig {
    /// First setting that cannot be, and what to write.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let range = |name, value: u64, low: u64, high: u64| {
            (!(low..=high).contains(&value)).then(|| (name, format!("use {low} to {high}")))
        };
        let nameless = self.user.iter().chain(&self.token).any(|entry| entry.name.is_empty());
        if nameless {
            return Some(("console", "every user and token needs a `name`".to_owned()));
        }
        let url = |url: &&String| !url.starts_with("http://") && !url.starts_with("https://");
        if let Some(url) = self.receive.iter().find(url) {
            return Some(("console.receive", format!("`{url}` is not an http or https URL")));
        }
        range("console.query_timeout_s", self.query_timeout_s.into(), 1, 3_600)
            .or_else(|| {
                let memory = self.query_memory_bytes_max;
                range("console.query_memory_bytes_max", memory, 64 << 20, 1 << 40)
            })
            .or_else(|| range("console.export_rows_max", self.export_rows_max, 1, 1_048_000))
            .or_else(|| range("console.session_idle_min", self.session_idle_min.into(), 1, 43_200))
    }
}

impl Entry {
    fn read(&self, setting: &str) -> Result<String, String> {
        let secret = Secret::read(self.secret.as_ref(), self.secret_file.as_deref(), setting)
            .map_err(|error| format!("`{}`: {error}", self.name))?;
        let secret = secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        if secret.is_empty() {
            return Err(format!("`{}` has no {setting}", self.name));
        }
        Ok(secret)
    }
}

impl Config {
    /// What the console is set up with; `engine` knows the way to the embedded ClickHouse, the journal its zone and node.
    ///
    /// # Errors
    /// A sentence: a password or token cannot be read.
    pub(crate) fn console(
        &self,
        engine: &shipper::engine::EngineConfig,
        node: &str,
        timezone: &str,
    ) -> Result<Settings, String> {
        let config = &self.console;
        let mut users = Vec::new();
        for entry in &config.user {
            let password = entry.read("console.user.secret")?;
            users.push(User { name: entry.name.clone(), role: entry.role, password });
        }
        let mut tokens = Vec::new();
        for entry in &config.token {
            let token = entry.read("console.token.secret")?;
            tokens.push(ApiToken { name: entry.name.clone(), role: entry.role, token });
        }
        let lang = match lang::choose(self.lang) {
            Lang::Zh => "zh",
            Lang::En => "en",
        };
        Ok(Settings {
            folder: self.data.join("console"),
            web: config.web.clone(),
            loopback: self.listen.ip().is_loopback(),
            users,
            tokens,
            lang,
            clickhouse: access(engine)?,
            receive: config.receive.clone(),
            timezone: timezone.to_owned(),
            node: node.to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            query_timeout_s: config.query_timeout_s,
            query_memory_bytes_max: config.query_memory_bytes_max,
            export_rows_max: config.export_rows_max,
            session_idle_min: config.session_idle_min,
        })
    }
}

/// The sink's way to ClickHouse is the console's too.
fn access(engine: &shipper::engine::EngineConfig) -> Result<Option<Access>, String> {
    let sink = &engine.sink.clickhouse;
    if !sink.enabled {
        return Ok(None);
    }
    if let Some(url) = &sink.url {
        let setting = "sink.clickhouse.password";
        let password =
            Secret::read(sink.password.as_ref(), sink.password_file.as_deref(), setting)?;
        return Ok(Some(Access {
            url: url.trim_end_matches('/').to_owned(),
            user: sink.user.clone(),
            password: password.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
            database: sink.database.clone(),
            embedded: false,
        }));
    }
    Ok(engine.olap.as_ref().map(|olap| Access {
        url: olap.url.clone(),
        user: "default".to_owned(),
        password: olap.key.expose().to_owned(),
        database: sink.database.clone(),
        embedded: true,
    }))
}
