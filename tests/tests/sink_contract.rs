//! Every sink holds the same contract against its real server: see `tusk_tests::contract`.

use tusk_tests::contract::hold;
use tusk_tests::targets::hdfs::Form;
use tusk_tests::targets::{ClickhouseTarget, FileTarget, HdfsTarget, KafkaTarget, MysqlTarget};

#[test]
fn files_hold_the_contract() {
    hold(&mut FileTarget);
}

#[test]
fn hdfs_holds_the_contract() {
    hold(&mut HdfsTarget::start(Form::Parquet));
}

#[test]
fn clickhouse_holds_the_contract() {
    hold(&mut ClickhouseTarget::start());
}

#[test]
fn kafka_holds_the_contract() {
    hold(&mut KafkaTarget::start());
}

#[test]
fn mysql_holds_the_contract() {
    hold(&mut MysqlTarget::start());
}

#[test]
fn webhdfs_holds_the_contract() {
    hold(&mut HdfsTarget::start(Form::WebLines));
}
