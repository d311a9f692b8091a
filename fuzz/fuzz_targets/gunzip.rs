#![no_main]
//! libFuzzer's door to the target `gunzip`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("gunzip").expect("a target").run)(data));
