//! The first accepted type of each property, remembered for good: what a property is does not change with the order in which ranges
//! come, nor with a restart.
//!
//! One file per sink, `<data>/types/<sink>`, appended to; a line is `<crc32c of the rest, 8 hex> <project> <scope> <type> <name>`.

use super::preset::{NAMES, Preset};
use crate::disk::{self, Disk, DiskFile, Open};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file read: a name has at most 100 bytes, a project 64.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Whose properties: an event's `level` and a user's `level` are two properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of events.
    Event,
    /// Of users (profiles).
    User,
    /// Of items and details.
    Item,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    List,
}

const SCOPES: [(Scope, &str); 3] = [(Scope::Event, "e"), (Scope::User, "u"), (Scope::Item, "i")];
const KINDS: [(Kind, &str); 4] =
    [(Kind::Text, "t"), (Kind::Number, "n"), (Kind::Bool, "b"), (Kind::List, "l")];

impl Kind {
    /// Its name for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::List => "a list",
        }
    }
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A preset with a column of its own.
    Preset(Preset),
    /// A custom property of this first type.
    Type(Kind),
}

#[derive(Debug)]
struct Slot {
    known: Known,
    /// Number of the event that had it last: a name that comes twice in one event counts once.
    seen: u64,
}

/// Properties of one project and scope.
#[derive(Debug)]
struct Table {
    project: Box<[u8]>,
    scope: Scope,
    slots: HashMap<Box<[u8]>, Slot>,
}

/// What [`Types::look`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is known, and this is its first time in this event.
    Known(Known),
    /// The event had it already.
    Again,
    /// Nothing is remembered, for want of room: its own type holds.
    Full,
}

/// The memory.
#[derive(Debug)]
pub(super) struct Types {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Option<Box<dyn DiskFile>>,
    /// Length of the file.
    bytes: u64,
    /// Lines not yet durable.
    fresh: Vec<u8>,
    tables: Vec<Table>,
    count: usize,
    max: usize,
    event: u64,
}

impl Types {
    /// Reads the file, if there is one.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        data: &Path,
        name: &str,
        max: usize,
    ) -> io::Result<Self> {
        let folder = data.join("types");
        disk::create_dirs(disk.as_ref(), data, &folder)?;
        let mut types = Self {
            disk: Arc::clone(disk),
            path: folder.join(name),
            file: None,
            bytes: 0,
            fresh: Vec::new(),
            tables: Vec::new(),
            count: 0,
            max,
            event: 0,
        };
        let Some(bytes) = disk::read(disk.as_ref(), &types.path, FILE_BYTES_MAX)? else {
            return Ok(types);
        };
        // A tail without its line's end was never synced, so it was never used.
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |last| last + 1);
        types.bytes = end as u64;
        for line in bytes[..end].split(|byte| *byte == b'\n') {
            if let Some((project, scope, kind, name)) = parse(line) {
                let table = types.table(project, scope);
                types.learn(table, name, kind);
            }
        }
        types.fresh.clear();
        Ok(types)
    }

    /// The table of a project's properties.
    pub(super) fn table(&mut self, project: &[u8], scope: Scope) -> usize {
        let same = |table: &Table| table.scope == scope && *table.project == *project;
        if let Some(at) = self.tables.iter().position(same) {
            return at;
        }
        let presets = if scope == Scope::Event { NAMES } else { &[] };
        let slots = presets.iter().map(|(name, preset)| {
            (name.as_bytes().into(), Slot { known: Known::Preset(*preset), seen: 0 })
        });
        self.tables.push(Table { project: project.into(), scope, slots: slots.collect() });
        self.tables.len() - 1
    }

    /// Another event begins.
    pub(super) fn next_event(&mut self) {
        self.event += 1;
    }

    /// What is known of `name`, whose value now is of `kind`; a new one is learned.
    pub(super) fn look(&mut self, table: usize, name: &[u8], kind: Kind) -> Look {
        let event = self.event;
        if let Some(slot) = self.tables.get_mut(table).and_then(|t| t.slots.get_mut(name)) {
            let again = std::mem::replace(&mut slot.seen, event) == event;
            return if again { Look::Again } else { Look::Known(slot.known) };
        }
        if self.count >= self.max {
            return Look::Full;
        }
        self.learn(table, name, kind);
        Look::Known(Known::Type(kind))
    }

    fn learn(&mut self, table: usize, name: &[u8], kind: Kind) {
        let seen = self.event;
        let Some(table) = self.tables.get_mut(table) else { return };
        let known = Known::Type(kind);
        if table.slots.insert(name.into(), Slot { known, seen }).is_none() {
            self.count += 1;
        }
        let scope = SCOPES.iter().find(|(scope, _)| *scope == table.scope).map_or("", |s| s.1);
        let kind = KINDS.iter().find(|(known, _)| *known == kind).map_or("", |k| k.1);
        let mut rest = vec![b' '];
        for (part, end) in [(&*table.project, b' '), (scope.as_bytes(), b' ')] {
            rest.extend_from_slice(part);
            rest.push(end);
        }
        rest.extend_from_slice(kind.as_bytes());
        rest.push(b' ');
        rest.extend_from_slice(name);
        self.fresh.extend_from_slice(format!("{:08x}", crc32c::crc32c(&rest)).as_bytes());
        self.fresh.extend_from_slice(&rest);
        self.fresh.push(b'\n');
    }

    /// Makes durable what was learned since the last call.
    pub(super) fn save(&mut self) -> io::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        // A handle whose sync failed is not believed again.
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open_file()?,
        };
        file.write_at(&self.fresh, self.bytes)?;
        file.sync()?;
        self.bytes += self.fresh.len() as u64;
        self.fresh.clear();
        self.file = Some(file);
        Ok(())
    }

    fn open_file(&self) -> io::Result<Box<dyn DiskFile>> {
        if self.disk.size(&self.path)?.is_some() {
            let file = self.disk.open(&self.path, Open::Write)?;
            file.set_len(self.bytes)?;
            return Ok(file);
        }
        let file = self.disk.open(&self.path, Open::Create)?;
        self.disk.sync_dir(disk::parent(&self.path))?;
        Ok(file)
    }
}

