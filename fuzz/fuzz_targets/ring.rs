#![no_main]
//! libFuzzer's door to the target `ring`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("ring").expect("a target").run)(data));
