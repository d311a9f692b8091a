//! Prints a report's statements as JSON: `cargo run -p analytics --example report NAME PARAMS [ZONE [NOW_MS]]`.
// An example has one way to report.
#![allow(clippy::unwrap_used)]

use analytics::report::{Context, Params, find};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = find(&arguments[0]).unwrap();
    let params = Params(serde_json::from_str(&arguments[1]).unwrap());
    let zone = arguments.get(2).map_or("UTC", String::as_str);
    let now_ms = arguments.get(3).and_then(|now| now.parse().ok()).unwrap_or(0);
    let parts = (report.build)(&params, &Context { timezone: zone, now_ms }).unwrap();
    for part in parts {
        println!(
            "{}",
            serde_json::json!({"name": part.name, "sql": part.sql, "params": part.params})
        );
    }
}
