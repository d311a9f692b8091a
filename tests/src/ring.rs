//! The ring seen from the shipper's side: what nginx's workers wrote, without the shipper.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use event::record::{Record, Verdict, meta};
use shm_ring::{Batch, Consumer};

/// How much is read at once.
const READ_BYTES: usize = 4 << 20;

/// One record: what became of one request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Ring generation.
    pub generation: u64,
    /// Kind byte, see `event::record::Kind`.
    pub kind: u8,
    /// Events kept, as the header says.
    pub kept: u16,
    /// Events rejected, as the header says.
    pub rejected: u16,
    /// Stored JSON of the kept events.
    pub events: Vec<String>,
    /// Codes of the request and of all its events.
    pub codes: Vec<String>,
    /// The request as text, where it was kept.
    pub raw: Vec<u8>,
    /// Client address.
    pub ip: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// Project of the URL or the location.
    pub project: String,
    /// Path.
    pub path: String,
    /// Arrival, nanoseconds since 1970.
    pub recv_ns: u64,
}

/// Reads everything that is in the ring now and gives its room back.
///
/// # Panics
/// If there is a consumer already, or a damaged place: nothing a worker does may leave one.
#[track_caller]
#[must_use]
pub fn drain(ring: &Path) -> Vec<Request> {
    take(&mut Consumer::open(ring).unwrap())
}

/// Like [`drain`], with a consumer that stays.
///
/// # Panics
/// At a damaged place.
#[track_caller]
pub fn take(consumer: &mut Consumer) -> Vec<Request> {
    let mut batch = Batch::new();
    let mut found = Vec::new();
    consumer.refresh().unwrap();
    loop {
        let read = consumer.read(&mut batch, READ_BYTES).unwrap();
        assert_eq!(read.damaged_bytes, 0, "damaged: {:?}", batch.gaps());
        for record in batch.records() {
            found.push(parse(&record));
            consumer.release(record.generation, record.end);
        }
        if !read.more {
            return found;
        }
        batch.clear();
    }
}

fn parse(record: &shm_ring::Record<'_>) -> Request {
    let parsed = Record::parse(record.payload).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Request {
        generation: record.generation,
        kind: record.meta.kind,
        kept: record.meta.kept,
        rejected: record.meta.rejected,
        events: parsed
            .events()
            .filter(|(entry, _)| entry.verdict != Verdict::Rejected)
            .map(|(_, json)| text(json))
            .collect(),
        codes: parsed.codes().map(|code| text(&code.code)).collect(),
        raw: parsed.raw.to_vec(),
        ip: text(parsed.meta(meta::IP)),
        user_agent: text(parsed.meta(meta::USER_AGENT)),
        project: text(parsed.meta(meta::PROJECT)),
        path: text(parsed.meta(meta::PATH)),
        recv_ns: record.meta.recv_ns,
    }
}

/// Stands in for the shipper while load runs: reads all the time and remembers.
#[derive(Debug)]
pub struct Drain {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Request>>,
}

impl Drain {
    /// Starts reading.
    #[must_use]
    pub fn start(ring: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut consumer = Consumer::open(ring).unwrap();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut found = Vec::new();
            loop {
                // What was written before the stop is still read.
                let last = stopped.load(Ordering::SeqCst);
                consumer.heartbeat();
                found.append(&mut take(&mut consumer));
                if last {
                    return found;
                }
                consumer.wait(Duration::from_millis(20));
            }
        });
        Self { stop, thread }
    }

    /// Reads the rest and returns all of it.
    ///
    /// # Panics
    /// If reading failed.
    #[must_use]
    pub fn finish(self) -> Vec<Request> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}
