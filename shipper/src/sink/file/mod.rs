//! The file sink: JSON lines in folders by project, day and hour, on the local file system.

mod audit;
mod folders;
mod pack;

use super::{
    AuditContext, Common, Context, DeliverError, Range, Receipt, Replay, Sink, SinkConfig, Start,
};
use crate::disk::{Disk, DiskFile, Open};
use crate::facts::Fact;
use crate::ledger::Audit;
use crate::range::{EventView, Shown};
use crate::shape::Shape;
use crate::shape::encode::Encoder;
use crate::zone::{Hour, Zone};
use folders::Folders;
use pack::Packer;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Plain bytes gathered per partition before they are packed and written: one frame (zstd) or member (gzip), which every reader
/// concatenates. Small enough that 64 partitions stay within 16 MiB.
const FRAME_BYTES: usize = 256 << 10;
/// Partitions (project and hour) of one range at most.
const PARTITIONS_MAX: usize = 64;

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
    /// Value of a line.
    pub shape: Shape,
    /// `none`, `gzip` or `zstd`.
    pub compression: Compression,
    /// Level; gzip 1–9, zstd -7–19. Unset: gzip 4, zstd 1 (the cheapest byte for the CPU it takes).
    pub level: Option<i32>,
    /// What `dt=`/`hour=` mean: `receive` (a closed hour never changes, `_SUCCESS-<node>` says so) or `event` time.
    pub partition_by: PartitionBy,
    /// How long after its end an hour is called complete, seconds.
    pub success_grace_s: u32,
    /// `dt=` folders older than this are deleted; 0 = never.
    pub keep_days: u32,
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
            shape: Shape::Server,
            compression: Compression::Zstd,
            level: None,
            partition_by: PartitionBy::Receive,
            success_grace_s: 60,
            keep_days: 0,
            start: Start::Oldest,
        }
    }
}

/// How files are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Plain `.jsonl`.
    None,
    /// `.jsonl.gz`.
    Gzip,
    /// `.jsonl.zst`.
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
        let mut problems = Vec::new();
        let (low, high) = match self.compression {
            Compression::None => (i32::MIN, i32::MAX),
            Compression::Gzip => (1, 9),
            Compression::Zstd => (-7, 19),
        };
        if self.level.is_some_and(|level| level < low || level > high) {
            problems.push(("level".to_owned(), format!("write a number from {low} to {high}")));
        }
        if self.range_bytes_max < 64 << 10 || self.range_bytes_max > 1 << 30 {
            problems.push((
                "range_bytes_max".to_owned(),
                "write a number from 65536 (64 KiB) to 1073741824 (1 GiB)".to_owned(),
            ));
        }
        if self.range_age_ms_max < 100 || self.range_age_ms_max > 3_600_000 {
            problems.push((
                "range_age_ms_max".to_owned(),
                "write a number from 100 to 3600000 (an hour)".to_owned(),
            ));
        }
        problems
    }

    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String> {
        Ok(Box::new(FileSink::new(self, context)?))
    }

    fn probe(&self, context: &Context) -> Result<String, String> {
        let root = self.root.clone().unwrap_or_else(|| context.data.join("files"));
        let there = root.ancestors().find(|folder| folder.exists()).unwrap_or(&root);
        let space = context.disk.space(there).map_err(|e| format!("{}: {e}", there.display()))?;
        Ok(format!("{}, {} MB free", root.display(), space.free_bytes >> 20))
    }

    fn audit(&self, context: &AuditContext) -> Result<Audit, String> {
        let root = self.root.clone().unwrap_or_else(|| context.data.join("files"));
        audit::audit(context, &root, self.shape)
    }
}

/// The sink.
pub struct FileSink {
    config: Config,
    disk: Arc<dyn Disk>,
    root: PathBuf,
    node: String,
    zone: Zone,
    encoder: Encoder,
    packer: Packer,
    folders: Folders,
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
    plain: Vec<u8>,
    file: Option<Box<dyn DiskFile>>,
    bytes: u64,
}

/// Names of a range's files.
struct Names {
    from: u64,
    to: u64,
    last: String,
    temporary: String,
}

