//! The MySQL sink: a debug store for verifying tracking. One table a person can query, rejected events included.
//!
//! A range is one transaction: its rows, keyed by identity, and the position. Delivered again it changes nothing.

mod audit;
mod config;
mod insert;
mod link;
mod row;
mod schema;

pub use config::{Config, Tls};

use super::{
    AuditContext, Common, Context, DeliverError, Range, Receipt, Replay, Sink, SinkConfig,
};
use crate::disk::Disk;
use crate::facts::flag;
use crate::ledger::Audit;
use crate::range::{EventView, Shown};
use crate::state::State;
use insert::Batch;
use jiff::tz::TimeZone;
use link::Link;
use row::Rows;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The sink's word, also of its position row.
const NAME: &str = "mysql";
/// A statement's bytes after failures.
const STATEMENT_BYTES_MIN: usize = 16 << 10;
/// How often old rows are looked for, ms.
const EXPIRE_MS: i64 = 60_000;
/// Statements of one look: more wait for the next, so that delivery goes on.
const EXPIRE_STATEMENTS: u32 = 20;
/// How often the positions of the other sinks are written, ms, if they moved.
const POSITIONS_MS: i64 = 2_000;

impl SinkConfig for Config {
    fn common(&self) -> Common {
        Common {
            enabled: self.enabled,
            required: self.required,
            lag_bytes_max: self.lag_bytes_max,
            range_bytes_max: self.range_bytes_max,
            range_age_ms_max: self.range_age_ms_max,
            start: self.start,
            rejected_too: true,
        }
    }

    fn problems(&self) -> Vec<(String, String)> {
        self.problems()
    }

    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String> {
        Ok(Box::new(MysqlSink::new(self, context)?))
    }

    fn probe(&self, _: &Context) -> Result<String, String> {
        let quick = Self {
            connect_timeout_ms: self.connect_timeout_ms.min(4000),
            timeout_ms: self.timeout_ms.min(2000),
            ..self.clone()
        };
        probe(&quick).map_err(|failure| DeliverError::from(failure).to_string())
    }

    fn audit(&self, context: &AuditContext) -> Result<Audit, String> {
        audit::audit(self, context)
    }
}

/// Version, size of the table, how long rows stay, and what a crash could cost.
fn probe(config: &Config) -> Result<String, link::Failure> {
    let mut link = Link::new(config, None);
    link.up()?;
    let table = &config.table;
    let mut said = format!("{}, database {}", link.version(), config.database);
    if schema::columns(&mut link, table)?.is_empty() {
        said += &format!(", table {table} will be made");
    } else {
        schema::check(&mut link, table)?;
        let sizes: Vec<(Option<u64>, Option<u64>)> = link.rows(
            "SELECT TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
            vec![table.as_str().into()],
        )?;
        let (rows, bytes) = sizes.into_iter().next().unwrap_or_default();
        let mb = bytes.unwrap_or(0) >> 20;
        said += &format!(", table {table}: about {} rows, {mb} MB", rows.unwrap_or(0));
    }
    said += &match config.keep_hours {
        0 => ", rows are kept for ever (sink.mysql.keep_hours)".to_owned(),
        hours => format!(", rows are kept {hours} h"),
    };
    if !link.flush_at_commit() {
        said += "; a power cut may lose its last second: set innodb_flush_log_at_trx_commit = 1";
    }
    Ok(said)
}

/// The sink.
struct MysqlSink {
    config: Config,
    link: Link,
    rows: Rows,
    node: String,
    zone: TimeZone,
    disk: Arc<dyn Disk>,
    /// State files of the other sinks, whose positions are written beside ours.
    others: Vec<(String, PathBuf)>,
    positions: HashMap<String, u64>,
    /// Whether the position at the database may lie ahead: the state is new, so nobody knows better.
    anew: bool,
    /// Bytes of one statement now.
    statement_bytes: usize,
    expire_ms: i64,
    positions_ms: i64,
}

