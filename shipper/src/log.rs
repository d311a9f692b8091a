//! Structured logs to stderr, as text or JSON. Bodies and events are never logged, only their sizes and codes.

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

/// `[log]` of `tusk.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// Least important level that is written.
    pub(crate) level: Level,
    /// `text` for people, `json` for a log pipeline.
    pub(crate) format: Format,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Text }
    }
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Only what needs a person.
    Error,
    /// And what may soon need one.
    Warn,
    /// And starts, stops, recoveries.
    Info,
    /// And every range and file.
    Debug,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
        }
    }
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One line of text each.
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes the level of a running process (SIGHUP).
#[derive(Clone)]
pub(crate) struct LevelHandle(reload::Handle<LevelFilter, Registry>);

impl LevelHandle {
    /// Takes effect at once.
    pub(crate) fn set(&self, level: Level) {
        if let Err(error) = self.0.reload(LevelFilter::from(level)) {
            tracing::warn!(%error, "the log level stays as it was");
        }
    }
}

/// Starts logging. A second call in one process keeps the first logger.
pub(crate) fn init(config: LogConfig) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(LevelFilter::from(config.level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(Clock)
        // A reader of stderr that went away must not end the daemon.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_target(false);
    // Fails only if a logger is there already, which then goes on.
    let _ = match config.format {
        Format::Text => registry.with(layer).try_init(),
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    LevelHandle(handle)
}

/// Local time with its offset, milliseconds.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S.%3f%:z"))
    }
}
