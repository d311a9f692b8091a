//! The bound of a folder of files: the oldest hours go when it is reached.

use super::folders::Folders;
use crate::zone::Hour;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Looks once in so many ticks (about ten minutes): a folder of many files takes a moment to add up.
const TRIM_TICKS: u32 = 600;

impl Folders {
    /// Deletes the oldest hours, of all projects, while files named as ours take more than `bytes_max`; the newest hour stays.
    pub(crate) fn trim(&mut self, bytes_max: u64) -> io::Result<()> {
        self.trim_ticks += 1;
        if self.trim_ticks % TRIM_TICKS != 1 {
            return Ok(());
        }
        let mut hours: BTreeMap<Hour, (u64, Vec<PathBuf>)> = BTreeMap::new();
        for (name, day) in self.days()? {
            for item in self.tree.list(&day)?.into_iter().filter(|item| item.dir) {
                let Some(hour) = Hour::parse(&name, &item.name) else { continue };
                let folder = day.join(&item.name);
                let files = self.tree.list(&folder)?;
                let bytes: u64 = files.iter().map(|file| file.bytes).sum();
                let entry = hours.entry(hour).or_default();
                entry.0 += bytes;
                entry.1.push(folder);
            }
        }
        let mut all: u64 = hours.values().map(|(bytes, _)| bytes).sum();
        while all > bytes_max && hours.len() > 1 {
            let Some((hour, (bytes, folders))) = hours.pop_first() else { break };
            for folder in &folders {
                self.empty(folder)?;
                let day = crate::disk::parent(folder);
                if self.tree.list(day)?.iter().all(|item| !item.dir) {
                    self.empty(day)?;
                }
            }
            all -= bytes;
            self.forget();
            let (day, hour) = (hour.dt(), hour.hour());
            tracing::warn!(
                day,
                hour,
                bytes,
                bytes_max,
                "the oldest files are deleted: their folder is at its bound"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DiskTree, Folders};
    use crate::disk::double::DoubleDisk;
    use crate::disk::{Disk, Open, create_dirs};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    #[test]
    fn the_oldest_hours_go_first_and_only_ours() {
        let disk = Arc::new(DoubleDisk::new(1));
        let root = Path::new("/files");
        let put = |folder: &str, name: &str| {
            let folder = root.join(folder);
            create_dirs(disk.as_ref(), root, &folder).unwrap();
            let file = disk.open(&folder.join(name), Open::Create).unwrap();
            file.write_at(&[7; 1000], 0).unwrap();
        };
        let part = "part-n-00000001-0000000000000000-0000000000000010.jsonl";
        for hour in 10..20 {
            put(&format!("project=a/dt=2026-11-24/hour={hour}"), part);
            put(&format!("project=b/dt=2026-11-24/hour={hour}"), part);
        }
        put("project=a/dt=2026-11-23/hour=23", part);
        put("project=b/dt=2026-11-23/hour=23", "notes.txt");
        let tree = Arc::new(DiskTree(Arc::<DoubleDisk>::clone(&disk)));
        let mut folders = Folders::new("file", tree, root, "n-00000001", true);
        folders.trim(10_000).unwrap();
        let there = |path: &str| disk.size(&root.join(path).join(part)).unwrap().is_some();
        assert!(!there("project=a/dt=2026-11-23/hour=23"));
        assert!(
            !there("project=a/dt=2026-11-24/hour=14") && !there("project=b/dt=2026-11-24/hour=14")
        );
        assert!(
            there("project=a/dt=2026-11-24/hour=15") && there("project=b/dt=2026-11-24/hour=19")
        );
        let notes = PathBuf::from("/files/project=b/dt=2026-11-23/hour=23/notes.txt");
        assert!(disk.size(&notes).unwrap().is_some(), "not ours");
        assert!(disk.list(&root.join("project=a")).unwrap().len() == 1, "an empty day is gone");
    }
}