impl MysqlSink {
    fn new(config: &Config, context: &Context) -> Result<Self, String> {
        let folder = context.data.join("state");
        let others = context.sinks.iter().filter(|name| *name != NAME);
        Ok(Self {
            config: config.clone(),
            link: Link::new(config, Some(&context.node)),
            rows: Rows::new(context, config.sample)?,
            node: context.node.clone(),
            zone: TimeZone::get(context.zone.name()).map_err(|error| error.to_string())?,
            disk: Arc::clone(&context.disk),
            others: others.map(|name| (name.clone(), folder.join(format!("{name}.state")))).collect(),
            positions: HashMap::new(),
            anew: context.state.is_none(),
            statement_bytes: config.statement_bytes_max,
            expire_ms: 0,
            positions_ms: 0,
        })
    }

    fn up(&mut self) -> Result<(), DeliverError> {
        if self.link.up()?
            && let Err(failure) = schema::ensure(&mut self.link, &self.config.table)
        {
            self.link.lose();
            return Err(failure.into());
        }
        Ok(())
    }

    /// Rows, and for a delivery the position, in one transaction.
    fn write(
        &mut self,
        range: &mut Range<'_>,
        replay: Option<&Replay>,
    ) -> Result<Receipt, DeliverError> {
        self.up()?;
        let written = self.transaction(range, replay);
        if written.is_err() {
            // What it began ends with it. Over a slow network the next try must fit into the time limit.
            self.link.lose();
            self.statement_bytes = (self.statement_bytes / 4).max(STATEMENT_BYTES_MIN);
        } else {
            self.statement_bytes = (self.statement_bytes * 2).min(self.config.statement_bytes_max);
        }
        written
    }

    fn transaction(
        &mut self,
        range: &mut Range<'_>,
        replay: Option<&Replay>,
    ) -> Result<Receipt, DeliverError> {
        self.link.exec("START TRANSACTION", Vec::new())?;
        if replay.is_none() {
            self.compare(range)?;
        }
        let mut receipt = Receipt::default();
        let mut batch = Batch::default();
        let mut failed = None;
        let read = range.read(&mut |shown| {
            let Shown::Event(event) = shown else { return Ok(()) };
            if replay.is_some_and(|replay| !replay.is_missing(event.lsn, event.index)) {
                return Ok(());
            }
            self.take(event, &mut batch, &mut receipt).map_err(|failure| {
                failed = Some(failure);
                io::Error::other("stopped")
            })
        });
        if let Some(failure) = failed {
            return Err(failure.into());
        }
        read?;
        batch.send(&mut self.link, &self.config.table, &mut receipt.refused)?;
        receipt.delivered -= receipt.refused.len() as u64;
        if replay.is_none() {
            let saved = row::moment(&self.zone, crate::engine::now_ms());
            let values = insert::position_values(&self.node, NAME, range.to, saved);
            self.link.exec(&insert::position(&self.config.table), values)?;
        }
        self.link.exec("COMMIT", Vec::new())?;
        Ok(receipt)
    }

    /// Puts an event's row into the batch; a full one is sent before. `delivered` counts what is refused too, until the end.
    fn take(
        &mut self,
        event: &EventView<'_>,
        batch: &mut Batch,
        receipt: &mut Receipt,
    ) -> Result<(), link::Failure> {
        let counts = event.fact.has(flag::KEPT);
        if !self.rows.wants(event) {
            receipt.sampled_out += u64::from(counts);
            return Ok(());
        }
        receipt.delivered += u64::from(counts);
        let mut row = self.rows.row(event);
        let row_bytes_max = self.link.row_bytes_max();
        let bytes = row.bytes();
        if !row.fit(row_bytes_max) {
            // Sent all the same, it would end the connection, for ever again.
            if counts {
                receipt.refused.push(super::Refused {
                    lsn: row.lsn,
                    index: row.index,
                    reason: format!(
                        "its row has {bytes} bytes, the server's max_allowed_packet leaves {row_bytes_max}: raise it there"
                    ),
                });
            }
            return Ok(());
        }
        let Config { table, statement_rows_max, .. } = &self.config;
        let bytes_max = row_bytes_max.min(self.statement_bytes);
        if batch.is_full_for(&row, *statement_rows_max, bytes_max) {
            batch.send(&mut self.link, table, &mut receipt.refused)?;
        }
        batch.push(row);
        Ok(())
    }

