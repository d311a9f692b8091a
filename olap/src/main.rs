//! ClickHouse over HTTP, embedded.
fn main() {}
