//! What the console asks the daemon. The binary `tusk` implements it; nothing here knows the shipper.

use std::fmt;

use serde_json::Value;

/// The daemon. Methods may block for a moment: handlers call them through [`crate::api::blocking`].
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A request of the control socket and its answer, such as `{"cmd":"status"}`, `{"cmd":"ledger"}`,
    /// `{"cmd":"quarantine_list","filter":{…}}`: the page and the command line go through one door.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn ask(&self, request: Value) -> Result<Value, String>;
}
