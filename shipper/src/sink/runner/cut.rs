//! The range being gathered.

use crate::facts::FactsReader;
use std::collections::HashSet;

/// The range being gathered.
pub(super) struct Cut {
    pub(super) facts: FactsReader,
    pub(super) end: u64,
    pub(super) partitions: HashSet<u64>,
    pub(super) last_partition: Option<u64>,
    /// When its first record was seen, ms.
    pub(super) since_ms: Option<i64>,
    /// Receive time of its first record.
    pub(super) first_recv_ms: i64,
    pub(super) full: bool,
    /// Events the sink wants to see.
    pub(super) events: u64,
    /// Whether it holds anything the sink wants to see.
    pub(super) wanted: bool,
}

impl Cut {
    pub(super) fn restart(&mut self, at: u64) {
        self.facts.seek(at);
        self.end = at;
        self.partitions.clear();
        self.last_partition = None;
        self.since_ms = None;
        self.first_recv_ms = 0;
        self.full = false;
        self.events = 0;
        self.wanted = false;
    }
}
