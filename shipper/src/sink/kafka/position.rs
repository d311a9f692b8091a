//! Where a node stands in Kafka, and whether to go on from there.
//!
//! A transaction carries the position twice: as a record of a compacted topic (key = the node's name), which stays for ever and is
//! the truth, and as an offset of the consumer group `tusk-<name>`, which brokers forget after days of silence and lag tools know.
//! Neither is ever guessed: what does not fit stops the sink with a sentence. The table is [`decide`].

use crate::state::{State, Sums};
use serde::{Deserialize, Serialize};

/// Refused events of a range that a position remembers, so that a crash cannot change what became of them; a range with more is not
/// delivered.
pub(super) const REFUSED_MAX: usize = 1_000;

/// Of [`Found::known`]: this process has committed nothing, and there was nothing of this journal.
pub const NOTHING: u64 = u64::MAX;

/// The record in the topic of positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The journal, `<name>-<epoch>`.
    pub node: String,
    /// Every event of a record below this lsn is in Kafka, or in `refused` of the range it was in.
    pub lsn: u64,
    /// Begin of the range under way.
    pub from: u64,
    /// Events delivered in the sink's life.
    pub delivered: u64,
    /// Events refused in the sink's life.
    pub refused_total: u64,
    /// Refused events of the range under way: lsn, index, reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(u64, u32, String)>,
    /// When, ms.
    pub time_ms: i64,
}

impl Position {
    /// Its JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads it back; fields of later versions are ignored.
    ///
    /// # Errors
    /// A sentence: it is not ours.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| {
            format!("the topic of positions holds something else under our key ({error}); give Tusk a topic of its own (sink.kafka.topic_positions)")
        })
    }
}

/// The group's offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The lsn.
    pub lsn: u64,
    /// The journal it belongs to, from the offset's metadata.
    pub node: String,
}

/// Everything [`decide`] looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The journal, `<name>-<epoch>`.
    pub node: String,
    /// The sink's state when the process began; `None` at its first start.
    pub state: Option<State>,
    /// First and last lsn of the journal; `None` where that is not known.
    pub journal: Option<(u64, u64)>,
    /// Events for this sink between the record's lsn and the cursor of the state, where the former is below the latter.
    pub between: u64,
    /// The record under our key.
    pub record: Option<Position>,
    /// The group's offset.
    pub offset: Option<Committed>,
    /// Whether the topics of events hold anything.
    pub topics_hold: bool,
    /// Whether the topic of positions holds another node's record: then what is in the topics is theirs.
    pub others: bool,
    /// `take_over` of the settings.
    pub take_over: Option<String>,
    /// Where this process knows it stands: what it committed last, and what it tried to commit without hearing the end of it.
    pub known: Option<(u64, Option<u64>)>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Everything below this lsn is delivered; the record tells what was refused.
    From(u64),
    /// Nothing of this journal is in Kafka: everything from the sink's cursor on is to be delivered.
    Begin,
}

/// Whether a sink of this state may be called new: nothing was ever delivered by it.
fn is_new(state: Option<&State>) -> bool {
    state.is_none_or(|state| {
        let Sums { delivered, refused, deduplicated, .. } = state.sums;
        delivered + refused + deduplicated == 0
    })
}

/// Where to go on.
///
/// # Errors
/// Why a person has to look, and what that person can do.
pub fn decide(found: &Found) -> Result<Decision, String> {
    if let Some((last, unsure)) = found.known {
        return still_ours(found, last, unsure);
    }
    let ours = found.record.as_ref().filter(|record| record.node == found.node);
    let usable = match (&found.record, ours) {
        (Some(record), None) if found.take_over.as_ref() == Some(&record.node) => {
            return Ok(Decision::Begin);
        }
        (Some(record), None) => {
            return Err(format!(
                "Kafka's position is that of journal {}, this one is {}: if another machine has the node name, give this one its own \
                 (`node`); if that journal is gone for good, set sink.kafka.take_over = \"{}\"",
                record.node, found.node, record.node
            ));
        }
        (_, Some(record)) => with_record(found, record),
        (None, None) => without_record(found),
    };
    match usable {
        // The state's own cursor is never less than what was delivered, but for the range under way.
        Err(_) if found.take_over.as_deref() == Some("none") => Ok(Decision::Begin),
        other => other,
    }
}

/// A new producer within a process: nobody else may have moved the position meanwhile.
fn still_ours(found: &Found, last: u64, unsure: Option<u64>) -> Result<Decision, String> {
    let lsn = match &found.record {
        Some(record) if record.node == found.node => Some(record.lsn),
        // A journal that was taken over stands there until our first commit.
        Some(_) if last == NOTHING => return Ok(Decision::Begin),
        Some(_) => None,
        None if last == NOTHING => return Ok(Decision::Begin),
        None => None,
    };
    match lsn {
        Some(lsn) if lsn == last || Some(lsn) == unsure => Ok(Decision::From(lsn)),
        other => {
            let now = other.map_or("another journal's".to_owned(), |lsn| format!("{lsn}"));
            Err(format!(
                "the position in Kafka is {now} and not {last}, where this shipper left it: another shipper with node {} runs; stop it, \
                 or give it a data folder and a node name of its own",
                found.node
            ))
        }
    }
}

