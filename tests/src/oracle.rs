//! The comparison of a client's log with what is at a target.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use crate::load::{Log, Outcome};
use crate::sdk::Stored;

/// An event of the load as a target holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Number of its request, as the client counts.
    pub request: u64,
    /// Its place in the request, as the client wrote it.
    pub index: u32,
    /// Node, lsn and index that the product gave it.
    pub identity: (String, u64, u32),
}

impl Seen {
    /// Takes it from a line or value of shape `server`; `None` if it is not of this client.
    #[must_use]
    pub fn of(stored: &Stored) -> Option<Self> {
        let number = |path| stored.event.number(path).and_then(|text| text.parse::<u64>().ok());
        let (node, lsn, place) = stored.identity();
        Some(Self {
            request: number("/properties/request")?,
            index: u32::try_from(number("/properties/index")?).ok()?,
            identity: (node, lsn.parse().ok()?, place.parse().ok()?),
        })
    }

    /// Takes it from the columns request, index, node, lsn, idx of a row.
    ///
    /// # Panics
    /// If they are no such columns.
    #[track_caller]
    #[must_use]
    pub fn row<'c>(columns: impl IntoIterator<Item = &'c str>) -> Self {
        let columns: Vec<&str> = columns.into_iter().collect();
        let [request, index, node, lsn, place] = columns.as_slice() else {
            panic!("not a row of five columns: {columns:?}")
        };
        // Numbers of a database may come as 7 or 7.0.
        let number = |text: &str| -> u64 {
            let whole = text.split('.').next().unwrap_or_default();
            whole.parse().unwrap_or_else(|_| panic!("no number: {columns:?}"))
        };
        let small = |text: &str| u32::try_from(number(text)).unwrap();
        Self {
            request: number(request),
            index: small(index),
            identity: ((*node).to_owned(), number(lsn), small(place)),
        }
    }
}

/// How a target differs from the log. All counts are events unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Answered 200 and not stored.
    pub lost: u64,
    /// Stored more than once, or one identity on two lines.
    pub twice: u64,
    /// Whatever else breaks the books: requests stored in part, events stored that were refused or never sent, and equations that
    /// the ledger itself says do not hold.
    pub gap: u64,
    /// Events answered 200.
    pub accepted: u64,
    /// Events whose request got no answer, and how many of them are stored.
    pub unanswered: (u64, u64),
    /// The first differences, in words.
    pub report: String,
}

/// Whether a request that was answered with an error may be stored all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `ack=ring`: 503 means it was not written.
    NotStored,
    /// `ack=journal`: 503 may mean "written, not confirmed in time".
    MayBeStored,
}

impl Verdict {
    /// Compares lines or values.
    #[must_use]
    pub fn of(log: &Log, stored: &[Stored], refusal: Refusal) -> Self {
        let mut foreign = Self::default();
        let mut seen = Vec::with_capacity(stored.len());
        for one in stored {
            match Seen::of(one) {
                Some(one) => seen.push(one),
                None => {
                    foreign.gap += 1;
                    foreign.note(&format!("not of this client: {}", one.bytes));
                }
            }
        }
        let mut verdict = Self::of_seen(log, &seen, refusal);
        verdict.add(&foreign);
        verdict
    }

    /// Compares what a target showed.
    #[must_use]
    pub fn of_seen(log: &Log, seen: &[Seen], refusal: Refusal) -> Self {
        let mut verdict = Self::default();
        let mut times: HashMap<(u64, u32), u32> = HashMap::new();
        let mut identities = BTreeSet::new();
        for one in seen {
            *times.entry((one.request, one.index)).or_default() += 1;
            if !identities.insert(&one.identity) {
                verdict.twice += 1;
                verdict.note(&format!("identity twice: {:?}", one.identity));
            }
        }
        for (request, sent) in log {
            let mut there = 0;
            for index in 0..sent.events {
                let count = times.remove(&(*request, index)).unwrap_or_default();
                there += u32::from(count > 0);
                if count > 1 {
                    verdict.twice += u64::from(count - 1);
                    verdict.note(&format!("request {request} event {index}: {count} times"));
                }
            }
            verdict.judge(*request, sent.events, there, sent.outcome, refusal);
        }
        for ((request, index), count) in times {
            verdict.gap += u64::from(count);
            verdict.note(&format!("request {request} event {index}: stored, never sent"));
        }
        verdict
    }

