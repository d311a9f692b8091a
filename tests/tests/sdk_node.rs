//! The Node SDK: one by one, batches, its disk-backed consumer, debug mode and dry run.

use tusk_tests::prove::{dry, plain, prove};
use tusk_tests::sdk::node;

#[test]
fn every_event_of_the_node_sdk_is_stored_once() {
    let cases = [
        plain("node_submit", 11),
        plain("node_submit_nogzip", 11),
        plain("node_submit_batch", 11),
        plain("node_nw", 11),
        plain("node_debug_write", 11),
        dry("node_debug_dry", 11),
    ];
    prove("node", cases.iter().map(|case| (node("node.js"), std::slice::from_ref(case))).collect());
}
