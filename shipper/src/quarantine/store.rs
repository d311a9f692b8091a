//! The store: one log for what the edge rejected, one for each sink that refused; one bound for all.

use super::entry::{Kind, stage};
use super::item;
use super::log::{Counts, Log};
use super::{Filter, Item, QuarantineConfig};
use crate::disk::Disk;
use crate::engine::now_ms;
use crate::facts::decide::Origin;
use crate::journal::layout::{u32_at, u64_at};
use crate::range::{EventView, Shown};
use crate::sink::runner::RefusedStore;
use crate::sink::{Context, DeliverError, Range, Receipt, Refused, Replay, Sink};
use event::record::{self, Kind as RecordKind, tag};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Name of the log of the edge's rejects.
pub(super) const EDGE: &str = "edge";
const DAY_MS: i64 = 86_400_000;

/// Shared by the quarantine's sink, the sinks' refusals and the doors.
#[derive(Debug)]
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    epoch: u32,
    config: QuarantineConfig,
    logs: Mutex<BTreeMap<String, Log>>,
    /// For whoever must not wait for a walk.
    glance: Mutex<Glance>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Glance {
    edge: Counts,
    edge_open: u64,
    open: u64,
    bytes: u64,
}

impl Store {
    pub(super) fn open(context: &Context, config: &QuarantineConfig) -> io::Result<Self> {
        let dir = context.data.join("quarantine");
        let epoch = context.node.rsplit('-').next().unwrap_or_default();
        let epoch = u32::from_str_radix(epoch, 16).unwrap_or(0);
        let mut logs = BTreeMap::new();
        for item in context.disk.list(&dir)? {
            if item.dir {
                let ordered = item.name == EDGE;
                let disk = Arc::clone(&context.disk);
                let log = Log::open(disk, dir.join(&item.name), epoch, ordered)?;
                logs.insert(item.name, log);
            }
        }
        let store = Self {
            disk: Arc::clone(&context.disk),
            dir,
            epoch,
            config: config.clone(),
            logs: Mutex::new(logs),
            glance: Mutex::default(),
        };
        store.look(&store.logs());
        Ok(store)
    }

    fn look(&self, logs: &BTreeMap<String, Log>) {
        let edge = logs.get(EDGE);
        *self.glance.lock().unwrap_or_else(PoisonError::into_inner) = Glance {
            edge: edge.map(Log::counts).unwrap_or_default(),
            edge_open: edge.map_or(0, Log::open_events),
            open: logs.values().map(Log::open_events).sum(),
            bytes: logs.values().map(Log::bytes).sum(),
        };
    }

    fn glance(&self) -> Glance {
        *self.glance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<String, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, name: &str, from: u64, staged: &[u8]) -> io::Result<()> {
        let mut logs = self.logs();
        if !logs.contains_key(name) {
            if staged.is_empty() {
                return Ok(());
            }
            let (disk, dir) = (Arc::clone(&self.disk), self.dir.join(name));
            let log = Log::open(disk, dir, self.epoch, name == EDGE)?;
            logs.insert(name.to_owned(), log);
        }
        let Some(log) = logs.get_mut(name) else { return Ok(()) };
        let done = log.append(from, staged);
        self.look(&logs);
        done
    }

    /// Deletes what is too old or too much.
    fn expire(&self, now_ms: i64) -> io::Result<()> {
        let oldest_ms = now_ms - i64::from(self.config.keep_days) * DAY_MS;
        let mut logs = self.logs();
        for log in logs.values_mut() {
            while log.expire(oldest_ms, false)? {}
        }
        loop {
            self.look(&logs);
            if self.glance().bytes <= self.config.bytes_max {
                return Ok(());
            }
            // The largest log pays: a flood in one must not push the other out.
            let Some(log) = logs.values_mut().max_by_key(|log| log.bytes()) else { return Ok(()) };
            if !log.expire(oldest_ms, true)? {
                return Ok(());
            }
        }
    }

    /// Counts of the edge's rejects: over the life, and open now.
    pub(super) fn edge(&self) -> (Counts, u64) {
        let glance = self.glance();
        (glance.edge, glance.edge_open)
    }

    /// Open events of all logs, and the bytes of all.
    pub(super) fn size(&self) -> (u64, u64) {
        let glance = self.glance();
        (glance.open, glance.bytes)
    }

    /// Whether a person decided on this event before.
    pub(super) fn is_decided(&self, identity: (u64, u32)) -> bool {
        self.logs().values().any(|log| log.is_decided(identity))
    }

