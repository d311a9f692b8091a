//! A sink's state file: cursor, the range under way, and the sums, in one file, so that they can never disagree.
//!
//! Saved by tmp, fdatasync, rename, fsync of the folder. Absent = the sink's first start. Damaged = stop: never taken for absent.

use crate::disk::{self, Disk};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Holes listed one by one; older ones are merged into the first (still counted in `skipped`).
const HOLES_MAX: usize = 100;

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
    /// Ranges a parked sink missed.
    pub holes: Vec<(u64, u64)>,
}

impl State {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// The disk's, or a sentence about a damaged file.
    pub fn load(disk: &dyn Disk, path: &Path) -> io::Result<Option<Self>> {
        let Some(bytes) = disk::read(disk, path, 1 << 20)? else { return Ok(None) };
        // A process that died may have renamed it without living to sync its name: a range that is tried must stay written down.
        disk.sync_dir(disk::parent(path))?;
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(&text).map(Some).ok_or_else(|| {
            io::Error::other(format!(
                "{} is damaged; restore it from a backup, or set this sink's position by `tusk migrate --reset`",
                path.display()
            ))
        })
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// The disk's; the old state or this one stands.
    pub fn save(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        disk::replace(disk, path, self.text().as_bytes())
    }

    /// Adds a hole; neighbours are merged.
    pub fn add_hole(&mut self, from: u64, to: u64) {
        match self.holes.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => self.holes.push((from, to)),
        }
        if self.holes.len() > HOLES_MAX {
            let second = self.holes.remove(1);
            if let Some(first) = self.holes.first_mut() {
                first.1 = second.1;
            }
        }
    }

    fn text(&self) -> String {
        let s = &self.sums;
        let mut out = format!(
            "tusk state 1\nnode {}\ntarget {}\ndone {}\npending ",
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
        for (from, to) in &self.holes {
            _ = writeln!(out, "hole {from} {to}");
        }
        let crc = crc32c::crc32c(out.as_bytes());
        _ = writeln!(out, "crc {crc:08x}");
        out
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().peekable();
        (lines.next()? == "tusk state 1").then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
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
        let mut holes = Vec::new();
        while let Some(range) = lines.peek().and_then(|line| line.strip_prefix("hole ")) {
            holes.push(pair(range)?);
            lines.next();
        }
        let state = Self { node, target, done, pending, sums, holes };
        // The crc, and every byte with it.
        (state.text() == text).then_some(state)
    }
}

fn pair(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once(' ')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_reads_back_and_damage_is_seen() {
        let mut state = State {
            node: "a-0000000b".into(),
            target: "file:///var/lib/tusk/files".into(),
            done: 7,
            pending: Some((7, 99)),
            sums: Sums { kept: 3, delivered: 3, ..Sums::default() },
            holes: Vec::new(),
        };
        state.add_hole(1, 2);
        state.add_hole(2, 4);
        assert_eq!(state.holes, [(1, 4)]);
        let text = state.text();
        assert_eq!(State::parse(&text), Some(state.clone()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(State::parse(&String::from_utf8_lossy(&bytes)), None, "at {at}");
            assert_eq!(State::parse(&text[..at]), None, "cut {at}");
        }
        state.sums.sampled_out = 5;
        assert_eq!(State::parse(&state.text()), Some(state.clone()));
        for i in 0..300 {
            state.add_hole(1000 * i, 1000 * i + 1);
        }
        assert_eq!(state.holes.len(), HOLES_MAX);
        assert_eq!(state.holes.first().unwrap().0, 1);
    }
}
