//! A journal full of events that no sink has seen, and copies of it: every round drains the same one.

use super::drive::{Plan, all_accepted, drive};
use crate::Error;
use crate::corpus::Stream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tusk_tests::{Dir, Nginx, Signal, Tusk, conf, wait_for};

/// Senders that fill it.
const CONNECTIONS: u32 = 8;
/// Events of a request, on the mean: 60 % web, 20 % mini program, 20 % of apps with ten.
const EVENTS_A_REQUEST: f64 = 2.8;
/// Nobody answers there: the sink holds the journal.
const HOLD: &str =
    "[sink.file]\nenabled = false\n[sink.kafka]\nenabled = true\nbrokers = [\"127.0.0.1:1\"]\n";

/// The journal.
pub struct Filled {
    dir: Dir,
    /// Events in it, all kept.
    pub events: u64,
}

impl Filled {
    /// Fills one with about `events`, through nginx.
    ///
    /// # Errors
    /// If a request is not answered 200.
    pub fn new(events: u64) -> Result<Self, Error> {
        let dir = Dir::new("bench-filled");
        let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
        let mut tusk = Tusk::start(&dir, HOLD);
        let now_ms = crate::now_ms()?;
        let sent_events = AtomicU64::new(0);
        let requests = (events as f64 / EVENTS_A_REQUEST) as u64;
        let plan = Plan { connections: CONNECTIONS, rate: None, requests };
        let sent = drive(nginx.address(), plan, |connection| {
            let mut stream = Stream::new("d", 0xdeed ^ (u64::from(connection) << 32), now_ms);
            let sent_events = &sent_events;
            move |_| {
                let Some(sample) = stream.next() else { return Vec::new() };
                sent_events.fetch_add(sample.events as u64, Ordering::Relaxed);
                sample.raw
            }
        });
        all_accepted(&sent)?;
        let events = sent_events.into_inner();
        wait_for(120, "all events to be decided", || {
            (metric(&tusk, "tusk_facts_events_total") == Some(events)).then_some(())
        });
        drop(nginx);
        tusk.process().signal(Signal::TERM);
        tusk.process().wait(90);
        Ok(Self { dir, events })
    }

    /// A folder with the same journal, and no sink that knows of it.
    ///
    /// # Errors
    /// The disk's.
    pub fn copy(&self) -> Result<Dir, Error> {
        let dir = Dir::new("bench-round");
        copy(&self.dir.join("data"), &dir.join("data"))?;
        Ok(dir)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "ring" {
            copy(&entry.path(), &to.join(&name))?;
        } else if kind.is_file() && name != "kafka.state" {
            std::fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// A number of `/metrics`; of several the first.
pub fn metric(tusk: &Tusk, name: &str) -> Option<u64> {
    let text = tusk.metrics();
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.rsplit(' ').next()?.parse::<f64>().ok()? as u64)
}
