//! A worker's side.

use crate::{
    Control, Meta, PushError, RingError, boot_id,
    control::ControlReader,
    counters::Counters,
    cursors::NoRoom,
    files,
    futex,
    layout::{self, Identity, KIND_PAD, RECORD_HEADER_BYTES, RecordHeader},
    lock::{Held, NoLock},
    map::Map,
    sys,
};
use std::{fs::File, fs::TryLockError, path::Path, sync::atomic::Ordering};

/// How long a push waits for the lock: longer than any copy, shorter than a client notices.
const LOCK_WAIT_MS: u32 = 20;
/// After a wait in vain, how long a push only tries: a stopped holder costs a worker a tenth of its time at most.
const TRY_ONLY_MS: u64 = 200;
/// How often the file's length is looked at.
const INTACT_CHECK_MS: u64 = 100;
/// How precisely the use of journal acknowledgements is noted.
const ACK_NOTE_MS: u64 = 1_000;
/// Generations may be replaced while we attach; more often than this it is something else.
const ATTACH_TRIES: usize = 20;

/// Where a record is: covered by the journal when the generation's `durable` reaches `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The ring generation it is in.
    pub generation: u64,
    /// The position after it, bytes from the generation's beginning.
    pub end: u64,
}

/// One worker's access to the newest generation. Neither cheap to make nor needed twice in a process.
pub struct Producer {
    map: Map,
    identity: Identity,
    control: ControlReader,
    /// Until when a push only tries the lock (monotonic ms).
    try_only_until_ms: u64,
    intact_checked_ms: u64,
    intact: bool,
    /// End of our last record: a tail before it was overwritten by something else.
    last_end: u64,
    journal_ack: bool,
    /// Holds the shared flock that keeps the consumer from deleting the generation.
    file: File,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Producer").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Producer {
    /// Attaches to the newest generation in `path`, the ring's directory.
    ///
    /// # Errors
    /// [`RingError::Missing`], [`RingError::Stale`], [`RingError::Damaged`] or [`RingError::Version`] until
    /// [`prepare`](crate::prepare) has run; [`RingError::Io`] if the user may not use the files.
    pub fn attach(path: &Path) -> Result<Self, RingError> {
        let boot = boot_id()?;
        for _ in 0..ATTACH_TRIES {
            let Some(&name) = files::list(path)?.last() else { break };
            let opened = match files::open(path, name) {
                Err(RingError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    continue;
                }
                other => other?,
            };
            if opened.identity.boot != boot {
                return Err(RingError::Stale { path: opened.path });
            }
            match opened.file.try_lock_shared() {
                Ok(()) => {}
                // The consumer is deleting it, so there is a newer one.
                Err(TryLockError::WouldBlock) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(RingError::io("lock", opened.path)(error));
                }
            }
            if !files::intact(&opened.file, opened.identity.capacity) {
                continue;
            }
            let map = Map::new(&opened.file, opened.identity.capacity)
                .map_err(RingError::io("map", &opened.path))?;
            if !map.whole() {
                let what = "its head and tail contradict each other";
                return Err(RingError::Damaged { path: opened.path, what });
            }
            return Ok(Self {
                map,
                identity: opened.identity,
                control: ControlReader::new(path),
                try_only_until_ms: 0,
                intact_checked_ms: sys::coarse_ms(),
                intact: true,
                last_end: 0,
                journal_ack: false,
                file: opened.file,
            });
        }
        Err(RingError::Missing { path: path.to_path_buf() })
    }

    /// Appends one record: `payload` is its parts, in order. When it returns, the record survives this process.
    ///
    /// Allocates nothing; waits at most 20 ms, and after a wait in vain not at all for 200 ms.
    ///
    /// # Errors
    /// [`PushError`]; each is counted, and nothing of the record is in the ring.
    ///
    /// # Panics
    /// If `meta.kind` is 0 or 255, which are not a payload's.
    pub fn push(&mut self, meta: &Meta, payload: &[&[u8]]) -> Result<Position, PushError> {
        assert!(meta.kind != 0 && meta.kind != KIND_PAD, "kinds 0 and 255 are the ring's own");
        let result = self.append(meta, payload);
        let counters = &self.map.shared().counters;
        match result {
            Ok(_) => {}
            Err(PushError::Full) => counters.full.add(1),
            Err(PushError::Locked) => counters.locked.add(1),
            Err(PushError::TooLarge) => counters.too_large.add(1),
            Err(PushError::Closed) => {
                // A store to a truncated file would kill us.
                if self.intact {
                    counters.closed.add(1);
                }
            }
        }
        result
    }

    fn append(&mut self, meta: &Meta, payload: &[&[u8]]) -> Result<Position, PushError> {
        let now_ms = sys::coarse_ms();
        if !self.check_intact(now_ms) {
            return Err(PushError::Closed);
        }
        let capacity = self.identity.capacity;
        let generation = self.identity.generation;
        let length: usize = payload.iter().map(|part| part.len()).sum();
        if length > self.record_bytes_max() {
            return Err(PushError::TooLarge);
        }
        let mut header = RecordHeader::new(length as u32, meta);
        let crc = header.crc_before_position(generation, payload);
        let shared = self.map.shared();
        if self.journal_ack {
            let noted = &shared.ack_used_ms.0;
            if now_ms.saturating_sub(noted.load(Ordering::Relaxed)) >= ACK_NOTE_MS {
                noted.store(now_ms, Ordering::Relaxed);
            }
        }

        let held = lock(&self.map, &mut self.try_only_until_ms, now_ms)?;
        let counters = &shared.counters;
        if held.recovered {
            counters.lock_recovered.add_locked(1);
        }
        let place = shared.cursors.place(header.step(), capacity).map_err(|error| match error {
            NoRoom::Full => PushError::Full,
            NoRoom::Damaged => PushError::Closed,
        })?;
        if place.tail < self.last_end {
            // The reader is already past this: nothing pushed here would be read.
            shared.cursors.poison();
            return Err(PushError::Closed);
        }
        if place.start != place.tail {
            let pad = (place.start - place.tail) as usize - RECORD_HEADER_BYTES;
            let pad_meta = Meta { kind: KIND_PAD, ..Meta::default() };
            let mut pad = RecordHeader::new(pad as u32, &pad_meta);
            pad.seal(pad.crc_before_position(generation, &[]), place.tail);
            // SAFETY: we hold the lock, and `place` lies outside `[head, tail)`.
            unsafe { self.map.write(place.tail, &pad.bytes()) };
        }
        header.seal(crc, place.start);
        // SAFETY: as above.
        unsafe { self.map.write(place.start, &header.bytes()) };
        let mut at = place.start + RECORD_HEADER_BYTES as u64;
        for part in payload {
            // SAFETY: as above; the parts together are as long as `place` allowed for.
            unsafe { self.map.write(at, part) };
            at += part.len() as u64;
        }
        let end = place.start + header.step();
        shared.cursors.publish(end);
        counters.records.add_locked(1);
        counters.bytes.add_locked(end - place.tail);
        counters.kept.add_locked(u64::from(meta.kept));
        counters.rejected.add_locked(u64::from(meta.rejected));
        drop(held);
        self.last_end = end;
        if shared.wake.0.published() {
            futex::wake(shared.wake.0.word());
        }
        Ok(Position { generation, end })
    }

    fn check_intact(&mut self, now_ms: u64) -> bool {
        if self.intact && now_ms.saturating_sub(self.intact_checked_ms) >= INTACT_CHECK_MS {
            self.intact = files::intact(&self.file, self.identity.capacity);
            self.intact_checked_ms = now_ms;
        }
        self.intact
    }

    /// Says that answers wait for the journal, so that the shipper syncs in small groups.
    pub fn set_journal_ack(&mut self, on: bool) {
        self.journal_ack = on;
    }

    /// Position up to which the journal holds this generation.
    pub fn durable(&self) -> u64 {
        self.map.shared().cursors.durable()
    }

    /// Milliseconds since the shipper last said that it lives, precise to about 10; `u64::MAX` if it never did.
    pub fn heartbeat_age_ms(&self) -> u64 {
        match self.map.shared().consumer.0.heartbeat_ms.load(Ordering::Relaxed) {
            0 => u64::MAX,
            beat_ms => sys::coarse_ms().saturating_sub(beat_ms),
        }
    }

    /// Does the shipper say that its journal is at the cap?
    pub fn journal_full(&self) -> bool {
        self.map.shared().consumer.0.journal_full.load(Ordering::Relaxed) != 0
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        let cursors = &self.map.shared().cursors;
        let head = cursors.head();
        cursors.tail().saturating_sub(head).min(self.identity.capacity)
    }

    /// Bytes there are.
    pub fn capacity_bytes(&self) -> u64 {
        self.identity.capacity
    }

    /// Largest payload a push takes, in bytes.
    pub fn record_bytes_max(&self) -> usize {
        layout::record_step_max(self.identity.capacity) as usize - RECORD_HEADER_BYTES
    }

    /// The generation attached to.
    pub fn generation(&self) -> u64 {
        self.identity.generation
    }

    /// Sums over all workers.
    pub fn counters(&self) -> &Counters {
        &self.map.shared().counters
    }

    /// Whom to follow, as of at most 100 ms ago; empty when it has expired.
    pub fn control(&mut self) -> &Control {
        self.control.read(sys::coarse_ms())
    }
}

fn lock<'m>(
    map: &'m Map,
    try_only_until_ms: &mut u64,
    now_ms: u64,
) -> Result<Held<'m>, PushError> {
    let lock = &map.shared().lock;
    let mut taken = lock.try_lock();
    if matches!(taken, Err(NoLock::Held)) && now_ms >= *try_only_until_ms {
        taken = lock.lock(LOCK_WAIT_MS);
        if matches!(taken, Err(NoLock::Held)) {
            *try_only_until_ms = now_ms + u64::from(LOCK_WAIT_MS) + TRY_ONLY_MS;
        }
    }
    match taken {
        Ok(held) => {
            *try_only_until_ms = 0;
            Ok(held)
        }
        Err(NoLock::Held) => Err(PushError::Locked),
        Err(NoLock::Broken) => Err(PushError::Closed),
    }
}
