//! `<first lsn>.opened` beside each journal segment: what sealed requests turned out to hold. Keys may change between a try and the
//! next, so a sealed request is opened once and its record kept: `| length u32 | crc32c u32 | lsn u64 | payload |`, 8-byte aligned.

use crate::disk::{Disk, DiskFile, Open};
use crate::journal::JournalError;
use crate::journal::layout::{u32_at, u64_at};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HEADER: usize = 16;

/// Name of the file beside the segment that starts at `first_lsn`.
pub(super) fn name(first_lsn: u64) -> String {
    format!("{first_lsn:016x}.opened")
}

/// Writes opened records.
#[derive(Debug)]
pub(super) struct OpenedWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Option<(u64, Box<dyn DiskFile>)>,
    end: u64,
    dirty: bool,
}

impl OpenedWriter {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_path_buf(), file: None, end: 0, dirty: false }
    }

    /// Appends and returns the offset to read it at. What a crash left behind the last fact's offset is passed over for good.
    pub(super) fn append(&mut self, segment: u64, lsn: u64, payload: &[u8]) -> io::Result<u64> {
        if self.file.as_ref().is_none_or(|(first, _)| *first != segment) {
            self.sync()?;
            let path = self.dir.join(name(segment));
            let there = self.disk.size(&path)?;
            let how = if there.is_some() { Open::Write } else { Open::Create };
            let file = self.disk.open(&path, how)?;
            if there.is_none() {
                self.disk.sync_dir(&self.dir)?;
            }
            self.end = there.unwrap_or(0).next_multiple_of(8);
            self.file = Some((segment, file));
        }
        let Some((_, file)) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = Vec::with_capacity(HEADER + payload.len() + 8);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        bytes.extend_from_slice(&lsn.to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let at = self.end;
        file.write_at(&bytes, at)?;
        self.end += bytes.len() as u64;
        self.dirty = true;
        Ok(at)
    }

    /// Before the facts that point here are written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some((_, file)) = self.file.as_ref().filter(|_| self.dirty) {
            file.sync()?;
        }
        self.dirty = false;
        Ok(())
    }
}

/// Reads opened records.
#[derive(Debug)]
pub(crate) struct OpenedReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Option<(u64, Box<dyn DiskFile>)>,
}

impl OpenedReader {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_path_buf(), file: None }
    }

    /// The payload of the sealed record at `lsn`, in the segment that starts at `segment`, at the offset its fact names.
    pub(crate) fn read(
        &mut self,
        segment: u64,
        lsn: u64,
        at: u64,
    ) -> Result<Vec<u8>, JournalError> {
        let path = self.dir.join(name(segment));
        if self.file.as_ref().is_none_or(|(first, _)| *first != segment) {
            self.file = Some((segment, self.disk.open(&path, Open::Read)?));
        }
        let damaged = || JournalError::Foreign {
            path: path.display().to_string(),
            problem: format!("the opened request of lsn {lsn} is damaged; restore the file"),
        };
        let Some((_, file)) = &self.file else { return Err(damaged()) };
        let mut head = [0; HEADER];
        if file.read_at(&mut head, at)? < HEADER || u64_at(&head, 8) != lsn {
            return Err(damaged());
        }
        let mut payload = vec![0; u32_at(&head, 0) as usize];
        let n = file.read_at(&mut payload, at + HEADER as u64)?;
        if n < payload.len() || crc32c::crc32c(&payload) != u32_at(&head, 4) {
            return Err(damaged());
        }
        Ok(payload)
    }
}
