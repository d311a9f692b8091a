//! Live taps: a bounded copy of the stream for `tusk tail` and the console. A slow reader loses events, counted; it never
//! slows the way. Nothing is handed out that is not durable.

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One event as a person wants to see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TapEvent {
    /// `<name>-<epoch>`.
    pub node: String,
    /// lsn of its record.
    pub lsn: u64,
    /// Index in its request.
    pub index: u32,
    /// Arrival, ms since 1970.
    pub recv_ms: i64,
    /// Event time, corrected, ms since 1970.
    pub time_ms: i64,
    /// Effective project.
    pub project: String,
    /// Record type: `track`, `profile_set`, …; empty if unknown.
    pub kind: String,
    /// `event`; empty for profiles.
    pub event: String,
    /// `distinct_id` or `item_id`.
    pub user: String,
    /// `lib.$lib`.
    pub sdk: String,
    /// `lib.$lib_version`.
    pub sdk_version: String,
    /// `$app_version`.
    pub app_version: String,
    /// Client address.
    pub ip: String,
    /// `kept`, `problems` or `rejected`.
    pub verdict: &'static str,
    /// Marked D001.
    pub duplicate: bool,
    /// Codes of the event, then of its request.
    pub codes: Vec<TapCode>,
    /// Path of the request.
    pub path: String,
    /// `User-Agent`.
    pub agent: String,
    /// Method, parameter and packing of the request, one letter each, as in the record.
    pub transport: String,
    /// Size of the body or query as received, bytes.
    pub wire_bytes: u32,
    /// Events of its request.
    pub of: u32,
    /// Event time as sent, ms since 1970; `None` if absent or not a number.
    pub sent_ms: Option<i64>,
    /// The stored bytes, at most 64 KiB of them: what is longer is for the files.
    pub json: String,
    /// The request as it came, where it was kept: for whoever watches, never for a log.
    #[serde(skip)]
    pub raw: Option<Arc<[u8]>>,
    /// Its share of what all taps may hold; the default is none.
    #[serde(skip)]
    pub held: Held,
}

/// A share of the bytes all taps may hold, given back when dropped.
#[derive(Debug, Default)]
pub struct Held(Option<(Arc<AtomicU64>, u64)>);

impl Clone for Held {
    /// The copy is somebody's own; it holds no share.
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((all, bytes)) = &self.0 {
            all.fetch_sub(*bytes, Ordering::Relaxed);
        }
    }
}

impl TapEvent {
    /// Cuts what a client made long, so that a full tap has a bound in bytes too.
    pub fn shorten(&mut self) {
        const JSON_BYTES_MAX: usize = 64 << 10;
        const TEXT_BYTES_MAX: usize = 1 << 10;
        const CODES_MAX: usize = 100;
        cut(&mut self.json, JSON_BYTES_MAX);
        for text in [
            &mut self.event,
            &mut self.user,
            &mut self.sdk,
            &mut self.sdk_version,
            &mut self.app_version,
        ] {
            cut(text, TEXT_BYTES_MAX);
        }
        self.codes.truncate(CODES_MAX);
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> u64 {
        const REST: usize = 1 << 10; // names, address, agent, the structure itself
        let raw = self.raw.as_ref().map_or(0, |raw| raw.len()) / self.of.max(1) as usize;
        (self.json.len() + raw + REST) as u64
    }
}

/// At most `limit` bytes of `text`, not ending inside a character.
fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.shrink_to_fit();
    }
}

/// A code as it stands in a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct TapCode {
    /// Such as `N101`.
    pub code: String,
    /// JSON pointer to the place, or empty.
    pub pointer: String,
    /// What arrived, or empty.
    pub detail: String,
}

/// Bytes of events all taps may hold together: past it events are dropped, and counted as such.
const HELD_BYTES_MAX: u64 = 24 << 20;

/// The list of open taps.
#[derive(Debug, Default)]
pub struct Taps {
    taps: Mutex<Vec<Tap>>,
    count: AtomicU64,
    dropped: AtomicU64,
    held: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Tap {
    sender: Sender<Arc<TapEvent>>,
    dropped: Arc<AtomicU64>,
}

impl Taps {
    /// Opens a tap that holds at most `capacity` events. Dropping the receiver closes it.
    pub fn open(&self, capacity: usize) -> Receiver<Arc<TapEvent>> {
        self.open_counted(capacity).0
    }

    /// The same, with the number of events this tap lost.
    pub fn open_counted(&self, capacity: usize) -> (Receiver<Arc<TapEvent>>, Arc<AtomicU64>) {
        let (sender, receiver) = bounded(capacity.max(1));
        let dropped = Arc::<AtomicU64>::default();
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.push(Tap { sender, dropped: Arc::clone(&dropped) });
        self.count.store(taps.len() as u64, Ordering::Relaxed);
        (receiver, dropped)
    }

    /// Open taps, so that nobody builds a [`TapEvent`] nobody reads.
    pub fn subscribers(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Events full taps did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Offers an event to every tap; closed taps are forgotten.
    pub fn offer(&self, mut event: TapEvent) {
        let bytes = event.bytes();
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        event.held = Held(Some((Arc::clone(&self.held), bytes)));
        let event = (held <= HELD_BYTES_MAX).then(|| Arc::new(event));
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.retain(|tap| {
            let sent = match &event {
                Some(event) => tap.sender.try_send(Arc::clone(event)).map_err(|e| e.is_full()),
                None => Err(true),
            };
            if sent == Err(true) {
                tap.dropped.fetch_add(1, Ordering::Relaxed);
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            sent != Err(false)
        });
        self.count.store(taps.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_event_is_cut_at_a_character() {
        let mut event = TapEvent {
            json: "订".repeat(30_000),
            event: "单".repeat(1_000),
            codes: vec![TapCode::default(); 1_000],
            ..TapEvent::default()
        };
        event.shorten();
        assert_eq!((event.json.len(), event.event.len(), event.codes.len()), (65_535, 1_023, 100));
    }

    #[test]
    fn a_slow_tap_loses_events_and_counts_them() {
        let taps = Taps::default();
        let (slow, lost) = taps.open_counted(2);
        for _ in 0..5 {
            taps.offer(TapEvent::default());
        }
        assert_eq!((slow.len(), taps.dropped(), taps.subscribers()), (2, 3, 1));
        assert_eq!(lost.load(Ordering::Relaxed), 3);
        drop(slow);
        taps.offer(TapEvent::default());
        assert_eq!((taps.subscribers(), taps.dropped()), (0, 3));
    }

    #[test]
    fn taps_are_bounded_in_bytes_and_what_is_read_makes_room() {
        let taps = Taps::default();
        let tap = taps.open(1_000_000);
        let large = || TapEvent { raw: Some(vec![0; 1 << 20].into()), ..TapEvent::default() };
        for _ in 0..100 {
            taps.offer(large());
        }
        assert!(tap.len() < 24 && taps.dropped() + tap.len() as u64 == 100, "{}", tap.len());
        while tap.try_recv().is_ok() {}
        taps.offer(large());
        assert_eq!((tap.len(), taps.held.load(Ordering::Relaxed) >> 20), (1, 1));
    }
}
