//! Filling holes: what the topics do not hold yet is sent in a transaction of a producer of its own.

use super::client::{Fail, Reader};
use super::message::Maker;
use super::properties::Batch;
use super::scan;
use super::session::{Sent, Session};
use super::{Config, connect, topics};
use crate::facts::flag;
use crate::range::Shown;
use crate::ledger::Identity;
use crate::sink::{DeliverError, Range, Receipt, Refused, Replay};
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

/// Delivers beside the sink, without its position.
pub(super) struct Replayer {
    config: Config,
    node: String,
    session: Option<Session>,
    topics: HashSet<String>,
}

impl Replayer {
    pub(super) fn new(config: &Config, node: &str) -> Self {
        Self { config: config.clone(), node: node.to_owned(), session: None, topics: HashSet::new() }
    }

    /// Sends what is missing of a range.
    pub(super) fn replay(
        &mut self,
        maker: &mut Maker,
        range: &mut Range<'_>,
        replay: &Replay,
    ) -> Result<Receipt, DeliverError> {
        let suffix = replay.topic_suffix.clone().unwrap_or_default();
        let there = self.there(range, &suffix).map_err(deliver_error)?;
        self.send(maker, range, replay, &suffix, &there).map_err(|fail| {
            // Its transaction ends with it.
            self.session = None;
            deliver_error(fail)
        })
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms.into())
    }

    /// Identities of the range that the topics hold, wherever they stand.
    fn there(&self, range: &mut Range<'_>, suffix: &str) -> Result<HashSet<Identity>, Fail> {
        let mut first_ms = i64::MAX;
        let mut wanted = HashSet::new();
        let read = range.read(&mut |shown| {
            if let Shown::Event(event) = shown
                && event.fact.has(flag::KEPT)
            {
                first_ms = first_ms.min(event.recv_ms);
                wanted.insert((event.lsn, event.index));
            }
            Ok(())
        });
        read.map_err(|error| Fail::Abort(error.to_string()))?;
        let mut there = HashSet::new();
        if wanted.is_empty() {
            return Ok(there);
        }
        let limit = self.limit();
        let reader = Reader::open(&self.config, &connect::id(&self.node), true)?;
        let mut parts = scan::parts(&self.config, &reader, suffix, limit)?;
        if parts.is_empty() {
            return Ok(there);
        }
        scan::seek(&self.config, &reader, &mut parts, first_ms, limit)?;
        for part in &mut parts {
            scan::read(&self.config, &reader, part, &self.node, &mut |mark| {
                if wanted.contains(&mark.identity) {
                    there.insert(mark.identity);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(there)
    }

    fn send(
        &mut self,
        maker: &mut Maker,
        range: &mut Range<'_>,
        replay: &Replay,
        suffix: &str,
        there: &HashSet<Identity>,
    ) -> Result<Receipt, Fail> {
        let mut receipt = Receipt::default();
        let mut place = 0;
        let mut failed = None;
        if self.session.is_none() {
            // A name of its own: it must not fence the sink it helps.
            let id = format!("{}-replay", connect::id(&self.node));
            self.session = Some(Session::open(&self.config, &id, Batch::Default)?);
        }
        let Self { config, node, session, topics } = self;
        let Some(session) = session else { return Err(Fail::Lost(String::new())) };
        let read = range.read(&mut |shown| {
            let Shown::Event(event) = shown else { return Ok(()) };
            let identity = (event.lsn, event.index);
            if !event.fact.has(flag::KEPT) || !replay.is_missing(event.lsn, event.index) {
                return Ok(());
            }
            receipt.delivered += 1;
            if there.contains(&identity) {
                return Ok(());
            }
            maker.make(event);
            let topic = format!("{}{suffix}", maker.topic());
            let sent = known(config, node, topics, &topic)
                .and_then(|()| if session.is_open() { Ok(()) } else { session.begin(config) })
                .and_then(|()| session.send(config, maker, &topic, place, event.recv_ms));
            place += 1;
            match sent {
                Ok(Sent::Queued) => Ok(()),
                Ok(Sent::Refused(reason)) => {
                    receipt.delivered -= 1;
                    receipt.refused.push(Refused { lsn: event.lsn, index: event.index, reason });
                    Ok(())
                }
                Err(fail) => {
                    failed = Some(fail);
                    Err(io::Error::other("stopped"))
                }
            }
        });
        if let Some(fail) = failed {
            return Err(fail);
        }
        read.map_err(|error| Fail::Abort(error.to_string()))?;
        if session.is_open() {
            session.commit(config, None)?;
        }
        Ok(receipt)
    }
}

/// Whether the topic is there; makes it if it may.
fn known(
    config: &Config,
    node: &str,
    topics: &mut HashSet<String>,
    topic: &str,
) -> Result<(), Fail> {
    if !topics.contains(topic) {
        if super::properties::is_topic(topic) {
            let limit = Duration::from_millis(config.timeout_ms.into());
            let reader = Reader::open(config, &connect::id(node), true)?;
            topics::ensure(config, &reader, topic, limit)?;
        }
        topics.insert(topic.to_owned());
    }
    Ok(())
}

fn deliver_error(fail: Fail) -> DeliverError {
    match fail {
        Fail::Stop(text) => DeliverError::Stop(text),
        other => DeliverError::Unavailable(other.text()),
    }
}
