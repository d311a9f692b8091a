//! The Java SDK: batch and fast batch consumers, debug mode and dry run.

use tusk_tests::prove::{dry, plain, prove};
use tusk_tests::sdk::java;

#[test]
fn every_event_of_the_java_sdk_is_stored_once() {
    let cases = [
        plain("java_batch", 20),
        plain("java_fastbatch", 20),
        plain("java_debug_write", 20),
        dry("java_debug_dry", 20),
    ];
    prove("java", vec![(java(), &cases)]);
}
