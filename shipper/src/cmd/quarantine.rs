//! `tusk quarantine list | show | redrive | discard`.

use std::fmt::Write as _;
use std::process::ExitCode;

use event::Lang;
use serde_json::json;
use shipper::quarantine::{Filter, Group, Item, RedriveReport};

use super::tail::row::{Layout, one_line};
use super::{put, span};
use crate::Fail;
use crate::cli::{Common, Quarantine, Which};
use crate::control::{Client, Request};
use crate::lang::{self, pick};
use crate::term::{Paint, Tone, columns, count, shown, table, time};

/// Longest piece of a raw request that `show` prints as text.
const RAW_SHOWN_BYTES: usize = 2048;

pub(crate) fn run(common: &Common, verb: Quarantine) -> Result<ExitCode, Fail> {
    let config = common.load_to_ask()?.config;
    let (socket, lang) = (config.socket(), lang::choose(config.lang));
    let text = match verb {
        Quarantine::List { which, json } => {
            let request = Request::QuarantineList { filter: filter(&which)? };
            let (groups, _) = Client::ask::<Vec<Group>>(&socket, &request)?;
            if json { format!("{}\n", json!(groups)) } else { list(&groups, lang) }
        }
        Quarantine::Show { which, limit, json } => {
            let request = Request::QuarantineShow { filter: filter(&which)?, limit };
            let (items, _) = Client::ask::<Vec<Item>>(&socket, &request)?;
            if json {
                items.iter().map(|item| format!("{}\n", json!(item))).collect()
            } else {
                show(&items, lang)
            }
        }
        Quarantine::Redrive { which, limit, all } => {
            let filter = meant(&which, all)?;
            let request = Request::QuarantineRedrive { filter, limit };
            redriven(&Client::ask::<RedriveReport>(&socket, &request)?.0, lang)
        }
        Quarantine::Discard { which, limit, all } => {
            let filter = meant(&which, all)?;
            let request = Request::QuarantineDiscard { filter, limit };
            let (number, _) = Client::ask::<u64>(&socket, &request)?;
            let number = count(number);
            pick(lang, format!("已放弃 {number} 条\n"), format!("{number} events given up\n"))
        }
    };
    put(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn filter(which: &Which) -> Result<Filter, Fail> {
    Ok(Filter {
        code: which.code.clone(),
        event: which.event.clone(),
        sdk: which.sdk.clone(),
        project: which.project.clone(),
        identity: which.id.as_deref().map(identity).transpose()?,
        since_ms: which.since.as_deref().map(|text| span::ago_ms("--since", text)).transpose()?,
    })
}

/// The filter of a verb that changes something: none at all must be meant.
fn meant(which: &Which, all: bool) -> Result<Filter, Fail> {
    let filter = filter(which)?;
    if filter == Filter::default() && !all {
        return Err(Fail::new(
            "say which events: --code, --event, --sdk, --project, --id or --since; or --all",
        ));
    }
    Ok(filter)
}

/// `LSN:INDEX`, the lsn in hex as shown, or decimal.
fn identity(text: &str) -> Result<(u64, u32), Fail> {
    let read = || {
        let (lsn, index) = text.split_once(':')?;
        let lsn = match lsn.len() {
            16 => u64::from_str_radix(lsn, 16).ok()?,
            _ => lsn.parse().ok()?,
        };
        Some((lsn, index.parse().ok()?))
    };
    read().ok_or_else(|| {
        Fail::new(format!("--id: `{text}` is not LSN:INDEX as `tusk quarantine list` shows it"))
    })
}

fn list(groups: &[Group], lang: Lang) -> String {
    if groups.is_empty() {
        return pick(lang, "隔离区没有待处理的事件\n", "nothing open in quarantine\n").to_owned();
    }
    let head = match lang {
        Lang::Zh => ["错误码", "事件", "SDK", "待处理", "最早", "最近", "样例"],
        Lang::En => ["code", "event", "SDK", "open", "first", "last", "sample"],
    };
    let form = "%m-%d %H:%M:%S";
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            vec![
                shown(&group.code),
                name(&group.event),
                name(&group.sdk),
                count(group.open),
                time(group.first_ms, form),
                time(group.last_ms, form),
                format!("{:016x}:{}", group.sample.0, group.sample.1),
            ]
        })
        .collect();
    let mut out = table(&head, &rows, &[3]);
    let total = count(groups.iter().map(|group| group.open).sum());
    let hint = pick(
        lang,
        format!(
            "\n共 {total} 条。看一条：tusk quarantine show --id 样例；改好后重放：tusk quarantine redrive --code 错误码\n"
        ),
        format!(
            "\n{total} in all. Look at one: tusk quarantine show --id SAMPLE; once fixed: tusk quarantine redrive --code CODE\n"
        ),
    );
    out.push_str(&hint);
    out
}

fn name(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { shown(text) }
}

fn show(items: &[Item], lang: Lang) -> String {
    if items.is_empty() {
        return pick(lang, "没有符合条件的事件\n", "no such event is open\n").to_owned();
    }
    let paint = Paint::for_stdout();
    let layout = Layout::new(lang, columns(), paint);
    let mut out = String::new();
    for item in items {
        let head = format!("{:016x}:{}", item.lsn, item.index);
        let _ = writeln!(
            out,
            "{}  {}  {}  {}  {}  {}  {}",
            paint.tone(Tone::Strong, &head),
            time(item.recv_ms, "%Y-%m-%d %H:%M:%S"),
            name(&item.project),
            name(&item.sdk),
            name(&item.event),
            name(&item.user),
            name(&item.ip)
        );
        if let Some(sink) = &item.sink {
            let text = pick(lang, format!("  目标 {sink} 拒收"), format!("  refused by {sink}"));
            let _ = writeln!(out, "{}", paint.tone(Tone::Bad, &text));
        }
        if !item.place.is_empty() {
            let place = shown(&item.place);
            let _ = writeln!(
                out,
                "{}",
                pick(lang, format!("  文件 {place}"), format!("  from {place}"))
            );
        }
        for code in &item.codes {
            out.push_str(&layout.message(code, "", Tone::Bad));
        }
        if !item.json.is_empty() {
            let _ = writeln!(out, "  {}", shown(&one_line(&item.json)));
        }
        if !item.raw.is_empty() {
            out.push_str(&raw(&item.raw, lang));
        }
        out.push('\n');
    }
    out
}

/// A raw request, indented, its start only.
fn raw(text: &str, lang: Lang) -> String {
    let mut end = text.len().min(RAW_SHOWN_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = String::new();
    for line in text[..end].lines() {
        let _ = writeln!(out, "  | {}", shown(line));
    }
    if end < text.len() {
        let left = text.len() - end;
        let text = pick(
            lang,
            format!("  … 另有 {left} 字节，加 --json 看全部"),
            format!("  … {left} more bytes; --json shows all"),
        );
        let _ = writeln!(out, "{text}");
    }
    out
}

fn redriven(report: &RedriveReport, lang: Lang) -> String {
    let RedriveReport { redriven, events, still_rejected, already_decided, codes } = report;
    let mut out = pick(
        lang,
        format!(
            "已重放 {}（事件 {} 条）；仍不合格 {}；先前已处理 {}\n",
            count(*redriven),
            count(*events),
            count(*still_rejected),
            count(*already_decided)
        ),
        format!(
            "{} redriven ({} events); {} still rejected; {} decided before\n",
            count(*redriven),
            count(*events),
            count(*still_rejected),
            count(*already_decided)
        ),
    );
    for (code, number) in codes {
        let _ = writeln!(out, "  {code}  {}", count(*number));
    }
    out
}
