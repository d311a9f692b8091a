//! Real servers that sinks deliver to. Each starts on free ports in a folder of its own and ends with the value that owns it.

pub mod hdfs;
pub mod kafka;
pub mod mariadb;
pub mod olap;
