#![no_main]
//! libFuzzer's door to the target `journal`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("journal").expect("a target").run)(data));