impl FileSink {
    fn new(config: &Config, context: &Context) -> Result<Self, String> {
        let root = config.root.clone().unwrap_or_else(|| context.data.join("files"));
        let packer = Packer::new(config.compression, config.level).map_err(|e| e.to_string())?;
        let by_receive = config.partition_by == PartitionBy::Receive;
        let folders =
            Folders::new(Arc::clone(&context.disk), &root, &context.node, by_receive);
        Ok(Self {
            config: config.clone(),
            disk: Arc::clone(&context.disk),
            root,
            node: context.node.clone(),
            zone: context.zone.clone(),
            encoder: Encoder::new(config.shape, &context.node, context.fill.clone()),
            packer,
            folders,
            tried: None,
        })
    }

    fn hour(&mut self, fact: &Fact) -> Hour {
        self.zone.hour(match self.config.partition_by {
            PartitionBy::Receive => fact.recv_ms,
            PartitionBy::Event => fact.time_ms,
        })
    }

    fn names(&self, from: u64, to: u64) -> Names {
        let extension = self.config.compression.extension();
        let last = format!("part-{}-{from:016x}-{to:016x}.{extension}", self.node);
        Names { from, to, temporary: format!(".{last}.inprogress"), last }
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
        let folder = self
            .root
            .join(format!("project={}", folders::name_of(project)))
            .join(hour.dt())
            .join(hour.hour());
        self.folders.make(&folder, hour)?;
        let exists = self.folders.holds(&folder, names.from, names.to)?;
        parts.push(Part {
            project: project.to_vec(),
            hour,
            folder,
            exists,
            plain: Vec::new(),
            file: None,
            bytes: 0,
        });
        Ok(parts.len() - 1)
    }

    fn write(&mut self, part: &mut Part, names: &Names) -> io::Result<()> {
        if part.file.is_none() {
            let path = part.folder.join(&names.temporary);
            part.file = Some(self.disk.open(&path, Open::Create)?);
        }
        let Some(file) = &part.file else { return Ok(()) };
        let packed = self.packer.pack(&part.plain)?;
        file.write_at(packed, part.bytes)?;
        part.bytes += packed.len() as u64;
        part.plain.clear();
        Ok(())
    }

    /// Encodes the range into temporary files; returns them and the number of events.
    fn fill(
        &mut self,
        range: &mut Range<'_>,
        names: &Names,
        parts: &mut Vec<Part>,
    ) -> Result<u64, DeliverError> {
        let mut last = 0;
        let mut stop = None;
        let passed = range.read(&mut |shown| {
            let Shown::Event(event) = shown else { return Ok(()) };
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
            self.encoder.encode(event, &mut part.plain);
            part.plain.push(b'\n');
            if part.plain.len() >= FRAME_BYTES { self.write(part, names) } else { Ok(()) }
        });
        if let Some(error) = stop {
            return Err(error);
        }
        let passed = passed?;
        Ok(passed.kept + passed.redriven)
    }

    /// Makes the files durable under their final names.
    fn publish(&mut self, names: &Names, parts: &mut [Part]) -> Result<(), DeliverError> {
        for part in parts.iter_mut().filter(|part| !part.exists) {
            if !part.plain.is_empty() {
                self.write(part, names)?;
            }
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

impl Sink for FileSink {
    fn target(&self) -> String {
        let by = match self.config.partition_by {
            PartitionBy::Receive => "receive",
            PartitionBy::Event => "event",
        };
        format!("{} by {by} time", self.root.display())
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        if self.tried.replace(range.from) == Some(range.from) {
            self.folders.forget();
        }
        let names = self.names(range.from, range.to);
        let mut parts = Vec::new();
        let done = self.fill(range, &names, &mut parts);
        let done = done.and_then(|n| self.publish(&names, &mut parts).map(|()| n));
        if done.is_err() {
            // A full disk must not be held full by files that will be written anew.
            for part in &parts {
                let _ = self.disk.remove(&part.folder.join(&names.temporary));
            }
        }
        Ok(Receipt { delivered: done?, ..Receipt::default() })
    }

    fn replay(&mut self, range: &mut Range<'_>, _: &Replay) -> Result<Receipt, DeliverError> {
        // By name: a file of this range that is there is left alone.
        self.deliver(range)
    }

    fn partition(&mut self, fact: &Fact) -> u64 {
        let hour = self.hour(fact);
        let day = (i64::from(hour.year) * 12 + i64::from(hour.month)) * 31 + i64::from(hour.day);
        let hour = (day * 24 + i64::from(hour.hour)).cast_unsigned() & 0xffff_ffff;
        (u64::from(fact.project) << 32) | hour
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
        Ok(())
    }
}
