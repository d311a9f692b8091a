//! `tusk compare`: the old chain's events beside ours.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use event::Lang;
use shipper::compare::{By, Compare, Group, Plan, Report, Sample, Side};
use shipper::import::blocks::unpack;
use shipper::zone::Zone;

use super::{put, span};
use crate::Fail;
use crate::cli::{ByArg, Common, Compare as Arguments};
use crate::config::Config;
use crate::lang::{self, pick};
use crate::term::{Paint, Tone, count, shown, table};

/// How often progress is shown.
const EVERY: Duration = Duration::from_millis(200);
/// Groups shown as text; `--json` has all.
const GROUPS_SHOWN: usize = 40;
/// Longest line read; a longer one is counted as unreadable.
const LINE_BYTES_MAX: usize = 64 << 20;
/// How a topic is named beside files.
const TOPIC: &str = "kafka:";

/// Compares. Exit code 0 when every event is on both sides, 1 when not.
pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<ExitCode, Fail> {
    let config = common.load()?.config;
    let lang = lang::choose(config.lang);
    let zone = match &config.engine().timezone {
        Some(name) => Zone::named(name).map_err(Fail::new)?,
        None => Zone::system(),
    };
    let ago = |option: &str, text: &Option<String>| {
        text.as_ref().map(|text| span::ago_ms(option, text)).transpose()
    };
    let plan = Plan {
        by: arguments.by.iter().map(|by| by.of()).collect(),
        since_ms: ago("--since", &arguments.since)?,
        until_ms: ago("--until", &arguments.until)?,
        zone,
        samples: arguments.samples,
    };
    let temp = arguments.temp.clone().unwrap_or_else(std::env::temp_dir);
    let begun = Compare::new(plan, &temp);
    let mut compare = begun.map_err(|error| {
        Fail::new(format!("{}: {error}; name a folder with space by --temp", temp.display()))
    })?;
    let mut progress = Progress::new(arguments.json, lang);
    let ours =
        if arguments.new.is_empty() { vec![files_root(&config)] } else { arguments.new.clone() };
    for (side, sources) in [(Side::Old, &arguments.with), (Side::New, &ours)] {
        for source in sources {
            take(&mut compare, side, source, &config, &mut progress)?;
        }
    }
    let report = compare.finish(&mut |part| progress.sort(part));
    let report = report.map_err(|error| Fail::new(format!("{}: {error}", temp.display())))?;
    progress.end();
    let out = if arguments.json {
        serde_json::to_string(&report).map_err(|error| Fail::new(error.to_string()))? + "\n"
    } else {
        text(&report, &arguments.by, lang)
    };
    put(&out)?;
    let same = report.total.only_old + report.total.only_new == 0;
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the file sink writes.
fn files_root(config: &Config) -> String {
    let engine = config.engine();
    let root = engine.sink.file.root.clone().unwrap_or_else(|| engine.data.join("files"));
    root.display().to_string()
}

fn take(
    compare: &mut Compare,
    side: Side,
    source: &str,
    config: &Config,
    progress: &mut Progress,
) -> Result<(), Fail> {
    if let Some(topic) = source.strip_prefix(TOPIC) {
        compare.source(source);
        let mut number = 0;
        let engine = config.engine();
        return shipper::sink::kafka::read_topic(&engine.sink.kafka, topic, &mut |value| {
            number += 1;
            progress.line(side);
            compare.line(side, number, value)
        })
        .map_err(Fail::new);
    }
    let path = Path::new(source);
    let wrong = |path: &Path, error: io::Error| Fail::new(format!("{}: {error}", path.display()));
    let mut files = Vec::new();
    find(path, &mut files).map_err(|error| wrong(path, error))?;
    if files.is_empty() {
        return Err(Fail::new(format!("{source}: no files of JSON lines in it")));
    }
    for file in files {
        let name = file.display().to_string();
        compare.source(&name);
        read(compare, side, &file, progress).map_err(|error| wrong(&file, error))?;
    }
    Ok(())
}

/// Files of JSON lines under a folder, in order; a file named is taken as it is.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut items = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    items.sort_by_key(fs::DirEntry::file_name);
    for item in items {
        let name = item.file_name();
        let name = name.to_string_lossy();
        // What is being written, and marks.
        if name.starts_with(['.', '_']) {
            continue;
        }
        let lines = [".json", ".jsonl", ".log", ".txt", ".gz", ".zst"];
        if item.path().is_dir() || lines.iter().any(|end| name.ends_with(end)) {
            find(&item.path(), files)?;
        } else if name.ends_with(".parquet") {
            return Err(io::Error::other(
                "Parquet files are not compared; write JSON lines for the time ([sink.file] format = \"jsonl\")",
            ));
        }
    }
    Ok(())
}

fn read(compare: &mut Compare, side: Side, file: &Path, progress: &mut Progress) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(1 << 20, unpack(File::open(file)?)?);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        if until_newline(&mut lines, &mut line)? == 0 {
            return Ok(());
        }
        progress.line(side);
        compare.line(side, number, &line)?;
    }
}