fn with_record(found: &Found, record: &Position) -> Result<Decision, String> {
    let lsn = record.lsn;
    if let Some(offset) = &found.offset
        && (offset.lsn != lsn || (!offset.node.is_empty() && offset.node != found.node))
    {
        return Err(format!(
            "Kafka has two positions of {}: {lsn} in the topic of positions and {} as offset of its group, so somebody set one of \
             them; to go on from {lsn}, delete the group (kafka-consumer-groups --delete --group tusk-…) and start again",
            found.node, offset.lsn
        ));
    }
    if let Some((start, end)) = found.journal {
        if lsn > end {
            return Err(format!(
                "Kafka's position {lsn} lies beyond the end of the journal, {end}: the data folder was replaced by an older one; restore the right one, \
                 or move `journal` and `state` away to begin a new journal"
            ));
        }
        if lsn < start && is_new(found.state.as_ref()) {
            return Err(format!(
                "Kafka's position {lsn} lies before the start of the journal, {start}: what was between is not here any more; to go on \
                 without it set sink.kafka.take_over = \"none\" for one start"
            ));
        }
    }
    let Some(state) = found.state.as_ref().filter(|state| !is_new(Some(state))) else {
        // The state file is lost, or was never written after a delivery: the record is the truth.
        return Ok(Decision::From(lsn));
    };
    let reach = state.pending.map_or(state.done, |(_, to)| to);
    if lsn > reach {
        return Err(format!(
            "Kafka's position {lsn} lies beyond what this shipper sent, {reach}: another shipper with node {} runs, or the data folder was \
             copied; give each its own node name and data folder. If only the state file is old, remove it and start again",
            found.node
        ));
    }
    if lsn < state.done && found.between > 0 {
        return Err(format!(
            "{} events up to {} were delivered, but Kafka's position is {lsn}: Kafka lost committed transactions (a restored or unclean \
             broker?). To deliver them again: `tusk ledger --audit` and `tusk replay`; then set sink.kafka.take_over = \"none\" for one start",
            found.between, state.done
        ));
    }
    Ok(Decision::From(lsn))
}

