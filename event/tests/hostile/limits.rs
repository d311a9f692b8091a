//! Bombs, depths, lengths and floods.

use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use event::{Code, Config, Outcome, Scratch};

use crate::{check, codes, post};

const S: u64 = 1_000_000_000;

fn packed(text: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(text).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap());
    let value = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("gzip=1&data_list={value}").into_bytes()
}

/// Decides `body`; it must be rejected with `code` and quickly.
fn rejected(body: &[u8], code: Code) {
    let config = Config::default();
    let mut scratch = Scratch::new();
    let start = Instant::now();
    let accepted = event::accept(&post(body, S), &config, &mut scratch);
    // Far above what it takes (milliseconds), far below what a quadratic step would.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    check(&accepted, &config);
    assert_eq!(accepted.outcome, Outcome::Rejected);
    assert_eq!(codes(&accepted.record.view()), [code.as_str()]);
}

#[test]
fn a_zip_bomb_is_refused_at_the_limit() {
    rejected(&packed(&vec![b' '; 200 << 20]), Code::E106);
}

#[test]
fn ten_megabytes_of_brackets_are_one_rejected_request() {
    rejected(&packed(&vec![b'['; 10 << 20]), Code::J008);
    rejected(&[&b"data="[..], &vec![b'['; 7 << 20]].concat(), Code::J008);
}

#[test]
fn nesting_of_a_hundred_thousand_levels_is_one_rejected_event() {
    let deep = format!(
        r#"[{{"type":"track","event":"Buy","distinct_id":"u1","properties":{{"a":{}1{}}}}}]"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let config = Config::default();
    let mut scratch = Scratch::new();
    let body = packed(deep.as_bytes());
    let accepted = event::accept(&post(&body, S), &config, &mut scratch);
    check(&accepted, &config);
    assert_eq!(accepted.outcome, Outcome::Rejected);
    assert!(codes(&accepted.record.view()).contains(&"J002"));
}

#[test]
fn many_bad_parameters_take_linear_time() {
    rejected(&b"=&".repeat(2 << 20), Code::E101);
    rejected(&[&b"data="[..], &b"%25".repeat(2 << 20)].concat(), Code::E103);
    rejected(&[&b"data="[..], &b"%2".repeat(2 << 20)].concat(), Code::E103);
    rejected(&[&b"data="[..], &b"%7B".repeat(2 << 20)].concat(), Code::J001);
    rejected(&[&b"data="[..], &b"\"\\u".repeat(2 << 20)].concat(), Code::E103);
}

#[test]
fn a_body_that_was_cut_keeps_its_first_64_kib() {
    let body = [&b"data_list="[..], &vec![b'A'; 200 << 10]].concat();
    let config = Config::default();
    let mut scratch = Scratch::new();
    let request = event::Request { body_bytes: 9 << 20, ..post(&body, S) };
    let accepted = event::accept(&request, &config, &mut scratch);
    assert_eq!(codes(&accepted.record.view()), ["L001"]);
    assert_eq!((accepted.raw.len(), accepted.reply.status), (64 << 10, 200));
    let again = event::http::parse(accepted.raw).unwrap();
    assert_eq!(again.body_bytes, 9 << 20, "the reader sees what is missing");
}

#[test]
fn rubbish_is_kept_at_a_bounded_rate() {
    let config = Config { rejected_bytes_per_s: 100_000, ..Config::default() };
    let mut scratch = Scratch::new();
    let body = [&b"data=*"[..], &vec![b'A'; 20_000]].concat();
    let mut kept_bytes = 0;
    let mut short = 0;
    for i in 0..1_000 {
        let request = post(&body, 7 * S + i * S / 500); // two seconds
        let accepted = event::accept(&request, &config, &mut scratch);
        check(&accepted, &config);
        kept_bytes += accepted.payload_bytes();
        match codes(&accepted.record.view())[..] {
            ["E103"] => {}
            ["L009"] => {
                short += 1;
                assert!(accepted.raw.len() <= 4096);
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert!(short > 900, "{short} kept short");
    // Two and a half seconds' worth in full, the others 4 KiB each.
    assert!(kept_bytes < 350_000 + 1_000 * 4_300, "{kept_bytes} bytes kept");
}

#[test]
fn rejected_events_count_against_the_same_budget() {
    let config = Config { rejected_bytes_per_s: 10_000, ..Config::default() };
    let mut scratch = Scratch::new();
    let event = format!(r#"{{"type":"nonsense","s":"{}"}}"#, "x".repeat(9_000));
    let body = format!("data={event}").into_bytes();
    let outcomes: Vec<bool> = (0..4)
        .map(|_| {
            let accepted = event::accept(&post(&body, S), &config, &mut scratch);
            check(&accepted, &config);
            codes(&accepted.record.view()) == ["L009"]
        })
        .collect();
    assert_eq!(outcomes, [false, false, true, true]);
}
