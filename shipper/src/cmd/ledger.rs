//! `tusk ledger`: the sums, and whether they agree.

use std::fmt::Write as _;
use std::process::ExitCode;

use event::Lang;
use serde_json::json;
use shipper::ledger::{Audit, IdentityRange, Ledger, Since, SinceSink, SinkLedger};

use super::{put, span};
use crate::cli::{Common, Ledger as Arguments};
use crate::control::{Client, Request};
use crate::lang::{self, pick};
use crate::term::{Paint, Tone, count, pad, table, width};
use crate::{Fail, term};

/// Prints the books; exit code 1 if they do not agree or the audit found something missing or surplus.
pub(crate) fn run(common: &Common, arguments: &Arguments) -> Result<ExitCode, Fail> {
    let config = common.load_to_ask()?.config;
    let (socket, lang) = (config.socket(), lang::choose(config.lang));
    if let Some(text) = &arguments.since {
        let since_ms = span::ago_ms("--since", text)?;
        let (since, _) = Client::ask::<Since>(&socket, &Request::LedgerSince { since_ms })?;
        put(&if arguments.json { format!("{}\n", json!(since)) } else { recent(&since, lang) })?;
        return Ok(ExitCode::SUCCESS);
    }
    let (ledger, _) = Client::ask::<Ledger>(&socket, &Request::Ledger)?;
    let mut audits = Vec::new();
    if arguments.audit {
        for sink in &ledger.sinks {
            let request = Request::Audit { sink: sink.name.clone() };
            audits.push(Client::ask::<Audit>(&socket, &request)?.0);
        }
    }
    let wrong = !ledger.gaps.is_empty()
        || audits.iter().any(|audit| !audit.missing.is_empty() || !audit.surplus.is_empty());
    let text = if arguments.json {
        let mut value = json!(ledger);
        if let (true, Some(members)) = (arguments.audit, value.as_object_mut()) {
            members.insert("audit".to_owned(), json!(audits));
        }
        format!("{value}\n")
    } else {
        let paint = Paint::for_stdout();
        let mut text = sums(&ledger, lang, paint);
        for audit in &audits {
            text.push('\n');
            text += &audited(audit, lang, paint);
        }
        text
    };
    put(&text)?;
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What came in lately.
fn recent(since: &Since, lang: Lang) -> String {
    let mut out = String::new();
    let moment = term::time(since.since_ms, "%Y-%m-%d %H:%M:%S");
    let _ = writeln!(out, "{}  {} {moment}", since.node, pick(lang, "自", "since"));
    if !since.whole {
        let text = pick(
            lang,
            "journal 已不含这么早的数据，只统计了还在的部分",
            "the journal no longer reaches back so far: only what is there is counted",
        );
        let _ = writeln!(out, "! {text}");
    }
    let words = match lang {
        Lang::Zh => ["接收", "入库", "其中重复", "拒收", "重放"],
        Lang::En => ["received", "kept", "of these duplicates", "rejected", "redriven"],
    };
    let numbers =
        [since.received, since.kept, since.duplicates, since.rejected, since.redriven].map(count);
    let widest = words.iter().map(|word| width(word)).max().unwrap_or_default();
    let digits = numbers.iter().map(String::len).max().unwrap_or_default();
    for (word, number) in words.iter().zip(&numbers) {
        let _ = writeln!(out, "{}  {number:>digits$}", pad(word, widest));
    }
    out.push('\n');
    let head = match lang {
        Lang::Zh => ["目标", "已过", "待送"],
        Lang::En => ["sink", "passed", "waiting"],
    };
    let row = |sink: &SinceSink| vec![sink.name.clone(), count(sink.passed), count(sink.waiting)];
    out += &table(&head, &since.sinks.iter().map(row).collect::<Vec<_>>(), &[1, 2]);
    out
}

fn sums(ledger: &Ledger, lang: Lang, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {}  {}",
        paint.tone(Tone::Strong, &ledger.node),
        pick(lang, "账本截至", "books up to"),
        place(ledger.lsn)
    );
    out.push('\n');
    let q = &ledger.quarantine;
    let words = match lang {
        Lang::Zh => [
            "接收",
            "入库",
            "拒收",
            "未拆封",
            "其中重复",
            "隔离区待处理",
            "已重放",
            "已放弃",
            "已过期",
            "尚未写入隔离区",
            "损坏字节",
        ],
        Lang::En => [
            "received",
            "kept",
            "rejected",
            "sealed",
            "of these duplicates",
            "open in quarantine",
            "redriven",
            "discarded",
            "expired",
            "not in quarantine yet",
            "damaged bytes",
        ],
    };
    // (level, word, number)
    let rows = [
        (0, words[0], ledger.received),
        (1, words[1], ledger.kept),
        (2, words[4], ledger.duplicates),
        (1, words[2], ledger.rejected),
        (2, words[5], q.open),
        (2, words[6], q.redriven),
        (2, words[7], q.discarded),
        (2, words[8], q.expired),
        (2, words[9], q.waiting),
        (1, words[3], ledger.sealed),
    ];
    let labels = rows.map(|(level, word, _)| format!("{:indent$}{word}", "", indent = level * 2));
    let widest = labels.iter().map(|label| width(label)).max().unwrap_or_default();
    let digits = count(ledger.received).len();
    for (label, (_, _, number)) in labels.iter().zip(rows) {
        let _ = writeln!(out, "{}  {:>digits$}", pad(label, widest), count(number));
    }
    if ledger.damaged_bytes > 0 {
        let text = format!("{}: {}", words[10], term::bytes(ledger.damaged_bytes));
        let _ = writeln!(out, "\n{}", paint.tone(Tone::Bad, &text));
        for range in &ledger.damaged {
            let _ = writeln!(out, "  {range}");
        }
    }
    out.push('\n');
    out += &sinks(ledger, lang);
    out.push('\n');
    if ledger.gaps.is_empty() {
        let text = pick(
            lang,
            "✓ 账平：接收 = 入库 + 拒收 + 未拆封；每个目标：入库 + 重放 = 已送达 + 被拒 + 去重 + 跳过 + 抽样未取 + 待送",
            "✓ the books agree: received = kept + rejected + sealed; per sink kept + redriven = delivered + refused + deduplicated + skipped + sampled out + waiting",
        );
        let _ = writeln!(out, "{}", paint.tone(Tone::Good, text));
    }
    for gap in &ledger.gaps {
        let _ = writeln!(out, "{}", paint.tone(Tone::Bad, &format!("✗ {gap}")));
    }
    out
}

