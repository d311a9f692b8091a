//! Targets of every sink, as [`crate::contract`] and the fault runs use them: the real server, the settings that deliver to it, and its
//! own way to read back what it holds.

mod clickhouse;
mod file;
pub mod hdfs;
mod kafka;
mod mysql;

pub use clickhouse::ClickhouseTarget;
pub use file::FileTarget;
pub use hdfs::HdfsTarget;
pub use kafka::KafkaTarget;
pub use mysql::MysqlTarget;

use crate::contract::Target;
use crate::oracle::Seen;
use crate::sdk::Stored;

/// One of each; the servers start side by side.
///
/// # Panics
/// If one does not come up.
#[must_use]
pub fn all() -> Vec<Box<dyn Target>> {
    let hdfs = std::thread::spawn(|| HdfsTarget::start(hdfs::Form::Parquet));
    let kafka = std::thread::spawn(KafkaTarget::start);
    let clickhouse = ClickhouseTarget::start();
    let mysql = MysqlTarget::start();
    vec![
        Box::new(FileTarget),
        Box::new(kafka.join().unwrap()),
        Box::new(hdfs.join().unwrap()),
        Box::new(clickhouse),
        Box::new(mysql),
    ]
}

/// Events of lines or values of shape `server`.
///
/// # Panics
/// If one is not of the load.
#[track_caller]
fn seen<'l>(lines: impl IntoIterator<Item = &'l str>) -> Vec<Seen> {
    let one = |line: &str| {
        Seen::of(&Stored::parse(line)).unwrap_or_else(|| panic!("not of this client: {line}"))
    };
    lines.into_iter().map(one).collect()
}
