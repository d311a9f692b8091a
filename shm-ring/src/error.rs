//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf};

/// A ring that cannot be made, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// A system call on a file of the ring failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk cannot hold the ring. Nothing was left behind.
    #[error(
        "no room for a ring of {size_bytes} bytes in {}: {source}; free disk space or set a smaller size",
        path.display()
    )]
    NoSpace {
        /// The ring's directory.
        path: PathBuf,
        /// File size that was asked for.
        size_bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The size is outside [`SIZE_BYTES_MIN`](crate::SIZE_BYTES_MIN) ..= [`SIZE_BYTES_MAX`](crate::SIZE_BYTES_MAX).
    #[error("a ring of {size_bytes} bytes is not possible; choose a size from 64k to 1t")]
    Size {
        /// Size that was asked for.
        size_bytes: u64,
    },
    /// No generation is in the directory.
    #[error("{} holds no ring; start nginx with `tusk_ring` on this path first", path.display())]
    Missing {
        /// The ring's directory.
        path: PathBuf,
    },
    /// A ring of another format version.
    #[error(
        "{} has ring format {found}, this program speaks {}; run module and shipper of one release",
        path.display(),
        crate::layout::VERSION
    )]
    Version {
        /// The generation's file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A file that is not what its name says.
    #[error("{} is damaged: {what}; a reload of nginx makes a new ring", path.display())]
    Damaged {
        /// The generation's file.
        path: PathBuf,
        /// What does not hold.
        what: &'static str,
    },
    /// The ring was made before the machine started.
    #[error("{} is from before the last boot; a reload of nginx makes a new ring", path.display())]
    Stale {
        /// The generation's file.
        path: PathBuf,
    },
    /// Another consumer runs on this ring.
    #[error("{} is held: another shipper already reads this ring; stop it first", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// Another process has been making the ring for too long.
    #[error("{} is held for more than 30 s by another nginx that makes this ring", path.display())]
    PrepareBusy {
        /// The lock file.
        path: PathBuf,
    },
    /// The system's boot id cannot be read, so a reboot could go unnoticed.
    #[error("/proc/sys/kernel/random/boot_id: {0}; mount /proc")]
    BootId(io::Error),
    /// More ids to follow than the control file holds.
    #[error("{count} ids to follow, at most {}", crate::control::CONTROL_FOLLOWED_MAX)]
    TooManyFollowed {
        /// How many were asked for.
        count: usize,
    },
}

impl RingError {
    /// For `map_err`: names the step and the file.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// A record that was not taken. Nothing of it is in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// No room: the shipper is down or its journal is at the cap.
    #[error("the ring is full")]
    Full,
    /// Another worker holds the lock and does not run (stopped, or starved by the disk).
    #[error("the ring's lock is held by a process that does not run")]
    Locked,
    /// Longer than [`Producer::record_bytes_max`](crate::Producer::record_bytes_max).
    #[error("the record is larger than the ring takes")]
    TooLarge,
    /// The ring is damaged or was truncated under us; a reload of nginx makes a new one.
    #[error("the ring is damaged")]
    Closed,
}
