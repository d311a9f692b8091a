//! Statements of many rows, split by bytes; a row the server never takes is found and left out.

use super::link::{Failure, Link};
use super::row::Row;
use super::schema::COLUMNS;
use crate::sink::Refused;
use mysql_async::Value;

/// Rows that wait for a statement.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Vec<Row>,
    bytes: usize,
}

impl Batch {
    /// Whether `row` must wait for the next statement.
    pub(super) fn is_full_for(&self, row: &Row, rows_max: usize, bytes_max: usize) -> bool {
        let Some(first) = self.rows.first() else { return false };
        self.rows.len() >= rows_max
            || self.bytes + row.bytes() > bytes_max
            // The two are written by different statements.
            || first.redriven != row.redriven
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: Row) {
        self.bytes += row.bytes();
        self.rows.push(row);
    }

    /// Writes the rows; those the server refuses for good are added to `refused` where they count.
    pub(super) fn send(
        &mut self,
        link: &mut Link,
        table: &str,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failure> {
        self.bytes = 0;
        let mut rows = std::mem::take(&mut self.rows);
        put(link, table, &mut rows, refused)
    }
}

/// One statement, or two halves where a row of it is refused: a bad one among 500 is found in nine steps.
fn put(
    link: &mut Link,
    table: &str,
    rows: &mut [Row],
    refused: &mut Vec<Refused>,
) -> Result<(), Failure> {
    let Some(first) = rows.first() else { return Ok(()) };
    let values = rows.iter().flat_map(|row| row.values.iter().cloned()).collect();
    match link.exec(&statement(table, rows.len(), first.redriven), values) {
        Ok(()) => return Ok(()),
        Err(Failure::Row(reason)) => {
            if let [row] = rows {
                // Deeper than the database parses, or a number larger than it knows: the bytes in `raw` are whole all the same.
                if row.drop_json() {
                    return put(link, table, rows, refused);
                }
                if row.counts {
                    refused.push(Refused { lsn: row.lsn, index: row.index, reason });
                }
                return Ok(());
            }
        }
        Err(other) => return Err(other),
    }
    let (left, right) = rows.split_at_mut(rows.len() / 2);
    put(link, table, left, refused)?;
    put(link, table, right, refused)
}

/// An insert that leaves a row alone which is there. Not `INSERT IGNORE`: that would also cut and change values silently.
/// What comes out of quarantine replaces what stood there.
fn statement(table: &str, rows: usize, redriven: bool) -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|name| format!("`{name}`")).collect();
    let marks = format!("({})", ["?"; COLUMNS.len()].join(","));
    let mut sql = format!("INSERT INTO `{table}` ({}) VALUES {marks}", columns.join(","));
    for _ in 1..rows {
        sql.push(',');
        sql.push_str(&marks);
    }
    sql.push_str(" ON DUPLICATE KEY UPDATE ");
    if redriven {
        let set: Vec<String> =
            columns.iter().skip(3).map(|name| format!("{name}=VALUES({name})")).collect();
        sql.push_str(&set.join(","));
    } else {
        sql.push_str("`lsn`=`lsn`");
    }
    sql
}

/// The statement that moves a sink's position.
pub(super) fn position(table: &str) -> String {
    format!(
        "INSERT INTO `{table}_sinks` (`node`,`sink`,`lsn`,`saved`) VALUES (?,?,?,?) \
         ON DUPLICATE KEY UPDATE `lsn`=VALUES(`lsn`),`saved`=VALUES(`saved`)"
    )
}

/// Values of [`position`].
pub(super) fn position_values(node: &str, sink: &str, lsn: u64, saved: Value) -> Vec<Value> {
    vec![node.into(), sink.into(), Value::UInt(lsn), saved]
}
