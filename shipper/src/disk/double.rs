//! The seeded double: a file system in memory that forgets, at a chosen operation, by a seed, what was not synced.
//!
//! What a power cut may do here: each unsynced write is kept, dropped, or torn at a byte; each unsynced name change (make, rename,
//! remove) is kept or dropped on its own, in any combination. What it never does: touch what was synced.

pub use super::rng::Rng;

use super::{Disk, DiskFile, Item, Open, Space, parent};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, PartialEq)]
enum Node {
    File(usize),
    Dir,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, Node),
    Unlink(String),
    Move { from: String, to: String, node: Node },
}

#[derive(Clone, Debug)]
enum Write {
    Bytes(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone, Debug, Default)]
struct Folder {
    durable: BTreeMap<String, Node>,
    live: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    live: Vec<u8>,
    pending: Vec<Write>,
}

#[derive(Debug)]
struct World {
    folders: BTreeMap<PathBuf, Folder>,
    inodes: Vec<Inode>,
    rng: Rng,
    operations: u64,
    dies_at: u64,
    sync_fails_at: u64,
    free_bytes: u64,
    dead: bool,
}

/// The double. Clones share one file system.
#[derive(Clone, Debug)]
pub struct DoubleDisk(Arc<Mutex<World>>);

impl DoubleDisk {
    /// An empty disk with a root folder `/`. `seed` decides what a crash keeps.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut folders = BTreeMap::new();
        folders.insert(PathBuf::from("/"), Folder::default());
        Self(Arc::new(Mutex::new(World {
            folders,
            inodes: Vec::new(),
            rng: Rng(seed),
            operations: 0,
            dies_at: u64::MAX,
            sync_fails_at: u64::MAX,
            free_bytes: u64::MAX,
            dead: false,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changing operations so far; crash points are numbers of this count.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// The power fails during the operation with this number (counted from the disk's birth).
    pub fn die_at(&self, operation: u64) {
        self.world().dies_at = operation;
    }

    /// The fdatasync that is, or comes next after, this operation fails once and loses some of what it should have written.
    pub fn fail_sync_at(&self, operation: u64) {
        self.world().sync_fails_at = operation;
    }

    /// Leaves only so much space; writes beyond it get `StorageFull`.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.world().free_bytes = bytes;
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.world().dead
    }

    /// Switches on again with what survived. Handles of before stay dead.
    #[must_use]
    pub fn reboot(&self, seed: u64) -> Self {
        let mut world = self.world();
        world.dead = true;
        let mut rng = Rng(seed ^ world.rng.next_u64());
        let mut folders = world.folders.clone();
        let mut inodes = world.inodes.clone();
        for folder in folders.values_mut() {
            let mut names = folder.durable.clone();
            let keep = rng.below(4);
            for change in &folder.pending {
                let kept = match keep {
                    0 => false,
                    1 => true,
                    _ => rng.below(2) == 0,
                };
                if kept {
                    apply(&mut names, change);
                }
            }
            *folder = Folder { durable: names.clone(), live: names, pending: Vec::new() };
        }
        for inode in &mut inodes {
            let mut bytes = inode.durable.clone();
            let keep = rng.below(4);
            for write in &inode.pending {
                match (keep, rng.below(3)) {
                    (0, _) | (2.., 0) => {}
                    (1, _) | (2.., 1) => write_into(&mut bytes, write),
                    _ => write_into(&mut bytes, &torn(write, &mut rng)),
                }
            }
            *inode = Inode { durable: bytes.clone(), live: bytes, pending: Vec::new() };
        }
        let operations = world.operations;
        let reborn = Self::new(0);
        {
            let mut new = reborn.world();
            (new.folders, new.inodes, new.rng, new.operations) = (folders, inodes, rng, operations);
            new.forget_lost_folders();
        }
        reborn
    }

    /// What a process killed (not the machine) leaves: everything written, synced or not.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut world = self.world();
        world.dead = true;
        let reborn = Self::new(0);
        {
            let mut new = reborn.world();
            new.folders = world.folders.clone();
            new.inodes = world.inodes.clone();
            new.rng = world.rng;
            new.operations = world.operations;
        }
        reborn
    }
}

fn torn(write: &Write, rng: &mut Rng) -> Write {
    match write {
        Write::Bytes(at, bytes) => {
            // A page of the middle may be there without the pages before it.
            let from = rng.below(bytes.len() as u64 + 1) as usize;
            let to = from + rng.below((bytes.len() - from) as u64 + 1) as usize;
            if rng.below(2) == 0 {
                Write::Bytes(*at, bytes[..to].to_vec())
            } else {
                Write::Bytes(*at + from as u64, bytes[from..to].to_vec())
            }
        }
        Write::Len(bytes) => Write::Len(*bytes),
    }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    match change {
        Change::Link(name, node) => {
            names.insert(name.clone(), node.clone());
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
        Change::Move { from, to, node } => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), node.clone());
        }
    }
}

