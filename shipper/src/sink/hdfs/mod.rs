//! The HDFS sink: files in folders by project, day and hour, as the file sink writes them, on an HDFS.
//!
//! A range becomes one file per project and hour. A file is written under a hidden name that no other try uses, synced, closed, and
//! renamed, never onto another, after its close returned well: a call that was given up may still be carried out when a frozen NameNode
//! thaws, and can then neither damage nor publish what a later try writes.

mod fs;
mod native;
mod target;
mod upload;
mod web;

use super::folder::{
    self, Compression, Folders, Format, Names, PARTITIONS_MAX, PartitionBy, Recipe, Writer, audit,
    project_folder,
};
use super::{
    AuditContext, Common, Context, DeliverError, Range, Receipt, Replay, Sink, SinkConfig, Start,
};
use crate::facts::Fact;
use crate::ledger::Audit;
use crate::range::{EventView, Passed, Shown};
use crate::shape::Shape;
use crate::zone::{Hour, Zone};
use fs::Create;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use target::{HdfsTree, Target};
use upload::Upload;

/// Time limit of `tusk check`'s calls; all of them together stay below its ten seconds.
const PROBE_MS: u64 = 4_000;

/// `[sink.hdfs]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap (and so bring the edge to 503) rather than be parked.
    pub required: bool,
    /// Where an optional sink is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// `hdfs://host:port`, `hdfs://nameservice`, or `webhdfs://host:port` (the NameNode's HTTP port).
    pub url: String,
    /// Folder of `core-site.xml` and `hdfs-site.xml`; default `$HADOOP_CONF_DIR`, if it is set.
    pub config_dir: Option<PathBuf>,
    /// Client settings by their Hadoop names, such as those of a nameservice; they win over `config_dir`.
    pub options: BTreeMap<String, String>,
    /// Who writes; default `$HADOOP_USER_NAME`, else the process's user. Under Kerberos the user to act for.
    pub user: Option<String>,
    /// Kerberos principal …
    pub kerberos_principal: Option<String>,
    /// … and its keytab.
    pub kerberos_keytab: Option<PathBuf>,
    /// Root folder.
    pub root: PathBuf,
    /// A range is closed at this many journal bytes …
    pub range_bytes_max: u64,
    /// … or at this age, ms, whichever is first.
    pub range_age_ms_max: u64,
    /// A range of fewer journal bytes than this may grow older, against small files; 0 = none may.
    pub small_bytes: u64,
    /// How old such a range may grow, ms.
    pub small_age_ms_max: u64,
    /// `parquet` or `jsonl`.
    pub format: Format,
    /// Value of a line of `jsonl`.
    pub shape: Shape,
    /// `zstd` or `none`; `snappy` with parquet, `gzip` with jsonl.
    pub compression: Compression,
    /// Level; gzip 1–9, zstd -7–19 (parquet 1–19). Unset: gzip 4, zstd 1.
    pub level: Option<i32>,
    /// Of parquet: whether the stored bytes are a column beside the typed ones.
    pub json_column: bool,
    /// Of parquet: plain bytes of a row group, held in memory for each file being written.
    pub row_group_bytes: usize,
    /// What `dt=`/`hour=` mean.
    pub partition_by: PartitionBy,
    /// How long after its end an hour is called complete, seconds.
    pub success_grace_s: u32,
    /// `dt=` folders older than this are deleted; 0 = never.
    pub keep_days: u32,
    /// Files of a range written at the same time.
    pub files_parallel: usize,
    /// Copies of a block; unset: the cluster's default.
    pub replication: Option<u32>,
    /// Block size; unset: the cluster's default.
    pub block_bytes: Option<u64>,
    /// Longest wait for any one answer, ms.
    pub call_timeout_ms: u64,
    /// Where a new sink starts: `oldest` or `now`.
    pub start: Start,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            required: true,
            lag_bytes_max: 0,
            url: String::new(),
            config_dir: None,
            options: BTreeMap::new(),
            user: None,
            kerberos_principal: None,
            kerberos_keytab: None,
            root: PathBuf::from("/tusk"),
            range_bytes_max: 128 << 20,
            range_age_ms_max: 300_000,
            small_bytes: 0,
            small_age_ms_max: 3_600_000,
            format: Format::Parquet,
            shape: Shape::Server,
            compression: Compression::Zstd,
            level: None,
            json_column: true,
            row_group_bytes: 16 << 20,
            partition_by: PartitionBy::Receive,
            success_grace_s: 60,
            keep_days: 0,
            files_parallel: 4,
            replication: None,
            block_bytes: None,
            call_timeout_ms: 20_000,
            start: Start::Oldest,
        }
    }
}

