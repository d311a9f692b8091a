//! The folders: made durably, closed with `_SUCCESS-<node>`, deleted by age.

use super::Tree;
use super::names::{is_beside, is_leftover, is_ours, range_of};
use crate::disk::parent;
use crate::sink::DeliverError;
use crate::zone::{Hour, Zone};
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders remembered as made and looked through; above it all are forgotten and asked again.
const KNOWN_MAX: usize = 10_000;
/// Looks for old folders once in so many ticks (about an hour).
const EXPIRE_TICKS: u32 = 3600;

/// The folders under one root, as one node sees them.
pub(crate) struct Folders {
    pub(super) tree: Arc<dyn Tree>,
    root: PathBuf,
    node: String,
    /// The sink's word.
    sink: &'static str,
    /// By receive time: hours close.
    by_receive: bool,
    made: HashSet<PathBuf>,
    looked: HashSet<PathBuf>,
    /// Hours that hold files of ours and are not closed, and (`true`) their days as hour 23, which sort behind their hours.
    /// `None` before the root was looked through.
    open: Option<BTreeSet<(Hour, bool, PathBuf)>>,
    ticks: u32,
    pub(super) trim_ticks: u32,
}

impl Folders {
    pub(crate) fn new(
        sink: &'static str,
        tree: Arc<dyn Tree>,
        root: &Path,
        node: &str,
        by_receive: bool,
    ) -> Self {
        Self {
            tree,
            root: root.to_path_buf(),
            node: node.to_owned(),
            sink,
            by_receive,
            made: HashSet::new(),
            looked: HashSet::new(),
            open: None,
            ticks: 0,
            trim_ticks: 0,
        }
    }

    /// Makes the folder of an hour, durably, once.
    pub(crate) fn make(&mut self, folder: &Path, hour: Hour) -> io::Result<()> {
        if self.made.len() > KNOWN_MAX {
            self.made.clear();
            self.looked.clear();
        }
        if !self.made.contains(folder) {
            self.tree.make(&self.root, folder)?;
            self.made.insert(folder.to_path_buf());
        }
        if let Some(open) = &mut self.open {
            open.insert((hour, false, folder.to_path_buf()));
        }
        Ok(())
    }

    /// Whether the folder holds this very range already, under whatever extension. Removes what tries of this node left unfinished.
    ///
    /// # Errors
    /// `Stop` if it holds a range that overlaps this one and is not the same: two lives of one journal wrote there.
    pub(crate) fn holds(
        &mut self,
        folder: &Path,
        from: u64,
        to: u64,
    ) -> Result<bool, DeliverError> {
        // Files appear only by our own renames, so a look at the first use of a folder is enough, as long as a range that is offered
        // again is preceded by `forget`.
        if !self.looked.insert(folder.to_path_buf()) {
            return Ok(false);
        }
        let looked = self.look(folder, from, to);
        if looked.is_err() || matches!(looked, Ok(true)) {
            self.looked.remove(folder);
        }
        looked
    }

    fn look(&self, folder: &Path, from: u64, to: u64) -> Result<bool, DeliverError> {
        let mut same = false;
        for item in self.tree.list(folder)? {
            if is_leftover(&item.name, &self.node) {
                self.tree.remove(&folder.join(&item.name))?;
                continue;
            }
            let Some((first, end)) = range_of(&item.name, &self.node) else { continue };
            if is_beside(&item.name) {
                continue;
            }
            if (first, end) == (from, to) {
                same = true;
            } else if first < to && from < end {
                return Err(DeliverError::Stop(format!(
                    "{}/{} overlaps the range [{from:x},{to:x}) that is to be written: the state file is older than the files; \
                     restore the right one, or move this node's files away and run `tusk migrate --reset {}`",
                    folder.display(),
                    item.name,
                    self.sink
                )));
            }
        }
        Ok(same)
    }

    /// A range is offered again: what its first try left has to be looked at.
    pub(crate) fn forget(&mut self) {
        self.made.clear();
        self.looked.clear();
    }

    fn success(&self) -> String {
        format!("_SUCCESS-{}", self.node)
    }

