//! One tap for all pages: a thread that takes events from the daemon, filters them for each page and counts what it leaves out.
//! Nothing here makes the daemon wait: the tap is bounded, so is each page's queue, and what does not fit is counted.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;

use super::filter::Filter;
use crate::Shared;
use crate::tap::{Event, Next, Second, Tap};

/// Events the tap holds before it loses some: two seconds of 5,000 a second.
const TAP_EVENTS: usize = 10_000;
/// Events a page gets a second, after its filters; more is counted.
const PAGE_EVENTS_PER_S: f64 = 20.0;
/// Messages that wait for a slow page; what does not fit is counted as left out.
const PAGE_QUEUE: usize = 128;
/// Pages at a time.
const PAGES_MAX: usize = 100;
/// Events kept for details and for a page that changes its filter.
const RECENT_EVENTS_MAX: usize = 5_000;
/// Bytes of them.
const RECENT_BYTES_MAX: usize = 16 << 20;
/// Earlier events a new page is shown.
const BACKLOG: usize = 50;
/// How long they are kept after the last watcher went: a page that is loaded again finds them.
const LINGER: Duration = Duration::from_secs(10);
/// Requests a second that are kept whole while a page watches.
const RAW_PER_S: u64 = 20;
/// How long the edge keeps on by itself; renewed while somebody watches.
const LIFE: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How long a code waits to be scanned.
const PAIR_LIFE: Duration = Duration::from_secs(600);
/// Codes at a time.
const PAIRS_MAX: usize = 64;

/// What a page gets.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// An event, and whether it came before the page did.
    Event(Arc<Event>, bool),
    /// What happened since the last tick.
    Tick(Tick),
}

/// Counts of a page. Sums over ticks are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tick {
    /// The last seconds as all events make them, filters or not.
    pub(super) seconds: Vec<Second>,
    /// Events that passed the page's filters: kept …
    pub(super) good: u64,
    /// … kept with problems …
    pub(super) problems: u64,
    /// … rejected.
    pub(super) rejected: u64,
    /// Sent to the page.
    pub(super) shown: u64,
    /// Not sent: over the rate, or the page was too slow.
    pub(super) left_out: u64,
    /// Lost by the tap since the page opened; whether the filters would have taken them nobody knows.
    pub(super) dropped: u64,
    /// One request in so many is kept whole; 0 = none.
    pub(super) sample_every: u32,
}

#[derive(Debug)]
struct Page {
    filter: Filter,
    sender: mpsc::Sender<Message>,
    /// Whether requests may be kept whole for it.
    raw: bool,
    /// Whom it follows; empty = nobody.
    follow: String,
    tokens: f64,
    tick: Tick,
    dropped_before: u64,
}

/// Takes events on behalf of something that is not a page.
pub(super) trait Recorder: Send + Sync + std::fmt::Debug {
    /// Ids that are followed for it.
    fn ids(&self) -> Vec<String>;
    /// An event passed.
    fn take(&self, event: &Arc<Event>);
}

#[derive(Debug)]
struct Pair {
    until: Instant,
    device: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    pages: HashMap<u64, Page>,
    recorders: HashMap<String, Arc<dyn Recorder>>,
    pairs: HashMap<String, Pair>,
    recent: VecDeque<Arc<Event>>,
    recent_bytes: usize,
    dropped: u64,
    sample_every: u32,
}

/// The hub.
#[derive(Debug, Default)]
pub(super) struct Hub {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a page; `None`: too many are open. Dropping the receiver closes it.
    pub(super) fn open(
        &self,
        filter: Filter,
        raw: bool,
        follow: String,
    ) -> Option<mpsc::Receiver<Message>> {
        let (sender, receiver) = mpsc::channel(PAGE_QUEUE);
        let mut state = self.state();
        state.pages.retain(|_, page| !page.sender.is_closed());
        if state.pages.len() >= PAGES_MAX {
            return None;
        }
        let backlog: Vec<_> =
            state.recent.iter().rev().filter(|event| filter.takes(event)).take(BACKLOG).collect();
        for event in backlog.into_iter().rev() {
            let _ = sender.try_send(Message::Event(Arc::clone(event), true));
        }
        let dropped_before = state.dropped;
        let (tokens, tick) = (PAGE_EVENTS_PER_S, Tick::default());
        let page = Page { filter, sender, raw, follow, tokens, tick, dropped_before };
        state.next += 1;
        let number = state.next;
        state.pages.insert(number, page);
        self.changed.notify_all();
        Some(receiver)
    }

