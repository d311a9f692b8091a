//! `ring.ctl`: what the shipper tells the workers. A hint, never needed: absent, torn, expired or damaged is empty.
//!
//! ```text
//!  0          8       12      16             20      24           32               32 + 8 × count       64 KiB
//!  +----------+-------+-------+--------------+-------+------------+----------------+--------------------+
//!  | sequence | magic | crc32c| sample_every | count | expires_ns | followed       | any                |
//!  | u64      | u32   | u32   | u32          | u32   | u64        | u64 × count    |                    |
//!  +----------+-------+-------+--------------+-------+------------+----------------+--------------------+
//!  sequence  odd while it is written; crc32c over sample_every .. followed
//! ```

use crate::{RingError, files, sys};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Bytes of the file.
const BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 32;
const MAGIC: u32 = u32::from_le_bytes(*b"RCT1");
/// Most ids that can be followed at a time.
pub const CONTROL_FOLLOWED_MAX: usize = (BYTES - HEAD_BYTES) / 8;
/// Longest life of a control, in milliseconds: an id is not followed for ever because a shipper died.
pub const CONTROL_LIFE_MAX_MS: u64 = 3_600_000;
/// How often a worker looks at the file.
const LOOK_MS: u64 = 100;

/// Whom to follow and how many requests to sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Control {
    /// Hashes of followed ids, sorted when read.
    pub followed: Vec<u64>,
    /// One request of so many is kept raw; 0: none.
    pub sample_every: u32,
    /// End of its life, nanoseconds since 1970; at most an hour from now.
    pub expires_ns: u64,
}

impl Control {
    /// Is this id followed? Only for a control that came from a read, which is sorted.
    pub fn follows(&self, hash: u64) -> bool {
        self.followed.binary_search(&hash).is_ok()
    }

    fn clear(&mut self) {
        self.followed.clear();
        self.sample_every = 0;
        self.expires_ns = 0;
    }
}

/// Replaces the control of the ring in `directory`. Only the process that holds the consumer's lock calls it.
///
/// # Errors
/// [`RingError::TooManyFollowed`] above [`CONTROL_FOLLOWED_MAX`]; [`RingError::Io`].
pub fn write_control(directory: &Path, control: &Control) -> Result<(), RingError> {
    let count = control.followed.len();
    if count > CONTROL_FOLLOWED_MAX {
        return Err(RingError::TooManyFollowed { count });
    }
    let mut followed = control.followed.clone();
    followed.sort_unstable();
    let mut body = Vec::with_capacity(BYTES);
    body.extend_from_slice(&control.sample_every.to_le_bytes());
    body.extend_from_slice(&(count as u32).to_le_bytes());
    body.extend_from_slice(&control.expires_ns.to_le_bytes());
    followed.iter().for_each(|hash| body.extend_from_slice(&hash.to_le_bytes()));
    let mut head = [0; 8];
    head[..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[4..].copy_from_slice(&crc32c::crc32c(&body).to_le_bytes());

    let path = directory.join(files::CONTROL);
    let file = files::open_or_create(directory, files::CONTROL)?;
    let write = |bytes: &[u8], offset| {
        file.write_all_at(bytes, offset).map_err(RingError::io("write", &path))
    };
    // A predecessor that died while writing left an odd number: go on from it.
    let odd = sequence(&file) | 1;
    write(&odd.to_le_bytes(), 0)?;
    write(&head, 8)?;
    write(&body, 16)?;
    file.set_len(BYTES as u64).map_err(RingError::io("set the length of", &path))?;
    write(&odd.wrapping_add(1).to_le_bytes(), 0)
}

/// The number in front; 0 if there is none.
fn sequence(file: &File) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes))
}

/// A worker's cached view. Reads the file by `pread` and not by a mapping, so that a truncated one cannot kill it.
pub(crate) struct ControlReader {
    path: PathBuf,
    file: Option<File>,
    sequence: u64,
    control: Control,
    /// When to look next, and when what we hold expires (monotonic ms).
    look_ms: u64,
    expires_ms: u64,
    bytes: Vec<u8>,
}