    /// The database's position against ours: it may be behind (it was set back; the audit finds what is missing), never ahead.
    fn compare(&mut self, range: &Range<'_>) -> Result<(), DeliverError> {
        let sql = format!(
            "SELECT `lsn` FROM `{}_sinks` WHERE `node` = ? AND `sink` = ? FOR UPDATE",
            self.config.table
        );
        let found: Vec<u64> =
            self.link.rows(&sql, vec![self.node.as_str().into(), NAME.into()])?;
        match found.first() {
            Some(lsn) if *lsn > range.to && !self.anew => Err(DeliverError::Stop(self.link.say(&format!(
                "it holds position {lsn} of node {}, this journal is at {}: a copy of this data folder ships there too, or the \
                 folder was restored from an older backup; end the other, or start this sink anew with `tusk migrate --reset mysql`",
                self.node, range.to
            )))),
            _ => Ok(()),
        }
    }

    /// Deletes what is too old, a few rows a statement.
    fn expire(&mut self, now_ms: i64) -> Result<(), DeliverError> {
        if self.config.keep_hours == 0 || now_ms - self.expire_ms < EXPIRE_MS {
            return Ok(());
        }
        self.up()?;
        let before = now_ms - i64::from(self.config.keep_hours) * 3_600_000;
        let rows = self.config.delete_rows_max;
        let sql = format!(
            "DELETE FROM `{}` WHERE `received` < ? ORDER BY `received` LIMIT {rows}",
            self.config.table
        );
        for _ in 0..EXPIRE_STATEMENTS {
            let deleted = self.link.exec(&sql, vec![row::moment(&self.zone, before)]);
            if let Err(failure) = deleted {
                self.link.lose();
                return Err(failure.into());
            }
            if self.link.affected() < u64::from(rows) {
                self.expire_ms = now_ms;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes how far the other sinks are, so that a query tells where an event has arrived.
    fn tell_positions(&mut self, now_ms: i64) -> Result<(), DeliverError> {
        if now_ms - self.positions_ms < POSITIONS_MS {
            return Ok(());
        }
        self.positions_ms = now_ms;
        let mut moved = Vec::new();
        for (name, path) in &self.others {
            // A sink of this moment may not have a state yet.
            let Ok(Some(state)) = State::load(self.disk.as_ref(), path) else { continue };
            if state.node == self.node && self.positions.get(name) != Some(&state.done) {
                moved.push((name.clone(), state.done));
            }
        }
        self.write_positions(&moved, now_ms)?;
        self.positions.extend(moved);
        Ok(())
    }

    fn write_positions(&mut self, moved: &[(String, u64)], now_ms: i64) -> Result<(), DeliverError> {
        if moved.is_empty() {
            return Ok(());
        }
        self.up()?;
        let saved = row::moment(&self.zone, now_ms);
        for (name, lsn) in moved {
            let values = insert::position_values(&self.node, name, *lsn, saved.clone());
            if let Err(failure) = self.link.exec(&insert::position(&self.config.table), values) {
                self.link.lose();
                return Err(failure.into());
            }
        }
        Ok(())
    }
}

impl Sink for MysqlSink {
    fn target(&self) -> String {
        self.config.target()
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        let receipt = self.write(range, None)?;
        self.anew = false;
        Ok(receipt)
    }

    fn replay(&mut self, range: &mut Range<'_>, replay: &Replay) -> Result<Receipt, DeliverError> {
        self.write(range, Some(replay))
    }

    fn tick(&mut self, now_ms: i64, _: i64) -> Result<(), DeliverError> {
        self.expire(now_ms)?;
        self.tell_positions(now_ms)
    }
}
