//! `tusk migrate`: ClickHouse's schema, step by step; and a sink that is to start anew.

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use analytics::{MIGRATIONS, Migration};
use event::Lang;
use shipper::disk::RealDisk;
use shipper::journal::Meta;
use shipper::zone::Zone;

use super::put;
use crate::Fail;
use crate::cli::{Common, Migrate};
use crate::config::Config;
use crate::lang::{self, pick};

/// Lists, shows, applies or resets.
pub(crate) fn run(common: &Common, arguments: &Migrate) -> Result<ExitCode, Fail> {
    let config = common.load()?.config;
    let lang = lang::choose(config.lang);
    if let Some(sink) = &arguments.reset {
        return reset(&config, sink, lang);
    }
    let (clickhouse, engine) = (&config.sink.clickhouse, config.engine());
    let olap = engine.olap.as_ref();
    let found = clickhouse.found(olap).map_err(Fail::new)?;
    if arguments.list {
        put(&list(found.version, lang))?;
        return Ok(ExitCode::SUCCESS);
    }
    let zone = zone(&config)?;
    if arguments.dry_run {
        for statement in clickhouse.statements(&found, &zone) {
            if !put(&format!("{statement};\n\n"))? {
                break;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    if found.missing().is_empty() {
        let number = found.version;
        put(&pick(
            lang,
            format!("表结构已是最新（{number}）\n"),
            format!("the schema is up to date ({number})\n"),
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut done = |migration: &Migration| {
        let (number, name) = (migration.number, migration.name);
        let line =
            pick(lang, format!("已执行 {number} {name}\n"), format!("applied {number} {name}\n"));
        // Whether somebody still reads decides nothing.
        let _ = put(&line);
    };
    clickhouse.migrate(olap, &zone, &mut done).map_err(Fail::new)?;
    Ok(ExitCode::SUCCESS)
}

fn list(version: u32, lang: Lang) -> String {
    let mut out = String::new();
    for Migration { number, name, .. } in MIGRATIONS {
        let (zh, en) = match *number <= version {
            true => ("已执行", "applied"),
            false => ("未执行", "missing"),
        };
        let _ = writeln!(out, "{number} {name} {}", pick(lang, zh.to_owned(), en.to_owned()));
    }
    out
}

/// Zone of the journal, if there is one already; else what it will be made with.
fn zone(config: &Config) -> Result<String, Fail> {
    let meta = Meta::load(&RealDisk, &config.data.join("journal"));
    if let Some(meta) = meta.map_err(|error| Fail::new(error.to_string()))? {
        return Ok(meta.timezone);
    }
    Ok(config.timezone.clone().unwrap_or_else(|| Zone::system().name().to_owned()))
}

/// Puts a sink's state aside. What is at its target stays there.
fn reset(config: &Config, sink: &str, lang: Lang) -> Result<ExitCode, Fail> {
    let sinks = config.sink.all();
    if !sinks.iter().any(|(name, _)| *name == sink) {
        let names: Vec<&str> = sinks.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        return Err(Fail::new(pick(
            lang,
            format!("没有 sink {sink}；有：{names}"),
            format!("there is no sink {sink}; there are {names}"),
        )));
    }
    let wrong = |error: std::io::Error| Fail::new(format!("{}: {error}", config.data.display()));
    let lock = fs::OpenOptions::new().write(true).open(config.data.join("lock")).map_err(wrong)?;
    if lock.try_lock().is_err() {
        return Err(Fail::new(pick(
            lang,
            "tusk 正在运行；请先停止，再重置".to_owned(),
            "tusk runs on this data folder; stop it first".to_owned(),
        )));
    }
    let folder = config.data.join("state");
    let mut some = false;
    for end in ["state", "plan"] {
        let path = folder.join(format!("{sink}.{end}"));
        if path.exists() {
            fs::rename(&path, folder.join(format!("{sink}.{end}.old"))).map_err(wrong)?;
            some = true;
        }
    }
    fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
    put(&match some {
        true => pick(
            lang,
            format!(
                "{sink} 下次启动时从头开始（旧位置留在 {sink}.state.old）；目标里已有的数据不动\n"
            ),
            format!(
                "{sink} starts anew at the next start (its old position is kept as {sink}.state.old); what is at its target stays there\n"
            ),
        ),
        false => pick(
            lang,
            format!("{sink} 没有位置可忘\n"),
            format!("{sink} has no position to forget\n"),
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}
