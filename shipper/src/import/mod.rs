//! Importing: lines that an SDK or another chain wrote into files, through the same rules as requests at the edge and into the same
//! journal. No line enters twice, whatever crashes: see [`mark`] and [`register`].

pub mod blocks;
mod door;
mod format;
mod judge;
pub mod mark;
mod nginx;
pub(crate) mod register;
mod trial;

pub use door::{Importer, Pull, Tell};
pub(crate) use format::Lines;
pub(crate) use judge::{Judge, Tally};
pub use trial::Trial;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a `log_format` can be read.
pub(crate) fn check_log_format(text: &str) -> Result<(), String> {
    nginx::LogFormat::parse(text).map(|_| ())
}

/// What the lines of a file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Told by the first lines.
    #[default]
    Auto,
    /// An event a line, as logging consumers write it.
    Json,
    /// An access log of nginx that holds `$request_body`.
    Nginx,
}

/// How a file is imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Its name, for people: in quarantine a line is called `<name>:<line>`.
    pub name: String,
    /// What its lines are.
    pub format: Format,
    /// nginx's `log_format`, where the usual ones do not fit.
    pub log_format: Option<String>,
    /// Project of events that name none.
    pub project: Option<String>,
    /// Old times are nothing to remark upon, whether the project and the event say `time_free` or not.
    pub time_free: bool,
    /// No token is asked for, also where requests are logged. Lines of events never need one: the operator brings them.
    pub any_token: bool,
    /// A word that makes this another import: what was imported before is imported once more. Empty: once and for all.
    pub again: String,
}

/// A rejected event of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// `<file name>:<line>`.
    pub place: String,
    /// Where in the event.
    pub pointer: String,
    /// What stood there.
    pub detail: String,
}

/// What an import did, of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `json` or `nginx`; empty for a file without lines.
    pub format: String,
    /// Lines read, blank ones too.
    pub lines: u64,
    /// Of these, in the journal since an earlier import.
    pub known: u64,
    /// Events the other lines held.
    pub events: u64,
    /// Of these, kept.
    pub kept: u64,
    /// Of these, in quarantine.
    pub rejected: u64,
    /// Requests that held nothing: preflights, remote configuration, bodies that nginx did not log.
    pub empty: u64,
    /// Lines the log format does not fit; they are among the rejected.
    pub unfit: u64,
    /// Rejected events by code.
    pub codes: BTreeMap<String, u64>,
    /// Some of them, by code.
    pub samples: BTreeMap<String, Vec<Sample>>,
    /// What is waited for; empty while it goes on.
    pub waiting: String,
}

impl Report {
    fn take(&mut self, tally: &Tally) {
        self.events = tally.events;
        self.kept = tally.kept;
        self.rejected = tally.rejected;
        self.empty = tally.empty;
        self.unfit = tally.unfit;
        self.codes.clone_from(&tally.codes);
        self.samples.clone_from(&tally.samples);
    }
}
