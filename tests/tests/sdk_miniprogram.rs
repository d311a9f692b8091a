//! The mini-program SDK on a stubbed `wx`: single and batch, plain (CESU-8 emoji), gzip, SM and AES plugins.

use tusk_tests::prove::{plain, prove, prove_with, sealed};
use tusk_tests::sdk::node;

#[test]
fn every_event_of_the_mini_program_sdk_is_stored_once() {
    let cases = [
        plain("miniprogram_single", 12),
        plain("miniprogram_single_gzip", 12),
        sealed("miniprogram_single_sm", 12),
        sealed("miniprogram_single_aes", 12),
        plain("miniprogram_batch", 12),
        plain("miniprogram_batch_gzip", 12),
        sealed("miniprogram_batch_sm", 12),
        sealed("miniprogram_batch_aes", 12),
    ];
    let run = |case| (node("miniprogram.js"), std::slice::from_ref(case));
    prove("miniprogram", cases.iter().map(run).collect());
}

#[test]
fn requests_over_the_key_budget_are_opened_by_the_shipper() {
    let cases = [sealed("miniprogram_single_sm", 12), sealed("miniprogram_batch_sm", 12)];
    let run = |case| (node("miniprogram.js"), std::slice::from_ref(case));
    let log = prove_with("miniprogram", "tusk_key_rate 0;", cases.iter().map(run).collect());
    let odd: Vec<&str> = log.lines().filter(|line| !line.contains(" 200 sealed ")).collect();
    assert!(odd.is_empty(), "not kept sealed: {odd:?}");
    assert!(log.lines().count() >= 10, "{log}");
}
