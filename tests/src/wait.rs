//! Waiting for something that can be seen, and ports.

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Looks every 5 ms until `look` returns something.
///
/// # Panics
/// After `limit_s` seconds, naming `what` was waited for.
#[track_caller]
pub fn wait_for<T>(limit_s: u64, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(limit_s), "waited {limit_s} s for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A loopback port that was free a moment ago. Another process may take it first, so whoever listens on it must be ready to
/// ask for another, as [`crate::Nginx::start`] is.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
