//! What the console asks the daemon. The binary `tusk` implements it; nothing here knows the shipper.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::tap::{Event, Second, Stored, Tap};

/// The daemon. Methods may block for a moment: handlers call them through [`crate::api::blocking`].
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// A request of the control socket and its answer, such as `{"cmd":"status"}`, `{"cmd":"ledger"}`,
    /// `{"cmd":"quarantine_list","filter":{…}}`: the page and the command line go through one door.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn ask(&self, request: Value) -> Result<Value, String>;

    /// Opens a live tap that holds at most `events` events.
    ///
    /// # Errors
    /// A sentence: there is no daemon to listen to.
    fn tap(&self, events: usize) -> Result<Box<dyn Tap>, String> {
        let _ = events;
        Err("there is no daemon behind this console".to_owned())
    }

    /// Events a second of the last half hour, oldest first; seconds without any are left out.
    fn seconds(&self) -> Vec<Second> {
        Vec::new()
    }

    /// Keeps the requests of these ids whole, and one request in `sample_every` (0 = none), for `life`.
    ///
    /// # Errors
    /// A sentence.
    fn follow(&self, ids: &[String], sample_every: u32, life: Duration) -> Result<(), String> {
        let _ = (ids, sample_every, life);
        Ok(())
    }

    /// Devices that scanned a code since the last call: what the code said, and who scanned it.
    fn greetings(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Where every sink has the event.
    fn stored(&self, event: &Event) -> Vec<Stored> {
        let _ = event;
        Vec::new()
    }
}
