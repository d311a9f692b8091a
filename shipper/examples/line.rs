//! CPU of the line ring → journal → facts → files per event, thread by thread.
//!
//! `cargo run --release -p shipper --example line -- [events] [zstd|gzip|none]`
//! Pushes events of about 1 KB as single-event requests into a real ring and lets the engine drain them into files in a temporary
//! folder. The producer's own CPU is not counted. Prints microseconds of CPU per event and the rates.
#![allow(clippy::unwrap_used, clippy::panic)]

use event::record::{Builder, Entry, Kind, Span, Verdict, flag, meta};
use shipper::engine::{Engine, EngineConfig};
use shipper::sink::file::Compression;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn main() {
    let mut args = std::env::args().skip(1);
    let events: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(400_000);
    let compression = match args.next().as_deref() {
        Some("none") => Compression::None,
        Some("gzip") => Compression::Gzip,
        _ => Compression::Zstd,
    };
    let dir = std::env::temp_dir().join(format!("tusk-line-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut config = EngineConfig { data: dir.clone(), ..EngineConfig::default() };
    config.sink.file.compression = compression;
    let ring = shm_ring::Options { path: config.ring_dir(), size_bytes: 256 << 20, owner: None };
    shm_ring::prepare(&ring).unwrap();
    let engine = Engine::start(config.clone()).unwrap();
    let mut producer = shm_ring::Producer::attach(&config.ring_dir()).unwrap();
    let started = Instant::now();
    let mut json_bytes = 0;
    for n in 0..events {
        let (recv_ns, payload) = request(n, &mut json_bytes);
        let kept =
            shm_ring::Meta { kind: Kind::Request as u8, flags: 0, kept: 1, rejected: 0, recv_ns };
        while producer.push(&kept, &[&payload]).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let pushed = started.elapsed();
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let file = engine.status().sinks.into_iter().find(|sink| sink.name == "file").unwrap();
        if file.sums.delivered == events {
            break;
        }
        assert!(Instant::now() < deadline, "{file:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = started.elapsed();
    let threads = cpu_by_thread();
    let rss = rss_anon_kb();
    let files: u64 = size(&dir.join("files"));
    engine.stop(Duration::from_secs(10));
    println!("{events} events of {} bytes, {compression:?}", json_bytes / events);
    let mut sum = 0.0;
    for (name, ns) in &threads {
        let us = *ns as f64 / 1000.0 / events as f64;
        sum += us;
        println!("  {name:<16} {us:.3} us CPU per event");
    }
    println!("  sum              {sum:.3} us CPU per event");
    println!(
        "pushed in {:.2} s, in files after {:.2} s; RssAnon {} MB; files {:.1} MB",
        pushed.as_secs_f64(),
        took.as_secs_f64(),
        rss / 1024,
        files as f64 / 1e6
    );
    drop(engine);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A web event with the presets an SDK sends and some values that differ from event to event.
fn request(n: u64, json_bytes: &mut u64) -> (u64, Vec<u8>) {
    let recv_ns = 1_795_537_800_000_000_000 + n * 100_000;
    let ms = recv_ns / 1_000_000;
    let mix = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // 20,000 visitors, each with its cookie id.
    let user =
        format!("{:x}-19a2b3c4d5e6f7", (n % 20_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8);
    let json = format!(
        concat!(
            r#"{{"identities":{{"$identity_cookie_id":"{u}"}},"distinct_id":"{u}","lib":{{"$lib":"js","$lib_method":"code","#,
            r#""$lib_version":"1.27.11"}},"properties":{{"$timezone_offset":-480,"$screen_height":1080,"$screen_width":1920,"#,
            r#""$viewport_height":937,"$viewport_width":1903,"$lib":"js","$lib_version":"1.27.11","$latest_traffic_source_type":"#,
            r#""直接流量","$latest_search_keyword":"未取到值_直接打开","$latest_referrer":"","$referrer":"https://shop.example/list?page={p}","#,
            r#""$url":"https://shop.example/item/{i}?from=list","$url_path":"/item/{i}","$title":"Item {i} - Example shop","#,
            r#""$is_first_day":false,"$is_first_time":false,"$referrer_host":"shop.example","price":{price},"sku":"SKU-{i}","#,
            r#""category":"shoes","tags":["sale","new","size-{s}"]}},"anonymous_id":"{u}","type":"track","event":"ViewItem","#,
            r#""time":{t},"_track_id":{k},"_flush_time":{t}}}"#
        ),
        u = user,
        p = n % 40,
        i = mix % 90_000,
        price = (mix >> 20) % 100_000,
        s = n % 47,
        t = ms,
        k = mix % 1_000_000_000,
    );
    let json = json.as_bytes();
    *json_bytes += json.len() as u64;
    let find = |text: &str| {
        let at = json.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
        Span { at: at as u32, len: text.len() as u32 }
    };
    let mut b = Builder::default();
    b.meta(meta::PROJECT, b"default", 64);
    b.meta(meta::IP, b"203.0.113.77", 64);
    b.meta(
        meta::USER_AGENT,
        b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        1024,
    );
    b.bytes().extend_from_slice(json);
    b.entry(&Entry {
        json: Span { at: 0, len: json.len() as u32 },
        verdict: Verdict::Kept,
        kind: 1,
        flags: flag::TRACK_ID,
        codes: 0,
        time_ms: ms as i64,
        sent_ms: ms as i64,
        dup_key: mix | 1,
        event: find("ViewItem"),
        id: find(&user),
        project: Span::default(),
        lib: find("js"),
        lib_version: find("1.27.11"),
        app_version: Span::default(),
    });
    (recv_ns, b.payload(&[]))
}

/// Nanoseconds on a CPU of the engine's threads so far.
fn cpu_by_thread() -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let name = std::fs::read_to_string(task.join("comm")).unwrap().trim().to_owned();
        if !name.starts_with("tusk-") {
            continue;
        }
        let stat = std::fs::read_to_string(task.join("schedstat")).unwrap();
        let ns = stat.split(' ').next().unwrap().parse().unwrap();
        out.insert(name, ns);
    }
    out
}

fn rss_anon_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn size(dir: &std::path::Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        bytes += if meta.is_dir() { size(&entry.path()) } else { meta.len() };
    }
    bytes
}
