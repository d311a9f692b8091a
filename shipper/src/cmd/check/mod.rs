//! `tusk check`: would it run, and for how long could it hold out?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use event::Lang;
use serde::Serialize;
use shipper::engine::probe;
use shipper::ledger::Since;
use shipper::status::Status;

mod places;

use super::{put, span as time_span};
use crate::cli::{Check, Common};
use crate::config::{Config, Loaded};
use crate::control::{Client, Request, client::connect};
use crate::embed::embed;
use crate::lang::{self, pick};
use crate::term::{self, Paint, Tone};
use crate::{Fail, http};

/// How a line is meant.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    Good,
    Note,
    Bad,
}

/// One finding.
#[derive(Serialize)]
struct Finding {
    about: &'static str,
    mark: Mark,
    text: String,
}

/// What was found so far.
struct Report {
    lang: Lang,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, about: &'static str, mark: Mark, zh: String, en: String) {
        self.findings.push(Finding { about, mark, text: pick(self.lang, zh, en) });
    }
}

/// Checks and reports; exit code 1 if something would not work.
pub(crate) fn run(common: &Common, arguments: &Check) -> Result<ExitCode, Fail> {
    let Loaded { config, file } = common.load()?;
    let mut report = Report { lang: lang::choose(config.lang), findings: Vec::new() };
    match &file {
        Some(file) => {
            let file = file.display();
            report.add("config", Mark::Good, format!("{file} 有效"), format!("{file} is valid"));
        }
        None => report.add(
            "config",
            Mark::Note,
            "没有配置文件（/etc/tusk/tusk.toml、./tusk.toml），用默认值".into(),
            "no file (/etc/tusk/tusk.toml, ./tusk.toml): the defaults hold".into(),
        ),
    }
    let running = connect(&config.socket()).is_ok();
    folder("data", &config.data, &mut report);
    journal(&config, &mut report);
    ring(&config, &mut report);
    sinks(&config, &mut report);
    if let Some((there, zh, en)) = crate::embed::finding(&config) {
        report.add("olap", if there { Mark::Good } else { Mark::Note }, zh, en);
    }
    places::places(&config, &mut report);
    if running {
        let (status, _) = Client::ask::<Status>(&config.socket(), &Request::Status)?;
        daemon(&status, &mut report);
        rate(&config, &status, &mut report)?;
    } else {
        report.add("daemon", Mark::Note, "没有在运行".into(), "not running".into());
        if let Err(problem) = http::bind(config.listen) {
            report.add("listen", Mark::Bad, problem.clone(), problem);
        }
    }
    put(&text(&report, arguments.json)?)?;
    let bad = report.findings.iter().any(|finding| finding.mark == Mark::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(report: &Report, json: bool) -> Result<String, Fail> {
    if json {
        let text = serde_json::to_string(&report.findings);
        return Ok(text.map_err(|error| Fail::new(error.to_string()))? + "\n");
    }
    let paint = Paint::for_stdout();
    let mut out = String::new();
    for finding in &report.findings {
        let (mark, tone) = match finding.mark {
            Mark::Good => ("✓", Tone::Good),
            Mark::Note => ("·", Tone::Faint),
            Mark::Bad => ("✗", Tone::Bad),
        };
        let about = term::fit(finding.about, 10);
        let line = format!("{mark} {about} {}", finding.text);
        let line = match term::columns() {
            Some(columns) => term::wrap(&line, columns, &" ".repeat(13)),
            None => line,
        };
        out += &line.replacen(mark, &paint.tone(tone, mark), 1);
        out.push('\n');
    }
    Ok(out)
}

/// The folder itself, else the nearest one above that exists.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find(|folder| folder.exists());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// A folder that exists and is writable, or could be made.
fn folder(about: &'static str, path: &Path, report: &mut Report) {
    let shown = path.display();
    let there = existing(path);
    let writable = rustix::fs::access(&there, rustix::fs::Access::WRITE_OK).is_ok();
    if !writable {
        let there = there.display();
        report.add(
            about,
            Mark::Bad,
            format!("{shown}：当前用户不能写 {there}；请改 data，或 chown {there}"),
            format!("{shown}: this user cannot write to {there}; change `data`, or chown {there}"),
        );
    } else if path.exists() {
        report.add(about, Mark::Good, format!("{shown} 可写"), format!("{shown} is writable"));
    } else {
        report.add(
            about,
            Mark::Good,
            format!("{shown} 还没有，启动时会建立"),
            format!("{shown} is not there yet and will be made"),
        );
    }
}

/// Bytes free and in all of the file system that holds, or will hold, `path`.
fn disk(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(existing(path)).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Cap of the journal: the setting, or the default for this disk.
pub(crate) fn journal_cap(config: &Config) -> u64 {
    match config.journal.bytes_max {
        0 => disk(&config.data).map_or(20 << 30, |(_, all)| (all / 4).min(20 << 30)),
        bytes => bytes,
    }
}

fn journal(config: &Config, report: &mut Report) {
    let Some((free, all)) = disk(&config.data) else { return };
    let (free_text, all_text) = (term::bytes(free), term::bytes(all));
    let used = size(&config.data.join("journal"));
    let cap = journal_cap(config);
    let cap_text = term::bytes(cap);
    let room = free.saturating_add(used);
    let mark = if room < cap { Mark::Bad } else { Mark::Good };
    report.add(
        "disk",
        mark,
        format!("空闲 {free_text} / {all_text}；journal 上限 {cap_text}")
            + if room < cap {
                "：放不下，请减小 journal.bytes_max 或腾出空间"
            } else {
                ""
            },
        format!("{free_text} free of {all_text}; the journal's cap is {cap_text}")
            + if room < cap {
                ": it does not fit; lower journal.bytes_max or free space"
            } else {
                ""
            },
    );
    let hours: Vec<String> = [100, 1_000, 10_000]
        .into_iter()
        .map(|rate: u64| {
            format!("{}/s {}", term::count(rate), span(cap / (rate * 1024), report.lang))
        })
        .collect();
    let hours = hours.join(" · ");
    report.add(
        "journal",
        Mark::Note,
        format!("目标全停时还能收多久（每条 1 KiB）：{hours}"),
        format!("holds out with every sink down, at 1 KiB an event: {hours}"),
    );
}

/// Seconds for people.
fn span(seconds: u64, lang: Lang) -> String {
    let (zh, en) = match seconds {
        ..=7199 => (format!("{} 分钟", seconds / 60), format!("{} min", seconds / 60)),
        7200..=172_799 => (format!("{} 小时", seconds / 3600), format!("{} h", seconds / 3600)),
        _ => (format!("{} 天", seconds / 86_400), format!("{} days", seconds / 86_400)),
    };
    pick(lang, zh, en)
}

/// Size of the files right in a folder, bytes.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn ring(config: &Config, report: &mut Report) {
    let path = config.ring();
    let shown = path.display();
    let bytes = size(&path);
    if bytes > 0 {
        let bytes = term::bytes(bytes);
        report.add("ring", Mark::Good, format!("{shown}：{bytes}"), format!("{shown}: {bytes}"));
    } else {
        report.add(
            "ring",
            Mark::Note,
            format!("{shown} 还没有；nginx 带 tusk_ring {shown} 启动时建立"),
            format!(
                "{shown} is not there yet; nginx makes it when it starts with tusk_ring {shown}"
            ),
        );
    }
}

/// Asks each target.
fn sinks(config: &Config, report: &mut Report) {
    if config.sink.file.enabled {
        folder("sink.file", &config.files(), report);
    }
    let mut settings = config.engine();
    // Its key is made by a start, not by a look; and it runs with the daemon alone, so that it does not answer now is no fault.
    let key = config.olap.folder(&config.data).join("key");
    if key.exists() && shipper::olap::answers(config.olap.address()) {
        let _ = embed(config, &mut settings, None, &|_| ());
    } else if config.sink.clickhouse.url.is_none() {
        settings.sink.clickhouse.enabled = false;
    }
    for (name, found) in probe(&settings) {
        let (mark, text) = match found {
            Ok(text) => (Mark::Good, text),
            Err(text) => (Mark::Bad, text),
        };
        report.add("target", mark, format!("{name}：{text}"), format!("{name}: {text}"));
    }
}

/// How long the journal holds out at the rate of the last hour.
fn rate(config: &Config, status: &Status, report: &mut Report) -> Result<(), Fail> {
    let since_ms = time_span::ago_ms("", "1h")?;
    let (since, _) = Client::ask::<Since>(&config.socket(), &Request::LedgerSince { since_ms })?;
    let ran_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(status.started_ms);
    let seconds = u64::try_from(ran_ms / 1000).unwrap_or_default().clamp(1, 3600);
    let bytes_per_s = (since.to_lsn - since.from_lsn) / seconds;
    if bytes_per_s == 0 || status.journal.bytes_max == 0 {
        return Ok(());
    }
    let left = status.journal.bytes_max.saturating_sub(status.journal.held_bytes);
    let (events, hours) =
        (term::count(since.received / seconds), span(left / bytes_per_s, report.lang));
    report.add(
        "journal",
        Mark::Note,
        format!("按最近一小时的流量（{events} 条/秒）：{hours}"),
        format!("at the last hour's rate ({events} events/s): {hours}"),
    );
    Ok(())
}

fn daemon(status: &Status, report: &mut Report) {
    let Status { node, ring, journal, sinks, .. } = status;
    let held = term::bytes(journal.held_bytes);
    report.add(
        "daemon",
        Mark::Good,
        format!("{node} 在运行；ring {}，journal 待送 {held}", term::bytes(ring.used_bytes)),
        format!(
            "{node} runs; {} in the ring, {held} held in the journal",
            term::bytes(ring.used_bytes)
        ),
    );
    for sink in sinks {
        let (lag, seconds) = (term::bytes(sink.lag_bytes), sink.lag_ms / 1000);
        let mark = if matches!(sink.state.as_str(), "parked" | "stopped") {
            Mark::Bad
        } else {
            Mark::Good
        };
        let (name, state, events) = (&sink.name, &sink.state, term::count(sink.lag_events));
        let mut end = match sink.lag_bytes_max {
            0 => String::new(),
            bound => pick(
                report.lang,
                format!("，{} 时搁置", term::bytes(bound)),
                format!(", parked at {}", term::bytes(bound)),
            ),
        };
        if !sink.last_error.is_empty() {
            end += &format!("; {}", sink.last_error);
        }
        report.add(
            "sink",
            mark,
            format!("{name}：{state}，落后 {events} 条、{lag}、{seconds} 秒{end}"),
            format!("{name}: {state}, {events} events, {lag}, {seconds} s behind{end}"),
        );
    }
    // Half full is worth a look, not a failure.
    let mild = [(&journal.alarm_percent, "journal: "), (&ring.alarm_percent, "ring: ")];
    for problem in &status.problems {
        let half = mild.iter().any(|(alarm, what)| **alarm == 50 && problem.starts_with(what));
        let mark = if half { Mark::Note } else { Mark::Bad };
        report.add("problem", mark, problem.clone(), problem.clone());
    }
}
