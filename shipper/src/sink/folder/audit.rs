//! Reading the files back: every identity that should be there, once, and no other.

use super::names::range_of;
use super::write::PARQUET;
use super::{Compression, Content, Tree, parquet};
use crate::ledger::{Audit, Identity};
use crate::shape::Shape;
use crate::sink::AuditContext;
use crate::sink::expected::{self, compare};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Read at once; each read of a distant file costs two round trips.
const READ_BYTES: usize = 1 << 20;

/// Compares the files under `root` with the facts, range by range, so that memory is bounded by one range.
pub(crate) fn audit(
    context: &AuditContext,
    tree: &dyn Tree,
    root: &Path,
    shape: Shape,
) -> Result<Audit, String> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let ranges = files(tree, root, &context.node).map_err(|e| say(&e))?;
    let mut audit = Audit {
        sink: context.name.clone(),
        from_lsn: context.segments.start_lsn().min(context.state.done),
        to_lsn: context.state.done,
        ..Audit::default()
    };
    let mut at = audit.from_lsn;
    let mut older = 0;
    for ((from, to), files) in &together(ranges) {
        if *from < audit.from_lsn {
            // Of one that is older in part too the facts are gone.
            older += files.len();
            at = at.max(*to);
            continue;
        }
        let pending = context.state.pending.is_some_and(|(first, _)| *from >= first);
        if *from >= audit.to_lsn && pending {
            audit.notes.push(format!("the range [{from},{to}) is under way"));
            continue;
        }
        // Between two files there may be ranges without events for them.
        compare(context, at, (*from).max(at), &[], &mut audit)?;
        let mut found = Vec::new();
        for file in files {
            audit.files += 1;
            identities(tree, file, shape, &mut found)
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let named = |file: &PathBuf| shape != Shape::Bare || is_parquet(file);
        if !files.iter().all(named) {
            let expected = expected::expected(context, *from, *to)?.len() as u64;
            audit.expected += expected;
            audit.found += found.len() as u64;
            if expected != found.len() as u64 {
                audit.notes.push(format!(
                    "[{from},{to}): {expected} events should be there, {} lines are (shape bare names no identity)",
                    found.len()
                ));
            }
        } else {
            found.sort_unstable();
            compare(context, *from, *to, &found, &mut audit)?;
        }
        at = at.max(*to);
    }
    compare(context, at, audit.to_lsn.max(at), &[], &mut audit)?;
    if older > 0 {
        audit.notes.push(format!(
            "{older} files are older than the journal, which starts at {}; they were not checked",
            audit.from_lsn
        ));
    }
    Ok(audit)
}

/// Ranges that overlap as one: what was replayed into a range has files beside those of the range.
fn together(ranges: BTreeMap<(u64, u64), Vec<PathBuf>>) -> Vec<((u64, u64), Vec<PathBuf>)> {
    let mut all: Vec<((u64, u64), Vec<PathBuf>)> = Vec::new();
    for ((from, to), files) in ranges {
        match all.last_mut() {
            Some(((_, end), together)) if from < *end => {
                *end = to.max(*end);
                together.extend(files);
            }
            _ => all.push(((from, to), files)),
        }
    }
    all
}

/// The finished files of a node under `root`, by range.
pub(crate) fn files(
    tree: &dyn Tree,
    root: &Path,
    node: &str,
) -> io::Result<BTreeMap<(u64, u64), Vec<PathBuf>>> {
    let mut ranges = BTreeMap::new();
    find(tree, root, node, &mut ranges)?;
    Ok(ranges)
}

fn find(
    tree: &dyn Tree,
    folder: &Path,
    node: &str,
    ranges: &mut BTreeMap<(u64, u64), Vec<PathBuf>>,
) -> io::Result<()> {
    for item in tree.list(folder)? {
        let path = folder.join(&item.name);
        let ours = ["project=", "dt=", "hour="].iter().any(|p| item.name.starts_with(p));
        if item.dir && ours {
            find(tree, &path, node, ranges)?;
        } else if let Some(range) = range_of(&item.name, node) {
            ranges.entry(range).or_default().push(path);
        }
    }
    Ok(())
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == PARQUET)
}

/// Identities of the events of a file; of lines of shape bare one (0, 0) a line.
fn identities(
    tree: &dyn Tree,
    path: &Path,
    shape: Shape,
    out: &mut Vec<Identity>,
) -> io::Result<()> {
    if is_parquet(path) {
        return parquet::identities(tree.open(path)?, out);
    }
    let mut lines = lines(tree, path)?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        out.push(match shape {
            Shape::Bare => (0, 0),
            Shape::Server => identity(&line, b"\"_server\":{", b"\"lsn\":", b"\"index\":")?,
            Shape::Flat => identity(&line, b"\"_node\":", b"\"_lsn\":", b"\"_index\":")?,
        });
    }
}

/// The two numbers after the last `mark` of a line; we wrote them, last.
fn identity(line: &[u8], mark: &[u8], lsn: &[u8], index: &[u8]) -> io::Result<Identity> {
    let number = |name: &[u8], at: usize| {
        let rest = line.get(at..)?;
        let rest = rest.get(memchr::memmem::find(rest, name)? + name.len()..)?;
        let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        std::str::from_utf8(rest.get(..end)?).ok()?.parse::<u64>().ok()
    };
    memchr::memmem::rfind(line, mark)
        .and_then(|at| Some((number(lsn, at)?, u32::try_from(number(index, at)?).ok()?)))
        .ok_or_else(|| io::Error::other("a line without identity: written in another shape?"))
}

/// The lines of a file, whatever its packing.
fn lines(tree: &dyn Tree, path: &Path) -> io::Result<Box<dyn BufRead>> {
    lines_by(tree, path, READ_BYTES)
}

/// The same, read so many bytes at once.
pub(crate) fn lines_by(
    tree: &dyn Tree,
    path: &Path,
    read_bytes: usize,
) -> io::Result<Box<dyn BufRead>> {
    let file = ContentReader { file: tree.open(path)?, at: 0 };
    let name = path.to_string_lossy();
    let by = |compression: Compression| name.ends_with(compression.jsonl_extension());
    Ok(if by(Compression::Zstd) {
        Box::new(BufReader::with_capacity(read_bytes, zstd::stream::read::Decoder::new(file)?))
    } else if by(Compression::Gzip) {
        Box::new(BufReader::with_capacity(read_bytes, flate2::read::MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::with_capacity(read_bytes, file))
    })
}

struct ContentReader {
    file: Box<dyn Content>,
    at: u64,
}

impl io::Read for ContentReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.file.bytes() {
            return Ok(0);
        }
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
