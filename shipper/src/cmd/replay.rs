//! `tusk replay`: what a sink missed is delivered after all.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use event::Lang;
use serde_json::json;
use shipper::replay::{Ask, Progress, What};

use super::put;
use crate::Fail;
use crate::cli::{Common, Replay};
use crate::control::client::Item;
use crate::control::{Client, Request};
use crate::lang::{self, pick};
use crate::term::{Paint, Tone, bytes, count};

/// Replays; exit code 1 if anything could not be.
pub(crate) fn run(common: &Common, arguments: &Replay) -> Result<ExitCode, Fail> {
    let config = common.load_to_ask()?.config;
    let (socket, lang) = (config.socket(), lang::choose(config.lang));
    let what = match &arguments.range {
        Some(text) => range(text)?,
        None if arguments.missing => What::Missing,
        None => What::Holes,
    };
    let ask =
        Ask { sink: arguments.sink.clone(), what, topic_suffix: arguments.topic_suffix.clone() };
    let ((), mut client) = Client::ask(&socket, &Request::Replay { ask })?;
    let live = std::io::stderr().is_terminal() && !arguments.json;
    let mut last: Vec<Progress> = Vec::new();
    while let Some(Item::Event(progress)) = client.next::<Vec<Progress>>(&socket)? {
        last = progress;
        if live {
            let line: Vec<String> = last.iter().map(|job| now(job, lang)).collect();
            let mut err = std::io::stderr().lock();
            // A terminal that is gone misses nothing that counts.
            let _ = write!(err, "\r\x1b[K{}", line.join(" · ")).and_then(|()| err.flush());
        }
        if last.iter().all(|job| job.over) {
            break;
        }
    }
    if live {
        eprint!("\r\x1b[K");
    }
    for job in last.iter_mut().filter(|job| !job.over) {
        "tusk stopped; the same command goes on after the next start".clone_into(&mut job.failed);
    }
    let text = if arguments.json { format!("{}\n", json!(last)) } else { summary(&last, lang) };
    put(&text)?;
    let failed = last.iter().any(|job| !job.failed.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `FROM-TO`, each 16 hex digits as file names and `tusk ledger` show them, or decimal.
fn range(text: &str) -> Result<What, Fail> {
    let lsn = |text: &str| match text.len() {
        16 => u64::from_str_radix(text, 16).ok(),
        _ => text.parse().ok(),
    };
    let both = text.split_once('-').and_then(|(from, to)| Some((lsn(from)?, lsn(to)?)));
    both.filter(|(from, to)| from < to).map(|(from, to)| What::Range { from, to }).ok_or_else(|| {
        Fail::new(format!(
            "--range: `{text}` is not FROM-TO, two lsns as `tusk ledger` shows them, the lower first"
        ))
    })
}

fn now(job: &Progress, lang: Lang) -> String {
    let percent = (job.bytes_done * 100).checked_div(job.bytes_all).unwrap_or(100);
    let events = count(job.delivered);
    let mut out = format!(
        "{} {percent} % {} / {}, {}",
        job.sink,
        bytes(job.bytes_done),
        bytes(job.bytes_all),
        pick(lang, format!("{events} 条"), format!("{events} events"))
    );
    if !job.waits.is_empty() {
        let _ = write!(out, " ({})", job.waits);
    }
    out
}

fn summary(jobs: &[Progress], lang: Lang) -> String {
    if jobs.is_empty() {
        return pick(lang, "没有需要补的\n", "nothing to replay\n").to_owned();
    }
    let paint = Paint::for_stdout();
    let mut out = String::new();
    for job in jobs {
        let numbers = [job.delivered, job.left_out, job.refused].map(count);
        let [delivered, left_out, refused] = &numbers;
        let (mark, tone) =
            if job.failed.is_empty() { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let text = pick(
            lang,
            format!("{}：补送 {delivered} 条，略过 {left_out}，被拒 {refused}", job.sink),
            format!(
                "{}: {delivered} events replayed, {left_out} left out, {refused} refused",
                job.sink
            ),
        );
        let _ = writeln!(out, "{} {text}", paint.tone(tone, mark));
        for line in job.notes.iter().chain((!job.failed.is_empty()).then_some(&job.failed)) {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_two_lsns() {
        let read = |text: &str| range(text).ok();
        assert_eq!(read("0-100"), Some(What::Range { from: 0, to: 100 }));
        let hex = "0000000000000010-00000000000000ff";
        assert_eq!(read(hex), Some(What::Range { from: 16, to: 255 }));
        for wrong in ["", "5", "9-3", "a-b", "1-2-3", "-"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
