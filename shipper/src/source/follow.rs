//! The thread that follows files: looks, tells files apart, reads what is new, hands it to the journal.
//!
//! A file is its inode for as long as its contents only grow: a rename changes nothing, a truncation or an inode used again makes
//! another file of it. A new file that begins with what a known one held is its copy (`copytruncate`, a move to another disk) and is
//! read from where that one was.

use super::glob;
use super::same::{common, is_start_of, line_start};
use super::table::{Entry, Table, fresh_id};
use super::tail::{Piece, Tail};
use super::{FileConfig, FileStart, SourceStatus};
use crate::disk::Disk;
use crate::engine::{OwnRecord, now_ms};
use crate::import::mark::{Digest, Line, Mark, chain};
use crate::import::{Importer, Judge, Lines, Options, Tally};
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files that may stay open at a time; of more, those that are read to their end are closed.
const OPEN_MAX: usize = 256;
/// A file nobody writes is closed after this long; one that was renamed out of the pattern is read until then.
const IDLE: Duration = Duration::from_secs(60);
/// Line ends remembered of each file.
const RECENT: usize = 256;
/// Keys and tokens are read again so often.
const JUDGE_AGE: Duration = Duration::from_secs(30);
/// Packed files were followed before they were packed.
const PACKED: [&str; 6] = ["gz", "zst", "bz2", "xz", "lz4", "zip"];

/// A file that is open.
#[derive(Debug)]
struct Open {
    file: File,
    tail: Tail,
    judge: Option<(Judge, Instant)>,
    done: Mark,
    idle: Instant,
}

/// Follows the files of `[source.file]`.
#[derive(Debug)]
pub(crate) struct Follower {
    importer: Importer,
    config: FileConfig,
    table: Table,
    open: HashMap<Digest, Open>,
    /// Copies that wait for their original's end: (device, inode) and size when they were compared.
    held: HashMap<(u64, u64), u64>,
    /// When each file was changed last.
    written: HashMap<Digest, (i64, i64)>,
    /// The last line ends of each file and their digests, to know a copy that was made a moment before the last read.
    recent: HashMap<Digest, VecDeque<(u64, Digest)>>,
    status: SourceStatus,
}

/// A file that is there.
struct Found {
    path: PathBuf,
    about: Metadata,
}

impl Found {
    fn inode(&self) -> (u64, u64) {
        (self.about.dev(), self.about.ino())
    }
}

impl Follower {
    /// # Errors
    /// The disk's, or a sentence about a damaged table.
    pub(crate) fn open(
        importer: Importer,
        config: FileConfig,
        disk: Arc<dyn Disk>,
        data: &Path,
    ) -> io::Result<Self> {
        let table = Table::open(disk, data)?;
        Ok(Self {
            importer,
            config,
            table,
            open: HashMap::new(),
            held: HashMap::new(),
            written: HashMap::new(),
            recent: HashMap::new(),
            status: SourceStatus::default(),
        })
    }