    fn judge(&mut self, request: u64, sent: u32, there: u32, outcome: Outcome, refusal: Refusal) {
        let missing = u64::from(sent - there);
        match outcome {
            Outcome::Accepted => {
                self.accepted += u64::from(sent);
                self.lost += missing;
                if missing > 0 {
                    self.note(&format!("request {request}: 200, {there} of {sent} stored"));
                }
                return;
            }
            Outcome::Unanswered => {
                self.unanswered.0 += u64::from(sent);
                self.unanswered.1 += u64::from(there);
            }
            Outcome::Refused(_) if refusal == Refusal::MayBeStored => {}
            Outcome::Refused(_) | Outcome::Unsent => {
                self.gap += u64::from(there);
                if there > 0 {
                    self.note(&format!("request {request}: {outcome:?}, {there} stored"));
                }
                return;
            }
        }
        if there != 0 && there != sent {
            self.gap += missing;
            self.note(&format!("request {request}: {outcome:?}, {there} of {sent} stored"));
        }
    }

    /// Keeps the first 30 differences.
    pub fn note(&mut self, text: &str) {
        if self.report.lines().count() < 30 {
            let _ = writeln!(self.report, "{text}");
        }
    }

    /// Adds another part's counts.
    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.twice += other.twice;
        self.gap += other.gap;
        self.accepted += other.accepted;
        self.unanswered.0 += other.unanswered.0;
        self.unanswered.1 += other.unanswered.1;
        self.report += &other.report;
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.twice + self.gap == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Verdict};
    use crate::load::{Log, Outcome, Sent, event};
    use crate::sdk::Stored;

    fn stored(request: u64, index: u32, lsn: u64) -> Stored {
        let text = event(request, index, 10);
        let event = text.strip_suffix('}').unwrap();
        Stored::parse(&format!(r#"{event},"_server":{{"node":"n","lsn":{lsn},"index":{index}}}}}"#))
    }

    #[test]
    fn sees_each_kind_of_difference() {
        let sent = |events, outcome| Sent { events, outcome };
        let log: Log = [
            (0, sent(2, Outcome::Accepted)),
            (1, sent(2, Outcome::Unanswered)),
            (2, sent(1, Outcome::Refused(503))),
            (3, sent(1, Outcome::Unsent)),
        ]
        .into();
        let whole = vec![stored(0, 0, 8), stored(0, 1, 8)];
        assert!(Verdict::of(&log, &whole, Refusal::NotStored).is_clean());
        assert_eq!(Verdict::of(&log, &whole[..1], Refusal::NotStored).lost, 1);
        let with = |more: Stored| {
            let mut all = whole.clone();
            all.push(more);
            Verdict::of(&log, &all, Refusal::NotStored)
        };
        assert_eq!(with(stored(0, 0, 16)).twice, 1, "stored again under a new identity");
        assert_eq!(with(stored(0, 0, 8)).twice, 2, "and under the same identity");
        assert_eq!(with(stored(1, 0, 16)).gap, 1, "half a request");
        assert_eq!(with(stored(2, 0, 16)).gap, 1, "refused, yet stored");
        assert_eq!(with(stored(3, 0, 16)).gap, 1, "unsent, yet stored");
        assert_eq!(with(stored(9, 0, 16)).gap, 1, "never sent");
        let mut all = whole.clone();
        all.extend([stored(1, 0, 16), stored(1, 1, 16), stored(2, 0, 24)]);
        let verdict = Verdict::of(&log, &all, Refusal::MayBeStored);
        assert!(verdict.is_clean(), "{}", verdict.report);
        assert_eq!(verdict.unanswered, (2, 2));
    }
}
