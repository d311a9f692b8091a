//! One generation as the consumer sees it.

use crate::{
    BootId, RingError,
    batch::{Batch, Buffer, Gap},
    files::{self, Name, Opened},
    layout::{Identity, RECORD_ALIGN_BYTES},
    map::Map,
    scan::{Found, Scan, Stable},
    shared::Shared,
};
use std::{fs::File, path::PathBuf};

/// What may be believed of a generation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Of this boot: workers may write to it.
    Live,
    /// Of an earlier boot: nobody writes, and what the disk holds may be older than what was written.
    Past,
    /// Head and tail are lost and nobody writes: the valid positions found in it, in order.
    Salvaged(Vec<u64>),
}

/// An open generation and how far it was read.
pub(crate) struct Generation {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) map: Map,
    pub(crate) identity: Identity,
    pub(crate) state: State,
    /// Where the next read begins.
    pub(crate) next: u64,
    /// What `release` last said.
    pub(crate) released: u64,
    /// End of what was there at the last read, for the gap that a lost file leaves.
    end: u64,
    /// Past: everything valid was read.
    ended: bool,
    /// The file was cut short, so it must not be touched any more.
    pub(crate) gone: bool,
}

impl Generation {
    /// Opens a generation. One whose header is damaged is searched for records, if no worker is attached any more.
    pub(crate) fn open(
        directory: &std::path::Path,
        name: Name,
        boot: BootId,
    ) -> Result<Self, RingError> {
        let (opened, error) = match files::open(directory, name) {
            Ok(opened) => (opened, None),
            Err(error @ RingError::Damaged { .. }) => match files::open_damaged(directory, name) {
                Some(opened) => (opened, Some(error)),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let Opened { path, file, identity } = opened;
        let map = Map::new(&file, identity.capacity).map_err(RingError::io("map", &path))?;
        let what = "its head and tail contradict each other";
        let contradiction = || RingError::Damaged { path: path.clone(), what };
        let error = error.or_else(|| (!map.whole()).then(contradiction));
        let mut generation = Self {
            path: path.clone(),
            file,
            map,
            identity,
            state: State::Live,
            next: 0,
            released: 0,
            end: 0,
            ended: false,
            gone: false,
        };
        match error {
            Some(error) => generation.salvage().then_some(generation).ok_or(error),
            None => {
                let cursors = &generation.map.shared().cursors;
                let durable = cursors.durable();
                if generation.identity.boot != boot {
                    generation.state = State::Past;
                }
                // Frees what a consumer that died between its two stores left: in a full ring nobody else ever would.
                cursors.release(durable);
                generation.next = durable;
                generation.released = durable;
                Ok(generation)
            }
        }
    }

    pub(crate) fn name(&self) -> Name {
        Name { sequence: self.identity.sequence, generation: self.identity.generation }
    }

    /// Gives up head and tail and lists what is valid. False while a worker may still write.
    fn salvage(&mut self) -> bool {
        // Kept from here on: no worker can attach to it any more.
        if self.file.try_lock().is_err() {
            return false;
        }
        let mut buffer = Buffer::default();
        // Whoever comes next must not believe it again.
        self.map.shared().cursors.poison();
        // SAFETY: the exclusive flock shows that no producer is attached.
        let source = unsafe { Stable::new(&self.map) };
        let positions = self.scan(&source).salvage(self.next, &mut buffer);
        self.end = positions.last().copied().unwrap_or(self.next);
        self.state = State::Salvaged(positions);
        true
    }

    fn scan<'s>(&self, source: &'s Stable<'_>) -> Scan<'s, Stable<'s>>
    where
        Self: 's,
    {
        Scan { source, capacity: self.identity.capacity, generation: self.identity.generation }
    }

    /// The shared words, unless the file was cut short: to touch its mapping would then kill us.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        files::long_enough(&self.file, self.identity.capacity).then(|| self.map.shared())
    }

    /// End of what is there, as far as it can be believed.
    pub(crate) fn tail(&self) -> u64 {
        let end = self.end.max(self.next);
        let Some(shared) = self.shared() else { return end };
        match self.state {
            State::Live if self.cursors_hold() => shared.cursors.tail(),
            State::Past => shared.cursors.tail().max(self.next),
            State::Live | State::Salvaged(_) => end,
        }
    }

    /// Anything to read?
    pub(crate) fn unread(&self) -> bool {
        if self.shared().is_none() {
            return false;
        }
        match &self.state {
            State::Live => {
                self.cursors_hold() && self.map.shared().cursors.tail() > self.next
            }
            State::Past => !self.ended,
            State::Salvaged(positions) => {
                positions.last().is_some_and(|&position| position >= self.next)
            }
        }
    }

    /// Everything read and released?
    fn drained(&self) -> bool {
        !self.unread() && self.released >= self.next
    }

    /// Deletes the file if nobody needs it. False if it must stay.
    pub(crate) fn retire(&self) -> Result<bool, RingError> {
        if !self.drained() || self.file.try_lock().is_err() {
            return Ok(false);
        }
        // A worker may have pushed and left between the two looks; from here on none can attach.
        if !self.drained() {
            let _ = self.file.unlock();
            return Ok(false);
        }
        let removed = if matches!(self.state, State::Salvaged(_)) {
            // Whoever looks into the damage wants to see it.
            let mut aside = self.path.clone().into_os_string();
            aside.push(files::DAMAGED_SUFFIX);
            std::fs::rename(&self.path, aside)
        } else {
            std::fs::remove_file(&self.path)
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RingError::io("remove", &self.path)(error))
            }
            _ => Ok(true),
        }
    }

    /// Reads on until the batch holds `bytes_max`.
    pub(crate) fn read(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<(), RingError> {
        let damaged = |path: &PathBuf, what| Err(RingError::Damaged { path: path.clone(), what });
        if self.shared().is_none() {
            self.gone = true;
            self.gap(batch, self.end);
            return damaged(&self.path, "it was truncated while in use");
        }
        if !matches!(self.state, State::Salvaged(_)) && !self.cursors_hold() && !self.salvage() {
            // Workers that have not noticed would go on writing where we do not read.
            if let Ok(_held) = self.map.shared().lock.try_lock() {
                self.map.shared().cursors.poison();
            }
            let what =
                "its head and tail were overwritten; it is read once no worker uses it any more";
            return damaged(&self.path, what);
        }
        if matches!(self.state, State::Salvaged(_)) {
            self.read_salvaged(batch, bytes_max);
        } else {
            self.read_to_tail(batch, bytes_max);
        }
        Ok(())
    }

    /// Does the header agree with itself and with what was read so far?
    fn cursors_hold(&self) -> bool {
        let past = self.state == State::Past;
        self.map.whole() && (past || self.map.shared().cursors.tail() >= self.next)
    }

    fn read_to_tail(&mut self, batch: &mut Batch, bytes_max: usize) {
        let cursors = &self.map.shared().cursors;
        let tail = cursors.tail();
        let past = self.state == State::Past;
        // The disk may hold records that its copy of `tail` does not know of: they were answered 200.
        let limit = if past { cursors.head().max(self.next) + self.identity.capacity } else { tail };
        self.end = tail.max(self.next);
        let mut next = self.next;
        while next < limit && batch.ring_bytes() < bytes_max {
            // SAFETY: the one consumer (its lock is held); live: `[next, tail)` lies in `[head, tail)`; past: no producer
            // attaches to a generation of another boot.
            let source = unsafe { Stable::new(&self.map) };
            let scan = self.scan(&source);
            match scan.at(next, limit, &mut batch.buffer) {
                Found::Record(header, payload) => {
                    next += header.step();
                    batch.keep(self.identity.generation, &header, payload);
                }
                Found::Pad(bytes) => next += bytes,
                Found::Bad if next >= tail => {
                    self.ended = true;
                    break;
                }
                Found::Bad => {
                    let from = next + RECORD_ALIGN_BYTES as u64;
                    let to = scan.next_valid(from, tail, &mut batch.buffer);
                    self.next = next;
                    self.gap(batch, to);
                    next = to;
                }
            }
            self.next = next;
            self.end = self.end.max(next);
        }
        self.ended |= next >= limit;
    }

    fn read_salvaged(&mut self, batch: &mut Batch, bytes_max: usize) {
        let State::Salvaged(positions) = std::mem::replace(&mut self.state, State::Live) else {
            return;
        };
        let start = positions.partition_point(|&position| position < self.next);
        for &position in positions.iter().skip(start) {
            if batch.ring_bytes() >= bytes_max {
                break;
            }
            // SAFETY: the exclusive flock taken by `salvage` shows that no producer is attached.
            let source = unsafe { Stable::new(&self.map) };
            let found = self.scan(&source).at(position, u64::MAX, &mut batch.buffer);
            let step = match &found {
                Found::Record(header, _) => header.step(),
                Found::Pad(bytes) => *bytes,
                Found::Bad => continue,
            };
            // From 0, and not from where the journal ends, it is only the part that was freed long ago.
            if self.next != 0 && position > self.next {
                self.gap(batch, position);
            }
            self.next = position + step;
            self.end = self.end.max(self.next);
            if let Found::Record(header, payload) = found {
                batch.keep(self.identity.generation, &header, payload);
            }
        }
        self.state = State::Salvaged(positions);
    }

    /// Everything before `position` is durable elsewhere.
    pub(crate) fn release(&mut self, position: u64) {
        let Some(shared) = self.shared() else { return };
        let position = position.next_multiple_of(RECORD_ALIGN_BYTES as u64);
        let cursors = &shared.cursors;
        let position = match self.state {
            State::Live => position.min(cursors.tail()),
            State::Past | State::Salvaged(_) => position,
        };
        if position > self.released {
            self.store_released(position);
        }
        self.released = self.released.max(position);
        self.next = self.next.max(position);
    }

    fn store_released(&self, position: u64) {
        let cursors = &self.map.shared().cursors;
        match self.state {
            State::Live => cursors.release(position),
            State::Past => {
                // Nobody else stores it, and a head beyond the tail would look like damage at the next start.
                cursors.publish(cursors.tail().max(position));
                cursors.release(position);
            }
            // The header is lost; the journal alone knows how far it was read.
            State::Salvaged(_) => {}
        }
    }

    /// Reads again from what was last released.
    pub(crate) fn rewind(&mut self) {
        self.next = self.released;
        self.ended = false;
    }

    fn gap(&self, batch: &mut Batch, to: u64) {
        if to > self.next {
            let generation = self.identity.generation;
            batch.gaps.push(Gap { generation, from: self.next, to });
        }
    }
}
