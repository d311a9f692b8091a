//! The file sink: JSON lines in folders by project, day and hour, on the local file system.

use super::folder::{
    self, DiskTree, Folders, Names, PARTITIONS_MAX, Recipe, Writer, audit,
    project_folder,
};
use super::{
    AuditContext, Common, Context, DeliverError, Range, Receipt, Replay, Sink, SinkConfig, Start,
};
use crate::disk::{Disk, DiskFile, Open};
use crate::facts::Fact;
use crate::ledger::Audit;
use crate::range::{EventView, Shown};
use crate::shape::Shape;
use crate::zone::{Hour, Zone};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::folder::{Compression, Format, PartitionBy};

/// `[sink.file]` of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap (and so bring the edge to 503) rather than be parked.
    pub required: bool,
    /// Where an optional sink is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// Root folder; default `<data>/files`.
    pub root: Option<PathBuf>,
    /// A range is closed at this many journal bytes …
    pub range_bytes_max: u64,
    /// … or at this age, ms, whichever is first. Shorter = fresher and more, smaller files.
    pub range_age_ms_max: u64,
    /// `jsonl` or `parquet`.
    pub format: Format,
    /// Value of a line of `jsonl`.
    pub shape: Shape,
    /// `none` or `zstd`; `gzip` with jsonl, `snappy` with parquet.
    pub compression: Compression,
    /// Level; gzip 1–9, zstd -7–19. Unset: gzip 4, zstd 1 (the cheapest byte for the CPU it takes).
    pub level: Option<i32>,
    /// Of parquet: whether the stored bytes are a column beside the typed ones.
    pub json_column: bool,
    /// Of parquet: plain bytes of a row group, held in memory for each file being written.
    pub row_group_bytes: usize,
    /// What `dt=`/`hour=` mean: `receive` (a closed hour never changes, `_SUCCESS-<node>` says so) or `event` time.
    pub partition_by: PartitionBy,
    /// How long after its end an hour is called complete, seconds.
    pub success_grace_s: u32,
    /// `dt=` folders older than this are deleted; 0 = never.
    pub keep_days: u32,
    /// The oldest hours are deleted when all files take more than this; 0 = half of the disk.
    pub bytes_max: u64,
    /// Where a new file sink starts: `oldest` or `now`.
    pub start: Start,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            required: true,
            lag_bytes_max: 0,
            root: None,
            range_bytes_max: 16 << 20,
            range_age_ms_max: 10_000,
            format: Format::Jsonl,
            shape: Shape::Server,
            compression: Compression::Zstd,
            level: None,
            json_column: true,
            row_group_bytes: 16 << 20,
            partition_by: PartitionBy::Receive,
            success_grace_s: 60,
            keep_days: 0,
            bytes_max: 0,
            start: Start::Oldest,
        }
    }
}

impl Config {
    /// Where the folders are.
    #[must_use]
    pub fn folder(&self, data: &Path) -> PathBuf {
        self.root.clone().unwrap_or_else(|| data.join("files"))
    }

    /// How much all files may take, with 0 resolved.
    ///
    /// # Errors
    /// The disk's.
    pub fn bytes_bound(&self, disk: &dyn Disk, root: &Path) -> io::Result<u64> {
        if self.bytes_max != 0 {
            return Ok(self.bytes_max);
        }
        Ok((disk.space(&existing(root))?.total_bytes / 2).max(1))
    }
}

/// The folder itself, else the nearest one above that exists.
fn existing(folder: &Path) -> PathBuf {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let there = folder.ancestors().find(|folder| folder.exists());
    there.unwrap_or(Path::new("/")).to_path_buf()
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
        problems
    }

    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String> {
        Ok(Box::new(FileSink::new(self, context)?))
    }

    fn probe(&self, context: &Context) -> Result<String, String> {
        let root = self.folder(&context.data);
        let there = existing(&root);
        let space = context.disk.space(&there).map_err(|e| format!("{}: {e}", there.display()))?;
        Ok(format!("{}, {} MB free", root.display(), space.free_bytes >> 20))
    }

    fn audit(&self, context: &AuditContext) -> Result<Audit, String> {
        let root = self.folder(&context.data);
        audit::audit(context, &DiskTree(Arc::clone(&context.disk)), &root, self.shape)
    }
}