    /// Writes `_SUCCESS-<node>` into hours that ended before `closed_ms`, and into their day after its last hour.
    pub(crate) fn close(&mut self, zone: &Zone, closed_ms: i64) -> io::Result<()> {
        if !self.by_receive {
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(self.find_open()?);
        }
        let ended = |hour: Hour| zone.end_ms(hour).is_some_and(|end| end <= closed_ms);
        loop {
            let first = self.open.as_ref().and_then(|open| open.first().cloned());
            let Some((hour, is_day, folder)) = first else { return Ok(()) };
            if !ended(hour) {
                return Ok(());
            }
            self.mark(&folder)?;
            if let Some(open) = &mut self.open {
                if !is_day {
                    let day = parent(&folder).to_path_buf();
                    open.insert((Hour { hour: 23, ..hour }, true, day));
                }
                open.remove(&(hour, is_day, folder));
            }
        }
    }

    /// Marks an hour or a day as closed. What a try left there that was given up, and came through all the same, goes now.
    fn mark(&self, folder: &Path) -> io::Result<()> {
        for item in self.tree.list(folder)? {
            if is_leftover(&item.name, &self.node) {
                self.tree.remove(&folder.join(&item.name))?;
            }
        }
        self.tree.mark(folder, &self.success())
    }

    /// Hours and days with files of ours and without our mark: what a former life left open.
    fn find_open(&self) -> io::Result<BTreeSet<(Hour, bool, PathBuf)>> {
        let success = self.success();
        let mut open = BTreeSet::new();
        for (day_name, day) in self.days()? {
            let items = self.tree.list(&day)?;
            if items.iter().any(|item| item.name == success) {
                continue;
            }
            let mut ours = false;
            for item in items.iter().filter(|item| item.dir) {
                let Some(hour) = Hour::parse(&day_name, &item.name) else { continue };
                let folder = day.join(&item.name);
                let files = self.tree.list(&folder)?;
                if !files.iter().any(|file| range_of(&file.name, &self.node).is_some()) {
                    continue;
                }
                ours = true;
                if !files.iter().any(|file| file.name == success) {
                    open.insert((hour, false, folder));
                }
            }
            if let Some(last) = Hour::parse(&day_name, "hour=23").filter(|_| ours) {
                open.insert((last, true, day));
            }
        }
        Ok(open)
    }

    pub(super) fn days(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut days = Vec::new();
        for project in self.tree.list(&self.root)? {
            if !project.dir || !project.name.starts_with("project=") {
                continue;
            }
            let folder = self.root.join(&project.name);
            for day in self.tree.list(&folder)? {
                if day.dir && day.name.starts_with("dt=") {
                    days.push((day.name.clone(), folder.join(&day.name)));
                }
            }
        }
        Ok(days)
    }

    /// Deletes days before that of `oldest`: files named as ours (of any node) and folders that are empty then. Anything else stays.
    pub(crate) fn expire(&mut self, oldest: Hour) -> io::Result<()> {
        self.ticks += 1;
        if self.ticks % EXPIRE_TICKS != 1 {
            return Ok(());
        }
        let keep = oldest.dt();
        for (name, day) in self.days()? {
            // Names sort by date.
            if Hour::parse(&name, "hour=00").is_none() || name >= keep {
                continue;
            }
            for item in self.tree.list(&day)? {
                let path = day.join(&item.name);
                if item.dir && item.name.starts_with("hour=") {
                    self.empty(&path)?;
                } else if is_ours(&item.name) {
                    self.tree.remove(&path)?;
                }
            }
            if self.tree.list(&day)?.is_empty() {
                self.tree.remove_dir(&day)?;
            }
            self.forget();
        }
        Ok(())
    }

    pub(super) fn empty(&self, folder: &Path) -> io::Result<()> {
        let items = self.tree.list(folder)?;
        for item in items.iter().filter(|item| is_ours(&item.name)) {
            self.tree.remove(&folder.join(&item.name))?;
        }
        if items.iter().all(|item| is_ours(&item.name)) {
            self.tree.remove_dir(folder)?;
        }
        Ok(())
    }
}
