//! A sink's state file: cursor, the range under way, and the sums, in one file, so that they can never disagree.
//!
//! Two places of 16 KiB, written in turn with a number that grows: a save is one write and one fdatasync, no new name, since a sink
//! that commits fifty times a second saves as often. The valid place with the higher number holds; a save that a power cut tore
//! leaves the one before it. The file is made, and after an error of the disk replaced, by tmp, fdatasync, rename, fsync of the
//! folder. Absent = the sink's first start. Damaged = stop: never taken for absent.

use crate::disk::{self, Disk, DiskFile, Open};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Holes listed one by one; older ones are merged into the first (still counted in `skipped`).
const HOLES_MAX: usize = 100;
/// One of the two places of the file: a state with all its holes has room in it.
const PLACE_BYTES: usize = 16 << 10;

/// Sums of one sink over its life, saved atomically with its cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Kept events passed.
    pub kept: u64,
    /// Re-driven events passed.
    pub redriven: u64,
    /// At the target.
    pub delivered: u64,
    /// The target will never take them; they are in quarantine.
    pub refused: u64,
    /// Left out as duplicates, where the sink is set so.
    pub deduplicated: u64,
    /// In holes of a parked sink, or damaged in the journal before this sink read them.
    pub skipped: u64,
    /// Left out by a sink that is set to store a sample only.
    #[serde(default)]
    pub sampled_out: u64,
}

impl Sums {
    /// Whether what passed is what became of it.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.kept + self.redriven
            == self.delivered + self.refused + self.deduplicated + self.skipped + self.sampled_out
    }
}

/// State of one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The journal it belongs to, `<name>-<epoch>`.
    pub node: String,
    /// Where the sink delivers to; a changed target under an old name is refused.
    pub target: String,
    /// Everything below was delivered.
    pub done: u64,
    /// Written down before it is tried: exactly this range is tried again after a crash.
    pub pending: Option<(u64, u64)>,
    /// Sums as of `done`.
    pub sums: Sums,
    /// Ranges a parked sink missed, in order.
    pub holes: Vec<(u64, u64)>,
    /// Events of each hole that are still to come, beside `holes`.
    pub hole_events: Vec<u64>,
    /// Written down before a piece of a hole is replayed: exactly this piece is tried again after a crash.
    pub refill: Option<(u64, u64)>,
}

