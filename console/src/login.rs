//! `/api/session`, `/api/login`, `/api/logout`, and `/?key=…`: the one-time address that `tusk up` and `tusk console` print.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Shared;
use crate::api::blocking;
use crate::error::Problem;
use crate::guard::{COOKIE, Manager, Viewer, cookie};
use crate::random::same;
use crate::settings::Role;

/// The routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/session", get(session))
        .route("/api/login", post(login))
        .route("/api/invite", post(invite))
        .route("/api/invited", post(invited))
        .route("/api/logout", post(logout))
}

/// Who asks, and what a page needs to know from the start.
async fn session(State(shared): State<Arc<Shared>>, Viewer(who): Viewer) -> Json<Value> {
    let status = blocking(&shared, |shared| {
        shared.backend.ask(json!({"cmd": "status"})).unwrap_or_default()
    })
    .await;
    let settings = &shared.settings;
    Json(json!({
        "user": who.user,
        "role": who.role,
        "token": who.action,
        "lang": settings.lang,
        "node": settings.node,
        "version": settings.version,
        "timezone": settings.timezone,
        "receive": settings.receive,
        "login": !settings.users.is_empty(),
        "clickhouse": settings.clickhouse.as_ref().map(|access| json!({"embedded": access.embedded, "database": access.database})),
        "ready": status["ready"],
        "problems": status["problems"],
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

/// Wrong passwords wait, longer each time; an unknown user takes as long as a known one.
async fn login(
    State(shared): State<Arc<Shared>>,
    Json(ask): Json<Login>,
) -> Result<Response, Problem> {
    let Some(delay) = shared.sessions.delay() else {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "login.busy",
            "登录尝试太多，请稍后再试",
            "too many logins at once; try again in a moment",
        ));
    };
    tokio::time::sleep(delay).await;
    let mut found = None;
    for user in &shared.settings.users {
        let right = same(&user.password, &ask.password) & same(&user.name, &ask.user);
        if right && !user.password.is_empty() {
            found = Some(user);
        }
    }
    shared.sessions.tried(found.is_some());
    let Some(user) = found else {
        tracing::warn!("console: a login failed");
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "login.wrong",
            "用户名或密码不对",
            "wrong user or password",
        ));
    };
    opened(&shared, &user.name, user.role)
}

fn opened(shared: &Shared, user: &str, role: Role) -> Result<Response, Problem> {
    let id = shared.sessions.open(user, role).map_err(|error| Problem::daemon(&error))?;
    let value = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict");
    let value =
        HeaderValue::try_from(value).map_err(|error| Problem::daemon(&error.to_string()))?;
    Ok(([(header::SET_COOKIE, value)], Json(json!({"user": user, "role": role}))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invited {
    key: String,
}

/// The page hands in the key of its address.
async fn invited(
    State(shared): State<Arc<Shared>>,
    Json(ask): Json<Invited>,
) -> Result<Response, Problem> {
    if !shared.sessions.accept(&ask.key) {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "login.key",
            "这个一次性地址已用过或过期；在终端运行 `tusk console` 取新的",
            "this one-time address was used or is too old; run `tusk console` for a new one",
        ));
    }
    opened(&shared, "owner", Role::Manage)
}

/// A further one-time key, for another browser.
async fn invite(State(shared): State<Arc<Shared>>, Manager(_): Manager) -> Json<Value> {
    Json(json!({"key": shared.sessions.invite()}))
}

async fn logout(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(id) = cookie(&headers) {
        shared.sessions.close(id);
    }
    let value =
        HeaderValue::from_static("tusk_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    ([(header::SET_COOKIE, value)], Json(json!({}))).into_response()
}
