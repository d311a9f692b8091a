//! Making a ring: what nginx's master does before its workers start.

use crate::{
    BootId, RingError, boot_id,
    files::{self, Name, Opened},
    layout::{HEADER_BYTES, Identity, capacity_valid},
    lock::NoLock,
    map::Map,
    sys,
};
use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long another master may take to make the ring (allocating 1 TiB on a slow disk).
const PREPARE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Where the ring is and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The ring's directory; made if it does not exist.
    pub path: PathBuf,
    /// Bytes for records, rounded up to 4 KiB; [`SIZE_BYTES_MIN`](crate::SIZE_BYTES_MIN) to
    /// [`SIZE_BYTES_MAX`](crate::SIZE_BYTES_MAX). The file has 8 KiB more.
    pub size_bytes: u64,
    /// User and group of directory and files; `None` leaves them to the process's own.
    pub owner: Option<(u32, u32)>,
}

/// Makes sure that the newest generation is of this boot, of this size and whole; else makes a new one.
///
/// Older generations stay for the consumer to drain. May run while workers and the consumer use the ring, and at the
/// same time in two processes.
///
/// # Errors
/// [`RingError`]; in particular [`RingError::NoSpace`] if the disk is full, which leaves everything as it was.
pub fn prepare(options: &Options) -> Result<(), RingError> {
    prepare_in_boot(options, boot_id()?)
}

/// [`prepare`] as of another boot: for tests of what a reboot does.
///
/// # Errors
/// As [`prepare`].
#[doc(hidden)]
pub fn prepare_in_boot(options: &Options, boot: BootId) -> Result<(), RingError> {
    let capacity = options.size_bytes.checked_next_multiple_of(4096).unwrap_or(0);
    if !capacity_valid(capacity) {
        return Err(RingError::Size { size_bytes: options.size_bytes });
    }
    let directory = &options.path;
    make_directory(directory, options.owner)?;
    let guard = open_for_all(options, files::PREPARE_LOCK)?;
    lock(&guard, directory)?;
    // Made here so that worker and shipper, two users, can both use them whoever comes first.
    open_for_all(options, files::CONSUMER_LOCK)?;
    open_for_all(options, files::CONTROL)?;

    let newest = files::list(directory)?.last().copied();
    let before = newest.and_then(|name| Before::open(directory, name));
    if let Some(before) = &before
        && before.usable(capacity, boot)
    {
        return files::set_owner(&before.opened.file, &before.opened.path, options.owner);
    }
    let name = Name {
        sequence: newest.map_or(1, |name| name.sequence + 1),
        generation: random_generation()?,
    };
    create(options, name, Identity {
        capacity,
        generation: name.generation,
        sequence: name.sequence,
        created_ns: sys::now_ns(),
        boot,
    }, before.as_ref())
}

/// The generation that was newest so far.
struct Before {
    opened: Opened,
    map: Map,
}

impl Before {
    /// `None` if it is damaged or of another version: it is then not used, but not removed either.
    fn open(directory: &Path, name: Name) -> Option<Self> {
        let opened = files::open(directory, name).ok()?;
        let map = Map::new(&opened.file, opened.identity.capacity).ok()?;
        Some(Self { opened, map })
    }

    fn usable(&self, capacity: u64, boot: BootId) -> bool {
        let identity = &self.opened.identity;
        identity.capacity == capacity && identity.boot == boot && self.map.whole() && {
            // A broken lock can be found only by taking it; this one is free or held for microseconds.
            !matches!(self.map.shared().lock.try_lock(), Err(NoLock::Broken))
        }
    }
}

fn create(
    options: &Options,
    name: Name,
    identity: Identity,
    before: Option<&Before>,
) -> Result<(), RingError> {
    let unfinished = options.path.join(files::UNFINISHED);
    let path = options.path.join(name.file());
    // Left by a master that was killed here; we hold the lock, so nobody writes it now.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(RingError::io("remove", &unfinished)(error));
        }
        _ => {}
    }
    let made = fill(options, &unfinished, &identity, before).and_then(|()| {
        std::fs::rename(&unfinished, &path).map_err(RingError::io("rename to", &path))
    });
    if made.is_err() {
        // The first error tells more than one of the clean-up would.
        let _ = std::fs::remove_file(&unfinished);
    }
    made?;
    files::sync_directory(&options.path)
}

fn fill(
    options: &Options,
    path: &Path,
    identity: &Identity,
    before: Option<&Before>,
) -> Result<(), RingError> {
    let size_bytes = HEADER_BYTES + identity.capacity;
    let file = files::options()
        .create_new(true)
        .mode(files::MODE)
        .open(path)
        .map_err(RingError::io("create", path))?;
    sys::allocate(&file, size_bytes).map_err(|source| match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => {
            RingError::NoSpace { path: options.path.clone(), size_bytes, source }
        }
        _ => RingError::io("allocate", path)(source),
    })?;
    files::set_mode(&file, path, files::MODE)?;
    files::set_owner(&file, path, options.owner)?;
    file.write_all_at(&identity.bytes(), 0).map_err(RingError::io("write", path))?;
    let map = Map::new(&file, identity.capacity).map_err(RingError::io("map", path))?;
    let shared = map.shared();
    // SAFETY: the file has no name that anyone else would open, and was just made.
    unsafe { shared.lock.init() }.map_err(RingError::io("make a lock in", path))?;
    if let Some(before) = before {
        shared.counters.carry_over(&before.map.shared().counters);
        if before.opened.identity.boot == identity.boot {
            // So that a change of size is not taken for a dead shipper until it has seen the new generation.
            shared.consumer.0.carry_over(&before.map.shared().consumer.0);
        }
    }
    file.sync_all().map_err(RingError::io("sync", path))
}

fn make_directory(directory: &Path, owner: Option<(u32, u32)>) -> Result<(), RingError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o770)
        .create(directory)
        .map_err(RingError::io("create", directory))?;
    if owner.is_none() {
        return Ok(());
    }
    let file = File::open(directory).map_err(RingError::io("open", directory))?;
    files::set_owner(&file, directory, owner)?;
    // The group is how shipper and workers, two users, share the ring.
    file.set_permissions(Permissions::from_mode(0o2770))
        .map_err(RingError::io("set the mode of", directory))
}

fn open_for_all(options: &Options, name: &str) -> Result<File, RingError> {
    let file = files::open_or_create(&options.path, name)?;
    files::set_owner(&file, &options.path.join(name), options.owner)?;
    Ok(file)
}

fn lock(file: &File, directory: &Path) -> Result<(), RingError> {
    let path = directory.join(files::PREPARE_LOCK);
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(RingError::io("lock", path)(error));
            }
            Err(std::fs::TryLockError::WouldBlock) => {}
        }
        if started.elapsed() > PREPARE_WAIT_MAX {
            return Err(RingError::PrepareBusy { path });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number that no other ring has, never 0.
fn random_generation() -> Result<u64, RingError> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 8];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(RingError::io("read", path))?;
    Ok(u64::from_le_bytes(bytes).max(1))
}
