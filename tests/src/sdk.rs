//! Runs the vendors' own SDKs and compares what they meant with what was stored.
//!
//! A driver under `tests/sdk/` writes every JSON text that its SDK serialised, one a line, to `<out>/<project>.jsonl`. The texts may
//! hold more than one copy of an event (SDKs keep queues in storage); `_track_id` tells which copies are one event.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::json::Json;
use crate::{Dir, root, target};

/// One mode of one SDK; it sends to the project of the same name.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Project, such as `web_ajax`.
    pub project: &'static str,
    /// What the collector may change.
    pub edit: Edit,
    /// Least number of events the driver must have meant; a driver that sends nothing proves nothing.
    pub events_min: usize,
}

/// What stands between the SDK's text and the stored bytes (wire format, "Stored bytes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Nothing: the stored bytes occur in a text that the SDK serialised.
    None,
    /// The envelope's `flush_time` was put into each event; all else means the same.
    FlushTime,
    /// A dry run: nothing is stored.
    NotStored,
}

/// An event as the file sink stored it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The event's own bytes: the line without `_server`.
    pub bytes: String,
    /// The event's own members.
    pub event: Json,
    /// Server facts.
    pub server: Json,
}

impl Stored {
    /// Takes a line of shape `server` apart.
    ///
    /// # Panics
    /// If the line is no JSON object whose last member is `_server`.
    #[track_caller]
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut event = Json::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let server = event.remove("_server").unwrap_or_else(|| panic!("no _server: {line}"));
        let cut = line.rfind(",\"_server\":").unwrap_or_else(|| panic!("_server first: {line}"));
        let bytes = format!("{}}}", line.get(..cut).unwrap_or_default());
        assert_eq!(Json::parse(&bytes).as_ref(), Ok(&event), "_server is not the last member");
        Self { bytes, event, server }
    }

    /// Identity: node, lsn, index.
    #[must_use]
    pub fn identity(&self) -> (String, String, String) {
        let number = |path| self.server.number(path).unwrap_or_default().to_owned();
        let node = self.server.text("/node").unwrap_or_default().to_owned();
        (node, number("/lsn"), number("/index"))
    }
}

/// What a driver's SDK serialised for one project.
#[derive(Debug)]
pub struct Meant {
    texts: Vec<String>,
    /// Per event: how often it must be stored, and the copies the SDK serialised.
    events: BTreeMap<String, (usize, Vec<Json>)>,
}

impl Meant {
    /// Reads `<out>/<project>.jsonl`; a missing file means nothing was serialised.
    ///
    /// # Panics
    /// If a line is no JSON.
    #[must_use]
    pub fn read(out: &Path, project: &str) -> Self {
        let text = fs::read_to_string(out.join(format!("{project}.jsonl"))).unwrap_or_default();
        let texts: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut events = BTreeMap::new();
        for text in &texts {
            let value = Json::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            collect(&value, &mut events);
        }
        Self { texts, events }
    }

    /// Number of different events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.values().map(|(count, _)| count).sum()
    }

    /// Whether nothing was serialised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Says how the stored events differ from the meant ones; empty when each is there exactly once and equal.
    #[must_use]
    pub fn differences(&self, stored: &[Stored], edit: Edit) -> String {
        let mut report = String::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for one in stored {
            let key = key(&one.event);
            *seen.entry(key.clone()).or_default() += 1;
            let Some((_, copies)) = self.events.get(&key) else {
                let _ = writeln!(report, "stored but never meant: {}", one.bytes);
                continue;
            };
            let same = match edit {
                Edit::FlushTime => copies.iter().any(|copy| timeless(copy) == timeless(&one.event)),
                _ => copies.contains(&one.event),
            };
            if !same {
                let _ = writeln!(report, "changed: {}\n  meant: {copies:?}", one.bytes);
            } else if edit == Edit::None && !self.texts.iter().any(|t| t.contains(&one.bytes)) {
                let _ = writeln!(report, "other bytes than the SDK's: {}", one.bytes);
            }
        }
        let wanted = if edit == Edit::NotStored { None } else { Some(&self.events) };
        for (key, (count, copies)) in wanted.into_iter().flatten() {
            let times = seen.get(key).copied().unwrap_or_default();
            if times != *count {
                let _ = writeln!(report, "stored {times} times, not {count}: {:?}", copies.first());
            }
        }
        if edit == Edit::NotStored && !stored.is_empty() {
            let _ = writeln!(report, "{} events of a dry run were stored", stored.len());
        }
        report
    }
}

