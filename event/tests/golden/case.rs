//! One folder: its request, its settings, what comes out.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use event::record::{CodeRef, Verdict, meta};
use event::{Code, Config, KeyRing, Project, Projects, Scratch, VerdictMode, Watch, http};
use serde::Deserialize;

/// `meta.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    /// SDK and version, or `by hand`.
    #[expect(dead_code, reason = "for the reader")]
    sdk: String,
    /// How it was recorded, or what it shows.
    #[expect(dead_code, reason = "for the reader")]
    how: String,
    /// Arrival, ms since 1970.
    recv_ms: u64,
    #[serde(default)]
    settings: Settings,
    /// As in a keys file.
    #[serde(default)]
    key: Vec<toml::Table>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    project: Option<String>,
    tokens: Option<String>,
    debug: bool,
    seal: bool,
    crc_strict: bool,
    verdict: bool,
    events_max: Option<u32>,
    inflated_bytes_max: Option<usize>,
    body_bytes_max: Option<usize>,
    record_bytes_max: Option<usize>,
    key_ops_per_s: Option<u32>,
    watch: Option<String>,
}

pub(crate) struct Case {
    pub(crate) raw: Vec<u8>,
    pub(crate) recv_ms: u64,
    pub(crate) config: Config,
    followed: Vec<u64>,
    pub(crate) sent: Option<String>,
}

pub(crate) struct Got {
    /// The stored JSON of each kept event.
    pub(crate) kept: Vec<String>,
    /// It came in envelopes.
    pub(crate) enveloped: bool,
    /// `expected.jsonl`.
    pub(crate) lines: String,
}

impl Case {
    pub(crate) fn read(folder: &Path) -> Self {
        let meta = std::fs::read_to_string(folder.join("meta.toml")).unwrap();
        let meta: Meta = toml::from_str(&meta).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let keys = toml::Table::from_iter([("key".to_owned(), toml::Value::from(meta.key))]);
        let settings = meta.settings;
        let mut config = Config {
            keys: Arc::new(keys_of(&keys.to_string())),
            debug: settings.debug,
            seal: settings.seal,
            crc_strict: settings.crc_strict,
            verdict: if settings.verdict { VerdictMode::Always } else { VerdictMode::Asked },
            project: Project::parse(settings.project.as_deref().unwrap_or("*")).unwrap(),
            projects: settings.tokens.map(|text| Arc::new(Projects::parse(&text).unwrap())),
            ..Config::default()
        };
        let limits = &mut config.limits;
        limits.events_max = settings.events_max.unwrap_or(limits.events_max);
        limits.inflated_bytes_max =
            settings.inflated_bytes_max.unwrap_or(limits.inflated_bytes_max);
        limits.body_bytes_max = settings.body_bytes_max.unwrap_or(limits.body_bytes_max);
        limits.record_bytes_max = settings.record_bytes_max.unwrap_or(limits.record_bytes_max);
        config.key_ops_per_s = settings.key_ops_per_s.unwrap_or(config.key_ops_per_s);
        Self {
            raw: std::fs::read(folder.join("request.http")).unwrap(),
            recv_ms: meta.recv_ms,
            config,
            followed: settings.watch.iter().map(|id| event::watch_hash(id.as_bytes())).collect(),
            sent: std::fs::read_to_string(folder.join("sent.json")).ok(),
        }
    }

