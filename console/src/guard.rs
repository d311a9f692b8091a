//! Who may do what. The host name is checked by the server this is merged into; here: origin, session, role, action token, and the
//! headers that keep a page from running or showing anything not ours.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::Shared;
use crate::error::Problem;
use crate::random::same;
use crate::settings::Role;

/// Name of the session's cookie.
pub const COOKIE: &str = "tusk_session";
/// Header of an action's token.
pub const ACTION: &str = "x-tusk-token";

/// Nothing but what this server sends; no inline script or style, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// User's or program's name; `local` for somebody on this machine who did not log in.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// The token their actions must bring; empty for programs, and for those who may not act.
    pub action: String,
}

/// Somebody who may look.
#[derive(Clone, Debug)]
pub struct Viewer(pub Who);

/// Somebody who may act, and who did so on purpose (the action token was there).
#[derive(Clone, Debug)]
pub struct Manager(pub Who);

/// Checks a request before anything else sees it, and dresses its answer.
pub async fn guard(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(problem) = same_origin(request.method(), request.headers()) {
        return dressed(problem.into_response());
    }
    if let Some(who) = who(&shared, request.headers()) {
        request.extensions_mut().insert(who);
    }
    dressed(next.run(request).await)
}

fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CACHE_CONTROL, "no-store");
    response
}

/// A page of another site must not act through the user's browser.
fn same_origin(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    let foreign_site = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let host = text(header::HOST).unwrap_or_default();
    let foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        name != Some(host)
    });
    if foreign_site || foreign_origin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "guard.origin",
            "请求来自别的网站，已拒绝；请从控制台页面操作",
            "this request comes from another site; act from the console's own page",
        ));
    }
    Ok(())
}

/// The cookie's value.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn who(shared: &Shared, headers: &HeaderMap) -> Option<Who> {
    let settings = &shared.settings;
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        let known = settings.tokens.iter().find(|known| same(&known.token, token))?;
        return Some(Who { user: known.name.clone(), role: known.role, action: String::new() });
    }
    let idle = Duration::from_secs(u64::from(settings.session_idle_min) * 60);
    if let Some(session) = cookie(headers).and_then(|id| shared.sessions.find(id, idle)) {
        return Some(Who { user: session.user, role: session.role, action: session.action });
    }
    let open = settings.loopback && settings.users.is_empty();
    open.then(|| Who { user: "local".to_owned(), role: Role::View, action: String::new() })
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Who>().cloned().map(Self).ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "guard.login", "请先登录", "log in first")
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Viewer(who) = Viewer::from_request_parts(parts, state).await?;
        if who.role < Role::Manage {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "guard.role",
                "只读身份不能做这个操作；请用管理员登录，或在终端运行 `tusk console` 打开它给出的地址",
                "you may look but not act; log in as a manager, or run `tusk console` and open the address it prints",
            ));
        }
        // A program proves its purpose by its own token, which no browser adds by itself.
        let program = parts.headers.contains_key(header::AUTHORIZATION);
        let token = parts.headers.get(ACTION).and_then(|value| value.to_str().ok());
        if !program && !token.is_some_and(|token| same(token, &who.action)) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "guard.token",
                "页面已过期，请刷新后重试",
                "this page is out of date: reload it and try again",
            ));
        }
        Ok(Self(who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn another_site_may_not_act() {
        let host = ("host", "127.0.0.1:8190");
        for own in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:8190")],
            &[host, ("origin", "http://127.0.0.1:8190"), ("sec-fetch-site", "same-origin")],
        ] {
            assert_eq!(same_origin(&Method::POST, &headers(own)), Ok(()), "{own:?}");
        }
        for foreign in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:8191")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(same_origin(&Method::POST, &headers(foreign)).is_err(), "{foreign:?}");
            assert_eq!(same_origin(&Method::GET, &headers(foreign)), Ok(()));
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let one = headers(&[("cookie", "a=b; tusk_session=abc; tusk_session_x=1")]);
        assert_eq!(cookie(&one), Some("abc"));
        assert_eq!(cookie(&headers(&[("cookie", "xtusk_session=abc")])), None);
    }
}
