//! Who may ask: whoever shows the key, in any of the ways ClickHouse knows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::Options;
use crate::error::{Exception, REQUIRED_PASSWORD};

/// The one user there is.
const USER: &str = "default";

/// Checks `Authorization: Basic`, `X-ClickHouse-User` and `X-ClickHouse-Key`, or `user` and `password` in the URL.
pub(super) fn check(headers: &HeaderMap, options: &Options, key: &str) -> Result<(), Exception> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(|value| {
        let code = value.strip_prefix("Basic ").and_then(|code| STANDARD.decode(code.trim()).ok());
        let text = code.and_then(|code| String::from_utf8(code).ok()).unwrap_or_default();
        let (user, password) = text.split_once(':').unwrap_or((&text, ""));
        (user.to_owned(), password.to_owned())
    });
    let (user, password) = match basic {
        Some((user, password)) => (Some(user), Some(password)),
        None => (
            header("x-clickhouse-user").map(str::to_owned).or_else(|| options.user.clone()),
            header("x-clickhouse-key").map(str::to_owned).or_else(|| options.password.clone()),
        ),
    };
    let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| USER.to_owned());
    let Some(password) = password.filter(|password| !password.is_empty()) else {
        let message = format!(
            "{user}: Authentication failed: a key is needed, in the header X-ClickHouse-Key or as password; it stands in the file `key` \
             of the data folder"
        );
        return Err(Exception::new(REQUIRED_PASSWORD, "REQUIRED_PASSWORD", &message));
    };
    if user == USER && same(password.as_bytes(), key.as_bytes()) {
        return Ok(());
    }
    let message = format!(
        "{user}: Authentication failed: password is incorrect, or there is no user with such name"
    );
    Err(Exception::new(516, "AUTHENTICATION_FAILED", &message))
}

/// Takes as long for a guess that is nearly right as for any other.
fn same(given: &[u8], key: &[u8]) -> bool {
    let differences = given.iter().zip(key).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == key.len() && std::hint::black_box(differences) == 0
}
