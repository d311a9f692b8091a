//! ClickHouse's HTTP interface over libchdb, for one data folder on loopback: the parts of `tusk-olap`.
//!
//! * [`sql`]: where an INSERT ends and its data begins; pure · [`codec`]: what bodies are packed in; pure
//! * [`settings`]: what can be set · [`engine`]: the folder, its lock, key and configuration, and sessions on it
//! * [`server`]: HTTP · `statement`: one statement from the first byte to the last
//! * [`chdb`]: the library's C interface, the only `unsafe` code here
//!
//! A process of its own: what kills the engine must not take the collector with it. What the engine does silently and wrongly when it
//! is asked naively stands in `docs/olap.md`, and each point has a test.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod chdb;
pub mod codec;
pub mod engine;
mod error;
pub mod server;
pub mod settings;
pub mod sql;
mod statement;
mod values;

pub use error::Exception;
