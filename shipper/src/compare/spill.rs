//! Entries spread over files by their key, so that one file's worth is in memory at a time.

use super::Side;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Files: of a hundred million events a hundred and fifty megabytes are in memory.
const FILES: usize = 64;
/// Bytes of a user kept for samples.
const USER_BYTES: usize = 64;

/// What is remembered of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: [u8; 16],
    pub(super) side: Side,
    pub(super) group: u32,
    pub(super) source: u32,
    pub(super) line: u64,
    pub(super) user: String,
}

/// The files; removed when dropped.
#[derive(Debug)]
pub(super) struct Spill {
    folder: PathBuf,
    files: Vec<BufWriter<File>>,
}

impl Spill {
    pub(super) fn new(temp: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = temp.join(format!("tusk-compare-{}-{next}", std::process::id()));
        fs::create_dir(&folder)?;
        let mut spill = Self { folder, files: Vec::new() };
        for i in 0..FILES {
            spill.files.push(BufWriter::new(File::create(spill.path(i))?));
        }
        Ok(spill)
    }

    fn path(&self, i: usize) -> PathBuf {
        self.folder.join(format!("{i}"))
    }

    pub(super) fn put(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(file) = self.files.get_mut(usize::from(entry.key[0]) % FILES) else {
            return Ok(());
        };
        let mut user = entry.user.as_str();
        while user.len() > USER_BYTES {
            let end = (0..=USER_BYTES).rev().find(|at| user.is_char_boundary(*at)).unwrap_or(0);
            user = user.get(..end).unwrap_or_default();
        }
        file.write_all(&entry.key)?;
        file.write_all(&[u8::from(entry.side == Side::New), user.len() as u8])?;
        file.write_all(&entry.group.to_le_bytes())?;
        file.write_all(&entry.source.to_le_bytes())?;
        file.write_all(&entry.line.to_le_bytes())?;
        file.write_all(user.as_bytes())
    }

    /// Shows one file's entries after the other.
    pub(super) fn each(
        mut self,
        show: &mut dyn FnMut(&mut [Entry]),
        tell: &mut dyn FnMut(f64),
    ) -> io::Result<()> {
        for file in &mut self.files {
            file.flush()?;
        }
        self.files.clear();
        let mut entries = Vec::new();
        for i in 0..FILES {
            entries.clear();
            let mut file = BufReader::new(File::open(self.path(i))?);
            while let Some(entry) = next(&mut file)? {
                entries.push(entry);
            }
            show(&mut entries);
            #[expect(clippy::cast_precision_loss, reason = "a part of 64")]
            tell((i + 1) as f64 / FILES as f64);
        }
        Ok(())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn next(file: &mut BufReader<File>) -> io::Result<Option<Entry>> {
    let mut head = [0; 34];
    if file.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    file.read_exact(&mut head[1..])?;
    let mut user = vec![0; usize::from(head[17])];
    file.read_exact(&mut user)?;
    let mut key = [0; 16];
    key.copy_from_slice(&head[..16]);
    Ok(Some(Entry {
        key,
        side: if head[16] == 1 { Side::New } else { Side::Old },
        group: crate::journal::layout::u32_at(&head, 18),
        source: crate::journal::layout::u32_at(&head, 22),
        line: crate::journal::layout::u64_at(&head, 26),
        user: String::from_utf8_lossy(&user).into_owned(),
    }))
}
