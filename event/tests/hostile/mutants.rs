//! Damaged requests: seeded edits of every golden one.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::{Config, Scratch, VerdictMode, http};

use crate::{Random, cases, check, run};

/// Pieces that mean something to one of the decoders.
const TOKENS: [&[u8]; 24] = [
    b"%",
    b"%7B",
    b"%22",
    b"+",
    b"&",
    b"=",
    b"data=",
    b"data_list=",
    b"{",
    b"[",
    b"\"",
    b"\\u",
    b"\xed\xa0\xbd",
    b"\xff",
    b"\0",
    b"crc=1&",
    b"ekey",
    b"payloads",
    b"null",
    b"-",
    b"1e999",
    b"\x1f\x8b\x08",
    b"gzip",
    b"\r\n",
];

fn mutate(raw: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=[0, 0, 0, 1, 2][random.below(5)] {
        if raw.is_empty() {
            return;
        }
        let at = random.below(raw.len());
        match random.below(10) {
            0 => raw[at] ^= 1 << random.below(8),
            7.. => raw[at] ^= 1 << random.below(3),
            1 => raw[at] = random.below(256) as u8,
            2 => raw.truncate(at),
            3 => {
                let token = TOKENS[random.below(TOKENS.len())];
                raw.splice(at..at, token.iter().copied());
            }
            4 => {
                let end = (at + random.below(20)).min(raw.len());
                raw.drain(at..end);
            }
            5 => {
                let end = (at + random.below(200)).min(raw.len());
                let piece = raw[at..end].to_vec();
                raw.splice(at..at, piece);
            }
            _ => {
                let other = random.below(raw.len());
                raw.swap(at, other);
            }
        }
    }
}

/// The events of a recording, damaged and packed again in one of three ways.
fn repacked(sent: &str, random: &mut Random) -> Vec<u8> {
    let mut json = sent.as_bytes().to_vec();
    mutate(&mut json, random);
    let text = match random.below(3) {
        0 => json,
        1 => STANDARD.encode(json).into_bytes(),
        _ => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&json).unwrap();
            STANDARD.encode(gzip.finish().unwrap()).into_bytes()
        }
    };
    let mut body = b"data_list=".to_vec();
    for byte in text {
        if byte.is_ascii_alphanumeric() {
            body.push(byte);
        } else {
            write!(body, "%{byte:02X}").unwrap();
        }
    }
    let mut raw = b"POST /sa?project=default HTTP/1.1\r\n\r\n".to_vec();
    raw.extend_from_slice(&body);
    raw
}

#[test]
fn no_damage_breaks_a_promise() {
    let cases = cases();
    let mut random = Random(2026);
    let mut scratch = Scratch::new();
    let (mut kept, mut rejected, mut odd) = (0, 0, 0);
    for round in 0..60_000 {
        let (name, case) = &cases[random.below(cases.len())];
        let mut raw = match &case.sent {
            // Damage below the packing, where the checksum of gzip would hide it.
            Some(sent) if round % 2 == 0 => repacked(sent, &mut random),
            _ => case.raw.clone(),
        };
        // The head is fragile; mostly damage what follows it, where our decoders are.
        let body = raw.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
        let query = raw.iter().position(|&b| b == b'?').unwrap_or(0);
        let from = if body < raw.len() { body } else { query };
        let mut tail = raw.split_off(if random.below(10) == 0 { 0 } else { from });
        if round % 4 != 0 {
            mutate(&mut tail, &mut random);
        }
        raw.extend_from_slice(&tail);
        let Ok(parsed) = http::parse(&raw) else {
            odd += 1;
            continue;
        };
        let mut config = Config { verdict: VerdictMode::Always, ..case.config.clone() };
        config.crc_strict = round % 8 == 0;
        let mut request = parsed.request(b"203.0.113.7", case.recv_ms * 1_000_000);
        request.body_bytes = request.body.len() as u64;
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let accepted = event::accept(&request, &config, &mut scratch);
            check(&accepted, &config);
            (accepted.kept, accepted.rejected)
        }));
        let Ok((k, r)) = result else {
            panic!("round {round}, {name}: {}", raw.escape_ascii());
        };
        (kept, rejected) = (kept + u64::from(k > 0), rejected + u64::from(r > 0));
    }
    // The test must explore both sides, or it proves nothing.
    assert!(kept > 5_000 && rejected > 10_000 && odd < 20_000, "{kept} {rejected} {odd}");
}

#[test]
fn a_used_scratch_decides_as_a_fresh_one() {
    let cases = cases();
    let mut random = Random(7);
    let mut used = Scratch::new();
    for _ in 0..1_000 {
        let (name, case) = &cases[random.below(cases.len())];
        let mut fresh = Scratch::new();
        let mut config = case.config.clone();
        (config.rejected_bytes_per_s, config.key_ops_per_s) = (0, u32::MAX);
        let parsed = http::parse(&case.raw).unwrap();
        let request = parsed.request(b"203.0.113.7", case.recv_ms * 1_000_000);
        let want = event::accept(&request, &config, &mut fresh);
        let got = event::accept(&request, &config, &mut used);
        assert_eq!(got.payload(), want.payload(), "{name}");
        assert_eq!((got.outcome, got.store, got.reply), (want.outcome, want.store, want.reply));
    }
}

#[test]
fn every_golden_case_keeps_the_promises() {
    for (_, case) in cases() {
        let mut scratch = Scratch::new();
        let accepted = run(&case, &mut scratch);
        check(&accepted, &case.config);
    }
}
