//! The console's view of the daemon: the same door as the control socket's.

use std::sync::Arc;
use std::time::Duration;

use console::Backend;
use console::tap::{Event, Second, Stored, Tap};
use serde_json::Value;
use shipper::engine::Engine;

use crate::{control, live};

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

    fn tap(&self, events: usize) -> Result<Box<dyn Tap>, String> {
        Ok(live::tap(&self.engine, events))
    }

    fn seconds(&self) -> Vec<Second> {
        live::seconds(&self.engine)
    }

    fn follow(&self, ids: &[String], sample_every: u32, life: Duration) -> Result<(), String> {
        self.engine.follow(ids, sample_every, life)
    }

    fn greetings(&self) -> Vec<(String, String)> {
        let greetings = self.engine.greetings().into_iter();
        greetings.map(|greeting| (greeting.info_id, greeting.distinct_id)).collect()
    }

    fn stored(&self, event: &Event) -> Vec<Stored> {
        live::stored(&self.engine, event)
    }
}
