//! The mini-program SDK on a stubbed `wx`: single and batch, plain (CESU-8 emoji), gzip, SM and AES plugins.

use tusk_tests::prove::{plain, prove, sealed};
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
