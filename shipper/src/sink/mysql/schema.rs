//! The tables: made, migrated and checked by us.

use super::link::{Failure, Link};
use mysql_async::Value;

/// Columns of the table in the order of every insert.
pub(super) const COLUMNS: [&str; 20] = [
    "node",
    "lsn",
    "idx",
    "received",
    "time",
    "project",
    "type",
    "event",
    "user",
    "platform",
    "sdk_version",
    "version",
    "ip",
    "result",
    "codes",
    "reason",
    "duplicate",
    "went",
    "json",
    "raw",
];

/// Version of the tables; one list of statements leads to each from the one before. `{t}` is the table's name.
const MIGRATIONS: [&[&str]; 1] = [&[
    "CREATE TABLE IF NOT EXISTS `{t}` (
  `node` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT '采集机器；与 lsn、idx 一起是事件的唯一身份',
  `lsn` BIGINT UNSIGNED NOT NULL COMMENT '所在请求在日志中的位置',
  `idx` INT UNSIGNED NOT NULL COMMENT '在请求中的序号',
  `received` DATETIME(3) NOT NULL COMMENT '到达时间，时区为 tusk.toml 的 timezone',
  `time` DATETIME(3) NULL COMMENT '事件时间，已按发送时间校正，时区同上',
  `project` VARCHAR(255) NOT NULL COMMENT '项目',
  `type` VARCHAR(32) NOT NULL COMMENT 'track、profile_set 等',
  `event` VARCHAR(255) NOT NULL COMMENT '事件名；profile、item 为空',
  `user` VARCHAR(255) NOT NULL COMMENT 'distinct_id 或 item_id',
  `platform` VARCHAR(64) NOT NULL COMMENT '$lib：iOS、Android、js、MiniProgram 等',
  `sdk_version` VARCHAR(64) NOT NULL COMMENT '$lib_version',
  `version` VARCHAR(64) NOT NULL COMMENT '$app_version',
  `ip` VARCHAR(64) NOT NULL COMMENT '客户端地址',
  `result` ENUM('kept','problems','rejected') NOT NULL COMMENT '正常入库、入库但有问题、拒收',
  `codes` VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT '错误码，空格分隔，见 docs/codes.md',
  `reason` TEXT NOT NULL COMMENT '原因、位置、收到什么、怎么改、如何处理；每个错误码一行',
  `duplicate` BOOLEAN NOT NULL COMMENT '重复上报（D001）',
  `went` VARCHAR(255) NOT NULL COMMENT '去向：各目标，或 quarantine（隔离区）',
  `json` JSON NULL COMMENT '解析后的事件与 _server；无法解析或数据库不接受时为 NULL',
  `raw` LONGTEXT NOT NULL COMMENT 'SDK 上报的原文；整个请求无法打开时为请求原文',
  PRIMARY KEY (`node`, `lsn`, `idx`),
  KEY `received` (`received`),
  KEY `event` (`event`, `received`),
  KEY `user` (`user`, `received`),
  KEY `result` (`result`, `received`)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Tusk 埋点调试'",
    "CREATE TABLE IF NOT EXISTS `{t}_sinks` (
  `node` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT '采集机器',
  `sink` VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT '目标',
  `lsn` BIGINT UNSIGNED NOT NULL COMMENT '此位置之前的事件都已交给该目标',
  `saved` DATETIME(3) NOT NULL COMMENT '本行写入时间',
  PRIMARY KEY (`node`, `sink`)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='Tusk：各目标的进度'",
]];

/// Makes or migrates the tables, then checks them; called after each new connection.
pub(super) fn ensure(link: &mut Link, table: &str) -> Result<(), Failure> {
    let found = version(link, table)?;
    let ours = MIGRATIONS.len() as u64;
    if found > ours {
        return Err(Failure::Other(link.say(&format!(
            "table `{table}` is of version {found}, this tusk writes version {ours}: run the newer tusk, or name another `table`"
        ))));
    }
    if found < ours {
        migrate(link, table)?;
    }
    check(link, table)
}

/// Version of the tables there; 0 if there are none of ours.
fn version(link: &mut Link, table: &str) -> Result<u64, Failure> {
    if columns(link, &format!("{table}_schema"))?.is_empty() {
        return Ok(0);
    }
    let found: Vec<Option<u64>> =
        link.rows(&format!("SELECT MAX(`version`) FROM `{table}_schema`"), Vec::new())?;
    Ok(found.into_iter().next().flatten().unwrap_or(0))
}

/// Takes the steps that are missing, one node at a time.
fn migrate(link: &mut Link, table: &str) -> Result<(), Failure> {
    let lock = Value::from(format!("tusk.{table}"));
    let locked: Vec<Option<u64>> = link.rows("SELECT GET_LOCK(?, 10)", vec![lock.clone()])?;
    if locked.first() != Some(&Some(1)) {
        return Err(Failure::Other(link.say("another tusk makes the tables right now")));
    }
    link.exec(
        &format!(
            "CREATE TABLE IF NOT EXISTS `{table}_schema` (`version` INT UNSIGNED NOT NULL PRIMARY KEY) ENGINE=InnoDB"
        ),
        Vec::new(),
    )?;
    let found = version(link, table)?;
    for (number, steps) in (1u64..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        for step in steps {
            link.exec(&step.replace("{t}", table), Vec::new())?;
        }
        link.exec(
            &format!("INSERT INTO `{table}_schema` (`version`) VALUES ({number})"),
            Vec::new(),
        )?;
    }
    let _: Vec<Option<u64>> = link.rows("SELECT RELEASE_LOCK(?)", vec![lock])?;
    Ok(())
}

/// A table of that name that is not ours, or was changed so that rows no longer fit.
pub(super) fn check(link: &mut Link, table: &str) -> Result<(), Failure> {
    let there = columns(link, table)?;
    let missing: Vec<&str> =
        COLUMNS.into_iter().filter(|name| !there.iter().any(|column| column == name)).collect();
    if !missing.is_empty() {
        return Err(Failure::Other(link.say(&format!(
            "table `{table}` has no column {}: it is not Tusk's, or an old one; name another `table`, or rename that one",
            missing.join(", ")
        ))));
    }
    let engines: Vec<Option<String>> = link.rows(
        "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
        vec![table.into()],
    )?;
    match engines.first() {
        Some(Some(engine)) if engine.eq_ignore_ascii_case("InnoDB") => Ok(()),
        other => Err(Failure::Other(link.say(&format!(
            "table `{table}` has engine {}, which knows no transactions: ALTER TABLE `{table}` ENGINE=InnoDB",
            other.and_then(Option::as_deref).unwrap_or("(none)")
        )))),
    }
}

/// Names of a table's columns; empty if there is no such table.
pub(super) fn columns(link: &mut Link, table: &str) -> Result<Vec<String>, Failure> {
    link.rows(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
        vec![table.into()],
    )
}
