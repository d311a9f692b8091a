//! The product's own books, read from outside by `tusk ledger --json`.

use crate::Tusk;
use crate::json::Json;

/// The ledger as JSON.
#[derive(Clone, Debug)]
pub struct Ledger(pub Json);

impl Ledger {
    /// Asks the running shipper; `None` when it gives no answer.
    #[must_use]
    pub fn read(tusk: &Tusk) -> Option<Self> {
        let out = tusk.command(&["ledger", "--json"]);
        Json::parse(String::from_utf8_lossy(&out.stdout).trim()).ok().map(Self)
    }

    /// A count by its path; 0 when it is not there.
    #[must_use]
    pub fn count(&self, path: &str) -> u64 {
        self.0.number(path).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Equations that do not hold, in the ledger's words.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        match self.0.at("/gaps") {
            Some(Json::List(gaps)) => gaps.iter().map(|gap| format!("{gap:?}")).collect(),
            other => vec![format!("no list of gaps in the ledger: {other:?}")],
        }
    }

    /// Whether all that was kept is at the sink of that name and the books are closed.
    #[must_use]
    pub fn settled_at(&self, sink: &str) -> bool {
        let Some(Json::List(sinks)) = self.0.at("/sinks") else { return false };
        let Some(at) = sinks.iter().position(|one| one.text("/name") == Some(sink)) else {
            return false;
        };
        let count = |path: &str| self.count(&format!("/sinks/{at}{path}"));
        self.gaps().is_empty()
            && self.count("/kept") + self.count("/redriven") == count("/sums/delivered")
            && count("/waiting") == 0
    }

    /// Whether all that was kept is at the file sink (the first sink) and the books are closed.
    #[must_use]
    pub fn settled(&self) -> bool {
        let delivered = self.count("/sinks/0/sums/delivered");
        self.gaps().is_empty()
            && self.count("/kept") + self.count("/redriven") == delivered
            && self.count("/sinks/0/waiting") == 0
    }

    /// A sum of the sink of that name, such as `refused`; 0 when there is none.
    #[must_use]
    pub fn sum(&self, sink: &str, name: &str) -> u64 {
        let all = self.sinks();
        let found = all.iter().find(|one| one.text("/name") == Some(sink));
        found.map_or(0, |one| number(one, &format!("/sums/{name}")))
    }

    /// Whether nothing waits for any sink and the books are closed: all that was kept was passed by each, and each says what became
    /// of it.
    #[must_use]
    pub fn settled_everywhere(&self) -> bool {
        let all = self.count("/kept") + self.count("/redriven");
        let done = |one: &Json| {
            number(one, "/waiting") == 0
                && number(one, "/sums/kept") + number(one, "/sums/redriven") == all
        };
        !self.sinks().is_empty() && self.gaps().is_empty() && self.sinks().iter().all(done)
    }

    /// Whether every sink has passed this lsn.
    #[must_use]
    pub fn passed_everywhere(&self, lsn: u64) -> bool {
        !self.sinks().is_empty() && self.sinks().iter().all(|one| number(one, "/cursor_lsn") >= lsn)
    }

    fn sinks(&self) -> &[Json] {
        match self.0.at("/sinks") {
            Some(Json::List(sinks)) => sinks,
            _ => &[],
        }
    }
}

fn number(json: &Json, path: &str) -> u64 {
    json.number(path).and_then(|text| text.parse().ok()).unwrap_or_default()
}
