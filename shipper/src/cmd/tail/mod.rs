//! `tusk tail`: events as they become durable, live.

pub(crate) mod row;

use std::process::ExitCode;

use crate::cli::{Common, Tail, VerdictArg};
use crate::control::{Client, Request, TailFilter, client::Item};
use crate::{Fail, lang, term};
use row::{Layout, Row};

/// Follows until the reader, the daemon or `--limit` ends it.
pub(crate) fn run(common: &Common, arguments: &Tail) -> Result<ExitCode, Fail> {
    let config = common.load_to_ask()?.config;
    let socket = config.socket();
    let lang = lang::choose(config.lang);
    let filter = TailFilter {
        event: arguments.event.clone(),
        user: arguments.user.clone(),
        project: arguments.project.clone(),
        verdict: arguments.verdict.map(word),
        code: arguments.code.clone(),
    };
    let (_, mut client) = Client::ask::<()>(&socket, &Request::Tail { filter })?;
    let layout = Layout::new(lang, term::columns(), term::Paint::for_stdout());
    if !arguments.json && !super::put(&layout.head())? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 {
        match client.next::<Row>(&socket)? {
            Some(Item::Event(row)) => {
                let text = if arguments.json { row.json_line()? } else { layout.event(&row) };
                if !super::put(&text)? {
                    return Ok(ExitCode::SUCCESS);
                }
                left -= 1;
            }
            Some(Item::Dropped(count)) => {
                eprintln!(
                    "tusk: {}",
                    lang::pick(
                        lang,
                        format!("显示跟不上，略过了 {count} 条（数据本身不受影响）"),
                        format!(
                            "too fast for this terminal: {count} events not shown (they are stored all the same)"
                        ),
                    )
                );
            }
            None => return Err(Fail::new("the daemon stopped")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn word(verdict: VerdictArg) -> String {
    match verdict {
        VerdictArg::Kept => "kept",
        VerdictArg::Problems => "problems",
        VerdictArg::Rejected => "rejected",
    }
    .to_owned()
}
