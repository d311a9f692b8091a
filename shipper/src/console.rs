//! The console's view of the daemon: the same door as the control socket's.

use std::sync::Arc;

use console::Backend;
use serde_json::Value;
use shipper::engine::Engine;

use crate::control;

/// The running engine, to the console.
#[derive(Debug)]
pub(crate) struct Daemon {
    engine: Arc<Engine>,
}

impl Daemon {
    /// The console's end.
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

impl Backend for Daemon {
    fn ask(&self, request: Value) -> Result<Value, String> {
        let request =
            serde_json::from_value(request).map_err(|error| format!("not a request: {error}"))?;
        control::ask(&self.engine, &request)
    }
}
