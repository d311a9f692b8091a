#![no_main]
//! libFuzzer's door to the target `request`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("request").expect("a target").run)(data));
