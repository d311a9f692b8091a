//! What sinks that write folders of files share, whatever holds the folders: names, partitions, formats, closing and deleting of
//! hours, and reading back.
//!
//! `<root>/project=…/dt=YYYY-MM-DD/hour=HH/part-<node>-<from>-<to>.<ext>`, with `_SUCCESS-<node>` in closed hours and days.

pub(crate) mod audit;
mod disk;
mod folders;
mod names;
mod pack;
mod parquet;
mod trim;
mod write;

use crate::facts::Fact;
use crate::zone::Hour;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

pub(crate) use crate::disk::Item;
pub(crate) use disk::DiskTree;
pub(crate) use folders::Folders;
pub(crate) use names::{Names, project_folder, range_of};
pub(crate) use write::{Part, Recipe, Writer};

/// Partitions (project and hour) of one range at most.
pub(crate) const PARTITIONS_MAX: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Parquet: typed columns, three maps, and the stored bytes beside them.
    Parquet,
}

/// How files are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip; JSON lines only.
    Gzip,
    /// Snappy; Parquet only.
    Snappy,
    /// zstd.
    Zstd,
}

/// Which time names the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionBy {
    /// Receive time.
    Receive,
    /// Event time, corrected.
    Event,
}

impl PartitionBy {
    /// The moment that names an event's folder, ms.
    pub(crate) fn moment_ms(self, fact: &Fact) -> i64 {
        match self {
            Self::Receive => fact.recv_ms,
            Self::Event => fact.time_ms,
        }
    }

    /// Its word in a target's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Event => "event",
        }
    }
}

/// Tells partitions apart.
pub(crate) fn partition(fact: &Fact, hour: Hour) -> u64 {
    let day = (i64::from(hour.year) * 12 + i64::from(hour.month)) * 31 + i64::from(hour.day);
    let hour = (day * 24 + i64::from(hour.hour)).cast_unsigned() & 0xffff_ffff;
    (u64::from(fact.project) << 32) | hour
}

/// Settings of format and packing that contradict each other.
pub(crate) fn problems(
    format: Format,
    compression: Compression,
    level: Option<i32>,
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut wrong = |setting: &str, what: String| problems.push((setting.to_owned(), what));
    let (low, high) = match (format, compression) {
        (Format::Jsonl, Compression::Snappy) => {
            wrong("compression", "write \"zstd\", \"gzip\" or \"none\" with format jsonl".into());
            return problems;
        }
        (Format::Parquet, Compression::Gzip) => {
            let what = "write \"zstd\", \"snappy\" or \"none\" with format parquet";
            wrong("compression", what.into());
            return problems;
        }
        (_, Compression::None | Compression::Snappy) => (i32::MIN, i32::MAX),
        (_, Compression::Gzip) => (1, 9),
        (Format::Jsonl, Compression::Zstd) => (-7, 19),
        (Format::Parquet, Compression::Zstd) => (1, 19),
    };
    if level.is_some_and(|level| level < low || level > high) {
        wrong("level", format!("write a number from {low} to {high}"));
    }
    problems
}

/// A row group's size out of range.
pub(crate) fn row_group_problem(bytes: usize) -> Option<(String, String)> {
    let fits = (1 << 20..=512 << 20).contains(&bytes);
    (!fits).then(|| {
        let what = "write a number from 1048576 (1 MiB) to 536870912 (512 MiB)";
        ("row_group_bytes".to_owned(), what.to_owned())
    })
}

/// A range's size and age out of range.
pub(crate) fn range_problems(bytes_max: u64, age_ms_max: u64) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    if !(64 << 10..=1 << 30).contains(&bytes_max) {
        problems.push((
            "range_bytes_max".to_owned(),
            "write a number from 65536 (64 KiB) to 1073741824 (1 GiB)".to_owned(),
        ));
    }
    if !(100..=3_600_000).contains(&age_ms_max) {
        problems.push((
            "range_age_ms_max".to_owned(),
            "write a number from 100 to 3600000 (an hour)".to_owned(),
        ));
    }
    problems
}

/// What holds the folders. Every call is over, well or not, within a time limit of its own.
pub(crate) trait Tree: Send + Sync {
    /// A folder's entries, sorted by name; none if there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<Item>>;
    /// Makes a folder under `root` and what is missing above it, durably.
    fn make(&self, root: &Path, folder: &Path) -> io::Result<()>;
    /// Puts an empty file into a folder, durably, unless it is there or the folder is gone.
    fn mark(&self, folder: &Path, name: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, folder: &Path) -> io::Result<()>;
    /// Opens a finished file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>>;
}

/// A finished file.
pub(crate) trait Content: Send + Sync {
    /// Size.
    fn bytes(&self) -> u64;
    /// Reads up to `buf.len()` bytes at `at`; fewer only at the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
}
