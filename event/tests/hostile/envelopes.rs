//! Envelopes: what an attacker may not learn, and what an outsider may not make us do.

use std::collections::BTreeSet;

use event::{Config, Outcome, Scratch, VerdictMode, http};

use crate::{case, cases, codes, run};

#[test]
fn whatever_fails_inside_an_envelope_looks_the_same() {
    let mut looks = BTreeSet::new();
    let mut reasons = BTreeSet::new();
    for (name, case) in cases() {
        if !name.starts_with("envelope-") {
            continue;
        }
        let mut scratch = Scratch::new();
        let parsed = http::parse(&case.raw).unwrap();
        let request = parsed.request(b"203.0.113.7", case.recv_ms * 1_000_000);
        let config = Config { verdict: VerdictMode::Always, ..case.config.clone() };
        let accepted = event::accept(&request, &config, &mut scratch);
        let record = accepted.record.view();
        let private: Vec<_> =
            codes(&record).into_iter().filter(|code| code.starts_with("K5")).collect();
        if private.is_empty() || accepted.kept > 0 {
            continue;
        }
        reasons.extend(private);
        assert!(accepted.raw.len() > 100, "{name}: the request is not kept");
        let body = String::from_utf8(accepted.reply.body.bytes().to_vec()).unwrap();
        looks.insert((accepted.outcome.word(), accepted.reply.status, body));
    }
    assert_eq!(looks.len(), 1, "{looks:?}");
    let all: BTreeSet<_> = ["K501", "K502", "K503", "K504", "K505", "K506", "K507", "K508"].into();
    assert_eq!(reasons, all, "the cases do not cover every reason");
}

#[test]
fn a_key_that_did_not_open_is_remembered_like_one_that_did() {
    // The second time neither needs the private key, so the time tells nothing.
    for name in ["envelope-rsa-oaep", "envelope-foreign-ekey", "envelope-ec-tag"] {
        let case = case(name);
        let mut scratch = Scratch::new();
        let parsed = http::parse(&case.raw).unwrap();
        let request = parsed.request(b"203.0.113.7", 1);
        let mut config = Config { seal: true, key_ops_per_s: 1, ..case.config.clone() };
        let first = event::accept(&request, &config, &mut scratch).outcome;
        config.key_ops_per_s = 0;
        assert_ne!(first, Outcome::Sealed);
        assert_eq!(event::accept(&request, &config, &mut scratch).outcome, first, "{name}");
    }
}

#[test]
fn over_the_budget_requests_are_sealed_and_open_later_just_the_same() {
    let names = ["envelope-rsa-oaep", "envelope-ec-secp256k1", "example-e5-app-gzip-9-rsa-aes"];
    for name in names {
        let case = case(name);
        let (mut edge, mut shipper) = (Scratch::new(), Scratch::new());
        let mut config = Config { seal: true, key_ops_per_s: 0, ..case.config.clone() };
        let parsed = http::parse(&case.raw).unwrap();
        let request = parsed.request(b"203.0.113.7", case.recv_ms * 1_000_000);
        let sealed = event::accept(&request, &config, &mut edge);
        assert_eq!(sealed.outcome, Outcome::Sealed, "{name}");
        config.seal = false;
        let raw = http::parse(sealed.raw).unwrap();
        let later = raw.request(b"203.0.113.7", case.recv_ms * 1_000_000);
        let opened = event::accept(&later, &config, &mut shipper);
        let mut direct = Scratch::new();
        assert_eq!(opened.payload(), run(&case, &mut direct).payload(), "{name}");
        assert_eq!(opened.outcome, Outcome::Kept);
    }
}

#[test]
fn the_budget_refills_by_the_second() {
    let case = case("envelope-rsa-oaep");
    let parsed = http::parse(&case.raw).unwrap();
    let config = Config { seal: true, key_ops_per_s: 2, ..case.config.clone() };
    let mut scratch = Scratch::new();
    let text = String::from_utf8(parsed.body.to_vec()).unwrap();
    let mut opened = 0;
    for i in 0..40u64 {
        // Another ekey each time: the first digits of the wrapped key.
        let at = text.find("ekey").unwrap() + 16;
        let body = format!("{}{:02}{}", &text[..at], i + 10, &text[at + 2..]);
        let mut request = parsed.request(b"203.0.113.7", i * 100_000_000);
        request.body = body.as_bytes();
        let outcome = event::accept(&request, &config, &mut scratch).outcome;
        opened += u64::from(outcome != Outcome::Sealed);
    }
    assert!((8..=10).contains(&opened), "{opened} opened in four seconds at two a second");
}

#[test]
fn too_many_payloads_are_refused_without_opening_one() {
    for list in [
        format!(r#"[{{"ekey":"AAAA","pkv":1,"payloads":[{}]}}]"#, vec!["\"\""; 100_000].join(",")),
        format!("[{}]", vec![r#"{"ekey":"AAAA","pkv":1,"payloads":[]}"#; 1_001].join(",")),
    ] {
        let body = format!("data_list={list}");
        let mut scratch = Scratch::new();
        let request = crate::post(body.as_bytes(), 1);
        let accepted = event::accept(&request, &Config::default(), &mut scratch);
        assert_eq!(codes(&accepted.record.view()), ["K509"]);
        assert_eq!(accepted.rejected, 1);
    }
}