    /// Runs until the engine stops.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(self.importer.shared());
        while !shared.is_stopping() {
            let mut problems = Vec::new();
            let more = match self.tick(&mut problems) {
                Ok(more) => more,
                Err(error) => {
                    problems.push(error);
                    false
                }
            };
            let problem = problems.first().map(|first| match problems.len() {
                1 => first.clone(),
                n => format!("{first} (and {} more)", n - 1),
            });
            shared.set_problem("source.file", problem);
            shared.set_source(&self.status);
            if !more {
                shared.sleep(Duration::from_millis(self.config.poll_ms));
            }
        }
    }

    /// One look at everything; whether there is more to read at once.
    fn tick(&mut self, problems: &mut Vec<String>) -> Result<bool, String> {
        let found = self.look(problems);
        let now = now_ms();
        let mut strangers = Vec::new();
        let mut dirty = false;
        let mut there = HashSet::new();
        for one in &found {
            match self.known(one, now, &mut dirty) {
                Ok(Some(id)) => _ = there.insert(id),
                Ok(None) => strangers.push(one),
                Err(error) => problems.push(format!("{}: {error}", one.path.display())),
            }
        }
        for one in strangers {
            match self.stranger(one, now, &there) {
                Ok(Some(entry)) => {
                    there.insert(entry.id);
                    self.table.entries.push(entry);
                    dirty = true;
                }
                Ok(None) => {}
                Err(error) => problems.push(format!("{}: {error}", one.path.display())),
            }
        }
        dirty |= self.forget(now, &there);
        if dirty || !self.table.known {
            self.table.save().map_err(|error| format!("imports/followed.json: {error}"))?;
        }
        self.status.files = there.len() as u64;
        self.read(&found, problems)
    }

    /// The files there are, by inode; the last written ones if they are too many.
    fn look(&self, problems: &mut Vec<String>) -> Vec<Found> {
        let mut paths = Vec::new();
        for pattern in &self.config.paths {
            glob::files(pattern, &mut paths, problems);
        }
        let packed =
            |path: &Path| path.extension().is_some_and(|end| PACKED.iter().any(|p| end == *p));
        let mut all = BTreeMap::new();
        for path in paths.into_iter().filter(|path| !packed(path)) {
            // Gone since: the next look tells.
            if let Ok(about) = fs::metadata(&path) {
                let one = Found { path, about };
                all.entry(one.inode()).or_insert(one);
            }
        }
        let mut all: Vec<Found> = all.into_values().collect();
        if all.len() > self.config.files_max {
            problems.push(format!(
                "{} files fit source.file.paths, only the {} written last are followed; raise source.file.files_max or narrow the paths",
                all.len(),
                self.config.files_max
            ));
            all.sort_by_key(|one| std::cmp::Reverse(one.about.mtime()));
            all.truncate(self.config.files_max);
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// How far a file is in the journal.
    fn done(&self, entry: &Entry) -> Mark {
        let known = self.importer.shared().imports().mark(&entry.id, 0);
        known.unwrap_or(Mark {
            key: entry.id,
            run: 0,
            bytes: entry.start,
            lines: entry.start_lines,
            digest: entry.start_digest,
        })
    }

    /// The id of a file that is followed; `None` for one that is not, or is another one now.
    fn known(&mut self, one: &Found, now: i64, dirty: &mut bool) -> io::Result<Option<Digest>> {
        let at =
            self.table.entries.iter().position(|e| !e.ended && (e.device, e.inode) == one.inode());
        let Some(at) = at else { return Ok(None) };
        let Some(entry) = self.table.entries.get(at) else { return Ok(None) };
        let (id, done, size) = (entry.id, self.done(entry), one.about.len());
        let shorter = size < done.bytes;
        let mut changed = shorter;
        let mut learned = false;
        // Written anew to the same size is told by the time it was changed.
        let written = (one.about.mtime(), one.about.mtime_nsec());
        let touched = self.written.insert(id, written) != Some(written);
        if !shorter && (size > done.bytes || (touched && size > 0)) {
            let open = self.ensure_open(one, &done)?;
            let file = open.try_clone()?;
            let Some(entry) = self.table.entries.get_mut(at) else { return Ok(None) };
            changed = !entry.begins_as(&file)?;
            learned = !changed && entry.learn(&file)?;
        }
        let Some(entry) = self.table.entries.get_mut(at) else { return Ok(None) };
        if changed {
            entry.ended = true;
            entry.seen_ms = now;
            self.open.remove(&id);
            self.status.truncations += 1;
            *dirty = true;
            return Ok(None);
        }
        *dirty |= learned || entry.path != one.path;
        entry.path.clone_from(&one.path);
        entry.seen_ms = now;
        Ok(Some(id))
    }

    fn ensure_open(&mut self, one: &Found, done: &Mark) -> io::Result<&File> {
        let open = match self.open.entry(done.key) {
            Occupied(open) => open.into_mut(),
            Vacant(place) => {
                let file = File::open(&one.path)?;
                let about = file.metadata()?;
                if (about.dev(), about.ino()) != one.inode() {
                    return Err(io::Error::other("was replaced while it was opened"));
                }
                let tail = Tail::at(done.bytes);
                place.insert(Open { file, tail, judge: None, done: *done, idle: Instant::now() })
            }
        };
        Ok(&open.file)
    }

    /// The entry of a file that is not followed yet; `None` for a copy whose original still stands.
    fn stranger(
        &mut self,
        one: &Found,
        now: i64,
        there: &HashSet<Digest>,
    ) -> io::Result<Option<Entry>> {
        let file = File::open(&one.path)?;
        let size = one.about.len();
        let mut entry = Entry {
            id: fresh_id(),
            device: one.about.dev(),
            inode: one.about.ino(),
            start: 0,
            start_lines: 0,
            start_digest: Digest::default(),
            head_bytes: 0,
            head: Digest::default(),
            path: one.path.clone(),
            ended: false,
            seen_ms: now,
        };
        entry.learn(&file)?;
        if !self.table.known && self.config.start == FileStart::Now {
            entry.start = line_start(&file, size)?;
            return Ok(Some(entry));
        }
        for original in self.table.entries.iter().rev() {
            let done = self.done(original);
            if done.bytes == 0 || original.head_bytes == 0 {
                continue;
            }
            let compared = self.held.get(&one.inode()) == Some(&size);
            if !original.ended && there.contains(&original.id) {
                // Being copied, or a copy that somebody keeps: all of it is read where it stands.
                if compared || (size > 0 && is_start_of(&file, size, &original.path)?) {
                    self.held.insert(one.inode(), size);
                    return Ok(None);
                }
            } else if compared || original.begins_as(&file)? {
                let recent = self.recent.get(&original.id);
                let marks = |mark: &Mark| {
                    let same = |known: &(u64, Digest)| *known == (mark.bytes, mark.digest);
                    same(&(done.bytes, done.digest)) || recent.is_some_and(|r| r.iter().any(same))
                };
                if let Some(common) = common(&file, &done, compared, &marks)? {
                    (entry.start, entry.start_lines, entry.start_digest) =
                        (common.bytes, common.lines, common.digest);
                    break;
                }
            }
        }
        self.held.remove(&one.inode());
        Ok(Some(entry))
    }

    /// Drops files that are gone for long. Whether there were any.
    fn forget(&mut self, now: i64, there: &HashSet<Digest>) -> bool {
        let oldest = now - i64::from(self.config.forget_days) * 86_400_000;
        let before = self.table.entries.len();
        let shared = Arc::clone(self.importer.shared());
        self.table.entries.retain(|entry| {
            let keep = there.contains(&entry.id) || entry.seen_ms >= oldest;
            if !keep {
                shared.imports().forget(&entry.id);
                self.recent.remove(&entry.id);
                self.written.remove(&entry.id);
            }
            keep
        });
        self.table.entries.len() != before
    }

    /// Reads a part of every file that has more; whether one still has.
    fn read(&mut self, found: &[Found], problems: &mut Vec<String>) -> Result<bool, String> {
        let mut more = false;
        let mut lag = 0;
        let ids: Vec<Digest> = self.open.keys().copied().collect();
        let sizes: HashMap<(u64, u64), u64> =
            found.iter().map(|one| (one.inode(), one.about.len())).collect();
        for id in ids {
            if self.importer.shared().is_stopping() {
                return Ok(false);
            }
            if let Some(problem) = self.importer.must_wait() {
                problems.push(format!("waits for {problem}"));
                return Ok(false);
            }
            let Some(mut open) = self.open.remove(&id) else { continue };
            let about = open.file.metadata().map_err(|error| error.to_string())?;
            // Deleted: what is behind the last line feed is the last line.
            let last = about.nlink() == 0;
            let outcome = self.part(&mut open, last);
            match outcome {
                Ok(unread) => {
                    more |= unread;
                    lag += about.len().saturating_sub(open.done.bytes);
                    let known = sizes.contains_key(&(about.dev(), about.ino()));
                    let idle = !unread && open.idle.elapsed() >= IDLE;
                    let enough = !unread && known && self.open.len() >= OPEN_MAX;
                    if !idle && !enough && (!last || unread) {
                        self.open.insert(id, open);
                    }
                }
                Err(problem) => {
                    problems.push(problem);
                    self.open.insert(id, open);
                }
            }
        }
        self.status.lag_bytes = lag;
        Ok(more)
    }

    /// The next MiB of a file into the journal; whether there is more.
    fn part(&mut self, open: &mut Open, last: bool) -> Result<bool, String> {
        let path =
            self.table.entries.iter().find(|e| e.id == open.done.key).map(|e| e.path.clone());
        let path = path.unwrap_or_default();
        let wrong = |error: io::Error| format!("{}: {error}", path.display());
        let (pieces, more) = open.tail.read(&open.file, last).map_err(wrong)?;
        if pieces.is_empty() {
            return Ok(more);
        }
        open.idle = Instant::now();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let taken = self.take(open, &pieces, &name);
        if taken.is_err() {
            // Some may be in the journal's memory, durable with its next commit: the register knows.
            let done = self.importer.shared().imports().mark(&open.done.key, 0);
            open.done = done.unwrap_or(open.done);
            open.tail.rewind(open.done.bytes);
        }
        taken.map(|()| more)
    }

    fn take(&mut self, open: &mut Open, pieces: &[Piece], name: &str) -> Result<(), String> {
        let judge = match &mut open.judge {
            Some((judge, made)) if made.elapsed() < JUDGE_AGE => judge,
            old => {
                let lines = match old.take() {
                    Some((judge, _)) => judge.lines().clone(),
                    None => self.lines(pieces),
                };
                let judge = Judge::new(
                    self.importer.shared().accept_config()?,
                    &self.options(name),
                    lines,
                )?;
                &mut old.insert((judge, Instant::now())).0
            }
        };
        let now_ns = now_ms().max(0).cast_unsigned() * 1_000_000;
        let mut tally = Tally::default();
        let mut mark = open.done;
        let mut records: Vec<OwnRecord> = Vec::new();
        let recent = self.recent.entry(mark.key).or_default();
        for Piece { text, end } in pieces {
            mark.bytes = *end;
            mark.lines += 1;
            mark.digest = chain(&mark.digest, text);
            if recent.len() >= RECENT {
                recent.pop_front();
            }
            recent.push_back((mark.bytes, mark.digest));
            let place = format!("{name}:{}", mark.lines);
            let line = Line { mark, logged_ns: 0, place: place.as_bytes() };
            records.extend(judge.line(text, line, now_ns, &mut tally));
        }
        self.importer.append(records, Some(mark))?;
        self.status.lines += mark.lines - open.done.lines;
        self.status.kept += tally.kept;
        self.status.rejected += tally.rejected;
        open.done = mark;
        Ok(())
    }

    /// What the lines are, by the first ones; events where they do not tell.
    fn lines(&self, pieces: &[Piece]) -> Lines {
        let mut first = Vec::new();
        for piece in pieces.iter().take(100) {
            first.extend_from_slice(&piece.text);
            first.push(b'\n');
        }
        let chosen = Lines::choose(self.config.format, self.config.log_format.as_deref(), &first);
        chosen.ok().flatten().unwrap_or(Lines::Json)
    }

    fn options(&self, name: &str) -> Options {
        Options {
            name: name.to_owned(),
            project: self.config.project.clone(),
            time_free: self.config.time_free,
            ..Options::default()
        }
    }
}
