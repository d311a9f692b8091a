#![no_main]
//! libFuzzer's door to the target `json`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("json").expect("a target").run)(data));
