//! Live taps: a bounded copy of the stream for `tusk tail` and the console. A slow reader loses events, counted; it never
//! slows the way. Nothing is handed out that is not durable.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
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
    /// The stored bytes, at most 64 KiB of them: what is longer is for the files.
    pub json: String,
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

/// The list of open taps.
#[derive(Debug, Default)]
pub struct Taps {
    taps: Mutex<Vec<Sender<Arc<TapEvent>>>>,
    count: AtomicU64,
    dropped: AtomicU64,
}

impl Taps {
    /// Opens a tap that holds at most `capacity` events. Dropping the receiver closes it.
    pub fn open(&self, capacity: usize) -> Receiver<Arc<TapEvent>> {
        let (sender, receiver) = bounded(capacity.max(1));
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.push(sender);
        self.count.store(taps.len() as u64, Ordering::Relaxed);
        receiver
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
    pub fn offer(&self, event: &Arc<TapEvent>) {
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        taps.retain(|tap| match tap.try_send(Arc::clone(event)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
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
        let slow = taps.open(2);
        let event = Arc::new(TapEvent::default());
        for _ in 0..5 {
            taps.offer(&event);
        }
        assert_eq!((slow.len(), taps.dropped(), taps.subscribers()), (2, 3, 1));
        drop(slow);
        taps.offer(&event);
        assert_eq!((taps.subscribers(), taps.dropped()), (0, 3));
    }
}