impl Config {
    fn recipe(&self) -> Recipe {
        Recipe {
            sink: "hdfs",
            format: self.format,
            compression: self.compression,
            level: self.level,
            shape: self.shape,
            json_column: self.json_column,
            row_group_bytes: self.row_group_bytes,
        }
    }

    /// Who WebHDFS is told to be asked by.
    fn web_user(&self) -> String {
        let named = self.user.clone().or_else(|| std::env::var("HADOOP_USER_NAME").ok());
        named.filter(|name| !name.is_empty()).unwrap_or_else(process_user)
    }

    fn url_problem(&self) -> Option<&'static str> {
        let Some((scheme, host)) = self.url.split_once("://") else {
            return Some(
                "write \"hdfs://host:8020\", \"hdfs://nameservice\" or \"webhdfs://host:9870\"",
            );
        };
        let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
        if host.is_empty() || host.contains('/') {
            return Some("write only the address here, and the folder as root");
        }
        match (scheme, port) {
            ("hdfs", None | Some(true)) | ("webhdfs", Some(true)) => None,
            ("webhdfs", _) => Some("write the NameNode's HTTP port: \"webhdfs://host:9870\""),
            ("hdfs", Some(false)) => Some("the port is no number"),
            _ => Some("write a url that begins with hdfs:// or webhdfs://"),
        }
    }
}

/// The name of the user this process runs as; its number if it has none.
fn process_user() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let name = lines.find(|line| line.get(2) == Some(&id.as_str()));
    name.and_then(|line| line.first().map(|name| (*name).to_owned())).unwrap_or(id)
}

impl SinkConfig for Config {
    fn common(&self) -> Common {
        Common {
            enabled: self.enabled,
            required: self.required,
            lag_bytes_max: self.lag_bytes_max,
            range_bytes_max: self.range_bytes_max,
            range_age_ms_max: self.range_age_ms_max,
            start: self.start,
            rejected_too: false,
        }
    }

    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = folder::problems(self.format, self.compression, self.level);
        problems.extend(folder::range_problems(self.range_bytes_max, self.range_age_ms_max));
        problems.extend(folder::row_group_problem(self.row_group_bytes));
        let mut wrong = |setting: &str, what: &str| {
            problems.push((setting.to_owned(), what.to_owned()));
        };
        if self.enabled
            && let Some(what) = self.url_problem()
        {
            wrong("url", what);
        }
        if !self.root.is_absolute() || self.root.parent().is_none() {
            wrong("root", "write a whole path below /, such as \"/tusk\"");
        }
        if !(1..=16).contains(&self.files_parallel) {
            wrong("files_parallel", "write a number from 1 to 16");
        }
        if !(1_000..=600_000).contains(&self.call_timeout_ms) {
            wrong("call_timeout_ms", "write a number from 1000 to 600000 (ten minutes)");
        }
        if !(self.range_age_ms_max..=86_400_000).contains(&self.small_age_ms_max) {
            wrong("small_age_ms_max", "write a number from range_age_ms_max to 86400000 (a day)");
        }
        if self.replication.is_some_and(|n| !(1..=512).contains(&n)) {
            wrong("replication", "write a number from 1 to 512");
        }
        if self.block_bytes.is_some_and(|n| n < 1 << 20 || n % 512 != 0) {
            wrong("block_bytes", "write a multiple of 512 from 1048576 (1 MiB)");
        }
        if self.kerberos_keytab.is_some() && self.kerberos_principal.is_none() {
            wrong("kerberos_keytab", "name its kerberos_principal too");
        }
        problems
    }

    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String> {
        Ok(Box::new(HdfsSink::new(self, context)?))
    }

    fn probe(&self, _: &Context) -> Result<String, String> {
        let config = Self { call_timeout_ms: self.call_timeout_ms.min(PROBE_MS), ..self.clone() };
        let target = Target::new(&config)?;
        let mut at = self.root.as_path();
        let mut left = String::new();
        loop {
            let stat = target
                .call(async |fs| fs.stat(&target::text(at)).await)
                .map_err(|error| error.to_string())?;
            if let Some(stat) = stat {
                return Ok(format!(
                    "{}{} ({} of {}, mode {:o}){left}",
                    self.url,
                    at.display(),
                    if at == self.root { "root" } else { "above the root" },
                    stat.owner,
                    stat.mode
                ));
            }
            left = format!("; {} will be made", self.root.display());
            at = at.parent().unwrap_or(Path::new("/"));
        }
    }

    fn audit(&self, context: &AuditContext) -> Result<Audit, String> {
        let tree = HdfsTree(Target::new(self)?);
        audit::audit(context, &tree, &self.root, self.shape)
    }
}

