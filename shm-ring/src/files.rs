//! The ring's directory: names, locks and checked opening.

use crate::{
    BootId, RingError,
    layout::{HEADER_BYTES, IDENTITY_BYTES, Identity, NotIdentity, capacity_valid},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Held by the one consumer.
pub(crate) const CONSUMER_LOCK: &str = "consumer.lock";
/// Held while a generation is made.
pub(crate) const PREPARE_LOCK: &str = "prepare.lock";
/// See [`crate::Control`].
pub(crate) const CONTROL: &str = "ring.ctl";
/// What a generation is called before it is whole.
pub(crate) const UNFINISHED: &str = "unfinished";
/// Added to the name of a generation whose header was overwritten, after its records were saved.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";
/// Owner and group read and write; nobody else.
pub(crate) const MODE: u32 = 0o660;

/// The name of a generation's file: `<sequence, 8 hex>-<generation, 16 hex>.ring`; sorts by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
}

impl Name {
    pub(crate) fn file(&self) -> String {
        format!("{:08x}-{:016x}.ring", self.sequence, self.generation)
    }

    fn parse(file: &str) -> Option<Self> {
        let (sequence, generation) = file.strip_suffix(".ring")?.split_once('-')?;
        let name = Self {
            sequence: u64::from_str_radix(sequence, 16).ok()?,
            generation: u64::from_str_radix(generation, 16).ok()?,
        };
        (name.file() == file).then_some(name)
    }
}

/// Generations in `directory`, oldest first. A directory that does not exist holds none.
pub(crate) fn list(directory: &Path) -> Result<Vec<Name>, RingError> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(RingError::io("list", directory))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(RingError::io("list", directory))?;
        names.extend(entry.file_name().to_str().and_then(Name::parse));
    }
    names.sort_unstable();
    Ok(names)
}

/// An opened generation.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) identity: Identity,
}

/// Opens a generation and checks what never changes in it.
pub(crate) fn open(directory: &Path, name: Name) -> Result<Opened, RingError> {
    let path = directory.join(name.file());
    let file = options().open(&path).map_err(RingError::io("open", &path))?;
    let damaged = |what| RingError::Damaged { path: path.clone(), what };
    let length = file.metadata().map_err(RingError::io("look at", &path))?.len();
    if length < HEADER_BYTES {
        return Err(damaged("the file is shorter than a header"));
    }
    let mut bytes = [0; IDENTITY_BYTES];
    file.read_exact_at(&mut bytes, 0).map_err(RingError::io("read", &path))?;
    let identity = Identity::parse(&bytes, length).map_err(|error| match error {
        NotIdentity::Version(found) => RingError::Version { path: path.clone(), found },
        NotIdentity::Damaged(what) => damaged(what),
    })?;
    if (Name { sequence: identity.sequence, generation: identity.generation }) != name {
        return Err(damaged("its name is of another ring"));
    }
    Ok(Opened { path, file, identity })
}

/// Opens a generation whose header cannot be believed: name and length tell enough to look for records.
pub(crate) fn open_damaged(directory: &Path, name: Name) -> Option<Opened> {
    let path = directory.join(name.file());
    let file = options().open(&path).ok()?;
    let capacity = file.metadata().ok()?.len().checked_sub(HEADER_BYTES)?;
    let identity = Identity {
        capacity,
        generation: name.generation,
        sequence: name.sequence,
        created_ns: 0,
        boot: BootId([0; 16]),
    };
    capacity_valid(capacity).then_some(Opened { path, file, identity })
}

/// Is the file still as long as its mapping, and still in a directory? A store past the end of a truncated file kills
/// the process; a record in a deleted one is lost with the last process that maps it.
pub(crate) fn intact(file: &File, capacity: u64) -> bool {
    file.metadata().is_ok_and(|data| data.len() == HEADER_BYTES + capacity && data.nlink() > 0)
}

/// Opens a lock or control file, making it if needed.
pub(crate) fn open_or_create(directory: &Path, name: &str) -> Result<File, RingError> {
    let path = directory.join(name);
    match options().open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.map_err(RingError::io("open", &path)),
    }
    match options().create_new(true).mode(MODE).open(&path) {
        // Another process was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options().open(&path).map_err(RingError::io("open", &path))
        }
        other => {
            let file = other.map_err(RingError::io("create", &path))?;
            set_mode(&file, &path, MODE)?;
            Ok(file)
        }
    }
}

/// Makes the mode exact, whatever the umask is.
pub(crate) fn set_mode(file: &File, path: &Path, mode: u32) -> Result<(), RingError> {
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(RingError::io("set the mode of", path))
}

/// Gives the file to `owner`, if it is not theirs already.
pub(crate) fn set_owner(
    file: &File,
    path: &Path,
    owner: Option<(u32, u32)>,
) -> Result<(), RingError> {
    let Some((user, group)) = owner else { return Ok(()) };
    let data = file.metadata().map_err(RingError::io("look at", path))?;
    if (data.uid(), data.gid()) == (user, group) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(user), Some(group))
        .map_err(RingError::io("change the owner of", path))
}

/// Makes names in the directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), RingError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(RingError::io("sync", directory))
}

/// Read and write, never through a symbolic link: a master runs as root in a folder that others may write.
pub(crate) fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW);
    options
}

/// As `intact`, for a reader: a deleted file can be read to its end.
pub(crate) fn long_enough(file: &File, capacity: u64) -> bool {
    file.metadata().is_ok_and(|data| data.len() == HEADER_BYTES + capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_age_and_others_are_no_rings() {
        let old = Name { sequence: 9, generation: u64::MAX };
        let new = Name { sequence: 16, generation: 0 };
        assert!(old.file() < new.file() && old < new);
        assert_eq!(Name::parse(&old.file()), Some(old));
        for other in ["ring.ctl", "1-2.ring", "00000001-0000000000000002.ring.damaged", ".ring"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