    /// A folder in the form recordings are exchanged in: `meta.json` names the keys.
    pub(crate) fn read_recording(folder: &Path) -> Self {
        let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&text("meta.json")).unwrap();
        let sent = text("expected.json");
        let first: Vec<serde_json::Value> = serde_json::from_str(&sent).unwrap();
        let time = first.iter().filter_map(|e| e["_flush_time"].as_u64().or(e["time"].as_u64()));
        let config = Config {
            keys: Arc::new(recorded_keys(&meta["keys"])),
            project: Project::Any,
            ..Config::default()
        };
        Self {
            raw: std::fs::read(folder.join("request.http")).unwrap(),
            recv_ms: time.max().unwrap_or(1_700_000_000_000),
            config,
            followed: Vec::new(),
            sent: Some(sent),
        }
    }

    pub(crate) fn run(&self) -> Got {
        let parsed = http::parse(&self.raw).unwrap();
        let mut request = parsed.request(b"203.0.113.7", self.recv_ms * 1_000_000);
        request.watch = Watch { followed: &self.followed, sample_every: 0 };
        let mut scratch = Scratch::new();
        let accepted = event::accept(&request, &self.config, &mut scratch);
        let record = accepted.record.view();
        let (mut kept, mut lines) = (Vec::new(), String::new());
        for (index, (entry, json)) in record.events().enumerate() {
            let bytes = json;
            let json = String::from_utf8_lossy(json).into_owned();
            let verdict = match entry.verdict {
                Verdict::Kept => "kept",
                Verdict::Problems => "problems",
                Verdict::Rejected => "rejected",
            };
            let index = u32::try_from(index).unwrap();
            let codes = codes(record.codes(), index);
            let times = match entry.sent_ms {
                i64::MIN => format!("\"time\":{}", entry.time_ms),
                sent => format!("\"time\":{},\"sent\":{sent}", entry.time_ms),
            };
            write!(lines, r#"{{"verdict":"{verdict}","codes":[{codes}],{times}"#).unwrap();
            for (name, span) in [("event_name", entry.event), ("id", entry.id), ("lib", entry.lib)]
            {
                let piece = String::from_utf8_lossy(span.of(bytes)).into_owned();
                write!(lines, ",\"{name}\":\"{piece}\"").unwrap();
            }
            let dup = if entry.dup_key == 0 { "" } else { ",\"dup\":true" };
            // What was rejected need not be JSON, nor one line.
            let shown = if serde_json::from_str::<&serde_json::value::RawValue>(&json).is_ok() {
                json.clone()
            } else {
                serde_json::to_string(&json).unwrap()
            };
            writeln!(lines, "{dup},\"event\":{shown}}}").unwrap();
            if entry.verdict != Verdict::Rejected {
                kept.push(json);
            }
        }
        let reply = &accepted.reply;
        let body = match reply.body {
            event::Body::Gif => "gif".to_owned(),
            event::Body::Html(_) => "html".to_owned(),
            other => String::from_utf8(other.bytes().to_vec()).unwrap(),
        };
        writeln!(
            lines,
            r#"{{"result":"{}","store":{},"transport":"{}","codes":[{}],"raw_bytes":{},"status":{},"body":{}}}"#,
            accepted.outcome.word(),
            accepted.store.map_or("null".to_owned(), |kind| format!("\"{kind:?}\"")),
            String::from_utf8_lossy(record.meta(meta::TRANSPORT)),
            codes(record.codes(), CodeRef::REQUEST),
            accepted.raw.len(),
            reply.status,
            serde_json::to_string(&body).unwrap(),
        )
        .unwrap();
        let enveloped = matches!(record.meta(meta::TRANSPORT), [_, _, b'1'..=b'5']);
        Got { kept, enveloped, lines }
    }
}

fn codes<'a>(all: impl Iterator<Item = CodeRef<'a>>, index: u32) -> String {
    let mut out = String::new();
    for code in all.filter(|code| code.index == index) {
        let known = Code::from_bytes(code.code).unwrap();
        let pointer = String::from_utf8_lossy(code.pointer);
        let text = serde_json::to_string(&format!("{known} {pointer}")).unwrap();
        write!(out, "{}{}", if out.is_empty() { "" } else { "," }, text.replace(" \"", "\""))
            .unwrap();
    }
    out
}

fn keys_of(text: &str) -> KeyRing {
    KeyRing::parse(text, &mut |_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

fn recorded_keys(keys: &serde_json::Value) -> KeyRing {
    let text = |name: &str| keys[name].as_str().unwrap_or_default();
    match keys["scheme"].as_str() {
        None => KeyRing::default(),
        Some("web-aes") => keys_of(&format!(
            "[[key]]\nkey_id = {}\ntype = \"AES\"\nkey = \"{}\"",
            keys["key_id"],
            text("aes_key_base64")
        )),
        Some(scheme) => keys_of(&format!(
            "[[key]]\npkv = {}\ntype = \"{scheme}\"\nprivate_key = \"\"\"\n{}{}\"\"\"",
            keys["pkv"],
            text("private_pem"),
            text("sm2_private_hex")
        )),
    }
}
