#![no_main]
//! libFuzzer's door to the target `sql`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("sql").expect("a target").run)(data));