/// Every event in a serialised text, also those inside arrays and queues.
fn collect(value: &Json, events: &mut BTreeMap<String, (usize, Vec<Json>)>) {
    match value {
        Json::Map(members) => {
            let id = members.contains_key("distinct_id") || members.contains_key("item_id");
            if id && matches!(members.get("type"), Some(Json::Text(_))) {
                let (count, copies) = events.entry(key(value)).or_default();
                // With a `_track_id` more copies are still one event; without, each text is an event of its own.
                *count = if value.number("/_track_id").is_some() { 1 } else { *count + 1 };
                copies.push(value.clone());
            } else {
                members.values().for_each(|member| collect(member, events));
            }
        }
        Json::List(items) => items.iter().for_each(|item| collect(item, events)),
        _ => {}
    }
}

fn key(event: &Json) -> String {
    let id = event.number("/_track_id").map(str::to_owned);
    id.unwrap_or_else(|| format!("{:?}", timeless(event)))
}

/// The event without `_flush_time`.
fn timeless(event: &Json) -> Json {
    let mut event = event.clone();
    event.remove("_flush_time");
    event
}

/// A running driver. Dropped: killed.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    name: String,
}

impl Driver {
    /// Starts it; its errors go to `<dir>/driver-<name>.log`.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn start(dir: &Dir, name: &str, command: &mut Command) -> Self {
        let log = fs::File::create(dir.join(&format!("driver-{name}.log"))).unwrap();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, name: name.to_owned() }
    }

    /// Waits until the driver has handed everything to its SDK.
    ///
    /// # Panics
    /// If it ends without having said so.
    pub fn done(&mut self, dir: &Dir) {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let done = lines.any(|line| line.is_ok_and(|line| line.starts_with("done")));
        let log = dir.read(&format!("driver-{}.log", self.name));
        assert!(done, "the {} driver ended early:\n{log}", self.name);
        // The pipe stays open, or a later print of the SDK would end the driver.
        std::thread::spawn(move || lines.count());
    }

    /// Lets the driver end and checks that it ended well.
    ///
    /// # Panics
    /// If it does not end in 20 s or fails.
    #[track_caller]
    pub fn finish(&mut self) {
        drop(self.child.stdin.take());
        let what = format!("the {} driver to end", self.name);
        let status = crate::wait_for(20, &what, || self.child.try_wait().unwrap());
        assert!(status.success(), "the {} driver ended with {status}", self.name);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A driver's source under `tests/sdk/`.
#[must_use]
pub fn source(name: &str) -> PathBuf {
    root().join("tests/sdk").join(name)
}

/// Node with the JavaScript SDKs (npm, by the committed lock file): a command that runs one driver.
#[must_use]
pub fn node(driver: &str) -> Command {
    let dir = install("npm", &["package.json", "package-lock.json"], |dir| {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source(name), dir.join(name)).unwrap();
        }
        let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(options).current_dir(dir));
    });
    let mut command = Command::new("node");
    command.arg(source(driver)).env("NODE_PATH", dir.join("node_modules"));
    command
}

/// Python with its SDK in a virtual environment.
#[must_use]
pub fn python(driver: &str) -> Command {
    python_with("python", "requirements.txt", driver)
}

