//! Errors as the API tells them: a status, a stable code, a sentence in two languages.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// A sentence in two languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// Both at once.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
}

/// Why a request was not served: `{"error":{"code","zh","en"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable, for programs: `part.reason`.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub text: Text,
}

impl Problem {
    /// Any status.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        zh: impl Into<String>,
        en: impl Into<String>,
    ) -> Self {
        Self { status, code, text: Text::new(zh, en) }
    }

    /// 400: the caller can mend it.
    pub fn bad(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, zh, en)
    }

    /// 404.
    pub fn missing(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, zh, en)
    }

    /// 503: the daemon's sentence.
    #[must_use]
    pub fn daemon(sentence: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "daemon", sentence, sentence)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = json!({"error": {"code": self.code, "zh": self.text.zh, "en": self.text.en}});
        (self.status, Json(error)).into_response()
    }
}
