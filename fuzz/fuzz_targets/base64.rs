#![no_main]
//! libFuzzer's door to the target `base64`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("base64").expect("a target").run)(data));
