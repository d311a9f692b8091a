//! Whether there is an embedded ClickHouse, and what is said about it.

use std::path::{Path, PathBuf};

use event::Lang;
use shipper::engine::EngineConfig;
use shipper::olap::{Embedded, Missing, News, Plan, answers, find};

use crate::config::Config;
use crate::lang::pick;

/// What to look after, if there is one: the sink's way to it is put into `engine` and the sink switched on. Collecting never waits for
/// it and never fails for it: where it cannot be had, `tell` hears why, in one line, and the sink is left out. `wait`: it is being built
/// meanwhile, with the output in that file.
pub(crate) fn embed(
    config: &Config,
    engine: &mut EngineConfig,
    wait: Option<PathBuf>,
    tell: &dyn Fn(News),
) -> Option<Plan> {
    if !config.olap.enabled || config.sink.clickhouse.url.is_some() {
        return None;
    }
    engine.sink.clickhouse.enabled = false;
    match find(&config.olap) {
        Ok(_) => {}
        Err(Missing::NotYet(_)) if wait.is_some() => {}
        Err(missing) => {
            tell(News::Missing(missing.to_string()));
            return None;
        }
    }
    let folder = config.olap.folder(&config.data);
    match Embedded::new(config.olap.address(), &folder) {
        Ok(embedded) => {
            engine.olap = Some(embedded);
            engine.sink.clickhouse.enabled = true;
        }
        Err(error) => {
            tell(News::Missing(format!("{}: {error} (olap.data)", folder.display())));
            return None;
        }
    }
    // The journal's zone comes in when there is a journal.
    let timezone = String::new();
    Some(Plan { config: config.olap.clone(), folder, timezone, wait })
}

/// For `tusk check`: whether all is there, and a line in both languages; `None` where none is wanted.
pub(crate) fn finding(config: &Config) -> Option<(bool, String, String)> {
    if !config.olap.enabled || config.sink.clickhouse.url.is_some() {
        return None;
    }
    let found = match find(&config.olap) {
        Ok(found) => found,
        Err(missing) => return Some((false, missing.to_string(), missing.to_string())),
    };
    let (address, folder) = (config.olap.address(), config.olap.folder(&config.data));
    let size = folder_bytes(&folder) >> 20;
    let (folder, library) = (folder.display(), found.library.display());
    let (zh, en) = if answers(address) {
        ("已就绪", "answers")
    } else {
        ("没有在运行", "not running")
    };
    Some((
        true,
        format!(
            "http://{address} {zh}；{folder} 占 {size} MiB（按 sink.clickhouse.keep_days 清理）；引擎 {library}"
        ),
        format!(
            "http://{address} {en}; {folder} holds {size} MiB (bounded by sink.clickhouse.keep_days); engine {library}"
        ),
    ))
}

/// Bytes of all files below; links are not followed.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some(if metadata.is_dir() { folder_bytes(&entry.path()) } else { metadata.len() })
        })
        .sum()
}

/// For the log of `tusk run`.
pub(crate) fn log(news: News) {
    match news {
        News::Missing(why) => tracing::info!("{why}; collecting without it"),
        News::Ready { address, text } => {
            tracing::info!("embedded ClickHouse at http://{address}: {text}");
        }
        News::Ended { why, retry } => {
            let retry_in_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(retry_in_ms, "embedded ClickHouse ended: {why}");
        }
        News::Said(line) => tracing::debug!("{line}"),
    }
}

/// For the screen of `tusk up`; `key` is the file with the key.
pub(crate) fn line(news: &News, key: &str, lang: Lang) -> Option<String> {
    Some(match news {
        News::Missing(why) => {
            pick(lang, format!("ClickHouse：{why}"), format!("ClickHouse: {why}"))
        }
        News::Ready { address, .. } => {
            let curl = format!(
                "curl 'http://{address}/?database=tusk' -H \"X-ClickHouse-Key: $(cat {key})\" -d 'SELECT event, count() FROM events GROUP BY event'"
            );
            pick(
                lang,
                format!(
                    "ClickHouse 就绪：http://{address}（用户 default，口令见 {key}）。查询：\n  {curl}"
                ),
                format!(
                    "ClickHouse is ready: http://{address} (user default, key in {key}). Ask it:\n  {curl}"
                ),
            )
        }
        News::Ended { why, retry } => {
            let seconds = retry.as_secs_f64();
            pick(
                lang,
                format!("ClickHouse 退出：{why}；{seconds} 秒后重启，期间照常接收"),
                format!(
                    "ClickHouse ended: {why}; started again in {seconds} s, collecting goes on"
                ),
            )
        }
        News::Said(_) => return None,
    })
}
