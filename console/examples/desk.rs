//! The console alone over a ClickHouse, without a daemon: for work on reports and pages.
//! `cargo run -p console --example desk -- 127.0.0.1:8190 http://127.0.0.1:8124 KEY [DATABASE] [WEB_FOLDER]`
// An example has one way to report.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use console::{Access, Backend, Console, Settings};
use serde_json::{Value, json};

#[derive(Debug)]
struct Nobody;

impl Backend for Nobody {
    fn ask(&self, request: Value) -> Result<Value, String> {
        match request["cmd"].as_str() {
            Some("status") => Ok(json!({"ready": true, "problems": [], "sinks": []})),
            _ => Err("there is no daemon behind this console".to_owned()),
        }
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8190".to_owned());
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8124".to_owned());
    let password = arguments.next().unwrap_or_default();
    let database = arguments.next().unwrap_or_else(|| "tusk".to_owned());
    let web = arguments.next().map(Into::into);
    let folder = std::env::temp_dir().join(format!("tusk-desk-{}", std::process::id()));
    let settings = Settings {
        folder,
        web,
        loopback: true,
        users: Vec::new(),
        tokens: Vec::new(),
        lang: "zh",
        clickhouse: Some(Access {
            url,
            user: "default".to_owned(),
            password,
            database,
            embedded: true,
        }),
        receive: vec!["http://127.0.0.1:8106/sa".to_owned()],
        timezone: "Asia/Shanghai".to_owned(),
        node: "desk-1".to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        query_timeout_s: 30,
        query_memory_bytes_max: 2 << 30,
        export_rows_max: 1_000_000,
        session_idle_min: 720,
    };
    let console = Console::new(settings, Arc::new(Nobody)).unwrap();
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    println!("http://{}/?key={}", listener.local_addr().unwrap(), console.invite());
    let tasks = console.clone();
    tokio::spawn(async move { tasks.run().await });
    axum::serve(listener, console.router()).await.unwrap();
}
