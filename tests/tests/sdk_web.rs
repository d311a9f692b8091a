//! The web SDK in headless Chromium: every send mode, cross-origin, plain and through the SM and AES plugins.

use tusk_tests::prove::{plain, prove, sealed};
use tusk_tests::sdk::node;

#[test]
fn every_event_of_the_web_sdk_is_stored_once() {
    let cases = [
        plain("web_image", 15),
        plain("web_image_crossorigin", 15),
        sealed("web_image_aes", 15),
        sealed("web_image_sm", 15),
        plain("web_ajax", 15),
        plain("web_ajax_utm", 15),
        plain("web_ajax_identity", 18),
        plain("web_ajax_plugins", 18),
        sealed("web_ajax_aes", 15),
        sealed("web_ajax_sm", 15),
        plain("web_beacon", 15),
        sealed("web_beacon_sm", 15),
        plain("web_batch", 15),
    ];
    prove("web", vec![(node("web.js"), &cases)]);
}
