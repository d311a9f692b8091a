//! The shipper's side.

use crate::{
    Batch, BootId, RingError, boot_id,
    files::{self, Name},
    futex,
    generation::{Generation, State},
    shared::Shared,
    sys,
};
use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How often the directory is looked at for new generations.
const REFRESH_MS: u64 = 50;
/// Longest sleep in one piece: after it a new generation is looked for.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// The same while several generations are in use, as one can sleep on one only.
const SLEEP_SHARED_MAX: Duration = Duration::from_millis(5);
/// A producer that relied on the journal within this time counts as using it.
const ACK_RECENT_MS: u64 = 60_000;

/// The one reader of a ring.
///
/// Reading and releasing are apart: a record is read once in the life of a consumer (or again after
/// [`rewind`](Self::rewind)), and its room is free for producers after [`release`](Self::release). A consumer that
/// dies in between is followed by one that reads from the last release.
pub struct Consumer {
    directory: PathBuf,
    boot: BootId,
    /// Oldest first.
    generations: Vec<Generation>,
    /// Generation files at the last look, oldest first, readable or not.
    names: Vec<Name>,
    refreshed_ms: u64,
    /// A wait saw a new generation: the next read opens it at once.
    outdated: AtomicBool,
    /// Cut short while open: what is left of them was read, and must not be taken for something new.
    gone: Vec<Name>,
    /// What was released of generations that are not open (yet).
    released: Vec<(u64, u64)>,
    problems: Vec<RingError>,
    /// Names in `problems` so far: each is told once.
    told: Vec<String>,
    /// Its exclusive flock makes us the one consumer.
    _lock: File,
}

/// One generation, for `status` and for the decision what the journal already has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its random id.
    pub generation: u64,
    /// Its age: higher is younger.
    pub sequence: u64,
    /// Its file.
    pub path: PathBuf,
    /// Made since the machine started? If not, what the disk holds of it may be older than what was written.
    pub of_this_boot: bool,
    /// Bytes for records.
    pub capacity_bytes: u64,
    /// Position up to which it was released.
    pub released: u64,
    /// Where the next read begins.
    pub next: u64,
    /// End of what producers have published, as far as it can be believed; never before `next`.
    pub tail: u64,
}

