//! A ring, an engine and a folder of their own for each test.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use event::record::{Builder, CodeRef, Entry, Kind, Span, Verdict, flag, meta};
use shipper::engine::{Engine, EngineConfig};
use shipper::sink::file::Compression;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait of any test.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `done`, fails the test after 30 s.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "waited 30 s for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A record as the edge would push it.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub meta: shm_ring::Meta,
    pub payload: Vec<u8>,
}

/// A span of `needle` in `json`.
pub fn span(json: &[u8], needle: &str) -> Span {
    match json.windows(needle.len().max(1)).position(|w| w == needle.as_bytes()) {
        Some(at) if !needle.is_empty() => Span { at: at as u32, len: needle.len() as u32 },
        _ => Span::default(),
    }
}

/// An entry for `json` with its event name and user.
pub fn entry(json: &[u8], at: usize, name: &str, user: &str) -> Entry {
    Entry {
        json: Span { at: at as u32, len: json.len() as u32 },
        verdict: Verdict::Kept,
        kind: 1,
        flags: 0,
        codes: 0,
        time_ms: 1_795_537_800_000,
        sent_ms: 1_795_537_800_000,
        dup_key: 0,
        event: span(json, name),
        id: span(json, user),
        project: Span::default(),
        lib: Span::default(),
        lib_version: Span::default(),
        app_version: Span::default(),
    }
}

/// One kept event.
pub fn event(name: &str, n: u64) -> Pushed {
    let user = format!("u{n}");
    let json = format!(
        r#"{{"distinct_id":"{user}","event":"{name}","type":"track","time":1795537800000,"properties":{{"n":{n}}}}}"#
    );
    request(&[(json, name.to_owned(), user, Verdict::Kept)], 1_795_537_800_000)
}

/// A request of several events; rejected ones get N101.
pub fn request(events: &[(String, String, String, Verdict)], recv_ms: u64) -> Pushed {
    let mut b = Builder::default();
    b.meta(meta::PROJECT, b"shop", 64);
    b.meta(meta::IP, b"203.0.113.9", 64);
    b.meta(meta::USER_AGENT, b"test \"agent\"", 1024);
    let mut rejected = 0;
    for (index, (json, name, user, verdict)) in (0u32..).zip(events) {
        let json = json.as_bytes();
        let at = b.bytes().len();
        b.bytes().extend_from_slice(json);
        let mut entry = entry(json, at, name, user);
        entry.verdict = *verdict;
        if *verdict == Verdict::Rejected {
            rejected += 1;
            entry.codes = 1;
            b.entry(&entry);
            b.code(CodeRef { index, code: *b"N101", pointer: b"/event", detail: name.as_bytes() });
        } else {
            b.entry(&entry);
        }
    }
    let payload = b.payload(&[]);
    let meta = shm_ring::Meta {
        kind: Kind::Request as u8,
        flags: 0,
        kept: (events.len() - rejected) as u16,
        rejected: rejected as u16,
        recv_ns: recv_ms * 1_000_000,
    };
    Pushed { meta, payload }
}

/// The same event sent again by its SDK.
pub fn tracked(name: &str, key: u64, recv_ms: u64) -> Pushed {
    let json =
        format!(r#"{{"distinct_id":"u","event":"{name}","type":"track","_track_id":{key}}}"#);
    let mut b = Builder::default();
    b.meta(meta::PROJECT, b"shop", 64);
    b.bytes().extend_from_slice(json.as_bytes());
    let mut entry = entry(json.as_bytes(), 0, name, "u");
    entry.flags = flag::TRACK_ID;
    entry.dup_key = key;
    b.entry(&entry);
    let meta = shm_ring::Meta {
        kind: Kind::Request as u8,
        flags: 0,
        kept: 1,
        rejected: 0,
        recv_ns: recv_ms * 1_000_000,
    };
    Pushed { meta, payload: b.payload(&[]) }
}

/// A worker.
pub struct Worker(pub shm_ring::Producer);

impl Worker {
    pub fn push(&mut self, pushed: &Pushed) {
        self.0.push(&pushed.meta, &[&pushed.payload]).unwrap();
    }
}

/// A folder with a ring and the settings of an engine. Removed when dropped.
pub struct Line {
    pub dir: PathBuf,
    pub config: EngineConfig,
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Line {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tusk-engine-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut config = EngineConfig { data: dir.clone(), ..EngineConfig::default() };
        config.node = Some("test".into());
        config.timezone = Some("UTC".into());
        config.journal.segment_bytes = 1 << 20;
        config.journal.bytes_max = 64 << 20;
        config.sink.file.compression = Compression::None;
        config.sink.file.range_age_ms_max = 100;
        change(&mut config);
        let options =
            shm_ring::Options { path: config.ring_dir(), size_bytes: 4 << 20, owner: None };
        shm_ring::prepare(&options).unwrap();
        Self { dir, config }
    }

    pub fn producer(&self) -> Worker {
        Worker(shm_ring::Producer::attach(&self.config.ring_dir()).unwrap())
    }

    pub fn start(&self) -> Engine {
        Engine::start(self.config.clone()).unwrap()
    }

    /// Every line of every final file, sorted.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.files().iter().flat_map(|path| read_lines(path)).collect();
        lines.sort();
        lines
    }

    /// Every final file, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let root =
            self.config.sink.file.root.clone().unwrap_or_else(|| self.config.data.join("files"));
        let mut files = Vec::new();
        walk(&root, &mut files);
        files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-"));
        files.sort();
        files
    }

    pub fn assert_identities_unique(&self) {
        let lines = self.lines();
        let identities: BTreeSet<String> = lines
            .iter()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                let server = &value["_server"];
                format!("{}/{}/{}", server["node"], server["lsn"], server["index"])
            })
            .collect();
        assert_eq!(identities.len(), lines.len(), "an identity is there twice");
    }
}

pub fn read_lines(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let name = path.to_string_lossy();
    let bytes = if name.ends_with(".zst") {
        zstd::decode_all(&bytes[..]).unwrap()
    } else if name.ends_with(".gz") {
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut out)
            .unwrap();
        out
    } else {
        bytes
    };
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

pub fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, out);
        } else {
            out.push(path);
        }
    }
}
