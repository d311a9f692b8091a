//! Memory: none per request once warm, and none held after a large one.

use event::{Outcome, Scratch, http};

use crate::{case, post};

/// Allocations of one more run of each named case after 20.
fn warm(names: &[&str]) {
    for name in names {
        let case = case(name);
        let parsed = http::parse(&case.raw).unwrap();
        let request = parsed.request(b"203.0.113.7", case.recv_ms * 1_000_000);
        let mut scratch = Scratch::new();
        let mut once = || {
            let accepted = event::accept(&request, &case.config, &mut scratch);
            let mut heads = [[0; 8]; 5];
            let sections = accepted.sections(&mut heads);
            assert!(sections.iter().map(|part| part.len()).sum::<usize>() > 0);
        };
        for _ in 0..20 {
            once();
        }
        let measured = allocation_counter::measure(once);
        assert_eq!(measured.count_total, 0, "{name}: {measured:?}");
    }
}

#[test]
fn a_warm_worker_allocates_nothing_for_a_request() {
    warm(&[
        "example-e1-web-image-get",
        "example-e3-app-post-gzip-1",
        "example-e4-mini-program-batch",
        "base64-plus-as-blank",
        "base64-encoded-twice",
        "json-percent-encoded",
        "json-encoded-twice",
        "gzip-every-header-field",
        "content-encoding-gzip",
        "body-json-array",
        "cesu-8",
        "partial",
        "no-data",
        "gzip-cut",
        "json-broken",
        "watched",
        "debug-invalid",
    ]);
}

#[test]
fn a_warm_worker_allocates_nothing_for_a_batch() {
    let event = r#"{"type":"track","event":"Buy","time":1700000000000,"_track_id":1,"distinct_id":"u1","properties":{"price":9.5,"name":"苹果"}}"#;
    let list = format!("[{}]", vec![event; 50].join(","));
    let body = format!("data_list={}", list.replace('%', "%25").replace('+', "%2B"));
    let config = event::Config::default();
    let request = post(body.as_bytes(), 1_700_000_000_000_000_000);
    let mut scratch = Scratch::new();
    for _ in 0..3 {
        assert_eq!(event::accept(&request, &config, &mut scratch).kept, 50);
    }
    let measured = allocation_counter::measure(|| {
        event::accept(&request, &config, &mut scratch);
    });
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

#[test]
fn memory_of_a_large_request_is_given_back() {
    let mut scratch = None;
    let small = post(b"data=%7B%7D", 1);
    let config = event::Config::default();
    let held = allocation_counter::measure(|| {
        let mut worker = Scratch::new();
        let text = format!("data_list=%5B{}%5D", vec!["%7B%7D"; 8_000].join(","));
        let pad = format!("{text}&pad={}", "x".repeat(6 << 20));
        let outcome = event::accept(&post(pad.as_bytes(), 1), &config, &mut worker).outcome;
        assert_eq!(outcome, Outcome::Rejected);
        let big = format!("data={}", "[".repeat(7 << 20));
        event::accept(&post(big.as_bytes(), 1), &config, &mut worker);
        event::accept(&small, &config, &mut worker);
        scratch = Some(worker);
    });
    let kept = held.bytes_current;
    assert!(kept < 8 << 20, "{kept} bytes are still held");
    drop(scratch);
}
