//! A message as each kind of robot wants it, signed as each documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Text;

/// Lines of one message; what is beyond is counted.
pub(super) const LINES_MAX: usize = 20;
/// Longest text of a chat message, bytes: WeCom takes 2,048.
const TEXT_BYTES_MAX: usize = 2_000;

/// Who takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Any program: JSON, signed in a header.
    #[default]
    Generic,
    /// 企业微信: a group robot; its key stands in the address.
    Wecom,
    /// 钉钉: a group robot, signed in the address.
    Dingtalk,
    /// 飞书: a group robot, signed in the body.
    Feishu,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// The same as long as it is the same trouble.
    pub key: String,
    /// `rejected`, `absent`, `lag` or `test`.
    pub rule: String,
    /// `firing` or `resolved`.
    pub state: &'static str,
    /// Project; empty for a sink.
    pub project: String,
    /// Event or sink.
    pub subject: String,
    /// Since when, ms.
    pub since_ms: i64,
    /// What to read.
    #[serde(flatten)]
    pub text: Text,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The address.
    pub url: String,
    /// The body, JSON.
    pub body: String,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

/// Builds the request for `lines`, of which at most [`LINES_MAX`] are told.
///
/// # Errors
/// A sentence: the signature cannot be made.
pub(super) fn request(
    kind: Kind,
    (url, secret): (&str, &str),
    lines: &[Line],
    (node, zh): (&str, bool),
    now_ms: i64,
) -> Result<Request, String> {
    let told = lines.get(..LINES_MAX).unwrap_or(lines);
    let more = lines.len() - told.len();
    let text = || text(told, more, node, zh);
    let mut request = Request { url: url.to_owned(), body: String::new(), headers: Vec::new() };
    request.body = match kind {
        Kind::Generic => {
            let body = json!({"source": "tusk", "node": node, "sent_ms": now_ms, "alerts": told, "more": more})
                .to_string();
            if !secret.is_empty() {
                let timestamp = (now_ms / 1000).to_string();
                let mac = hmac(secret, &format!("{timestamp}.{body}"))?;
                let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                request.headers.push(("x-tusk-timestamp", timestamp));
                request.headers.push(("x-tusk-signature", format!("sha256={hex}")));
            }
            body
        }
        Kind::Wecom => json!({"msgtype": "text", "text": {"content": text()}}).to_string(),
        Kind::Dingtalk => {
            if !secret.is_empty() {
                let mac = hmac(secret, &format!("{now_ms}\n{secret}"))?;
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("timestamp", &now_ms.to_string())
                    .append_pair("sign", &STANDARD.encode(mac))
                    .finish();
                let joint = if url.contains('?') { '&' } else { '?' };
                request.url = format!("{url}{joint}{query}");
            }
            json!({"msgtype": "text", "text": {"content": text()}}).to_string()
        }
        Kind::Feishu => {
            let mut body = json!({"msg_type": "text", "content": {"text": text()}});
            if !secret.is_empty() {
                let timestamp = (now_ms / 1000).to_string();
                let mac = hmac(&format!("{timestamp}\n{secret}"), "")?;
                body["sign"] = STANDARD.encode(mac).into();
                body["timestamp"] = timestamp.into();
            }
            body.to_string()
        }
    };
    Ok(request)
}

/// Whether an answer says the message was taken: chats answer 200 to everything.
///
/// # Errors
/// What it says instead.
pub(super) fn taken(kind: Kind, status: u16, body: &str) -> Result<(), String> {
    let said = || body.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    if !(200..300).contains(&status) {
        return Err(format!("HTTP {status} {}", said()));
    }
    let code = |name: &str| {
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        value.get(name).and_then(Value::as_i64)
    };
    let good = match kind {
        Kind::Generic => true,
        Kind::Wecom | Kind::Dingtalk => code("errcode") == Some(0),
        Kind::Feishu => code("code").or_else(|| code("StatusCode")) == Some(0),
    };
    if good { Ok(()) } else { Err(said()) }
}

fn hmac(key: &str, text: &str) -> Result<Vec<u8>, String> {
    let sign = || {
        let key = PKey::hmac(key.as_bytes())?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        signer.update(text.as_bytes())?;
        signer.sign_to_vec()
    };
    sign().map_err(|error| format!("cannot sign the message: {error}"))
}

fn text(lines: &[Line], more: usize, node: &str, zh: bool) -> String {
    let mut out = if zh { format!("【Tusk 告警】{node}") } else { format!("[Tusk alert] {node}") };
    for (told, line) in lines.iter().enumerate() {
        let mark = match (line.state, zh) {
            ("resolved", true) => "✅ 已恢复 ",
            ("resolved", false) => "✅ resolved ",
            _ => "🔴 ",
        };
        let next = format!("\n{mark}{}", if zh { &line.text.zh } else { &line.text.en });
        if out.len() + next.len() > TEXT_BYTES_MAX {
            return out + &rest(lines.len() - told + more, zh);
        }
        out.push_str(&next);
    }
    if more > 0 { out + &rest(more, zh) } else { out }
}

fn rest(more: usize, zh: bool) -> String {
    if zh { format!("\n另有 {more} 条，见“告警”页面") } else { format!("\nand {more} more, see the page Alerts") }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