    /// Shows open events that match, oldest first in each log. `visit` returns `false` to end the walk.
    pub(super) fn walk(
        &self,
        filter: &Filter,
        visit: &mut dyn FnMut(&str, Item, &[u8]) -> bool,
    ) -> io::Result<()> {
        let logs = self.logs();
        let mut on = true;
        for (name, log) in logs.iter() {
            let sink = (name != EDGE).then_some(name.as_str());
            log.walk(&mut |header, payload| {
                if filter.identity.is_some_and(|wanted| wanted != (header.lsn, header.index))
                    || filter.since_ms.is_some_and(|since| header.recv_ms < since)
                {
                    return true;
                }
                let item = item::show(header, payload, sink);
                if matches(filter, &item) {
                    on = visit(name, item, payload);
                }
                on
            })?;
            if !on {
                break;
            }
        }
        Ok(())
    }
}

fn matches(filter: &Filter, item: &Item) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
    same(&filter.event, &item.event)
        && same(&filter.sdk, &item.sdk)
        && same(&filter.project, &item.project)
        && filter.code.as_deref().is_none_or(|w| item.codes.iter().any(|code| code.code == w))
}

/// The quarantine as a sink: rejected events in, decisions noted.
pub(super) struct QuarantineSink(pub(super) Arc<Store>);

impl Sink for QuarantineSink {
    fn target(&self) -> String {
        "quarantine".to_owned()
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        let mut staged: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        staged.insert(EDGE.to_owned(), Vec::new());
        range.read(&mut |shown| {
            match shown {
                Shown::Event(event) => put(event, None, staged.entry(EDGE.to_owned()).or_default()),
                Shown::Decision { kind, lsn, payload } => decide(*kind, *lsn, payload, &mut staged),
            }
            Ok(())
        })?;
        for (log, items) in &staged {
            self.0.append(log, range.from, items)?;
        }
        Ok(Receipt::default())
    }

    fn replay(&mut self, _: &mut Range<'_>, _: &Replay) -> Result<Receipt, DeliverError> {
        Err(DeliverError::Stop(
            "quarantine is the home of what it holds; nothing is replayed into it".into(),
        ))
    }

    fn tick(&mut self, now_ms: i64, _closed_ms: i64) -> Result<(), DeliverError> {
        Ok(self.0.expire(now_ms)?)
    }
}

fn put(event: &EventView<'_>, refusal: Option<&str>, out: &mut Vec<u8>) {
    let payload = item::payload(event, refusal);
    let identity = (event.lsn, event.index);
    stage(event.fact.lsn, identity, event.recv_ms, Kind::Event, &payload, out);
}

/// Marks the identities a re-drive or discard names.
fn decide(kind: RecordKind, position: u64, payload: &[u8], staged: &mut BTreeMap<String, Vec<u8>>) {
    let mark = if kind == RecordKind::Redrive { Kind::Redriven } else { Kind::Discarded };
    let origin = Origin::find(payload);
    let log = origin.as_ref().and_then(|o| o.sink.clone()).unwrap_or_else(|| EDGE.to_owned());
    let out = staged.entry(log).or_default();
    if let (RecordKind::Redrive, Some(origin)) = (kind, &origin) {
        let recv_ms = (origin.recv_ns / 1_000_000).cast_signed();
        stage(position, (origin.lsn, origin.index), recv_ms, mark, &[], out);
    }
    for (_, bytes) in record::sections(payload).flatten().filter(|(t, _)| *t == tag::IDENTITIES) {
        for identity in bytes.chunks_exact(16) {
            let identity = (u64_at(identity, 0), u32_at(identity, 8));
            stage(position, identity, now_ms(), mark, &[], out);
        }
    }
}

/// Takes what sinks refuse.
pub(super) struct Refusals(pub(super) Arc<Store>);

impl RefusedStore for Refusals {
    fn put(
        &mut self,
        sink: &str,
        range: &mut Range<'_>,
        refused: &[Refused],
    ) -> Result<(), String> {
        let reasons: HashMap<(u64, u32), &str> =
            refused.iter().map(|r| ((r.lsn, r.index), r.reason.as_str())).collect();
        let mut staged = Vec::new();
        range
            .read(&mut |shown| {
                if let Shown::Event(event) = shown
                    && let Some(reason) = reasons.get(&(event.lsn, event.index))
                {
                    put(event, Some(reason), &mut staged);
                }
                Ok(())
            })
            .map_err(|error| error.to_string())?;
        self.0.append(sink, range.from, &staged).map_err(|error| error.to_string())
    }
}
