//! The quarantine's doors for the command line and the console: list, show, re-drive, discard.

use super::redrive::{self, Offer};
use super::store::{QuarantineSink, Refusals, Store};
use super::{Filter, Group, Item, RedriveReport};
use crate::engine::{Append, EngineConfig, OwnRecord};
use crate::journal::Segments;
use crate::sealed::Opener;
use crate::sink::runner::{self, RefusedStore};
use crate::sink::{Common, Context, Sink, Start};
use crossbeam_channel::{Sender, bounded};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Groups listed at most.
const GROUPS_MAX: usize = 10_000;
/// Records handed to the journal at once, and their bytes.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// How long a door waits for the threads behind it.
const WAIT: Duration = Duration::from_secs(10);

/// Decides one event of a log; an error ends the walk.
type Decide<'d> = dyn FnMut(&str, &Item, &[u8]) -> Result<(), String> + 'd;

/// The quarantine's doors. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Quarantine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    config: EngineConfig,
    appends: Sender<Append>,
    /// The quarantine's own cursor, and the journal it follows.
    behind: OnceLock<(Arc<runner::Shared>, Arc<Segments>)>,
    /// One decision at a time: a second door must see what the first one decided.
    deciding: Mutex<()>,
}

impl Quarantine {
    pub(crate) fn open(
        context: &Context,
        config: &EngineConfig,
        appends: Sender<Append>,
    ) -> Result<Self, String> {
        let store = Store::open(context, &config.quarantine).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Inner {
            store: Arc::new(store),
            config: config.clone(),
            appends,
            behind: OnceLock::new(),
            deciding: Mutex::new(()),
        })))
    }

    pub(crate) fn sink(&self) -> (Common, Box<dyn Sink>) {
        let common = Common {
            enabled: true,
            required: true,
            lag_bytes_max: 0,
            range_bytes_max: 4 << 20,
            range_age_ms_max: 200,
            start: Start::Oldest,
            rejected_too: true,
        };
        (common, Box::new(QuarantineSink(Arc::clone(&self.0.store))))
    }

    pub(crate) fn refused(&self) -> Box<dyn RefusedStore> {
        Box::new(Refusals(Arc::clone(&self.0.store)))
    }

    pub(crate) fn watch(&self, sinks: &[Arc<runner::Shared>], segments: &Arc<Segments>) {
        if let Some(own) = sinks.iter().find(|sink| sink.name == "quarantine") {
            let _ = self.0.behind.set((Arc::clone(own), Arc::clone(segments)));
        }
    }

    /// Open events and bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.0.store.size()
    }

    /// Stored, re-driven, discarded over the life, and open now: of the edge's rejects.
    pub(crate) fn edge(&self) -> [u64; 4] {
        let (counts, open) = self.0.store.edge();
        [counts.stored, counts.redriven, counts.discarded, open]
    }

    /// Open events by group, most first; at most 10,000 groups.
    ///
    /// # Errors
    /// A sentence: the store cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Group>, String> {
        let mut groups: BTreeMap<(String, String, String), Group> = BTreeMap::new();
        self.0
            .store
            .walk(filter, &mut |_, item, _| {
                let code = item.codes.first().map(|code| code.code.clone()).unwrap_or_default();
                let key = (code, item.event.clone(), item.sdk.clone());
                if groups.len() >= GROUPS_MAX && !groups.contains_key(&key) {
                    return true;
                }
                let (code, event, sdk) = key.clone();
                let group = groups.entry(key).or_insert_with(|| Group {
                    code,
                    event,
                    sdk,
                    first_ms: item.recv_ms,
                    ..Group::default()
                });
                group.open += 1;
                group.first_ms = group.first_ms.min(item.recv_ms);
                group.last_ms = group.last_ms.max(item.recv_ms);
                group.sample = (item.lsn, item.index);
                true
            })
            .map_err(|error| error.to_string())?;
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.open));
        Ok(groups)
    }

    /// Open events, newest first, at most `limit`.
    ///
    /// # Errors
    /// A sentence: the store cannot be read.
    pub fn show(&self, filter: &Filter, limit: usize) -> Result<Vec<Item>, String> {
        let mut newest: VecDeque<Item> = VecDeque::new();
        self.0
            .store
            .walk(filter, &mut |_, item, _| {
                if newest.len() >= limit {
                    newest.pop_front();
                }
                if limit > 0 {
                    newest.push_back(item);
                }
                true
            })
            .map_err(|error| error.to_string())?;
        let mut items: Vec<Item> = newest.into();
        items.sort_by_key(|item| std::cmp::Reverse((item.recv_ms, item.lsn, item.index)));
        Ok(items)
    }

    /// Checks matching events again with today's keys, tokens and rules and offers what passes to the sinks; at most `limit`.
    ///
    /// # Errors
    /// A sentence: the store cannot be read or the journal cannot take the records.
    pub fn redrive(&self, filter: &Filter, limit: usize) -> Result<RedriveReport, String> {
        let _one = self.0.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up()?;
        let mut report = RedriveReport::default();
        let config = self.0.config.accept_config().map_err(|error| error.to_string())?;
        let mut opener = Opener::new(config);
        let mut batch = Batch::new(&self.0.appends);
        self.decide(filter, limit, &mut |log, item, payload| match redrive::offer(
            &mut opener,
            log,
            item,
            payload,
        ) {
            Offer::Passes { record, identities, events } => {
                report.redriven += identities;
                report.events += events;
                batch.add(record)
            }
            Offer::Rejected(codes) => {
                report.still_rejected += 1;
                for code in codes {
                    *report.codes.entry(code).or_default() += 1;
                }
                Ok(())
            }
            Offer::Companion => Ok(()),
        })?;
        batch.send()?;
        self.catch_up()?;
        if let Some(identity) = filter.identity
            && report.redriven + report.still_rejected == 0
            && self.0.store.is_decided(identity)
        {
            report.already_decided = 1;
        }
        Ok(report)
    }

    /// Gives matching events up; returns how many.
    ///
    /// # Errors
    /// A sentence: the store cannot be read or the journal cannot take the records.
    pub fn discard(&self, filter: &Filter, limit: usize) -> Result<u64, String> {
        let _one = self.0.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up()?;
        let mut batch = Batch::new(&self.0.appends);
        let mut discarded = 0;
        self.decide(filter, limit, &mut |log, item, _| {
            discarded += 1;
            batch.add(redrive::discard(log, item))
        })?;
        batch.send()?;
        self.catch_up()?;
        Ok(discarded)
    }

    fn decide(&self, filter: &Filter, limit: usize, each: &mut Decide<'_>) -> Result<(), String> {
        let (mut left, mut failed) = (limit, None);
        let walked = self.0.store.walk(filter, &mut |log, item, payload| {
            if left == 0 {
                return false;
            }
            left -= 1;
            failed = each(log, &item, payload).err();
            failed.is_none()
        });
        walked.map_err(|error| error.to_string())?;
        failed.map_or(Ok(()), Err)
    }

    /// Waits until the store knows every decision the journal holds.
    fn catch_up(&self) -> Result<(), String> {
        let Some((own, segments)) = self.0.behind.get() else {
            return Err("the engine is not running".to_owned());
        };
        let wanted = segments.durable().get();
        let deadline = Instant::now() + WAIT;
        while own.done.load(Ordering::Relaxed) < wanted {
            if Instant::now() >= deadline {
                let error = own.last_error();
                return Err(format!(
                    "the quarantine has not caught up with the journal; try again later{}{error}",
                    if error.is_empty() { "" } else { ": " }
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Records gathered for one append.
struct Batch<'a> {
    appends: &'a Sender<Append>,
    records: Vec<OwnRecord>,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(appends: &'a Sender<Append>) -> Self {
        Self { appends, records: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, record: OwnRecord) -> Result<(), String> {
        self.bytes += record.payload.len();
        self.records.push(record);
        if self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), String> {
        if self.records.is_empty() {
            return Ok(());
        }
        let (reply, answer) = bounded(1);
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        let gone = |_| "the journal's thread does not answer; see `tusk check`".to_owned();
        self.appends
            .send_timeout(Append { records, note: None, reply }, WAIT)
            .map_err(|_| gone(()))?;
        answer.recv_timeout(WAIT).map_err(|_| gone(()))?.map(|_| ())
    }
}