impl State {
    /// Reads the file; `None` if there is none. What it says may not be durable yet: save before acting on it.
    ///
    /// # Errors
    /// The disk's, or a sentence about a damaged file.
    pub fn load(disk: &dyn Disk, path: &Path) -> io::Result<Option<Self>> {
        Ok(load(disk, path)?.map(|(_, state)| state))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// The disk's; the old state or this one stands.
    pub fn save(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        StateFile::new(path).save(disk, self)
    }

    /// Adds a hole of so many events; neighbours are merged.
    pub fn add_hole(&mut self, from: u64, to: u64, events: u64) {
        // What an older version wrote has no numbers.
        self.hole_events.resize(self.holes.len(), 0);
        match (self.holes.last_mut(), self.hole_events.last_mut()) {
            (Some(last), Some(count)) if last.1 == from => {
                last.1 = to;
                *count += events;
            }
            _ => {
                self.holes.push((from, to));
                self.hole_events.push(events);
            }
        }
        if self.holes.len() > HOLES_MAX {
            let (second, more) = (self.holes.remove(1), self.hole_events.remove(1));
            if let (Some(first), Some(count)) =
                (self.holes.first_mut(), self.hole_events.first_mut())
            {
                first.1 = second.1;
                *count += more;
            }
        }
    }

    fn text(&self, number: u64) -> String {
        let s = &self.sums;
        let mut out = format!(
            "tusk state 2\nnumber {number}\nnode {}\ntarget {}\ndone {}\npending ",
            self.node, self.target, self.done
        );
        match self.pending {
            Some((from, to)) => _ = writeln!(out, "{from} {to}"),
            None => out.push_str("none\n"),
        }
        _ = writeln!(
            out,
            "kept {}\nredriven {}\ndelivered {}\nrefused {}\ndeduplicated {}\nskipped {}",
            s.kept, s.redriven, s.delivered, s.refused, s.deduplicated, s.skipped
        );
        // Only where there are any: no other sink's file has the line.
        if s.sampled_out > 0 {
            _ = writeln!(out, "sampled_out {}", s.sampled_out);
        }
        if let Some((from, to)) = self.refill {
            _ = writeln!(out, "refill {from} {to}");
        }
        let events = self.hole_events.iter().chain(std::iter::repeat(&0));
        for ((from, to), events) in self.holes.iter().zip(events) {
            _ = writeln!(out, "hole {from} {to} {events}");
        }
        let crc = crc32c::crc32c(out.as_bytes());
        _ = writeln!(out, "crc {crc:08x}");
        out
    }

    /// The state at the start of a place, with its number.
    fn parse(place: &[u8]) -> Option<(u64, Self)> {
        let end = place.iter().position(|byte| *byte == 0).unwrap_or(place.len());
        let text = std::str::from_utf8(place.get(..end)?).ok()?;
        let mut lines = text.lines().peekable();
        (lines.next()? == "tusk state 2").then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let number = field("number")?.parse().ok()?;
        let node = field("node")?.to_owned();
        let target = field("target")?.to_owned();
        let done = field("done")?.parse().ok()?;
        let pending = match field("pending")? {
            "none" => None,
            range => Some(pair(range)?),
        };
        let mut sum = |name: &str| field(name)?.parse().ok();
        let mut sums = Sums {
            kept: sum("kept")?,
            redriven: sum("redriven")?,
            delivered: sum("delivered")?,
            refused: sum("refused")?,
            deduplicated: sum("deduplicated")?,
            skipped: sum("skipped")?,
            sampled_out: 0,
        };
        if let Some(count) = lines.peek().and_then(|line| line.strip_prefix("sampled_out ")) {
            sums.sampled_out = count.parse().ok()?;
            lines.next();
        }
        let mut state = Self { node, target, done, pending, sums, ..Self::default() };
        if let Some(range) = lines.peek().and_then(|line| line.strip_prefix("refill ")) {
            state.refill = Some(pair(range)?);
            lines.next();
        }
        while let Some(hole) = lines.peek().and_then(|line| line.strip_prefix("hole ")) {
            let (range, events) = hole.rsplit_once(' ')?;
            state.holes.push(pair(range)?);
            state.hole_events.push(events.parse().ok()?);
            lines.next();
        }
        // The crc, and every byte with it.
        (state.text(number) == text).then_some((number, state))
    }
}

/// What stands in the file, with its number.
fn load(disk: &dyn Disk, path: &Path) -> io::Result<Option<(u64, State)>> {
    let Some(bytes) = disk::read(disk, path, 1 << 20)? else { return Ok(None) };
    let places = bytes.chunks(PLACE_BYTES).take(2).filter_map(State::parse);
    places.max_by_key(|(number, _)| *number).map(Some).ok_or_else(|| {
        io::Error::other(format!(
            "{} is damaged; restore it from a backup, or set this sink's position by `tusk migrate --reset`",
            path.display()
        ))
    })
}

/// The open file of a sink's state.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// `None` before the first save and after an error: the next save makes the file anew.
    file: Option<Box<dyn DiskFile>>,
    /// Of the state saved last; its place is its parity.
    number: u64,
}