/// The sink.
struct HdfsSink {
    config: Config,
    target: Arc<Target>,
    node: String,
    zone: Zone,
    writer: Writer,
    folders: Folders,
    /// First lsn of the range tried last.
    tried: Option<u64>,
}

/// A file of the range under delivery: one per project and hour.
struct Part {
    project: Vec<u8>,
    hour: Hour,
    folder: PathBuf,
    state: State,
}

enum State {
    /// To be written in a later pass over the range.
    Waiting,
    /// Being written.
    Open(folder::Part, Upload),
    /// Under its final name, from this try or a former one.
    There,
}

/// A try's files and what it is called by.
struct Try {
    names: Names,
    parts: Vec<Part>,
    /// Place of the last event's part.
    last: usize,
    open: usize,
}

impl HdfsSink {
    fn new(config: &Config, context: &Context) -> Result<Self, String> {
        let target = Target::new(config)?;
        let writer =
            Writer::new(&config.recipe(), context).map_err(|error| error.to_string())?;
        let by_receive = config.partition_by == PartitionBy::Receive;
        let tree = Arc::new(HdfsTree(Arc::clone(&target)));
        let folders = Folders::new("hdfs", tree, &config.root, &context.node, by_receive);
        Ok(Self {
            config: config.clone(),
            target,
            node: context.node.clone(),
            zone: context.zone.clone(),
            writer,
            folders,
            tried: None,
        })
    }

    fn hour(&mut self, fact: &Fact) -> Hour {
        self.zone.hour(self.config.partition_by.moment_ms(fact))
    }

    /// The place of the event's part; made if it is the first of its partition.
    fn part(&mut self, event: &EventView<'_>, this: &mut Try) -> Result<usize, DeliverError> {
        let (project, hour) = (event.project(), self.hour(event.fact));
        let same = |part: &Part| part.hour == hour && part.project == project;
        if this.parts.get(this.last).is_some_and(same) {
            return Ok(this.last);
        }
        if let Some(at) = this.parts.iter().position(same) {
            return Ok(at);
        }
        let folder =
            self.config.root.join(project_folder(project)).join(hour.dt()).join(hour.hour());
        self.folders.make(&folder, hour)?;
        let there = self.folders.holds(&folder, this.names.from, this.names.to)?;
        let mut part = Part { project: project.to_vec(), hour, folder, state: State::Waiting };
        if there {
            part.state = State::There;
        } else if this.open < self.config.files_parallel {
            this.open += 1;
            self.start(&mut part, &this.names)?;
        }
        this.parts.push(part);
        Ok(this.parts.len() - 1)
    }

    fn start(&self, part: &mut Part, names: &Names) -> io::Result<()> {
        let how = Create {
            overwrite: true,
            replication: self.config.replication,
            block_bytes: self.config.block_bytes,
        };
        let (runtime, fs) = (self.target.runtime(), self.target.fs()?);
        let upload = Upload::start(runtime, fs, &target::text(&part.folder), names, how);
        part.state = State::Open(self.writer.part(), upload);
        Ok(())
    }