/// The sink.
pub struct FileSink {
    config: Config,
    disk: Arc<dyn Disk>,
    root: PathBuf,
    node: String,
    zone: Zone,
    writer: Writer,
    folders: Folders,
    /// All files at most; 0 = not known yet.
    bytes_max: u64,
    /// First lsn of the range tried last.
    tried: Option<u64>,
}

/// A file of the range being written: one per project and hour.
struct Part {
    project: Vec<u8>,
    hour: Hour,
    folder: PathBuf,
    /// There from a former try: counted, not written again.
    exists: bool,
    gathered: folder::Part,
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
}

impl FileSink {
    fn new(config: &Config, context: &Context) -> Result<Self, String> {
        let root = config.folder(&context.data);
        let recipe = Recipe {
            sink: "file",
            format: config.format,
            compression: config.compression,
            level: config.level,
            shape: config.shape,
            json_column: config.json_column,
            row_group_bytes: config.row_group_bytes,
        };
        let writer = Writer::new(&recipe, context).map_err(|e| e.to_string())?;
        let by_receive = config.partition_by == PartitionBy::Receive;
        let tree = Arc::new(DiskTree(Arc::clone(&context.disk)));
        let folders = Folders::new("file", tree, &root, &context.node, by_receive);
        Ok(Self {
            config: config.clone(),
            disk: Arc::clone(&context.disk),
            root,
            node: context.node.clone(),
            zone: context.zone.clone(),
            writer,
            folders,
            bytes_max: 0,
            tried: None,
        })
    }

    fn hour(&mut self, fact: &Fact) -> Hour {
        self.zone.hour(self.config.partition_by.moment_ms(fact))
    }

    /// The place of the event's part in `parts`; made if it is the first of its partition.
    fn part(
        &mut self,
        event: &EventView<'_>,
        names: &Names,
        parts: &mut Vec<Part>,
        last: usize,
    ) -> Result<usize, DeliverError> {
        let (project, hour) = (event.project(), self.hour(event.fact));
        let same = |part: &Part| part.hour == hour && part.project == project;
        // Neighbours mostly share their partition.
        if parts.get(last).is_some_and(same) {
            return Ok(last);
        }
        if let Some(at) = parts.iter().position(same) {
            return Ok(at);
        }
        let folder = self.root.join(project_folder(project)).join(hour.dt()).join(hour.hour());
        self.folders.make(&folder, hour)?;
        let exists = if names.beside {
            self.disk.size(&folder.join(&names.last))?.is_some()
        } else {
            self.folders.holds(&folder, names.from, names.to)?
        };
        parts.push(Part {
            project: project.to_vec(),
            hour,
            folder,
            exists,
            gathered: self.writer.part(),
            file: None,
            bytes: 0,
        });
        Ok(parts.len() - 1)
    }

    /// Encodes the range into temporary files; returns them and the number of events.
    fn fill(
        &mut self,
        range: &mut Range<'_>,
        names: &Names,
        parts: &mut Vec<Part>,
        replay: &Replay,
    ) -> Result<u64, DeliverError> {
        let mut last = 0;
        let mut stop = None;
        let mut meant = 0;
        let passed = range.read(&mut |shown| {
            let Shown::Event(event) = shown else { return Ok(()) };
            if !replay.is_missing(event.lsn, event.index) {
                return Ok(());
            }
            meant += 1;
            match self.part(event, names, parts, last) {
                Ok(at) => last = at,
                Err(error) => {
                    stop = Some(error);
                    return Err(io::Error::other("stopped"));
                }
            }
            let Some(part) = parts.get_mut(last).filter(|part| !part.exists) else {
                return Ok(());
            };
            let Part { gathered, file, bytes, folder, .. } = part;
            let temporary = &names.temporary;
            let disk = self.disk.as_ref();
            self.writer.push(gathered, event, &mut |piece| {
                append(disk, &folder.join(temporary), file, bytes, piece)
            })
        });
        if let Some(error) = stop {
            return Err(error);
        }
        passed?;
        Ok(meant)
    }

