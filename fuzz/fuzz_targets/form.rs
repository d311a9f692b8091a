#![no_main]
//! libFuzzer's door to the target `form`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("form").expect("a target").run)(data));