fn write_into(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Bytes(at, new) => {
            let (at, end) = (*at as usize, *at as usize + new.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(new);
        }
        Write::Len(len) => bytes.resize(*len as usize, 0),
    }
}

fn name_of(path: &Path) -> io::Result<String> {
    path.file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn power_cut() -> io::Error {
    io::Error::other("the power is off")
}

impl World {
    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(power_cut()) } else { Ok(()) }
    }

    /// Counts a changing operation. `Ok(true)`: it happens (perhaps unsynced) and then the power goes.
    fn operate(&mut self) -> io::Result<bool> {
        self.alive()?;
        self.operations += 1;
        self.dead = self.operations >= self.dies_at;
        Ok(self.dead)
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, dir: &Path, change: Change) -> io::Result<()> {
        let dying = self.operate()?;
        let folder = self.folder(dir)?;
        apply(&mut folder.live, &change);
        folder.pending.push(change);
        if dying { Err(power_cut()) } else { Ok(()) }
    }

    fn node(&mut self, path: &Path) -> io::Result<Node> {
        let name = name_of(path)?;
        self.folder(parent(path))?.live.get(&name).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn forget_lost_folders(&mut self) {
        // BTreeMap order puts parents before children.
        let mut known: Vec<PathBuf> = vec![PathBuf::from("/")];
        let paths: Vec<PathBuf> = self.folders.keys().cloned().collect();
        for path in paths.into_iter().filter(|path| path != Path::new("/")) {
            let up = parent(&path).to_path_buf();
            let named = self.folders.get(&up).is_some_and(|folder| {
                name_of(&path).is_ok_and(|name| folder.live.get(&name) == Some(&Node::Dir))
            });
            if known.contains(&up) && named {
                known.push(path);
            } else {
                self.folders.remove(&path);
            }
        }
    }
}

