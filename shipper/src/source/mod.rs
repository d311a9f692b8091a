//! Sources beside the ring: files that server SDKs write, followed line by line into the journal.

mod follow;
mod glob;
mod same;
mod table;
mod tail;

pub(crate) use follow::Follower;

use crate::import::Format;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[source.<name>]` tables of `tusk.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourcesConfig {
    /// `[source.file]`
    pub file: FileConfig,
}

/// `[source.file]`: files of logging consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Files to follow; `*` and `?` stand for anything within a name. Empty = nothing is followed.
    pub paths: Vec<PathBuf>,
    /// What their lines are.
    pub format: Format,
    /// nginx's `log_format`, where the usual ones do not fit.
    pub log_format: Option<String>,
    /// Project of events that name none; default: that of a location without `tusk_project`.
    pub project: Option<String>,
    /// Old times are nothing to remark upon.
    pub time_free: bool,
    /// Where a file that is there at the very first start begins.
    pub start: FileStart,
    /// How often files are looked at, ms.
    pub poll_ms: u64,
    /// Most files followed at a time; of more, the ones written last.
    pub files_max: usize,
    /// How long a file that is gone is remembered, days.
    pub forget_days: u32,
}

/// Where a file begins that is there before it was ever followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStart {
    /// With its first line.
    #[default]
    Oldest,
    /// With what is written from now on.
    Now,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            format: Format::Json,
            log_format: None,
            project: None,
            time_free: false,
            start: FileStart::Oldest,
            poll_ms: 500,
            files_max: 1_000,
            forget_days: 30,
        }
    }
}

impl FileConfig {
    /// Whether anything is followed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Settings that are out of range, as (setting, what to write instead).
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(path) = self.paths.iter().find(|path| !path.is_absolute()) {
            problems.push(("paths", format!("`{}` must begin with /", path.display())));
        }
        if !(10..=60_000).contains(&self.poll_ms) {
            problems.push(("poll_ms", "write 10 to 60000".to_owned()));
        }
        if !(1..=100_000).contains(&self.files_max) {
            problems.push(("files_max", "write 1 to 100000".to_owned()));
        }
        if let Some(text) = &self.log_format
            && let Err(problem) = crate::import::check_log_format(text)
        {
            problems.push(("log_format", problem));
        }
        if let Some(name) = &self.project
            && !event::is_name(name.as_bytes())
        {
            problems.push(("project", format!("`{name}` is not 1 to 64 of A-Z a-z 0-9 _ -")));
        }
        problems
    }
}

/// The files that are followed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Files there now.
    pub files: u64,
    /// Bytes of them not read yet.
    pub lag_bytes: u64,
    /// Lines taken since the start.
    pub lines: u64,
    /// Events kept of these.
    pub kept: u64,
    /// Events rejected of these.
    pub rejected: u64,
    /// Files that became shorter or were replaced in place.
    pub truncations: u64,
}
