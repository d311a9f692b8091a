//! `tusk decode < request.http`: what the edge makes of one request, without nginx.

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Arc;

use event::http::{self, HttpError};
use event::record::{CodeRef, Record, Verdict};
use event::{Accepted, Code, Config, Lang, Message, Outcome, Place, Project, Scratch};
use serde::Serialize;
use serde_json::value::RawValue;

use super::tail::row::one_line;
use crate::cli::{Common, Decode};
use crate::config::{Secrecy, read_keys, read_tokens};
use crate::{Fail, lang};

/// Largest request read, in bytes: far above `tusk_max_body`, so that its L001 is seen too.
const REQUEST_BYTES_MAX: u64 = 256 << 20;

/// Reads stdin, prints one line per event. Exit code 0 whenever it was an HTTP request, whatever was in it.
pub(crate) fn run(common: &Common, arguments: &Decode) -> Result<ExitCode, Fail> {
    let lang = common.lang();
    let mut config =
        Config { project: Project::Any, seal: false, rejected_bytes_per_s: 0, ..Config::default() };
    if let Some(file) = &arguments.keys {
        config.keys = Arc::new(read_keys(file, Secrecy::Warned).map_err(Fail::new)?);
    }
    if let Some(file) = &arguments.tokens {
        let projects = read_tokens(file, Secrecy::Warned).map_err(Fail::new)?;
        config.projects = Some(Arc::new(projects));
    }
    let mut raw = Vec::new();
    io::stdin()
        .lock()
        .take(REQUEST_BYTES_MAX)
        .read_to_end(&mut raw)
        .map_err(|error| Fail::new(format!("cannot read stdin: {error}")))?;
    let parsed = match http::parse(&raw) {
        Ok(parsed) => parsed,
        Err(error @ HttpError::Method) => {
            eprintln!("tusk: {error}: nothing is stored for it");
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            return Err(Fail::new(format!(
                "stdin is no HTTP request: {error}; give head, blank line and body as on the wire"
            )));
        }
    };
    let recv_ms = arguments.recv_time.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    let recv_ns = u64::try_from(recv_ms).unwrap_or_default().saturating_mul(1_000_000);
    let client_ip = arguments.client_ip.to_string();
    let mut scratch = Scratch::new();
    let request = parsed.request(client_ip.as_bytes(), recv_ns);
    let accepted = event::accept(&request, &config, &mut scratch);
    super::put(&lines(&accepted)?)?;
    if let Some(note) = note(&accepted, lang) {
        eprintln!("tusk: {note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Why nothing, or nothing lasting, came of a request.
fn note(accepted: &Accepted<'_>, lang: Lang) -> Option<&'static str> {
    Some(match accepted.outcome {
        Outcome::DryRun => lang::pick(
            lang,
            "带 Dry-Run: true，只校验，不入库",
            "Dry-Run: true: checked, not stored",
        ),
        Outcome::Config => lang::pick(
            lang,
            "这是远程配置请求，没有数据",
            "a request for remote configuration: no events",
        ),
        Outcome::Preflight => {
            lang::pick(lang, "这是 CORS 预检，没有数据", "a CORS preflight: no events")
        }
        Outcome::Empty => lang::pick(lang, "请求里没有数据", "the request brings no data"),
        _ => return None,
    })
}

/// One event.
#[derive(Serialize)]
struct Line<'a> {
    index: usize,
    verdict: &'static str,
    codes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<Hint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
}

/// A code in words.
#[derive(Serialize)]
struct Hint {
    code: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pointer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    zh: String,
    en: String,
}

fn lines(accepted: &Accepted<'_>) -> Result<String, Fail> {
    let payload = accepted.payload();
    let record = Record::parse(&payload).unwrap_or_default();
    let mut out = String::new();
    for (index, (entry, json)) in record.events().enumerate() {
        let json = one_line(&String::from_utf8_lossy(json));
        let own = record.codes().filter(|code| code.index as usize == index);
        let shared = record.codes().filter(|code| code.index == CodeRef::REQUEST);
        let hints: Vec<Hint> = own.chain(shared).map(|code| hint(&code)).collect();
        let line = Line {
            index,
            verdict: match entry.verdict {
                Verdict::Kept | Verdict::Problems => "kept",
                Verdict::Rejected => "rejected",
            },
            codes: hints.iter().map(|hint| hint.code.clone()).collect(),
            hints,
            event: serde_json::from_str(&json).ok(),
        };
        out += &serde_json::to_string(&line).map_err(|error| Fail::new(error.to_string()))?;
        out.push('\n');
    }
    Ok(out)
}

fn hint(code: &CodeRef<'_>) -> Hint {
    let name = String::from_utf8_lossy(&code.code).into_owned();
    let pointer = String::from_utf8_lossy(code.pointer).into_owned();
    let detail = String::from_utf8_lossy(code.detail).into_owned();
    let message = |lang| match Code::from_bytes(code.code) {
        Some(code) => {
            let place = Place { pointer: &pointer, detail: &detail, ..Place::default() };
            Message { code, lang, place }.to_string()
        }
        None => format!("[{name}]"),
    };
    Hint { zh: message(Lang::Zh), en: message(Lang::En), code: name, pointer, detail }
}