fn without_record(found: &Found) -> Result<Decision, String> {
    let remedy = "to go on from the sink's own state, which may repeat the range under way, set sink.kafka.take_over = \"none\" for one start";
    if let Some(offset) = &found.offset {
        return Err(format!(
            "the topic of positions has no record of {}, but its group stands at {}: the topic was emptied or replaced (is its cleanup.policy \
             compact?); restore it; or {remedy}",
            found.node, offset.lsn
        ));
    }
    if !is_new(found.state.as_ref()) {
        return Err(format!(
            "this sink has delivered before, but Kafka knows no position of {}: another cluster, or the topic of positions was \
             removed; check sink.kafka.brokers; or {remedy}",
            found.node
        ));
    }
    if found.topics_hold && !found.others {
        return Err(format!(
            "the topics hold records already and Kafka knows no position of {} nor of any other shipper: if the records are those of \
             another program, set sink.kafka.take_over = \"none\" for the first start",
            found.node
        ));
    }
    Ok(Decision::Begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "web-0000000b";

    fn record(lsn: u64) -> Option<Position> {
        Some(Position { node: NODE.into(), lsn, ..Position::default() })
    }

    fn offset(lsn: u64) -> Option<Committed> {
        Some(Committed { lsn, node: NODE.into() })
    }

    fn state(done: u64, pending: Option<(u64, u64)>) -> Option<State> {
        let sums = Sums { kept: 5, delivered: 5, ..Sums::default() };
        Some(State { node: NODE.into(), done, pending, sums, ..State::default() })
    }

    fn found() -> Found {
        Found { node: NODE.into(), journal: Some((0, 1000)), ..Found::default() }
    }

    #[track_caller]
    fn stops(found: Found, words: &str) {
        let text = decide(&found).unwrap_err();
        assert!(text.contains(words), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn both_agree_or_only_the_record_is_there() {
        let all = Found { record: record(40), state: state(40, None), ..found() };
        assert_eq!(decide(&all), Ok(Decision::From(40)));
        let all = Found { offset: offset(40), ..all };
        assert_eq!(decide(&all), Ok(Decision::From(40)));
        // An offset that a lag tool or an older version committed without metadata.
        let bare = Some(Committed { lsn: 40, node: String::new() });
        assert_eq!(decide(&Found { offset: bare, ..all }), Ok(Decision::From(40)));
    }

    #[test]
    fn the_range_under_way_may_be_in_kafka_whole_in_part_or_not() {
        for lsn in [40, 55, 60] {
            let all = Found { record: record(lsn), state: state(40, Some((40, 60))), ..found() };
            assert_eq!(decide(&all), Ok(Decision::From(lsn)));
        }
    }

    #[test]
    fn what_differs_stops() {
        let all = Found { record: record(40), state: state(40, None), ..found() };
        stops(Found { offset: offset(39), ..all.clone() }, "two positions");
        stops(Found { offset: offset(0), ..all.clone() }, "two positions");
        let other = Some(Committed { lsn: 40, node: "web-0000000c".into() });
        stops(Found { offset: other, ..all }, "two positions");
    }

    #[test]
    fn only_the_offset_stops_and_so_does_neither_when_something_was_delivered() {
        stops(Found { offset: offset(40), state: state(40, None), ..found() }, "its group stands at 40");
        stops(Found { offset: offset(40), ..found() }, "its group stands at 40");
        stops(Found { state: state(40, None), ..found() }, "has delivered before");
        stops(Found { topics_hold: true, ..found() }, "hold records already");
        let all = Found { state: state(40, None), take_over: Some("none".into()), ..found() };
        assert_eq!(decide(&all), Ok(Decision::Begin));
    }

    #[test]
    fn a_new_sink_begins_on_empty_topics_or_beside_other_nodes() {
        assert_eq!(decide(&found()), Ok(Decision::Begin));
        let unsent = Some(State { pending: Some((0, 10)), ..State::default() });
        assert_eq!(decide(&Found { state: unsent, ..found() }), Ok(Decision::Begin));
        let beside = Found { topics_hold: true, others: true, ..found() };
        assert_eq!(decide(&beside), Ok(Decision::Begin));
        let first = Found { topics_hold: true, take_over: Some("none".into()), ..found() };
        assert_eq!(decide(&first), Ok(Decision::Begin));
    }

    #[test]
    fn a_lost_state_file_goes_on_from_the_record() {
        assert_eq!(decide(&Found { record: record(40), ..found() }), Ok(Decision::From(40)));
        let fresh = Some(State { pending: Some((0, 10)), ..State::default() });
        let all = Found { record: record(40), state: fresh, ..found() };
        assert_eq!(decide(&all), Ok(Decision::From(40)));
    }

    #[test]
    fn another_journal_stops_until_it_is_taken_over_by_name() {
        let other = Position { node: "web-0000000c".into(), lsn: 7, ..Position::default() };
        let all = Found { record: Some(other), ..found() };
        stops(all.clone(), "take_over = \"web-0000000c\"");
        stops(Found { take_over: Some("none".into()), ..all.clone() }, "web-0000000c");
        let all = Found { take_over: Some("web-0000000c".into()), ..all };
        assert_eq!(decide(&all), Ok(Decision::Begin));
    }

    #[test]
    fn positions_outside_the_journal_or_of_lost_transactions_stop() {
        let at = |lsn| Found { record: record(lsn), state: state(500, None), ..found() };
        stops(at(1001), "beyond the end of the journal");
        stops(at(600), "another shipper with node");
        assert_eq!(decide(&at(400)), Ok(Decision::From(400)), "nothing was for Kafka in between");
        stops(Found { between: 3, ..at(400) }, "3 events up to 500");
        let early = Found { journal: Some((100, 1000)), record: record(40), ..found() };
        stops(early.clone(), "before the start of the journal");
        let parked = Found { state: state(100, None), ..early };
        assert_eq!(decide(&parked), Ok(Decision::From(40)), "its hole is in the ledger");
    }

    #[test]
    fn a_second_shipper_is_told_from_an_unheard_commit() {
        let mine = |record, known| Found { record, known: Some(known), ..found() };
        assert_eq!(decide(&mine(record(40), (40, None))), Ok(Decision::From(40)));
        assert_eq!(decide(&mine(record(60), (40, Some(60)))), Ok(Decision::From(60)));
        assert_eq!(decide(&mine(record(40), (40, Some(60)))), Ok(Decision::From(40)));
        stops(mine(record(50), (40, Some(60))), "another shipper with node");
        stops(mine(None, (40, None)), "another shipper with node");
        let other = Some(Position { node: "web-0000000c".into(), lsn: 40, ..Position::default() });
        stops(mine(other, (40, None)), "another journal's");
        assert_eq!(decide(&mine(None, (NOTHING, Some(60)))), Ok(Decision::Begin));
        assert_eq!(decide(&mine(record(60), (NOTHING, Some(60)))), Ok(Decision::From(60)));
    }

    #[test]
    fn a_record_reads_back() {
        let position = Position { refused: vec![(8, 1, "too large".into())], ..record(40).unwrap() };
        assert_eq!(Position::decode(&position.encode()), Ok(position));
        assert!(Position::decode(b"null").unwrap_err().contains("topic_positions"));
    }
}