/// Python in a virtual environment `name` with what the `requirements` file names; runs the script `driver`.
#[must_use]
pub fn python_with(name: &str, requirements: &str, driver: &str) -> Command {
    let dir = install(name, &[requirements], |dir| {
        run(Command::new("python3").args(["-m", "venv"]).arg(dir.join("venv")));
        let requirements = source(requirements);
        run(Command::new(dir.join("venv/bin/pip")).args(["install", "-q", "-r"]).arg(requirements));
    });
    let mut command = Command::new(dir.join("venv/bin/python"));
    command.arg(source(driver)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The Java driver, compiled against its SDK (Maven).
#[must_use]
pub fn java() -> Command {
    let dir = install("java", &["java/pom.xml", "java/Driver.java"], |dir| {
        let lib = format!("-DoutputDirectory={}", dir.join("lib").display());
        let pom = source("java/pom.xml");
        let mut maven = Command::new("mvn");
        run(maven.args(["-B", "-q", "-f"]).arg(pom).args(["dependency:copy-dependencies", &lib]));
        let lib = dir.join("lib/*");
        let mut javac = Command::new("javac");
        javac.args(["-encoding", "UTF-8", "-cp"]).arg(lib).arg("-d").arg(dir.join("classes"));
        run(javac.arg(source("java/Driver.java")));
    });
    let mut command = Command::new("java");
    let path = format!("{0}/classes:{0}/lib/*", dir.display());
    command.args(["-Dfile.encoding=UTF-8", "-cp", &path, "Driver"]);
    command
}

/// Makes `target/sdk/<name>` once for the present content of its `inputs`; a changed input makes it anew.
fn install(name: &str, inputs: &[&str], make: impl Fn(&Path)) -> PathBuf {
    let dir = target().join("sdk").join(name);
    fs::create_dir_all(target().join("sdk")).unwrap();
    // Test binaries may run side by side.
    let lock = fs::File::create(target().join("sdk").join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let wanted: Vec<u8> =
        inputs.iter().flat_map(|input| fs::read(source(input)).unwrap()).collect();
    let stamp = dir.join("installed");
    if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        make(&dir);
        fs::write(stamp, wanted).unwrap();
    }
    dir
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(status.success(), "{command:?} ended with {status}");
}

#[cfg(test)]
mod tests {
    use super::{Dir, Edit, Meant, Stored};

    const SERVER: &str = r#","_server":{"node":"n-0","lsn":8,"index":0}}"#;

    fn stored(event: &str) -> Stored {
        Stored::parse(&(event.trim_end_matches('}').to_owned() + SERVER))
    }

    #[test]
    fn finds_what_is_missing_twice_changed_or_foreign() {
        let dir = Dir::new("meant");
        let one = r#"{"type":"track","distinct_id":"a","_track_id":1,"n":1.0}"#;
        let two = r#"{"type":"track","distinct_id":"b","n":2}"#;
        // The first is serialised twice (once inside a queue), the second twice on purpose.
        dir.write("p.jsonl", format!("{one}\n{{\"queue\":[{one}]}}\n{two}\n{two}\n"));
        let meant = Meant::read(dir.path(), "p");
        assert_eq!(meant.len(), 3);
        let good = [stored(one), stored(two), stored(two)];
        assert_eq!(meant.differences(&good, Edit::None), "");
        assert!(meant.differences(&good[..2], Edit::None).contains("stored 1 times, not 2"));
        let twice = [stored(one), stored(one), stored(two), stored(two)];
        assert!(meant.differences(&twice, Edit::None).contains("stored 2 times, not 1"));
        let rounded = [stored(&one.replace("1.0", "1")), stored(two), stored(two)];
        assert!(meant.differences(&rounded, Edit::None).contains("changed"));
        let blank = [stored(&one.replace(",\"n\"", ", \"n\"")), stored(two), stored(two)];
        assert!(meant.differences(&blank, Edit::None).contains("other bytes"));
        let foreign = [stored(one), stored(two), stored(&two.replace('2', "3"))];
        assert!(meant.differences(&foreign, Edit::None).contains("never meant"));
        let flushed = [stored(&one.replace('}', ",\"_flush_time\":5}")), stored(two), stored(two)];
        assert_eq!(meant.differences(&flushed, Edit::FlushTime), "");
        assert!(meant.differences(&good, Edit::NotStored).contains("dry run"));
        assert_eq!(meant.differences(&[], Edit::NotStored), "");
    }
}