/// Reads a line; of one that is too long only so much that it is no JSON any more.
fn until_newline(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(read);
        }
        let end = memchr::memchr(b'\n', buffer);
        let part = &buffer[..end.map_or(buffer.len(), |at| at + 1)];
        if line.len() < LINE_BYTES_MAX {
            line.extend_from_slice(part);
        }
        let taken = part.len();
        read += taken;
        lines.consume(taken);
        if end.is_some() {
            return Ok(read);
        }
    }
}

struct Progress {
    on: bool,
    lang: Lang,
    lines: [u64; 2],
    shown: Instant,
}

impl Progress {
    fn new(json: bool, lang: Lang) -> Self {
        let on = io::stderr().is_terminal() && !json;
        Self { on, lang, lines: [0; 2], shown: Instant::now() }
    }

    fn line(&mut self, side: Side) {
        self.lines[usize::from(side == Side::New)] += 1;
        if self.on && self.shown.elapsed() >= EVERY {
            self.shown = Instant::now();
            let [old, new] = self.lines.map(count);
            let text = pick(
                self.lang,
                format!("读取：旧链路 {old} 行，Tusk {new} 行"),
                format!("reading: {old} lines of the old chain, {new} of Tusk"),
            );
            eprint!("\r{text}\u{1b}[K");
        }
    }

    fn sort(&mut self, part: f64) {
        if self.on {
            let text = pick(self.lang, "比较", "comparing");
            eprint!("\r{text} {:.0} %\u{1b}[K", part * 100.0);
        }
    }

    fn end(&self) {
        if self.on {
            eprint!("\r\u{1b}[K");
        }
    }
}

fn text(report: &Report, by: &[ByArg], lang: Lang) -> String {
    let paint = Paint::for_stdout();
    let mut head: Vec<&str> = by.iter().map(|by| by.word()).collect();
    let numbers = match lang {
        Lang::Zh => ["旧链路", "Tusk", "两边都有", "仅旧链路", "仅 Tusk"],
        Lang::En => ["old", "tusk", "both", "only old", "only tusk"],
    };
    head.extend(numbers);
    let row = |group: &Group| {
        let Group { name, old, new, both, only_old, only_new, .. } = group;
        let mut row: Vec<String> = name.iter().map(|name| shown(name)).collect();
        row.extend([old, new, both, only_old, only_new].map(|n| count(*n)));
        row
    };
    let mut rows: Vec<_> = report.groups.iter().take(GROUPS_SHOWN).map(row).collect();
    let mut total = report.total.clone();
    total.name = vec![String::new(); by.len()];
    if let Some(first) = total.name.first_mut() {
        *first = pick(lang, "合计", "total").to_owned();
    }
    rows.push(row(&total));
    let right: Vec<usize> = (by.len()..head.len()).collect();
    let mut out = table(&head, &rows, &right);
    let more = report.groups.len().saturating_sub(GROUPS_SHOWN);
    if more > 0 {
        out += &pick(
            lang,
            format!("另有 {more} 组，--json 显示全部\n"),
            format!("{more} more groups; --json shows all\n"),
        );
    }
    for group in report.groups.iter().take(GROUPS_SHOWN) {
        let sides = [
            (pick(lang, "仅旧链路", "only old"), &group.samples_old),
            (pick(lang, "仅 Tusk", "only tusk"), &group.samples_new),
        ];
        for (side, samples) in sides {
            for Sample { source, line, user } in samples {
                let name = shown(&group.name.join(" "));
                out += &format!("{side}: {name}  {}  {source}:{line}\n", shown(user));
            }
        }
    }
    let unreadable = report.unreadable_old + report.unreadable_new;
    if unreadable > 0 {
        out += &pick(
            lang,
            format!(
                "{} 行不是事件（旧链路 {}，Tusk {}）\n",
                unreadable, report.unreadable_old, report.unreadable_new
            ),
            format!(
                "{} lines are no events (old {}, tusk {})\n",
                unreadable, report.unreadable_old, report.unreadable_new
            ),
        );
    }
    let (tone, verdict) = if report.total.only_old + report.total.only_new == 0 {
        (Tone::Good, pick(lang, "两条链路一致", "both chains have the same events"))
    } else if report.total.only_old > 0 {
        let hint = pick(
            lang,
            "仅旧链路有的事件可能在隔离区：tusk quarantine list",
            "what only the old chain has may be in quarantine: tusk quarantine list",
        );
        (Tone::Bad, hint)
    } else {
        (Tone::Faint, pick(lang, "旧链路缺少这些事件", "the old chain lacks these events"))
    };
    out += &paint.tone(tone, verdict);
    out.push('\n');
    out
}

impl ByArg {
    fn of(self) -> By {
        match self {
            Self::Event => By::Event,
            Self::Day => By::Day,
            Self::Lib => By::Lib,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Day => "day",
            Self::Lib => "lib",
        }
    }
}
