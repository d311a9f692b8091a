//! Whole requests through `event::accept`: what may be promised of any record and any answer.

use crate::json::Tree;
use crate::seeds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::record::{Record, Span, Verdict};
use event::{
    Accepted, Config, Headers, KeyRing, Method, Project, Request, Scratch, VerdictMode, Watch,
};
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

thread_local! {
    /// One for all inputs, as a worker has it: what one request leaves behind must not reach the next.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

const RECV_NS: u64 = 1_760_000_000_000_000_000;

fn config() -> Config {
    Config {
        project: Project::Any,
        verdict: VerdictMode::Always,
        rejected_bytes_per_s: 0,
        key_ops_per_s: u32::MAX,
        ..Config::default()
    }
}

fn post<'a>(body: &'a [u8]) -> Request<'a> {
    Request {
        method: Method::Post,
        path: b"/sa",
        query: b"project=default",
        headers: Headers::default(),
        body,
        body_bytes: body.len() as u64,
        client_ip: b"127.0.0.1",
        recv_ns: RECV_NS,
        watch: Watch::default(),
    }
}

/// Any bytes as a request: the record holds together, kept events are strict JSON, the answer follows the policy, and the
/// same request gives the same record again.
pub(super) fn request(data: &[u8]) {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| Config { debug: true, ..config() });
    let Ok(parsed) = event::http::parse(data) else { return };
    let request = parsed.request(b"127.0.0.1", RECV_NS);
    let first = decide(&request, &CONFIG, |accepted| {
        check(accepted, &CONFIG);
        accepted.payload()
    });
    let again = decide(&request, &CONFIG, |accepted| accepted.payload());
    assert!(first == again, "the same request gave another record");
}

fn decide<R>(request: &Request<'_>, config: &Config, look: impl FnOnce(&Accepted<'_>) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| look(&event::accept(request, config, scratch)))
}

/// What holds for every answer and every record.
fn check(accepted: &Accepted<'_>, config: &Config) {
    assert!(
        [200, 205, 304, 400, 404].contains(&accepted.reply.status),
        "status {}",
        accepted.reply.status
    );
    let body = accepted.reply.body.bytes();
    assert!(!contains(body, b"\"K5"), "the answer tells why an envelope did not open");
    if accepted.reply.body.content_type() == Some("application/json")
        && accepted.reply.status == 200
    {
        assert!(
            Tree::parse(body).is_some(),
            "the answer is no JSON: {}",
            String::from_utf8_lossy(body)
        );
    }
    if accepted.store.is_none() {
        return;
    }
    assert!(accepted.payload_bytes() <= config.limits.record_bytes_max, "a record over its limit");
    let payload = accepted.payload();
    assert_eq!(payload.len(), accepted.payload_bytes(), "payload_bytes");
    let record = Record::parse(&payload).expect("a record that does not parse");
    if accepted.store != Some(event::record::Kind::Request) {
        return;
    }
    assert_eq!(
        record.len() as u64,
        u64::from(accepted.kept) + u64::from(accepted.rejected),
        "count"
    );
    let mut kept = 0;
    for (entry, json) in record.events() {
        for span in
            [entry.event, entry.id, entry.project, entry.lib, entry.lib_version, entry.app_version]
        {
            assert!(
                span == Span::default() || span.of(json).len() == span.len as usize,
                "a span outside"
            );
        }
        if entry.verdict != Verdict::Rejected {
            kept += 1;
            let tree = Tree::parse(json).expect("a kept event that is no strict JSON");
            assert!(tree.is_clean_object(), "a kept event with a name twice");
            assert!(!tree.has("_server"), "a kept event with a member of ours");
        }
    }
    assert_eq!(kept, accepted.kept, "kept");
    for code in record.codes() {
        assert!(code.code.is_ascii(), "a code that is no text");
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// A JSON text as a value: what serde_json accepts is read to the same events, bytes untouched; what it refuses is
/// never kept as it is.
pub(super) fn json(data: &[u8]) {
    static CONFIG: LazyLock<Config> = LazyLock::new(config);
    let mut body = b"data_list=".to_vec();
    body.extend_from_slice(STANDARD.encode(data).replace('+', "%2B").as_bytes());
    decide(&post(&body), &CONFIG, |accepted| {
        check(accepted, &CONFIG);
        let Some(sent) = elements(data) else { return };
        let trees: Vec<Option<Tree>> = sent.iter().map(|one| Tree::parse(one.as_bytes())).collect();
        let special = |tree: &Option<Tree>| match tree {
            // Envelopes are opened, forged members cut out: other targets look at those.
            Some(tree) => ["payload", "payloads", "_server"].iter().any(|name| tree.has(name)),
            None => true,
        };
        if sent.is_empty() || trees.iter().any(special) {
            return;
        }
        let payload = accepted.payload();
        let record = Record::parse(&payload).expect("a record that does not parse");
        assert_eq!(record.len(), sent.len(), "serde_json sees another number of events");
        for ((_, stored), sent) in record.events().zip(&sent) {
            assert!(stored == sent.as_bytes(), "stored bytes differ from those sent");
        }
    });
}

/// The elements of a text that serde_json reads, as they stand in it.
fn elements(text: &[u8]) -> Option<Vec<&str>> {
    use serde_json::value::RawValue;
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\n', '\r', '\t']);
    Tree::parse(text.as_bytes())?;
    match text.as_bytes().first()? {
        b'[' => {
            let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Some(list.into_iter().map(RawValue::get).collect())
        }
        b'{' => Some(vec![text]),
        _ => None,
    }
}

/// The key rings of the golden requests.
static RINGS: LazyLock<Vec<(String, Config)>> = LazyLock::new(|| {
    let mut rings: Vec<(String, Config)> = Vec::new();
    for golden in seeds::golden().into_iter().filter(|golden| !golden.keys.is_empty()) {
        if rings.iter().any(|(keys, _)| *keys == golden.keys) {
            continue;
        }
        let none = &mut |_: &str| Err(std::io::ErrorKind::NotFound.into());
        if let Ok(keys) = KeyRing::parse(&golden.keys, none) {
            rings.push((golden.keys, Config { keys: Arc::new(keys), ..config() }));
        }
    }
    assert!(!rings.is_empty(), "no golden request has keys");
    rings
});

/// Golden requests that need keys, with the number of their ring in front.
pub(super) fn decrypt_seeds() -> Vec<Vec<u8>> {
    let golden = seeds::golden().into_iter();
    golden
        .filter_map(|golden| {
            let ring = RINGS.iter().position(|(keys, _)| *keys == golden.keys)?;
            let mut seed = vec![ring as u8];
            seed.extend_from_slice(&golden.request);
            Some(seed)
        })
        .collect()
}

/// A request with envelopes, under the keys its first byte names.
pub(super) fn decrypt(data: &[u8]) {
    let Some((&ring, raw)) = data.split_first() else { return };
    let (_, config) = &RINGS[usize::from(ring) % RINGS.len()];
    let Ok(parsed) = event::http::parse(raw) else { return };
    let request = parsed.request(b"127.0.0.1", RECV_NS);
    decide(&request, config, |accepted| check(accepted, config));
}
