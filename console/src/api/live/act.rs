//! What only a manager may do: look at a request as it came, send it again, wait for a device to scan a code.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State as Extract};
use axum::http::{Method, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};

use super::detail::{Which, find};
use super::{audit, wire};
use crate::Shared;
use crate::error::Problem;
use crate::guard::{Manager, Viewer};
use crate::random;
use crate::tap::Event;

/// How long the receiver may take to answer a request that is sent again.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest answer read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

fn raw_of(event: &Event) -> Result<&[u8], Problem> {
    event.raw.as_deref().ok_or_else(|| {
        Problem::missing(
            "live.no_raw",
            "这条请求的原文没有保留：只有被拒收的、被跟随的设备的，或页面打开时抽样到的请求才保留。请跟随这台设备后再试",
            "this request was not kept as it came: only rejected ones, those of followed devices, and samples while a page is open are; follow the device and try again",
        )
    })
}

/// `POST /api/live/raw`: the request as it came. Written down before it is shown.
pub(super) async fn raw(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(which): Json<Which>,
) -> Result<Json<Value>, Problem> {
    let event = find(&shared, which)?;
    let raw = raw_of(&event)?;
    let what = json!({"node": event.node, "lsn": event.lsn, "index": event.index, "project": event.project});
    audit::write(&shared, &who, "raw", &what).await?;
    Ok(Json(wire::shown(&event, raw, shared.settings.receive.first())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    lsn: u64,
    index: u32,
    /// Check only, store nothing.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /api/live/replay`: sends the request again, to the configured receive URL and nowhere else.
pub(super) async fn replay(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(ask): Json<Again>,
) -> Result<Json<Value>, Problem> {
    let event = find(&shared, Which { lsn: ask.lsn, index: ask.index })?;
    let raw = raw_of(&event)?;
    let Some(receive) = shared.settings.receive.first() else {
        return Err(Problem::bad(
            "live.no_receive",
            "没有配置接收地址：请在 tusk.toml 的 [console] 里填写 receive",
            "no receive URL is configured: set `receive` under [console] in tusk.toml",
        ));
    };
    let what = json!({"lsn": event.lsn, "index": event.index, "to": receive, "dry_run": ask.dry_run});
    audit::write(&shared, &who, "replay", &what).await?;
    let request = again(raw, receive, ask.dry_run)?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let failed = |error: String| {
        Problem::new(
            StatusCode::BAD_GATEWAY,
            "live.replay",
            format!("接收地址 {receive} 没有应答：{error}"),
            format!("the receive URL {receive} did not answer: {error}"),
        )
    };
    let answer = tokio::time::timeout(ANSWER, client.request(request))
        .await
        .map_err(|_| failed(format!("{} s", ANSWER.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    let body = tokio::time::timeout(ANSWER, body).await.ok().and_then(Result::ok);
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Json(json!({"status": status, "body": String::from_utf8_lossy(&body), "to": receive})))
}

/// The request anew: path of the receive URL, query and body as they were.
fn again(raw: &[u8], receive: &str, dry_run: bool) -> Result<Request<Full<Bytes>>, Problem> {
    let broken = |error: String| {
        Problem::bad(
            "live.replay_request",
            format!("这条请求无法重发：{error}"),
            format!("this request cannot be sent again: {error}"),
        )
    };
    let parsed = event::http::parse(raw).map_err(|error| broken(error.to_string()))?;
    if parsed.body_bytes > parsed.body.len() as u64 {
        return Err(broken("cut / 原文不完整".to_owned()));
    }
    let base: Uri = receive.parse().map_err(|_| broken(receive.to_owned()))?;
    if base.scheme_str() != Some("http") {
        return Err(broken(format!("{receive}: https → curl")));
    }
    let query = String::from_utf8_lossy(parsed.query).into_owned();
    let query = if query.is_empty() { base.query().unwrap_or_default().to_owned() } else { query };
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let uri = format!("http://{authority}{}?{query}", base.path());
    let method = if parsed.method == event::Method::Post { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(uri);
    let headers = &parsed.headers;
    let known = [
        ("content-type", headers.content_type),
        ("content-encoding", headers.content_encoding),
        ("user-agent", headers.user_agent),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    if dry_run {
        request = request.header("dry-run", "true");
    }
    let body = Full::new(Bytes::from(parsed.body.into_owned()));
    request.body(body).map_err(|error| broken(error.to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairAsk {
    /// The app's own scheme, such as `sa1a2b3c4d`.
    scheme: String,
    #[serde(default)]
    project: String,
}

/// `POST /api/live/pair`: a code for the SDK's own debug scheme.
pub(super) async fn pair(
    Extract(shared): Extract<Arc<Shared>>,
    Manager(who): Manager,
    Json(ask): Json<PairAsk>,
) -> Result<Json<Value>, Problem> {
    let plain = |text: &str| {
        text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
    };
    if ask.scheme.is_empty() || !plain(&ask.scheme) || !plain(&ask.project) {
        return Err(Problem::bad(
            "live.scheme",
            "请填写 App 的 URL Scheme（形如 sa1a2b3c4d，在 SDK 接入时配置）",
            "write the app's URL scheme (such as sa1a2b3c4d, set when the SDK was integrated)",
        ));
    }
    let token = random::token().map_err(|error| Problem::daemon(&error))?;
    let info_id = token.get(..24).unwrap_or(&token).to_owned();
    if !shared.parts.live.hub.pair(&info_id) {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "live.pairs",
            "等待扫码的二维码太多，请稍后再试",
            "too many codes wait to be scanned; try again later",
        ));
    }
    audit::write(&shared, &who, "pair", &json!({"info_id": info_id, "project": ask.project})).await?;
    let project = if ask.project.is_empty() { "default" } else { &ask.project };
    let link = format!("{}://debugmode?info_id={info_id}&project={project}", ask.scheme);
    Ok(Json(json!({"info_id": info_id, "link": link})))
}

/// `GET /api/live/pair/{info_id}`: who scanned it.
pub(super) async fn paired(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
    Path(info_id): Path<String>,
) -> Result<Json<Value>, Problem> {
    match shared.parts.live.hub.paired(&info_id) {
        Some(device) => Ok(Json(json!({"device": device}))),
        None => Err(Problem::missing(
            "live.pair_old",
            "二维码已过期，请重新生成",
            "this code is too old: make a new one",
        )),
    }
}
