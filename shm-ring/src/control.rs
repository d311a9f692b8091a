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
        if now_ms >= self.look_ms {
            self.look_ms = now_ms + LOOK_MS;
            self.look(now_ms, sys::now_ns());
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
