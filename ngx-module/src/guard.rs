//! The one door between nginx and our code.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ngx::ffi::{NGX_LOG_ALERT, ngx_cycle};
use ngx::ngx_log_error;

/// Runs `work`; a panic in it becomes `fallback`, is counted and logged. So a bug costs one request instead of the worker
/// with all its connections: unwinding out of an `extern "C"` function would abort it.
pub(crate) fn guard<T>(fallback: T, work: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        Err(_) => {
            // What was half done lies in the worker's scratch memory; it is replaced. A panic in there again changes nothing.
            let _ = catch_unwind(crate::worker::after_panic);
            fallback
        }
    }
}

/// Sends the text of a panic to nginx's error log instead of stderr.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // SAFETY: the cycle of a running process and its log are valid until it exits.
        let log = unsafe { (*ngx_cycle).log };
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload();
        let text = text
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| text.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        ngx_log_error!(NGX_LOG_ALERT, log, "tusk: bug, please report: at {place}: {text}");
    }));
}
