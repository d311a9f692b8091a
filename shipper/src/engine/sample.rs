//! One event by its identity, read from the journal while it is there.

use super::shared::Shared;
use super::watch::tap_event;
use crate::facts::decide::Origin;
use crate::facts::{FactsReader, flag};
use crate::journal::{JournalError, Read, Reader};
use crate::tap::TapEvent;
use event::record::{Kind, Record};
use std::sync::Arc;

/// The event `index` of the record at `lsn`; `None` if the journal does not hold it (any more).
pub(super) fn event(shared: &Shared, lsn: u64, index: u32) -> Result<Option<TapEvent>, String> {
    read(shared, lsn, index).map_err(|error| error.to_string())
}

fn read(shared: &Shared, lsn: u64, index: u32) -> Result<Option<TapEvent>, JournalError> {
    let decided = shared.facts.decided().get();
    if lsn < shared.segments.start_lsn() || lsn >= decided {
        return Ok(None);
    }
    let mut journal = Reader::new(Arc::clone(&shared.segments), lsn);
    let (kind, recv_ms, mut payload) = match journal.next(decided)? {
        Read::Record { header, payload } if header.lsn == lsn => {
            (header.kind, (header.recv_ns / 1_000_000).cast_signed(), payload.to_vec())
        }
        _ => return Ok(None),
    };
    if kind == Kind::Sealed as u8 {
        let mut facts = FactsReader::new(Arc::clone(&shared.facts), lsn);
        let Some(fact) = facts.next(decided)?.filter(|fact| fact.has(flag::SEALED)) else {
            return Ok(None);
        };
        let segment = journal.segment_lsn();
        payload = shared.facts.opened_reader().read(segment, lsn, fact.dup_key)?;
    }
    let record = Record::parse(&payload).unwrap_or_default();
    let Some((entry, json)) = record.event(index as usize) else { return Ok(None) };
    let mut event = tap_event(&record, &entry, json, index);
    event.node.clone_from(&shared.node);
    (event.lsn, event.index, event.recv_ms) = match Origin::find(&payload) {
        Some(origin) => {
            (origin.lsn, origin.index_of(index), (origin.recv_ns / 1_000_000).cast_signed())
        }
        None => (lsn, index, recv_ms),
    };
    event.shorten();
    Ok(Some(event))
}