    /// Lets a recorder take events until it is let go.
    pub(super) fn record(&self, name: &str, recorder: Arc<dyn Recorder>) {
        self.state().recorders.insert(name.to_owned(), recorder);
        self.changed.notify_all();
    }

    /// Lets it go.
    pub(super) fn let_go(&self, name: &str) {
        self.state().recorders.remove(name);
    }

    /// Waits for a device that scans the code `info_id`; `false`: too many are waited for.
    pub(super) fn pair(&self, info_id: &str) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state.pairs.retain(|_, pair| pair.until > now);
        if state.pairs.len() >= PAIRS_MAX {
            return false;
        }
        let pair = Pair { until: now + PAIR_LIFE, device: None };
        state.pairs.insert(info_id.to_owned(), pair);
        self.changed.notify_all();
        true
    }

    /// Who scanned it: `None` = no such code (any more), `Some(None)` = nobody yet.
    #[must_use]
    pub(super) fn paired(&self, info_id: &str) -> Option<Option<String>> {
        let state = self.state();
        let pair = state.pairs.get(info_id).filter(|pair| pair.until > Instant::now())?;
        Some(pair.device.clone())
    }

    /// An event that was seen lately.
    #[must_use]
    pub(super) fn find(&self, lsn: u64, index: u32) -> Option<Arc<Event>> {
        let state = self.state();
        state.recent.iter().rev().find(|e| e.lsn == lsn && e.index == index).cloned()
    }

    /// Ends [`Hub::work`].
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Takes events until stopped. Blocks: for a thread of its own.
    pub(super) fn work(&self, shared: &Shared) {
        let backend = shared.backend.as_ref();
        let mut tap: Option<Box<dyn Tap>> = None;
        let mut edge = Edge::default();
        let (mut ticked, mut unwanted) = (Instant::now(), None::<Instant>);
        while !self.stopped.load(Ordering::Acquire) {
            if self.is_wanted() {
                unwanted = None;
            } else {
                if tap.take().is_some() {
                    edge.set(backend, Vec::new(), 0);
                }
                if unwanted.get_or_insert_with(Instant::now).elapsed() > LINGER {
                    self.forget();
                }
                self.wait();
                continue;
            }
            let Some(open) = &mut tap else {
                self.renew(backend, &mut edge);
                match backend.tap(TAP_EVENTS) {
                    Ok(opened) => tap = Some(opened),
                    Err(_) => self.wait(), // no daemon: pages say so themselves
                }
                continue;
            };
            match open.next(Duration::from_millis(100)) {
                Next::Event(event) => self.offer(&event),
                Next::Quiet => {}
                Next::Closed => {
                    tap = None;
                    self.wait();
                    continue;
                }
            }
            if ticked.elapsed() >= Duration::from_millis(500) {
                self.tick(&backend.seconds(), open.dropped(), ticked.elapsed());
                ticked = Instant::now();
                self.greet(backend.greetings());
                self.renew(backend, &mut edge);
            }
        }
        edge.set(backend, Vec::new(), 0);
    }

    fn wait(&self) {
        let state = self.state();
        drop(self.changed.wait_timeout(state, Duration::from_millis(250)));
    }

    fn is_wanted(&self) -> bool {
        let mut state = self.state();
        state.pages.retain(|_, page| !page.sender.is_closed());
        let now = Instant::now();
        state.pairs.retain(|_, pair| pair.until > now);
        let waits = state.pairs.values().any(|pair| pair.device.is_none());
        !state.pages.is_empty() || !state.recorders.is_empty() || waits
    }

    fn forget(&self) {
        let mut state = self.state();
        (state.recent, state.recent_bytes) = (VecDeque::new(), 0);
    }

    fn offer(&self, event: &Arc<Event>) {
        let mut guard = self.state();
        let state = &mut *guard;
        for page in state.pages.values_mut() {
            page.offer(event);
        }
        for recorder in state.recorders.values() {
            recorder.take(event);
        }
        state.recent_bytes += event.bytes();
        state.recent.push_back(Arc::clone(event));
        while state.recent.len() > RECENT_EVENTS_MAX || state.recent_bytes > RECENT_BYTES_MAX {
            let Some(oldest) = state.recent.pop_front() else { break };
            state.recent_bytes -= oldest.bytes();
        }
    }

    fn tick(&self, seconds: &[Second], dropped: u64, since: Duration) {
        const TOLD: usize = 5; // the present second and those that may still have grown
        let mut state = self.state();
        state.dropped = dropped;
        let sample_every = state.sample_every;
        let last = seconds.get(seconds.len().saturating_sub(TOLD)..).unwrap_or_default();
        for page in state.pages.values_mut() {
            page.tokens =
                (page.tokens + since.as_secs_f64() * PAGE_EVENTS_PER_S).min(PAGE_EVENTS_PER_S);
            let lost = dropped.saturating_sub(page.dropped_before);
            let tick = Tick {
                seconds: last.to_vec(),
                dropped: lost,
                sample_every,
                ..page.tick.clone()
            };
            if page.sender.try_send(Message::Tick(tick)).is_ok() {
                page.tick = Tick::default();
            }
        }
    }

    fn greet(&self, greetings: Vec<(String, String)>) {
        let mut state = self.state();
        for (info_id, device) in greetings {
            if let Some(pair) = state.pairs.get_mut(&info_id) {
                pair.device = Some(device);
            }
        }
    }

    /// Tells the edge whom to follow and how much to keep whole.
    fn renew(&self, backend: &dyn crate::Backend, edge: &mut Edge) {
        let seconds = backend.seconds();
        let recent = seconds.iter().rev().take(3);
        let rate = recent.map(|s| s.good + s.problems + s.rejected).max().unwrap_or(0);
        let mut state = self.state();
        let raw = state.pages.values().any(|page| page.raw);
        let every = if raw { u32::try_from(rate.div_ceil(RAW_PER_S).max(1)).unwrap_or(u32::MAX) } else { 0 };
        state.sample_every = every;
        let followed = state.pages.values().filter(|page| !page.follow.is_empty());
        let mut ids: Vec<String> = followed.map(|page| page.follow.clone()).collect();
        ids.extend(state.recorders.values().flat_map(|recorder| recorder.ids()));
        let waiting = state.pairs.iter().filter(|(_, pair)| pair.device.is_none());
        ids.extend(waiting.map(|(info_id, _)| info_id.clone()));
        drop(state);
        ids.sort();
        ids.dedup();
        edge.set(backend, ids, every);
    }
}

