//! The stream itself: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use serde::Deserialize;
use serde_json::{Value, json};

use super::filter::Filter;
use super::hub::Message;
use super::{audit, detail};
use crate::error::Problem;
use crate::guard::{Viewer, Who};
use crate::settings::Role;
use crate::tap::{Event, Second};
use crate::{Shared, api};

/// What stands in the address of the stream besides the filters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    /// Keep the requests of this id whole and show it alone: the manage role's.
    follow: String,
    /// Whether some requests may be kept whole for the detail view.
    raw: Option<u8>,
}

/// `GET /api/live/stream`: `event: event` with a row, `event: tick` with counts twice a second.
pub(super) async fn stream(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Query(mut filter): Query<Filter>,
    Query(options): Query<Options>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let manages = who.role >= Role::Manage;
    if !options.follow.is_empty() {
        if !manages {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "live.follow_role",
                "跟随设备会保留它的原始请求，需要管理员身份；按用户或设备 ID 过滤不需要",
                "following a device keeps its requests whole: the manage role's; filtering by id is not",
            ));
        }
        audit::write(&shared, &who, "follow", &json!({"id": options.follow})).await?;
        filter.id.clone_from(&options.follow);
    }
    let raw = manages && options.raw != Some(0);
    let Some(messages) = shared.parts.live.hub.open(filter, raw, options.follow) else {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "live.pages",
            "打开的实时页太多（上限 100 个），请关掉一些",
            "too many live pages are open (100 at most): close some",
        ));
    };
    let told = unfold((messages, who), |(mut messages, who)| async move {
        let message = messages.recv().await?;
        Some((Ok(sent(&message, &who)), (messages, who)))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(told).keep_alive(alive))
}

fn sent(message: &Message, who: &Who) -> Sent {
    let (name, value) = match message {
        Message::Event(event, past) => {
            let mut value = row(event, who);
            value["past"] = json!(past);
            ("event", value)
        }
        Message::Tick(tick) => ("tick", json!(tick)),
    };
    Sent::default().event(name).json_data(value).unwrap_or_default()
}

/// What a list shows of an event.
pub(super) fn row(event: &Event, who: &Who) -> Value {
    let mut value = json!({
        "lsn": event.lsn,
        "index": event.index,
        "recv_ms": event.recv_ms,
        "time_ms": event.time_ms,
        "project": event.project,
        "kind": event.kind,
        "event": event.event,
        "user": event.user,
        "sdk": event.sdk,
        "sdk_version": event.sdk_version,
        "app_version": event.app_version,
        "ip": event.ip,
        "verdict": event.verdict,
        "duplicate": event.duplicate,
        "codes": event.codes.iter().map(|code| &code.code).collect::<Vec<_>>(),
        "raw": event.raw.is_some(),
    });
    detail::mask(&mut value, who);
    value
}

/// `GET /api/live/seconds`: events a second of the last half hour.
pub(super) async fn seconds(
    Extract(shared): Extract<Arc<Shared>>,
    _: Viewer,
) -> Json<Vec<Second>> {
    Json(api::blocking(&shared, |shared| shared.backend.seconds()).await)
}
