//! Sinks: where events go. A sink delivers closed ranges and says what the target will never take; it does not choose, retry or
//! count. A new sink = one file in this folder + one word in the list below.

mod begin;
mod expected;
pub mod folder;
pub mod runner;

use crate::disk::Disk;
use crate::facts::{Fact, FactsFiles};
use crate::fill::Fill;
use crate::journal::Segments;
use crate::ledger::{Audit, IdentityRange};
use crate::olap::Embedded;
use crate::range::{Passed, RangeError, Shown, Source};
use crate::state::State;
use crate::zone::Zone;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// The list: each word is a module with `pub struct Config: SinkConfig`, a table `[sink.<word>]` and a metric label.
macro_rules! sinks {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// `[sink.<name>]` tables of `tusk.toml`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct SinksConfig {
            $(
                #[doc = concat!("`[sink.", stringify!($name), "]`")]
                pub $name: $name::Config,
            )+
        }

        impl SinksConfig {
            /// Every sink there is, with its settings, in the order of the list.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, &dyn SinkConfig)> {
                vec![$((stringify!($name), &self.$name as &dyn SinkConfig)),+]
            }
        }
    };
}

sinks! { file, kafka, clickhouse, hdfs, mysql }

/// What the loop needs to know of any sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap rather than be parked.
    pub required: bool,
    /// Where an optional one is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// A range is closed at this many journal bytes …
    pub range_bytes_max: u64,
    /// … or at this age.
    pub range_age_ms_max: u64,
    /// Where a new one starts.
    pub start: Start,
    /// Whether rejected events are shown to it too, as copies: quarantine stays their home, and the ledger counts them there.
    pub rejected_too: bool,
}

/// Where a sink starts that has no state yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest record kept.
    #[default]
    Oldest,
    /// With the next record.
    Now,
}

/// What a sink is given when it opens.
#[derive(Clone, Debug)]
pub struct Context {
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The data folder.
    pub data: PathBuf,
    /// `<name>-<epoch>`.
    pub node: String,
    /// The sink's state as saved last; `None` at its first start. A target that keeps a position of its own is compared with it.
    pub state: Option<State>,
    /// The journal's zone.
    pub zone: Zone,
    /// What fills columns from address and user agent; each sink has its own cache.
    pub fill: Fill,
    /// Words of the sinks that run: where a kept event goes.
    pub sinks: Vec<String>,
    /// The embedded ClickHouse; `None` if it is off or cannot be had here.
    pub olap: Option<Embedded>,
    /// What is delivered from; `None` for a command that only looks at the target.
    pub records: Option<Records>,
}

/// What every range is read from.
#[derive(Clone, Debug)]
pub struct Records {
    /// The journal.
    pub segments: Arc<Segments>,
    /// The facts.
    pub facts: Arc<FactsFiles>,
}

#[cfg(test)]
impl Context {
    /// A context of a disk of its own, where there is no sink and nothing to fill with.
    pub(crate) fn of_test(disk: Arc<dyn Disk>, node: &str) -> Result<Self, String> {
        Ok(Self {
            disk,
            data: PathBuf::from("/data"),
            node: node.to_owned(),
            state: None,
            zone: Zone::named("UTC")?,
            fill: Fill::default(),
            sinks: Vec::new(),
            olap: None,
            records: None,
        })
    }
}

/// Settings of one sink.
pub trait SinkConfig {
    /// What the loop needs.
    fn common(&self) -> Common;
    /// Settings that contradict each other or are out of range, as (setting, what to write instead).
    fn problems(&self) -> Vec<(String, String)>;
    /// Opens the sink without needing its target: a target that is down at start-up is one that is down later, met in
    /// [`Sink::deliver`] and tried again.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String>;
    /// Connects for `tusk check`, changes nothing there, and says in one line what it found (version, topics, space). Answers within
    /// ten seconds.
    ///
    /// # Errors
    /// One line: what is wrong and what to change. No password in it.
    fn probe(&self, context: &Context) -> Result<String, String>;
    /// Reads the target back and compares identities with the facts.
    ///
    /// # Errors
    /// A sentence: the target cannot be read.
    fn audit(&self, context: &AuditContext) -> Result<Audit, String>;
}

/// What an audit is given.
#[derive(Clone, Debug)]
pub struct AuditContext {
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The data folder.
    pub data: PathBuf,
    /// `<name>-<epoch>`.
    pub node: String,
    /// The sink's word in the list.
    pub name: String,
    /// The journal.
    pub segments: Arc<Segments>,
    /// The facts.
    pub facts: Arc<FactsFiles>,
    /// The sink's state: what it says it delivered is checked.
    pub state: State,
    /// The embedded ClickHouse, if there is one.
    pub olap: Option<Embedded>,
}