impl Page {
    fn offer(&mut self, event: &Arc<Event>) {
        if !self.filter.takes(event) {
            return;
        }
        match event.verdict {
            "kept" => self.tick.good += 1,
            "problems" => self.tick.problems += 1,
            _ => self.tick.rejected += 1,
        }
        let fits = self.tokens >= 1.0
            && self.sender.try_send(Message::Event(Arc::clone(event), false)).is_ok();
        if fits {
            self.tokens -= 1.0;
            self.tick.shown += 1;
        } else {
            self.tick.left_out += 1;
        }
    }
}

/// What the edge was told last.
#[derive(Debug, Default)]
struct Edge {
    ids: Vec<String>,
    every: u32,
    told: Option<Instant>,
}

impl Edge {
    fn set(&mut self, backend: &dyn crate::Backend, ids: Vec<String>, every: u32) {
        let nothing = ids.is_empty() && every == 0;
        let same = self.ids == ids && self.every == every;
        let fresh = self.told.is_some_and(|told| told.elapsed() < RENEW);
        if same && (fresh || nothing) {
            return;
        }
        let life = if nothing { Duration::ZERO } else { LIFE };
        if let Err(error) = backend.follow(&ids, every, life) {
            tracing::debug!(%error, "the edge cannot be told whom to follow");
            return; // no ring yet: the next round tries again
        }
        (self.ids, self.every, self.told) = (ids, every, Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lsn: u64, verdict: &'static str) -> Arc<Event> {
        Arc::new(Event { lsn, verdict, ..Event::default() })
    }

    #[test]
    fn a_page_gets_twenty_a_second_and_every_event_is_counted() {
        let hub = Hub::default();
        let mut page = hub.open(Filter::default(), false, String::new()).unwrap();
        let bad = Filter { verdict: "bad".into(), ..Filter::default() };
        let mut bad = hub.open(bad, false, String::new()).unwrap();
        for lsn in 0..5_000 {
            hub.offer(&event(lsn, if lsn % 100 == 0 { "rejected" } else { "kept" }));
        }
        hub.tick(&[], 7, Duration::from_secs(1));
        let read = |page: &mut mpsc::Receiver<Message>| {
            let (mut events, mut tick) = (0, Tick::default());
            while let Ok(message) = page.try_recv() {
                match message {
                    Message::Event(..) => events += 1,
                    Message::Tick(told) => tick = told,
                }
            }
            (events, tick)
        };
        let (events, tick) = read(&mut page);
        assert_eq!((events, tick.shown, tick.left_out), (20, 20, 4_980));
        assert_eq!((tick.good, tick.rejected, tick.dropped), (4_950, 50, 7));
        let (events, tick) = read(&mut bad);
        assert_eq!((events, tick.shown, tick.left_out, tick.rejected), (20, 20, 30, 50));
    }

    #[test]
    fn a_page_that_does_not_read_loses_nothing_of_its_counts() {
        let hub = Hub::default();
        let mut page = hub.open(Filter::default(), false, String::new()).unwrap();
        let mut sent = 0;
        for second in 0..50 {
            for lsn in 0..30 {
                sent += 1;
                hub.offer(&event(second * 100 + lsn, "kept"));
            }
            hub.tick(&[], 0, Duration::from_secs(1));
        }
        let (mut events, mut good, mut shown, mut left_out) = (0, 0, 0, 0);
        for _ in 0..2 {
            while let Ok(message) = page.try_recv() {
                match message {
                    Message::Event(..) => events += 1,
                    Message::Tick(tick) => {
                        good += tick.good;
                        shown += tick.shown;
                        left_out += tick.left_out;
                    }
                }
            }
            hub.tick(&[], 0, Duration::from_secs(1));
        }
        assert_eq!((good, shown + left_out), (sent, sent));
        assert_eq!(events, shown);
    }

    #[test]
    fn recent_events_are_bounded_and_a_new_page_sees_the_last() {
        let hub = Hub::default();
        let large = "x".repeat(1 << 20);
        for lsn in 0..100 {
            hub.offer(&Arc::new(Event { lsn, json: large.clone(), ..Event::default() }));
        }
        assert!(hub.state().recent_bytes <= RECENT_BYTES_MAX);
        assert!(hub.find(99, 0).is_some() && hub.find(0, 0).is_none());
        let mut page = hub.open(Filter::default(), false, String::new()).unwrap();
        let mut seen = Vec::new();
        while let Ok(Message::Event(event, past)) = page.try_recv() {
            assert!(past);
            seen.push(event.lsn);
        }
        assert!(seen.is_sorted() && seen.last() == Some(&99), "{seen:?}");
        hub.forget();
        assert!(hub.find(99, 0).is_none());
    }

    #[test]
    fn a_code_is_waited_for_and_then_known() {
        let hub = Hub::default();
        assert_eq!(hub.paired("x"), None);
        assert!(hub.pair("x"));
        assert_eq!(hub.paired("x"), Some(None));
        hub.greet(vec![("y".into(), "d0".into()), ("x".into(), "d1".into())]);
        assert_eq!(hub.paired("x"), Some(Some("d1".into())));
        for n in 1..PAIRS_MAX {
            assert!(hub.pair(&n.to_string()));
        }
        assert!(!hub.pair("one too many"));
    }
}
