//! The Python SDK: its consumers one by one, debug mode and dry run.

use tusk_tests::prove::{dry, plain, prove};
use tusk_tests::sdk::python;

#[test]
fn every_event_of_the_python_sdk_is_stored_once() {
    let cases = [
        plain("python_default", 20),
        plain("python_default_free", 20),
        plain("python_batch", 20),
        plain("python_async", 20),
        plain("python_debug_write", 20),
        dry("python_debug_dry", 20),
    ];
    prove("python", vec![(python("python.py"), &cases)]);
}
