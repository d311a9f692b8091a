//! The live page's side of the daemon: taps, counts, following.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use console::tap::{Code, Event, Next, Second, Stored, Tap};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use shipper::engine::{Asked, Engine};
use shipper::tap::TapEvent;

/// An open tap of the engine.
#[derive(Debug)]
struct EngineTap {
    events: Receiver<Arc<TapEvent>>,
    dropped: Arc<AtomicU64>,
}

impl Tap for EngineTap {
    fn next(&mut self, wait: Duration) -> Next {
        match self.events.recv_timeout(wait) {
            Ok(event) => Next::Event(Arc::new(event_of(&event))),
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Opens a tap of at most `events` events.
pub(crate) fn tap(engine: &Engine, events: usize) -> Box<dyn Tap> {
    let (events, dropped) = engine.tap_counted(events);
    Box::new(EngineTap { events, dropped })
}

fn event_of(event: &TapEvent) -> Event {
    let code = |code: &shipper::tap::TapCode| Code {
        code: code.code.clone(),
        pointer: code.pointer.clone(),
        detail: code.detail.clone(),
    };
    Event {
        node: event.node.clone(),
        lsn: event.lsn,
        index: event.index,
        of: event.of,
        recv_ms: event.recv_ms,
        time_ms: event.time_ms,
        sent_ms: event.sent_ms,
        project: plain(&event.project),
        kind: event.kind.clone(),
        event: plain(&event.event),
        user: plain(&event.user),
        sdk: plain(&event.sdk),
        sdk_version: plain(&event.sdk_version),
        app_version: plain(&event.app_version),
        ip: event.ip.clone(),
        verdict: event.verdict,
        duplicate: event.duplicate,
        codes: event.codes.iter().map(code).collect(),
        path: event.path.clone(),
        agent: event.agent.clone(),
        transport: event.transport.clone(),
        wire_bytes: event.wire_bytes,
        json: event.json.clone(),
        raw: event.raw.clone(),
    }
}

/// A piece of JSON text without its escapes: an event is shown by the name it has, not by the way a client wrote it.
fn plain(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_owned())
}

/// Events a second.
pub(crate) fn seconds(engine: &Engine) -> Vec<Second> {
    let second = |second: shipper::engine::Second| Second {
        at: second.at,
        good: second.good,
        problems: second.problems,
        rejected: second.rejected,
    };
    engine.seconds().into_iter().map(second).collect()
}

/// Where every sink has the event.
pub(crate) fn stored(engine: &Engine, event: &Event) -> Vec<Stored> {
    let asked = Asked {
        lsn: event.lsn,
        project: event.project.clone(),
        kind: event.kind.clone(),
        recv_ms: event.recv_ms,
        time_ms: event.time_ms,
        rejected: event.verdict == "rejected",
    };
    let one = |stored: shipper::engine::Stored| Stored {
        sink: stored.sink,
        state: stored.state.to_owned(),
        lag_ms: stored.lag_ms,
        places: stored.places.into_iter().map(|(name, place)| (name.to_owned(), place)).collect(),
    };
    engine.stored(&asked).into_iter().map(one).collect()
}
