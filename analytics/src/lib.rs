//! The ClickHouse schema of tracking events, as numbered migrations in `sql/`.
#![forbid(unsafe_code)]
