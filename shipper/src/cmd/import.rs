//! `tusk import`: files of other chains, and of SDKs that log, into the running daemon.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use event::{Code, Lang, Message, Place};
use serde_json::json;
use shipper::import::blocks::{Blocks, unpack};
use shipper::import::{Format, Options, Report, Trial};

use super::put;
use crate::Fail;
use crate::cli::{Common, FormatArg, Import};
use crate::control::{self, Next};
use crate::lang::{self, pick};
use crate::term::{bytes, count, shown};

/// How often progress is shown.
const EVERY: Duration = Duration::from_millis(200);
/// Codes shown with samples.
const CODES_SHOWN: usize = 20;

/// Imports each file in turn. Exit code 0 when every line of every file is in (rejected events are in quarantine), else 1.
pub(crate) fn run(common: &Common, arguments: &Import) -> Result<ExitCode, Fail> {
    let config = if arguments.dry_run { common.load()? } else { common.load_to_ask()? }.config;
    let lang = lang::choose(config.lang);
    let mut failed = false;
    for file in &arguments.files {
        let outcome = if arguments.dry_run {
            let rules = config.engine().accept_config();
            let rules = rules.map_err(|error| Fail::new(error.to_string()))?;
            one(file, arguments, lang, &mut |options, next, _| {
                let mut trial = Trial::new(rules.clone(), options);
                let mut block = Vec::new();
                while next(&mut block)?.is_some() {
                    let now_ns = jiff::Timestamp::now().as_nanosecond();
                    let now_ns = u64::try_from(now_ns).unwrap_or_default();
                    trial.block(&block, now_ns).map_err(Fail::new)?;
                }
                Ok(trial.report())
            })
        } else {
            let socket = config.socket();
            one(file, arguments, lang, &mut |options, next, tell| {
                control::import(&socket, options, next, tell)
            })
        };
        match outcome {
            Ok((report, damage)) => {
                let text = if arguments.json {
                    let name = file.display().to_string();
                    format!(
                        "{}\n",
                        json!({"file": name, "dry_run": arguments.dry_run, "report": report})
                    )
                } else {
                    summary(file, &report, arguments.dry_run, lang)
                };
                put(&text)?;
                if let Some(damage) = damage {
                    eprintln!("tusk: {}: {damage}; what came before it is in", file.display());
                    failed = true;
                }
            }
            Err(fail) => {
                eprintln!("tusk: {}: {fail}", file.display());
                failed = true;
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Take<'t> =
    dyn FnMut(Options, &mut Next<'_>, &mut dyn FnMut(&Report)) -> Result<Report, Fail> + 't;

/// One file through `take`; the second value says what is wrong with its end.
fn one(
    file: &Path,
    arguments: &Import,
    lang: Lang,
    take: &mut Take<'_>,
) -> Result<(Report, Option<String>), Fail> {
    let unreadable = |error: io::Error| Fail::new(format!("cannot read it: {error}"));
    let stdin = file == Path::new("-");
    let (input, size): (Box<dyn Read>, u64) = if stdin {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let input = File::open(file).map_err(unreadable)?;
        let about = input.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Err(Fail::new("is a folder; name the files in it, such as FOLDER/*.log"));
        }
        (Box::new(input), about.len())
    };
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted { input, read: Arc::clone(&read) };
    let mut blocks = Blocks::new(unpack(counted).map_err(unreadable)?);
    let mut damage = None;
    let mut next = |block: &mut Vec<u8>| match blocks.next(block) {
        Ok(more) => Ok(more),
        Err(error) => {
            damage = Some(format!("it ends in damage ({error})"));
            Ok(Some(false))
        }
    };
    let show = io::stderr().is_terminal() && !arguments.json;
    let mut shown_at = Instant::now();
    let mut width = 0;
    let mut tell = |report: &Report| {
        if show && (shown_at.elapsed() >= EVERY || !report.waiting.is_empty()) {
            shown_at = Instant::now();
            let line = progress(report, read.load(Ordering::Relaxed), size, lang);
            eprint!("\r{line:width$}");
            width = line.chars().count();
        }
    };
    let name = file.file_name().map_or_else(|| "-".into(), |name| name.to_string_lossy());
    let options = Options {
        name: name.chars().take(128).collect(),
        format: match arguments.format {
            FormatArg::Auto => Format::Auto,
            FormatArg::Json => Format::Json,
            FormatArg::Nginx => Format::Nginx,
        },
        log_format: arguments.log_format.clone(),
        project: arguments.project.clone(),
        time_free: arguments.time_free,
        any_token: arguments.any_token,
        again: arguments.again.clone().unwrap_or_default(),
    };
    let report = take(options, &mut next, &mut tell);
    if width > 0 {
        eprint!("\r{:width$}\r", "");
    }
    Ok((report?, damage))
}

/// Counts what is read of a file.
struct Counted {
    input: Box<dyn Read>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

fn progress(report: &Report, read: u64, size: u64, lang: Lang) -> String {
    let far = match (read * 100).checked_div(size) {
        Some(percent) => format!("{:3} %", percent.min(100)),
        None => bytes(read),
    };
    let (lines, rejected) = (count(report.lines), count(report.rejected));
    let mut line = pick(
        lang,
        format!("{far}  {lines} 行，隔离 {rejected}"),
        format!("{far}  {lines} lines, {rejected} rejected"),
    );
    if !report.waiting.is_empty() {
        let what = &report.waiting;
        line += &pick(lang, format!("，等待：{what}"), format!(", waiting for {what}"));
    }
    line
}

fn summary(file: &Path, report: &Report, dry_run: bool, lang: Lang) -> String {
    let name = shown(&file.display().to_string());
    let Report {
        format, lines, known, events, kept, rejected, empty, unfit, codes, samples, ..
    } = report;
    let [lines, known, events, kept, rejected, empty, unfit_text] =
        [lines, known, events, kept, rejected, empty, unfit].map(|number| count(*number));
    let dry = pick(lang, "（只校验，不入库）", " (checked only, nothing stored)");
    let dry = if dry_run { dry } else { "" };
    let format = if format.is_empty() { pick(lang, "空", "empty") } else { format };
    let mut out = pick(
        lang,
        format!(
            "{name}{dry}：{format}，{lines} 行，其中先前已导入 {known}；事件 {events}：入库 {kept}，隔离 {rejected}；无数据的请求 {empty}\n"
        ),
        format!(
            "{name}{dry}: {format}, {lines} lines, {known} imported before; {events} events: {kept} kept, {rejected} rejected; \
             {empty} requests without data\n"
        ),
    );
    if *unfit > 0 {
        out += &pick(
            lang,
            format!("  {unfit_text} 行与日志格式不符，已隔离：请核对 --log-format\n"),
            format!(
                "  {unfit_text} lines do not fit the log format and are in quarantine: check --log-format\n"
            ),
        );
    }
    let mut most: Vec<(&String, &u64)> = codes.iter().collect();
    most.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    for (code, number) in most.into_iter().take(CODES_SHOWN) {
        let _ = writeln!(out, "  {code}  {}", count(*number));
        for sample in samples.get(code).into_iter().flatten() {
            let bytes: Option<[u8; 4]> = code.as_bytes().try_into().ok();
            let place =
                Place { pointer: &sample.pointer, detail: &sample.detail, ..Place::default() };
            let text = match bytes.and_then(Code::from_bytes) {
                Some(code) => Message { code, lang, place }.to_string(),
                None => code.clone(),
            };
            let _ = writeln!(out, "    {}  {}", shown(&sample.place), shown(&text));
        }
    }
    out
}
