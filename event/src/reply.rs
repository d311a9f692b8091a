//! What to answer. The house rule: 200 with a small body for everything we hold, good or bad; some SDKs delete their data at a
//! 4xx, others send the same poison again for ever, and four take 204 for an error.

use crate::{Method, Outcome, Request};

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// HTTP status.
    pub status: u16,
    /// Body and its content type.
    pub body: Body<'a>,
}

/// Body of a [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// No body.
    Empty,
    /// `application/json`.
    Json(&'a [u8]),
    /// `text/html`: what the debug address shows a person.
    Html(&'static [u8]),
    /// `image/gif`: [`GIF`].
    Gif,
}

/// A transparent image of one pixel, 43 bytes.
pub const GIF: &[u8; 43] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0\
    !\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

impl<'a> Body<'a> {
    /// The bytes to send.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Empty => b"",
            Self::Json(text) => text,
            Self::Html(page) => page,
            Self::Gif => GIF,
        }
    }

    /// Value of `Content-Type`; `None` without a body.
    #[must_use]
    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Json(_) => Some("application/json"),
            Self::Html(_) => Some("text/html; charset=utf-8"),
            Self::Gif => Some("image/gif"),
        }
    }
}

/// What a person sees who opens the debug address in a browser: what to write into the SDK, and a check that the way is open.
pub(crate) const DEBUG_PAGE: &[u8] = include_bytes!("debug.html");

/// The answer where no verdict was asked for.
pub(crate) fn plain(request: &Request<'_>, outcome: Outcome) -> Reply<'static> {
    match (outcome, request.method) {
        (Outcome::Preflight, _) | (_, Method::Head) => Reply { status: 200, body: Body::Empty },
        (Outcome::Config, _) => Reply { status: config_status(request.path), body: Body::Empty },
        // An image element asks by GET; so does the mini program, which does not look at the body.
        (_, Method::Get) if !is_debug(request.path) => Reply { status: 200, body: Body::Gif },
        _ => Reply { status: 200, body: Body::Json(b"{}") },
    }
}

/// Whether the path ends in `/debug`, where the SDKs' debug mode sends to.
pub(crate) fn is_debug(path: &[u8]) -> bool {
    path.ends_with(b"/debug")
}

/// Whether a person opened the debug address in a browser. SDKs bring data, and nothing else looks there.
pub(crate) fn is_browser(request: &Request<'_>) -> bool {
    request.method == Method::Get
        && is_debug(request.path)
        && request.headers.user_agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
}

/// Whether the SDK asks for its remote configuration rather than bringing data.
pub(crate) fn is_config(path: &[u8]) -> bool {
    path.ends_with(b".conf") && memchr::memmem::find(path, b"/config/").is_some()
}

/// Nothing is configured here: 304 stops every SDK. For the visual definitions Android takes 205 as "off" and clears what it
/// has; the others stop at 404.
fn config_status(path: &[u8]) -> u16 {
    match memchr::memmem::find(path, b"/config/visualized/") {
        None => 304,
        Some(_) if path.ends_with(b"/Android.conf") => 205,
        Some(_) => 404,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gif_is_a_gif() {
        assert_eq!(GIF.len(), 43);
        assert!(GIF.starts_with(b"GIF89a\x01\0\x01\0") && GIF.ends_with(b";"));
    }

    #[test]
    fn configuration_requests_are_answered_as_the_sdks_expect() {
        for (path, want) in [
            ("/config/Android.conf", 304),
            ("/prefix/config/iOS.conf", 304),
            ("/config/visualized/Android.conf", 205),
            ("/config/visualized/Web.conf", 404),
        ] {
            assert!(is_config(path.as_bytes()), "{path}");
            assert_eq!(config_status(path.as_bytes()), want, "{path}");
        }
        for path in ["/sa", "/config", "/config/x", "/x.conf"] {
            assert!(!is_config(path.as_bytes()), "{path}");
        }
    }
}