/// What a read did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Records in the batch.
    pub records: usize,
    /// Damaged bytes in the batch's gaps.
    pub damaged_bytes: u64,
    /// Is there more to read at once?
    pub more: bool,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Consumer").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Consumer {
    /// Opens the ring in `path`, its directory, which is made if needed: a shipper may start before nginx.
    ///
    /// # Errors
    /// [`RingError::Busy`] if there is a consumer already, [`RingError::Io`] if the user may not use the files. A
    /// generation that cannot be read is no error; see [`take_problems`](Self::take_problems).
    pub fn open(path: &Path) -> Result<Self, RingError> {
        Self::open_in_boot(path, boot_id()?)
    }

    /// [`open`](Self::open) as of another boot: for tests of what a reboot does.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_in_boot(path: &Path, boot: BootId) -> Result<Self, RingError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o770)
            .create(path)
            .map_err(RingError::io("create", path))?;
        let lock = files::open_or_create(path, files::CONSUMER_LOCK)?;
        let lock_path = path.join(files::CONSUMER_LOCK);
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RingError::Busy { path: lock_path }),
            Err(TryLockError::Error(error)) => {
                return Err(RingError::io("lock", lock_path)(error));
            }
        }
        let mut consumer = Self {
            directory: path.to_path_buf(),
            boot,
            generations: Vec::new(),
            names: Vec::new(),
            refreshed_ms: 0,
            outdated: AtomicBool::new(false),
            gone: Vec::new(),
            released: Vec::new(),
            problems: Vec::new(),
            told: Vec::new(),
            _lock: lock,
        };
        consumer.refresh()?;
        consumer.heartbeat();
        Ok(consumer)
    }

    /// Looks for new generations now; [`read`](Self::read) does it by itself every 50 ms.
    ///
    /// # Errors
    /// [`RingError::Io`] if the directory cannot be listed.
    pub fn refresh(&mut self) -> Result<(), RingError> {
        self.refreshed_ms = sys::coarse_ms();
        self.names = files::list(&self.directory)?;
        self.outdated.store(false, Ordering::Relaxed);
        for name in self.names.clone() {
            let known = self.generations.iter().any(|open| open.name() == name);
            if known || self.gone.contains(&name) {
                continue;
            }
            match Generation::open(&self.directory, name, self.boot) {
                Ok(mut generation) => {
                    for (_, position) in self.released.extract_if(.., |(id, _)| *id == name.generation) {
                        generation.release(position);
                    }
                    if let State::Salvaged(_) = generation.state {
                        let what = "its header was overwritten; every valid record in it is read";
                        let path = generation.path.clone();
                        self.tell(RingError::Damaged { path, what });
                    }
                    self.generations.push(generation);
                }
                Err(error) => self.tell(error),
            }
        }
        self.generations.sort_by_key(|generation| generation.identity.sequence);
        Ok(())
    }

    /// The generations that are open, oldest first.
    pub fn generations(&self) -> impl ExactSizeIterator<Item = GenerationInfo> + '_ {
        self.generations.iter().map(|generation| GenerationInfo {
            generation: generation.identity.generation,
            sequence: generation.identity.sequence,
            path: generation.path.clone(),
            of_this_boot: generation.state == State::Live,
            capacity_bytes: generation.identity.capacity,
            released: generation.released,
            next: generation.next,
            tail: generation.tail(),
        })
    }

    /// Ids of all generations that exist, also of those that cannot be read yet: what a journal must not forget.
    pub fn known_generations(&self) -> impl Iterator<Item = u64> + '_ {
        let open = self.generations.iter().map(|generation| generation.identity.generation);
        open.chain(self.names.iter().map(|name| name.generation))
    }

    /// Fills `batch`, emptied first, with records of up to `bytes_max` bytes, headers included (the last may go over),
    /// oldest generation first. Never waits, and always gets on: what is not a record becomes a [`Gap`](crate::Gap).
    ///
    /// # Errors
    /// [`RingError::Io`] if the directory cannot be listed.
    pub fn read(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<ReadOutcome, RingError> {
        batch.clear();
        let due = sys::coarse_ms().saturating_sub(self.refreshed_ms) >= REFRESH_MS;
        if due || self.outdated.load(Ordering::Relaxed) {
            self.refresh()?;
        }
        let mut failed = Vec::new();
        for generation in &mut self.generations {
            if batch.ring_bytes() >= bytes_max {
                break;
            }
            failed.extend(generation.read(batch, bytes_max).err());
        }
        let gone = self.generations.extract_if(.., |generation| generation.gone);
        self.gone.extend(gone.map(|generation| generation.name()));
        for error in failed {
            self.tell(error);
        }
        Ok(ReadOutcome {
            records: batch.len(),
            damaged_bytes: batch.gaps().iter().map(|gap| gap.to - gap.from).sum(),
            more: self.unread(),
        })
    }

    /// Says that everything of `generation` before `position` is durable: waiting answers may be sent, and the room is
    /// free. Positions only grow.
    ///
    /// Call it before the first [`read`](Self::read) for every generation that the journal knows, with what the journal
    /// has of it, open or not: it is then not read again, whatever the ring's own header says.
    pub fn release(&mut self, generation: u64, position: u64) {
        let same = |open: &&mut Generation| open.identity.generation == generation;
        if let Some(open) = self.generations.iter_mut().find(same) {
            open.release(position);
            return;
        }
        match self.released.iter_mut().find(|(id, _)| *id == generation) {
            Some((_, released)) => *released = position.max(*released),
            None => self.released.push((generation, position)),
        }
    }

    /// Reads everything again that was not released: for when what was read could not be made durable.
    pub fn rewind(&mut self) {
        self.generations.iter_mut().for_each(Generation::rewind);
    }

    /// Deletes older generations that are read, released and used by no worker. Returns how many.
    ///
    /// # Errors
    /// [`RingError::Io`] if a file cannot be removed or renamed.
    pub fn retire_empty(&mut self) -> Result<usize, RingError> {
        let newest = files::list(&self.directory)?.last().copied();
        let before = self.generations.len();
        let mut index = 0;
        while index < self.generations.len() {
            let generation = &self.generations[index];
            // The newest is where workers attach; a damaged one they cannot.
            let salvaged = matches!(generation.state, State::Salvaged(_));
            if (Some(generation.name()) == newest && !salvaged) || !generation.retire()? {
                index += 1;
            } else {
                self.generations.remove(index);
            }
        }
        Ok(before - self.generations.len())
    }

    /// Sleeps until a producer pushes, at most `timeout`. True if there is something to read; a new generation counts.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.unread() || left.is_zero() {
                return self.unread();
            }
            let mut live = self.live();
            match (live.next_back(), live.next_back()) {
                (None, _) => std::thread::sleep(left.min(SLEEP_MAX)),
                (Some(newest), other) => {
                    let limit = if other.is_some() { SLEEP_SHARED_MAX } else { SLEEP_MAX };
                    let wake = &newest.wake.0;
                    if let Some(word) = wake.sleep(|| self.unread()) {
                        futex::wait(wake.word(), word, left.min(limit));
                        wake.awake();
                    }
                }
            }
            let newest = files::list(&self.directory).ok().and_then(|names| names.last().copied());
            if newest.is_some() && newest.as_ref() != self.names.last() {
                self.outdated.store(true, Ordering::Relaxed);
                return true;
            }
        }
    }

    /// Tells the workers that the shipper lives. Call it at least every 200 ms, from the thread that drains.
    pub fn heartbeat(&self) {
        let now_ms = sys::coarse_ms().max(1);
        self.live().for_each(|shared| shared.consumer.0.heartbeat_ms.store(now_ms, Ordering::Relaxed));
    }

    /// Did any worker rely on the journal for an answer within the last minute?
    pub fn journal_ack_used(&self) -> bool {
        let now_ms = sys::coarse_ms();
        self.live().any(|shared| {
            let used_ms = shared.ack_used_ms.0.load(Ordering::Relaxed);
            used_ms != 0 && now_ms.saturating_sub(used_ms) < ACK_RECENT_MS
        })
    }

    /// Tells the workers whether the journal is at its cap, for their health answer.
    pub fn set_full_hint(&self, full: bool) {
        let full = u32::from(full);
        self.live().for_each(|shared| shared.consumer.0.journal_full.store(full, Ordering::Relaxed));
    }

    /// Generations that cannot be read, or only in part, each told once: to be logged.
    pub fn take_problems(&mut self) -> Vec<RingError> {
        std::mem::take(&mut self.problems)
    }

    /// The shared words of the generations that workers may use, oldest first.
    fn live(&self) -> impl DoubleEndedIterator<Item = &Shared> {
        let live = self.generations.iter().filter(|open| open.state == State::Live);
        live.filter_map(Generation::shared)
    }

    fn unread(&self) -> bool {
        self.generations.iter().any(Generation::unread)
    }

    fn tell(&mut self, error: RingError) {
        let text = error.to_string();
        if !self.told.contains(&text) {
            self.told.push(text);
            self.problems.push(error);
        }
    }
}