impl ControlReader {
    pub(crate) fn new(directory: &Path) -> Self {
        let control = Control {
            followed: Vec::with_capacity(CONTROL_FOLLOWED_MAX),
            ..Control::default()
        };
        Self {
            path: directory.join(files::CONTROL),
            file: None,
            sequence: 0,
            control,
            look_ms: 0,
            expires_ms: 0,
            bytes: vec![0; BYTES],
        }
    }

    /// What holds now. Looks at the file at most every 100 ms.
    pub(crate) fn read(&mut self, now_ms: u64) -> &Control {
        self.read_at(now_ms, sys::now_ns)
    }

    fn read_at(&mut self, now_ms: u64, now_ns: impl FnOnce() -> u64) -> &Control {
        if now_ms >= self.look_ms {
            self.look_ms = now_ms + LOOK_MS;
            self.look(now_ms, now_ns());
        }
        if now_ms >= self.expires_ms {
            self.control.clear();
        }
        &self.control
    }

    fn look(&mut self, now_ms: u64, now_ns: u64) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &self.file else { return };
        let before = sequence(file);
        // Odd: being written, or its writer died; what we hold stays until it expires.
        if before == self.sequence || !before.is_multiple_of(2) {
            return;
        }
        let whole = file.read_exact_at(&mut self.bytes, 0).is_ok();
        if !whole || sequence(file) != before {
            return;
        }
        if self.accept(now_ms, now_ns).is_none() {
            self.control.clear();
        }
        self.sequence = before;
    }

    fn accept(&mut self, now_ms: u64, now_ns: u64) -> Option<()> {
        let word = |at: usize| Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?));
        let count = word(20)? as usize;
        let body = self.bytes.get(16..HEAD_BYTES + count.checked_mul(8)?)?;
        if word(8)? != MAGIC || word(12)? != crc32c::crc32c(body) {
            return None;
        }
        let control = &mut self.control;
        control.sample_every = word(16)?;
        control.expires_ns = u64::from_le_bytes(*body.get(8..)?.first_chunk()?);
        control.followed.clear();
        let (hashes, _) = body.get(16..)?.as_chunks::<8>();
        control.followed.extend(hashes.iter().map(|hash| u64::from_le_bytes(*hash)));
        control.followed.sort_unstable();
        // A clock that was set, or a writer that asks for more than it may, does not make it live longer.
        let life_ms = control.expires_ns.saturating_sub(now_ns) / 1_000_000;
        self.expires_ms = now_ms + life_ms.min(CONTROL_LIFE_MAX_MS);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: u64 = 1_800_000_000_000_000_000;
    const MINUTE_MS: u64 = 60_000;

    /// A directory, a reader and its clock.
    struct Worker {
        directory: PathBuf,
        reader: ControlReader,
        now_ms: u64,
    }

    impl Worker {
        fn new(name: &str) -> Self {
            let name = format!("ring-control-{}-{name}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir(&directory).unwrap();
            let reader = ControlReader::new(&directory);
            Self { directory, reader, now_ms: 1_000 }
        }

        fn write(&self, followed: &[u64], life_ms: u64) {
            let expires_ns = NOW_NS + (self.now_ms + life_ms) * 1_000_000;
            let followed = followed.to_vec();
            let control = Control { followed, sample_every: 5, expires_ns };
            write_control(&self.directory, &control).unwrap();
        }

        fn overwrite(&self, offset: u64, bytes: &[u8]) {
            let file = File::options().write(true).open(self.directory.join(files::CONTROL));
            file.unwrap().write_all_at(bytes, offset).unwrap();
        }

        /// What the worker sees `later_ms` from now.
        fn see(&mut self, later_ms: u64) -> Vec<u64> {
            self.now_ms += later_ms;
            let now_ns = NOW_NS + self.now_ms * 1_000_000;
            self.reader.read_at(self.now_ms, || now_ns).followed.clone()
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    #[test]
    fn what_is_written_is_seen_sorted_within_100_ms() {
        let mut worker = Worker::new("seen");
        assert_eq!(worker.see(0), [], "absent is empty");
        worker.write(&[9, 3, 7], MINUTE_MS);
        assert_eq!(worker.see(LOOK_MS), [3, 7, 9]);
        let control = worker.reader.read_at(worker.now_ms, || 0);
        assert!(control.follows(7) && !control.follows(8) && control.sample_every == 5);
        worker.write(&[], MINUTE_MS);
        assert_eq!(worker.see(LOOK_MS), []);
    }

    #[test]
    fn a_full_control_fits_and_one_more_is_refused() {
        let mut worker = Worker::new("full");
        let mut all: Vec<u64> = (0..CONTROL_FOLLOWED_MAX as u64).collect();
        worker.write(&all, MINUTE_MS);
        assert_eq!(worker.see(LOOK_MS), all);
        all.push(0);
        let control = Control { followed: all, ..Control::default() };
        let error = write_control(&worker.directory, &control).unwrap_err();
        assert!(matches!(error, RingError::TooManyFollowed { count: 8189 }), "{error}");
    }

    #[test]
    fn a_control_ends_when_it_says_and_after_an_hour_at_the_latest() {
        let mut worker = Worker::new("ends");
        worker.write(&[1], MINUTE_MS);
        assert_eq!(worker.see(LOOK_MS), [1]);
        assert_eq!(worker.see(MINUTE_MS - LOOK_MS - 1), [1]);
        assert_eq!(worker.see(1), []);
        worker.write(&[2], 100 * CONTROL_LIFE_MAX_MS);
        assert_eq!(worker.see(LOOK_MS), [2]);
        assert_eq!(worker.see(CONTROL_LIFE_MAX_MS), []);
        worker.write(&[3], 0);
        assert_eq!(worker.see(LOOK_MS), []);
    }

    #[test]
    fn a_torn_write_changes_nothing_and_the_next_one_repairs_it() {
        let mut worker = Worker::new("torn");
        worker.write(&[1], MINUTE_MS);
        assert_eq!(worker.see(LOOK_MS), [1]);
        // Died after the first step, with half of the new body written.
        worker.overwrite(0, &3u64.to_le_bytes());
        worker.overwrite(20, &[200, 0, 0, 0, 1, 2, 3]);
        assert_eq!(worker.see(LOOK_MS), [1]);
        worker.write(&[4], MINUTE_MS);
        assert_eq!(worker.see(LOOK_MS), [4]);
    }

    #[test]
    fn a_damaged_control_is_empty() {
        let mut worker = Worker::new("damaged");
        for offset in 8..40 {
            worker.write(&[offset], MINUTE_MS);
            assert_eq!(worker.see(LOOK_MS), [offset]);
            worker.write(&[u64::MAX], MINUTE_MS);
            worker.overwrite(offset, &[0x55]);
            assert_eq!(worker.see(LOOK_MS), [], "offset {offset}");
        }
        for length in [0, 7, 8, 31, 100, BYTES as u64 - 1] {
            worker.write(&[5], MINUTE_MS);
            assert_eq!(worker.see(LOOK_MS), [5]);
            worker.write(&[6], MINUTE_MS);
            let file = File::options().write(true).open(worker.directory.join(files::CONTROL));
            file.unwrap().set_len(length).unwrap();
            let seen = worker.see(LOOK_MS);
            assert!(seen == [5] || seen.is_empty(), "length {length}");
        }
    }

    /// A reader beside a writer that never stops sees whole controls only.
    #[test]
    fn a_reader_never_sees_two_controls_mixed() {
        let mut worker = Worker::new("mixed");
        worker.write(&[0; 4000], MINUTE_MS);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        let mut seen = std::collections::HashSet::new();
        std::thread::scope(|scope| {
            let directory = worker.directory.clone();
            let stop = &stop;
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(relaxed) {
                    number += 1;
                    let followed = vec![number; 4000];
                    let expires_ns = u64::MAX;
                    let control = Control { followed, sample_every: 0, expires_ns };
                    write_control(&directory, &control).unwrap();
                }
            });
            let started = std::time::Instant::now();
            while seen.len() < 10 && started.elapsed().as_secs() < 20 {
                let followed = worker.see(LOOK_MS);
                assert!(followed.iter().all(|&hash| hash == followed[0]));
                seen.extend(followed.first().copied());
            }
            stop.store(true, relaxed);
        });
        assert_eq!(seen.len(), 10);
    }
}
