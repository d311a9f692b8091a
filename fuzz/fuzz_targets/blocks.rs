#![no_main]
//! libFuzzer's door to the target `blocks`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("blocks").expect("a target").run)(data));