fn sinks(ledger: &Ledger, lang: Lang) -> String {
    let head = match lang {
        Lang::Zh => ["目标", "入库", "重放", "已送达", "被拒", "去重", "跳过", "抽样未取", "待送"],
        Lang::En => [
            "sink",
            "kept",
            "redriven",
            "delivered",
            "refused",
            "deduplicated",
            "skipped",
            "sampled out",
            "waiting",
        ],
    };
    let row = |sink: &SinkLedger| {
        let sums = &sink.sums;
        let mut cells = vec![sink.name.clone()];
        // `kept` of the sums is what the cursor passed; with what waits it is the ledger's.
        let numbers = [
            ledger.kept,
            sums.redriven,
            sums.delivered,
            sums.refused,
            sums.deduplicated,
            sums.skipped,
            sums.sampled_out,
            sink.waiting,
        ];
        cells.extend(numbers.map(count));
        cells
    };
    let rows: Vec<_> = ledger.sinks.iter().map(row).collect();
    let mut out = table(&head, &rows, &[1, 2, 3, 4, 5, 6, 7, 8]);
    for sink in &ledger.sinks {
        for (from, to) in &sink.skipped {
            let _ = writeln!(
                out,
                "{} {}: [{}, {})",
                sink.name,
                pick(lang, "跳过的区间", "skipped"),
                place(*from),
                place(*to)
            );
        }
    }
    out
}

fn audited(audit: &Audit, lang: Lang, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} {}  [{}, {})  {}",
        pick(lang, "回读核对", "audit"),
        paint.tone(Tone::Strong, &audit.sink),
        place(audit.from_lsn),
        place(audit.to_lsn),
        pick(
            lang,
            format!(
                "读 {} 个文件，应有 {}，实有 {}",
                count(audit.files),
                count(audit.expected),
                count(audit.found)
            ),
            format!(
                "{} files read, {} expected, {} found",
                count(audit.files),
                count(audit.expected),
                count(audit.found)
            ),
        )
    );
    for (ranges, word) in [
        (&audit.missing, pick(lang, "缺", "missing")),
        (&audit.surplus, pick(lang, "多", "surplus")),
    ] {
        for range in ranges {
            let text = format!("✗ {word} {}", identities(range));
            let _ = writeln!(out, "{}", paint.tone(Tone::Bad, &text));
        }
    }
    for note in &audit.notes {
        let _ = writeln!(out, "{}", paint.tone(Tone::Warn, note));
    }
    if audit.missing.is_empty() && audit.surplus.is_empty() {
        let text = pick(lang, "✓ 不缺不多", "✓ nothing missing, nothing surplus");
        let _ = writeln!(out, "{}", paint.tone(Tone::Good, text));
    }
    out
}

/// An lsn as it stands in file names.
fn place(lsn: u64) -> String {
    format!("{lsn:016x}")
}

fn identities(range: &IdentityRange) -> String {
    let one = |(lsn, index): (u64, u32)| format!("{}:{index}", place(lsn));
    if range.count == 1 {
        return one(range.first);
    }
    format!("{} … {} ({})", one(range.first), one(range.last), count(range.count))
}
