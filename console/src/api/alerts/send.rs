//! The way out: one POST, HTTP or HTTPS, bounded in time and answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Uri;
use hyper_tls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::message::{Kind, Request, taken};

/// How long a robot may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest answer read, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends messages.
#[derive(Clone, Debug)]
pub(super) struct Sender(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Default for Sender {
    fn default() -> Self {
        // Connections are not kept: a message goes once in a while.
        let mut client = Client::builder(TokioExecutor::new());
        Self(client.pool_max_idle_per_host(0).build(HttpsConnector::new()))
    }
}

impl Sender {
    /// Sends one message and reads what is said to it.
    ///
    /// # Errors
    /// Why it was not taken; without the address, which is a secret.
    pub(super) async fn send(&self, kind: Kind, message: &Request) -> Result<(), String> {
        let uri: Uri = message.url.parse().map_err(|error| format!("the address: {error}"))?;
        let mut request = hyper::Request::post(uri)
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", concat!("tusk/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &message.headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(message.body.clone()));
        let request = request.body(body).map_err(|error| format!("the address: {error}"))?;
        let asked = async {
            let response = self.0.request(request).await.map_err(|error| reasons(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            taken(kind, status, &String::from_utf8_lossy(&body))
        };
        match tokio::time::timeout(ANSWER_LIMIT, asked).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
        }
    }
}

/// An error with what caused it.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