fn parse(line: &[u8]) -> Option<(&[u8], Scope, Kind, &[u8])> {
    let (crc, rest) = line.split_at_checked(8)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if crc32c::crc32c(rest) != crc {
        return None;
    }
    let mut parts = rest.strip_prefix(b" ")?.splitn(4, |byte| *byte == b' ');
    let project = parts.next()?;
    let (scope, kind) = (parts.next()?, parts.next()?);
    let scope = SCOPES.iter().find(|(_, word)| word.as_bytes() == scope)?.0;
    let kind = KINDS.iter().find(|(_, word)| word.as_bytes() == kind)?.0;
    Some((project, scope, kind, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn open(folder: &Path) -> Types {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Types::open(&disk, folder, "test", 100).unwrap()
    }

    fn ask(types: &mut Types, name: &str, kind: Kind) -> Look {
        types.next_event();
        let table = types.table(b"shop", Scope::Event);
        types.look(table, name.as_bytes(), kind)
    }

    #[test]
    fn the_first_type_is_remembered_over_restarts() {
        let folder = crate::columns::tests::folder("types");
        let mut types = open(&folder);
        assert_eq!(ask(&mut types, "a", Kind::Text), Look::Known(Known::Type(Kind::Text)));
        assert_eq!(ask(&mut types, "b", Kind::List), Look::Known(Known::Type(Kind::List)));
        types.save().unwrap();
        // Never saved, so never used: it may be learned anew.
        ask(&mut types, "c", Kind::Bool);
        let mut types = open(&folder);
        assert_eq!(ask(&mut types, "a", Kind::Number), Look::Known(Known::Type(Kind::Text)));
        assert_eq!(ask(&mut types, "b", Kind::Number), Look::Known(Known::Type(Kind::List)));
        assert_eq!(ask(&mut types, "c", Kind::Number), Look::Known(Known::Type(Kind::Number)));
        assert_eq!(ask(&mut types, "$os", Kind::Text), Look::Known(Known::Preset(Preset::Os)));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_torn_tail_and_a_damaged_line_cost_only_themselves() {
        let folder = crate::columns::tests::folder("torn");
        let mut types = open(&folder);
        for name in ["a", "b", "c"] {
            ask(&mut types, name, Kind::Text);
        }
        types.save().unwrap();
        let path = folder.join("types/test");
        let mut bytes = std::fs::read(&path).unwrap();
        let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 3;
        bytes[second] ^= 1;
        bytes.truncate(bytes.len() - 2);
        std::fs::write(&path, bytes).unwrap();
        let mut types = open(&folder);
        assert_eq!(ask(&mut types, "a", Kind::List), Look::Known(Known::Type(Kind::Text)));
        assert_eq!(ask(&mut types, "b", Kind::List), Look::Known(Known::Type(Kind::List)));
        assert_eq!(ask(&mut types, "c", Kind::List), Look::Known(Known::Type(Kind::List)));
        types.save().unwrap();
        let mut types = open(&folder);
        assert_eq!(ask(&mut types, "c", Kind::Text), Look::Known(Known::Type(Kind::List)));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_memory_forgets_nothing_and_learns_nothing() {
        let folder = crate::columns::tests::folder("full");
        let mut types = open(&folder);
        for n in 0..100 {
            ask(&mut types, &format!("p{n}"), Kind::Text);
        }
        assert_eq!(ask(&mut types, "late", Kind::Text), Look::Full);
        assert_eq!(ask(&mut types, "p7", Kind::List), Look::Known(Known::Type(Kind::Text)));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