impl StateFile {
    /// The file at `path`, which the first save replaces.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), file: None, number: 0 }
    }

    /// Saves durably.
    ///
    /// # Errors
    /// The disk's; the state before or this one stands.
    pub fn save(&mut self, disk: &dyn Disk, state: &State) -> io::Result<()> {
        let number = self.number + 1;
        let text = state.text(number);
        if text.len() > PLACE_BYTES {
            return Err(io::Error::other(format!(
                "{}: a state of {} bytes has no room; shorten the target's name",
                self.path.display(),
                text.len()
            )));
        }
        let at = if number.is_multiple_of(2) { 0 } else { PLACE_BYTES };
        // Of a file that failed once nothing may be believed.
        if let Some(file) = self.file.take() {
            let mut place = text.into_bytes();
            // The zero ends it: behind it the former state of this place may go on.
            place.push(0);
            place.truncate(PLACE_BYTES);
            file.write_at(&place, at as u64)?;
            file.sync()?;
            self.file = Some(file);
        } else {
            let mut whole = vec![0; 2 * PLACE_BYTES];
            whole[at..at + text.len()].copy_from_slice(text.as_bytes());
            disk::replace(disk, &self.path, &whole)?;
            self.file = Some(disk.open(&self.path, Open::Write)?);
        }
        self.number = number;
        Ok(())
    }
}

fn pair(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once(' ')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::double::DoubleDisk;

    fn example() -> State {
        State {
            node: "a-0000000b".into(),
            target: "file:///var/lib/tusk/files".into(),
            done: 7,
            pending: Some((7, 99)),
            sums: Sums { kept: 3, delivered: 3, ..Sums::default() },
            ..State::default()
        }
    }

    #[test]
    fn state_reads_back_and_damage_is_seen() {
        let mut state = example();
        state.add_hole(1, 2, 5);
        state.add_hole(2, 4, 6);
        assert_eq!((&state.holes[..], &state.hole_events[..]), (&[(1, 4)][..], &[11][..]));
        let text = state.text(9);
        assert_eq!(State::parse(text.as_bytes()), Some((9, state.clone())));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(State::parse(&bytes), None, "at {at}");
            assert_eq!(State::parse(&text.as_bytes()[..at]), None, "cut {at}");
        }
        state.sums.sampled_out = 5;
        state.refill = Some((1, 2));
        assert_eq!(State::parse(state.text(1).as_bytes()), Some((1, state.clone())));
        for i in 0..300 {
            state.add_hole(u64::MAX - 1000 + 2 * i, u64::MAX - 1000 + 2 * i + 1, u64::MAX >> 20);
        }
        assert_eq!(state.holes.len(), HOLES_MAX);
        assert_eq!(state.holes.first().unwrap().0, 1);
        assert!(state.text(u64::MAX).len() < PLACE_BYTES / 2, "room for a long target");
    }

    #[test]
    fn a_save_that_is_torn_leaves_the_state_before_it() {
        for seed in 0..200 {
            let disk = DoubleDisk::new(seed);
            let path = Path::new("/state/file.state");
            disk.create_dir(Path::new("/state")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            disk.sync_dir(Path::new("/state")).unwrap();
            let mut file = StateFile::new(path);
            let mut state = example();
            file.save(&disk, &state).unwrap();
            for done in 0..seed % 7 {
                state.done = 100 + done;
                state.pending = None;
                file.save(&disk, &state).unwrap();
            }
            let before = state.clone();
            disk.die_at(disk.operations() + 1 + seed % 2);
            state.done = 1_000_000;
            let _ = file.save(&disk, &state);
            let disk = disk.reboot(seed);
            let found = State::load(&disk, path).unwrap().unwrap();
            assert!(found == before || found == state, "seed {seed}: {found:?}");
        }
    }

    #[test]
    fn after_an_error_the_file_is_made_anew() {
        let disk = DoubleDisk::new(1);
        let path = Path::new("/file.state");
        let mut file = StateFile::new(path);
        let mut state = example();
        file.save(&disk, &state).unwrap();
        disk.fail_sync_at(disk.operations() + 2);
        state.done = 50;
        assert!(file.save(&disk, &state).is_err());
        state.done = 60;
        file.save(&disk, &state).unwrap();
        assert_eq!(State::load(&disk, path).unwrap().unwrap(), state);
    }
}