    /// Reads the range once and writes the files that are open.
    fn pass(&mut self, range: &mut Range<'_>, this: &mut Try) -> Result<Passed, DeliverError> {
        let mut stop = None;
        let passed = range.read(&mut |shown| {
            let Shown::Event(event) = shown else { return Ok(()) };
            match self.part(event, this) {
                Ok(at) => this.last = at,
                Err(error) => {
                    stop = Some(error);
                    return Err(io::Error::other("stopped"));
                }
            }
            match this.parts.get_mut(this.last).map(|part| &mut part.state) {
                Some(State::Open(part, upload)) => {
                    self.writer.push(part, event, &mut |piece| upload.write(piece))
                }
                _ => Ok(()),
            }
        });
        if let Some(error) = stop {
            return Err(error);
        }
        let passed = passed?;
        for part in &mut this.parts {
            if let State::Open(part, upload) = &mut part.state {
                self.writer.finish(part, &mut |piece| upload.write(piece))?;
                upload.end()?;
            }
        }
        Ok(passed)
    }

    /// Waits for the files that are open; the first error of all, the one that knows why before one that only saw an end.
    fn join(&self, this: &mut Try) -> io::Result<()> {
        let mut error = None;
        for part in &mut this.parts {
            if let State::Open(..) = part.state
                && let State::Open(_, upload) = std::mem::replace(&mut part.state, State::There)
                && let Err(failed) = upload.join(self.target.runtime())
            {
                error = error.or(Some(failed));
            }
        }
        this.open = 0;
        error.map_or(Ok(()), Err)
    }

    fn write(&mut self, range: &mut Range<'_>) -> Result<u64, DeliverError> {
        let tag = RandomState::new().hash_one(range.from);
        let extension = self.writer.extension();
        let names = Names::new(&self.node, range.from, range.to, extension, Some(tag));
        let mut this = Try { names, parts: Vec::new(), last: 0, open: 0 };
        let mut counted = None;
        loop {
            let passed = self.pass(range, &mut this);
            // Whatever happened, no upload outlives the try.
            let joined = self.join(&mut this);
            let passed = match (passed, joined) {
                (Err(stop @ DeliverError::Stop(_)), _) => return Err(stop),
                (_, Err(error)) => return Err(error.into()),
                (Err(error), Ok(())) => return Err(error),
                (Ok(passed), Ok(())) => passed,
            };
            counted.get_or_insert(passed.kept + passed.redriven);
            let Try { names, parts, open, .. } = &mut this;
            let waiting = parts.iter_mut().filter(|part| matches!(part.state, State::Waiting));
            for part in waiting.take(self.config.files_parallel) {
                self.start(part, names)?;
                *open += 1;
            }
            if this.open == 0 {
                return Ok(counted.unwrap_or_default());
            }
        }
    }
}

impl Sink for HdfsSink {
    fn target(&self) -> String {
        let Config { url, root, partition_by, .. } = &self.config;
        format!("{url}{} by {} time", root.display(), partition_by.word())
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        if self.tried.replace(range.from) == Some(range.from) {
            self.folders.forget();
        }
        let delivered = self.write(range);
        if delivered.is_err() {
            self.target.renew();
        }
        Ok(Receipt { delivered: delivered?, ..Receipt::default() })
    }

    fn replay(&mut self, range: &mut Range<'_>, _: &Replay) -> Result<Receipt, DeliverError> {
        // By name: a file of this range that is there is left alone.
        self.deliver(range)
    }

    fn partition(&mut self, fact: &Fact) -> u64 {
        let hour = self.hour(fact);
        folder::partition(fact, hour)
    }

    fn partitions_max(&self) -> usize {
        PARTITIONS_MAX
    }

    fn age_ms_max(&self, bytes: u64) -> Option<u64> {
        (bytes < self.config.small_bytes).then_some(self.config.small_age_ms_max)
    }

    fn tick(&mut self, now_ms: i64, closed_ms: i64) -> Result<(), DeliverError> {
        let grace_ms = i64::from(self.config.success_grace_s) * 1000;
        self.folders.close(&self.zone, closed_ms.saturating_sub(grace_ms))?;
        if self.config.keep_days > 0 {
            let oldest_ms = now_ms - i64::from(self.config.keep_days) * 86_400_000;
            let oldest = self.zone.hour(oldest_ms);
            self.folders.expire(oldest)?;
        }
        Ok(())
    }
}
