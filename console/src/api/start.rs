//! `/api/start/check`: whether the receive URL that the quick start page shows answers, asked from this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State as Extract;
use axum::http::{Method, Request, Uri};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::Shared;
use crate::guard::Viewer;

pub use super::{idle as run, Stateless as State};

/// How long the receiver may take: a phone would not wait longer.
const ANSWER: Duration = Duration::from_secs(5);

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/start/check", post(check))
}

fn verdict(ok: bool, zh: String, en: String) -> Json<Value> {
    Json(json!({"ok": ok, "zh": zh, "en": en}))
}

/// Asks the configured receive URL, and no other, what a browser asks before it sends: no event comes of it.
async fn check(Extract(shared): Extract<Arc<Shared>>, _: Viewer) -> Json<Value> {
    let Some(receive) = shared.settings.receive.first() else {
        return verdict(
            false,
            "没有配置接收地址：请在 tusk.toml 的 [console] 里填写 receive".to_owned(),
            "no receive URL is configured: set `receive` under [console] in tusk.toml".to_owned(),
        );
    };
    match ask(receive).await {
        Ok((status, took)) if status < 400 => verdict(
            true,
            format!("接收服务应答 {status}，用时 {} ms", took.as_millis()),
            format!("the receiver answers {status} after {} ms", took.as_millis()),
        ),
        Ok((status, _)) => verdict(
            false,
            format!("{receive} 应答 {status}：这个路径上没有启用 tusk，请核对 nginx 的 location"),
            format!("{receive} answers {status}: tusk is not enabled at this path; look at nginx's location"),
        ),
        Err(why) => verdict(
            false,
            format!("{receive} 没有应答：{why}。请确认 nginx 已启动、端口没有被防火墙挡住"),
            format!("{receive} does not answer: {why}. Is nginx running, and the port open?"),
        ),
    }
}

async fn ask(receive: &str) -> Result<(u16, Duration), String> {
    let uri: Uri = receive.parse().map_err(|_| "URL".to_owned())?;
    if uri.scheme_str() != Some("http") {
        // Certificates are the browser's to judge: the link beside the button opens it there.
        return Err("https".to_owned());
    }
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(uri)
        .header("origin", "http://tusk.invalid")
        .header("access-control-request-method", "POST")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let start = Instant::now();
    let answer = tokio::time::timeout(ANSWER, client.request(request))
        .await
        .map_err(|_| format!("{} s", ANSWER.as_secs()))?
        .map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), start.elapsed()))
}