/// A durable target. One thread owns each sink, so methods block and take `&mut self`.
pub trait Sink: Send {
    /// Where it delivers to, in words: a changed target under an old name is refused.
    fn target(&self) -> String;

    /// Delivers a closed range and returns when it is durable at the target. May be called again with a range it delivered already,
    /// never with another one that overlaps it: what is there from a former try is not delivered twice.
    ///
    /// # Errors
    /// [`DeliverError::Unavailable`] if the fate of any event is unknown: the loop offers the same range again.
    /// [`DeliverError::Stop`] if a person has to look.
    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError>;

    /// Delivers those events of a range that the target does not hold yet: a parked sink's hole, or what an audit found missing. The
    /// same range may come again; what is there is left alone. The sink's own position is not moved.
    ///
    /// # Errors
    /// As [`Sink::deliver`].
    fn replay(&mut self, range: &mut Range<'_>, replay: &Replay) -> Result<Receipt, DeliverError>;

    /// Tells partitions apart: a range never spans more than [`Sink::partitions_max`] of them.
    fn partition(&mut self, fact: &Fact) -> u64 {
        let _ = fact;
        0
    }

    /// Partitions of one range at most.
    fn partitions_max(&self) -> usize {
        usize::MAX
    }

    /// Events of one range at most. It may follow what the target has taken lately, so that a range never takes long.
    fn events_max(&self) -> u64 {
        u64::MAX
    }

    /// How old, ms, a range of so many journal bytes may grow before it is closed, where that is not `range_age_ms_max`: what keeps
    /// files from being small.
    fn age_ms_max(&self, bytes: u64) -> Option<u64> {
        let _ = bytes;
        None
    }

    /// Called about each second between deliveries, for what depends on time alone. `closed_ms`: everything received before is
    /// delivered.
    ///
    /// # Errors
    /// As [`Sink::deliver`].
    fn tick(&mut self, now_ms: i64, closed_ms: i64) -> Result<(), DeliverError> {
        let _ = (now_ms, closed_ms);
        Ok(())
    }
}

/// A closed range under delivery.
pub struct Range<'r> {
    /// First lsn.
    pub from: u64,
    /// First lsn not in it.
    pub to: u64,
    reader: &'r mut dyn Source,
    passed: Passed,
}

impl std::fmt::Debug for Range<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Range").field("from", &self.from).field("to", &self.to).finish()
    }
}

impl Range<'_> {
    /// Shows its events in order; may be called more than once, with the same result.
    ///
    /// # Errors
    /// The journal's, or the visitor's.
    pub fn read(
        &mut self,
        visit: &mut dyn FnMut(&Shown<'_>) -> std::io::Result<()>,
    ) -> Result<Passed, RangeError> {
        self.passed = self.reader.read(self.from, self.to, visit)?;
        Ok(self.passed)
    }
}

/// How a range is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Kafka only: deliver into topics with this suffix instead of asking what is there.
    pub topic_suffix: Option<String>,
    /// What an audit found missing in this range, in order; `None` = nobody looked, the sink asks its target.
    pub missing: Option<Vec<IdentityRange>>,
}

impl Replay {
    /// Whether an audit found this identity missing; `true` when nobody looked.
    #[must_use]
    pub fn is_missing(&self, lsn: u64, index: u32) -> bool {
        let Some(missing) = &self.missing else { return true };
        let at = missing.partition_point(|run| run.last < (lsn, index));
        missing.get(at).is_some_and(|run| run.first <= (lsn, index))
    }
}

/// What became of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Events at the target now.
    pub delivered: u64,
    /// Events left out as duplicates.
    pub deduplicated: u64,
    /// Events left out because the sink is set to store a sample.
    pub sampled_out: u64,
    /// Events the target will never take, with the reason; they go to quarantine before the cursor passes.
    pub refused: Vec<Refused>,
}

/// An event a target will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its identity: lsn …
    pub lsn: u64,
    /// … and index.
    pub index: u32,
    /// What the target said.
    pub reason: String,
}

/// Why a range was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// Trying again cannot help.
    #[error("{0}")]
    Stop(String),
}

impl From<std::io::Error> for DeliverError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<RangeError> for DeliverError {
    fn from(error: RangeError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
