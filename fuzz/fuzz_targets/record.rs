#![no_main]
//! libFuzzer's door to the target `record`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("record").expect("a target").run)(data));
