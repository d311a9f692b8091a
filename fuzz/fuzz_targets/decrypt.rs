#![no_main]
//! libFuzzer's door to the target `decrypt`.
libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::named("decrypt").expect("a target").run)(data));