    /// Delivers those events of a range that are meant.
    fn put(
        &mut self,
        range: &mut Range<'_>,
        names: &Names,
        replay: &Replay,
    ) -> Result<Receipt, DeliverError> {
        let mut parts = Vec::new();
        let done = self.fill(range, names, &mut parts, replay);
        let done = done.and_then(|n| self.publish(names, &mut parts).map(|()| n));
        if done.is_err() {
            // A full disk must not be held full by files that will be written anew.
            for part in &parts {
                let _ = self.disk.remove(&part.folder.join(&names.temporary));
            }
        }
        Ok(Receipt { delivered: done?, ..Receipt::default() })
    }

    /// Makes the files durable under their final names.
    fn publish(&mut self, names: &Names, parts: &mut [Part]) -> Result<(), DeliverError> {
        for part in parts.iter_mut().filter(|part| !part.exists) {
            let Part { gathered, file, bytes, folder, .. } = part;
            let (disk, path) = (self.disk.as_ref(), folder.join(&names.temporary));
            self.writer
                .finish(gathered, &mut |piece| append(disk, &path, file, bytes, piece))?;
            let Some(file) = part.file.take() else { continue };
            file.sync()?;
            drop(file);
            let from = part.folder.join(&names.temporary);
            match self.disk.rename_new(&from, &part.folder.join(&names.last)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(DeliverError::Stop(format!(
                        "{} appeared in {} while it was being written: another tusk writes there; give each its own root",
                        names.last,
                        part.folder.display()
                    )));
                }
                other => other?,
            }
        }
        for part in parts.iter() {
            // Also where a former try renamed: it may have died before this call.
            self.disk.sync_dir(&part.folder)?;
        }
        Ok(())
    }
}

/// Adds a piece to a part's file, which is made with the first.
fn append(
    disk: &dyn Disk,
    path: &Path,
    file: &mut Option<Box<dyn DiskFile>>,
    at: &mut u64,
    piece: &[u8],
) -> io::Result<()> {
    if file.is_none() {
        *file = Some(disk.open(path, Open::Create)?);
    }
    if let Some(file) = file {
        file.write_at(piece, *at)?;
        *at += piece.len() as u64;
    }
    Ok(())
}

impl Sink for FileSink {
    fn target(&self) -> String {
        format!("{} by {} time", self.root.display(), self.config.partition_by.word())
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        if self.tried.replace(range.from) == Some(range.from) {
            self.folders.forget();
        }
        let extension = self.writer.extension();
        let names = Names::new(&self.node, range.from, range.to, extension, None);
        self.put(range, &names, &Replay::default())
    }

    fn replay(&mut self, range: &mut Range<'_>, replay: &Replay) -> Result<Receipt, DeliverError> {
        self.folders.forget();
        let extension = self.writer.extension();
        // By name: a file of this range that is there is left alone.
        let mut names = Names::new(&self.node, range.from, range.to, extension, None);
        if let Some(missing) = &replay.missing {
            names = Names::beside(&self.node, range.from, range.to, extension, missing);
        }
        self.put(range, &names, replay)
    }

    fn partition(&mut self, fact: &Fact) -> u64 {
        let hour = self.hour(fact);
        folder::partition(fact, hour)
    }

    fn partitions_max(&self) -> usize {
        PARTITIONS_MAX
    }

    fn tick(&mut self, now_ms: i64, closed_ms: i64) -> Result<(), DeliverError> {
        let grace_ms = i64::from(self.config.success_grace_s) * 1000;
        self.folders.close(&self.zone, closed_ms.saturating_sub(grace_ms))?;
        if self.config.keep_days > 0 {
            let oldest_ms = now_ms - i64::from(self.config.keep_days) * 86_400_000;
            let oldest = self.zone.hour(oldest_ms);
            self.folders.expire(oldest)?;
        }
        if self.bytes_max == 0 {
            self.bytes_max = self.config.bytes_bound(self.disk.as_ref(), &self.root)?;
        }
        self.folders.trim(self.bytes_max)?;
        Ok(())
    }
}