impl Disk for DoubleDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.alive()?;
        let inode = match (world.node(path), how) {
            (Ok(Node::Dir), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Ok(Node::File(inode)), Open::Read | Open::Write) => inode,
            (Ok(Node::File(inode)), Open::Create) => {
                let dying = world.operate()?;
                world.inodes[inode].live.clear();
                world.inodes[inode].pending.push(Write::Len(0));
                if dying {
                    return Err(power_cut());
                }
                inode
            }
            (Err(error), Open::Create) if error.kind() == io::ErrorKind::NotFound => {
                let inode = world.inodes.len();
                world.inodes.push(Inode::default());
                world.change(parent(path), Change::Link(name_of(path)?, Node::File(inode)))?;
                inode
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Box::new(DoubleFile { disk: self.clone(), inode }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        match world.node(path) {
            Ok(Node::Dir) => Ok(()),
            Ok(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {
                let up = parent(path).to_path_buf();
                world.folder(&up)?;
                let done = world.change(&up, Change::Link(name_of(path)?, Node::Dir));
                world.folders.entry(path.to_path_buf()).or_default();
                done
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        let node = world.node(from)?;
        if parent(from) != parent(to) {
            return Err(io::Error::other("a rename across folders is not one durable step"));
        }
        let change = Change::Move { from: name_of(from)?, to: name_of(to)?, node };
        world.change(parent(to), change)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let exists = self.world().node(to).is_ok();
        if exists { Err(io::ErrorKind::AlreadyExists.into()) } else { self.rename(from, to) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        world.node(path)?;
        world.change(parent(path), Change::Unlink(name_of(path)?))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        if !world.folder(path)?.live.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        world.change(parent(path), Change::Unlink(name_of(path)?))?;
        world.folders.remove(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        let dying = world.operate()?;
        if dying {
            return Err(power_cut());
        }
        let folder = world.folder(path)?;
        folder.durable = folder.live.clone();
        folder.pending.clear();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Item>> {
        let mut world = self.world();
        world.alive()?;
        let Ok(folder) = world.folder(path) else { return Ok(Vec::new()) };
        let names = folder.live.clone();
        Ok(names
            .into_iter()
            .map(|(name, node)| match node {
                Node::Dir => Item { name, dir: true, bytes: 0 },
                Node::File(inode) => {
                    Item { name, dir: false, bytes: world.inodes[inode].live.len() as u64 }
                }
            })
            .collect())
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        let mut world = self.world();
        world.alive()?;
        match world.node(path) {
            Ok(Node::File(inode)) => Ok(Some(world.inodes[inode].live.len() as u64)),
            Ok(Node::Dir) => Ok(Some(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let world = self.world();
        world.alive()?;
        Ok(Space { free_bytes: world.free_bytes, total_bytes: 1 << 40 })
    }
}

#[derive(Debug)]
struct DoubleFile {
    disk: DoubleDisk,
    inode: usize,
}

impl DoubleFile {
    fn write(&self, write: Write) -> io::Result<()> {
        let mut world = self.disk.world();
        let dying = world.operate()?;
        let end = match &write {
            Write::Bytes(at, bytes) => at + bytes.len() as u64,
            Write::Len(len) => *len,
        };
        let grows = end.saturating_sub(world.inodes[self.inode].live.len() as u64);
        if grows > world.free_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.free_bytes -= grows;
        let inode = &mut world.inodes[self.inode];
        write_into(&mut inode.live, &write);
        inode.pending.push(write);
        if dying { Err(power_cut()) } else { Ok(()) }
    }
}

impl DiskFile for DoubleFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.disk.world();
        world.alive()?;
        let live = &world.inodes[self.inode].live;
        let from = live.len().min(usize::try_from(at).unwrap_or(usize::MAX));
        let n = buf.len().min(live.len() - from);
        buf[..n].copy_from_slice(&live[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write(Write::Bytes(at, bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let dying = world.operate()?;
        if dying {
            return Err(power_cut());
        }
        let failing = world.operations >= world.sync_fails_at;
        let World { inodes, rng, sync_fails_at, .. } = &mut *world;
        let inode = &mut inodes[self.inode];
        if failing {
            // As Linux does: pages that could not be written are clean afterwards and may be gone.
            *sync_fails_at = u64::MAX;
            for write in inode.pending.drain(..) {
                if rng.below(2) == 0 {
                    write_into(&mut inode.durable, &write);
                }
            }
            inode.live = inode.durable.clone();
            return Err(io::Error::other("fdatasync failed"));
        }
        for write in inode.pending.drain(..) {
            write_into(&mut inode.durable, &write);
        }
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let len = self.bytes()?;
        if bytes > len { self.write(Write::Len(bytes)) } else { Ok(()) }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.write(Write::Len(bytes))
    }

    fn bytes(&self) -> io::Result<u64> {
        let world = self.disk.world();
        world.alive()?;
        Ok(world.inodes[self.inode].live.len() as u64)
    }
}

#[cfg(test)]
#[path = "double_tests.rs"]
mod tests;
