//! Sleep and wake between processes.

use crate::sync::AtomicU32;
use std::{ptr, time::Duration};

/// Sleeps while `word` is `value`, at most `limit`. May return early for no reason.
pub(crate) fn wait(word: &AtomicU32, value: u32, limit: Duration) {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(limit.subsec_nanos()),
    };
    // SAFETY: `word` is a live aligned u32, `time` outlives the call. Not FUTEX_PRIVATE: the waker is another process.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const time);
    }
}

/// Wakes the one sleeper on `word`.
pub(crate) fn wake(word: &AtomicU32) {
    let nothing: *const libc::timespec = ptr::null();
    // SAFETY: `word` is a live aligned u32; the kernel uses only its address.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, nothing);
    }
}
