//! From samples to the table, the targets and `bench.json`.

use crate::Error;
use crate::load::Sample;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Samples by case and peer, one per round and in the rounds' order. `bare` has only CPU time.
#[derive(Default)]
pub struct Samples {
    all: BTreeMap<(String, String), Vec<Sample>>,
}

/// Memory and errors that belong to a peer rather than to a round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Anonymous resident bytes of Tusk's worker after all rounds.
    pub tusk_bytes: u64,
    /// The same of the worker that sends the same reply.
    pub plain_bytes: u64,
    /// The same of the shipper.
    pub shipper_bytes: u64,
}

/// A row of `bench.json`.
#[derive(Debug, Serialize)]
struct Row {
    case: String,
    peer: String,
    /// Median of the rounds.
    cpu_us_request: f64,
    cpu_us_request_min: f64,
    cpu_us_request_max: f64,
    /// Share in the kernel, median.
    system_us_request: f64,
    cpu_us_event: f64,
    req_s: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Rounds that count, and those thrown away because the server had to share its core.
    rounds: usize,
    discarded: usize,
    /// Median share of all cores that other programs used, 0 to 1.
    busy: f64,
    requests: u64,
    status_errors: u64,
    socket_errors: u64,
    /// CPU of the shipper, median; only for `tusk`.
    shipper_cpu_us_event: Option<f64>,
    /// RssAnon of the worker with its ring on disk, and how much that is over the worker of `same-reply`; only for `tusk`.
    rss_anon_mb: Option<f64>,
    rss_anon_over_nginx_mb: Option<f64>,
}

/// A number with its spread over the rounds.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    };
    Some(Spread { median, min, max })
}

impl Samples {
    /// Adds the next round of `case` and `peer`.
    pub fn push(&mut self, case: &str, peer: &str, sample: Sample) {
        self.all.entry((case.into(), peer.into())).or_default().push(sample);
    }

    fn of(&self, case: &str, peer: &str) -> &[Sample] {
        self.all.get(&(case.into(), peer.into())).map_or(&[], Vec::as_slice)
    }

    /// Rounds that count: the quiet ones, or all if fewer than three were quiet.
    fn counted(&self, case: &str, peer: &str) -> Vec<&Sample> {
        let all = self.of(case, peer);
        let quiet: Vec<&Sample> = all.iter().filter(|sample| sample.is_quiet()).collect();
        if quiet.len() >= 3.min(all.len()) { quiet } else { all.iter().collect() }
    }

    fn median(&self, case: &str, peer: &str, value: fn(&Sample) -> f64) -> Option<f64> {
        spread(self.counted(case, peer).into_iter().map(value).collect()).map(|s| s.median)
    }

    fn row(&self, case: &str, peer: &str, events: f64, memory: Memory) -> Option<Row> {
        let counted = self.counted(case, peer);
        let cpu = spread(counted.iter().map(|s| s.cpu_us).collect())?;
        let server = peer != "bare" && peer != "accept";
        let median = |value: fn(&Sample) -> f64| self.median(case, peer, value);
        let sum = |value: fn(&Sample) -> u64| self.of(case, peer).iter().map(value).sum();
        let tusk = peer == "tusk" || peer == "tusk-shm";
        let mb = |bytes: u64| bytes as f64 / 1e6;
        Some(Row {
            case: case.into(),
            peer: peer.into(),
            cpu_us_request: cpu.median,
            cpu_us_request_min: cpu.min,
            cpu_us_request_max: cpu.max,
            system_us_request: median(|s| s.system_us)?,
            cpu_us_event: cpu.median / events,
            req_s: median(|s| s.requests_per_s).filter(|_| server),
            p50_ms: median(|s| s.p50_ms).filter(|_| server),
            p99_ms: median(|s| s.p99_ms).filter(|_| server),
            rounds: counted.len(),
            discarded: self.of(case, peer).len() - counted.len(),
            busy: median(|s| s.foreign_share)?,
            requests: sum(|s| s.requests),
            status_errors: sum(|s| s.status_errors),
            socket_errors: sum(|s| s.socket_errors),
            shipper_cpu_us_event: median(|s| s.companion_us).filter(|_| tusk).map(|us| us / events),
            rss_anon_mb: tusk.then(|| mb(memory.tusk_bytes)),
            rss_anon_over_nginx_mb: tusk
                .then(|| mb(memory.tusk_bytes.saturating_sub(memory.plain_bytes))),
        })
    }

    /// Ratio of two sums of peers, round by round, so that what slows a whole round falls out.
    fn ratio(&self, case: &str, over: &[&str], under: &[&str]) -> Option<Spread> {
        let rounds =
            over.iter().chain(under).map(|peer| self.of(case, peer).len()).min().unwrap_or(0);
        let sum = |peers: &[&str], round: usize| -> Option<f64> {
            peers.iter().map(|peer| self.of(case, peer).get(round).map(|s| s.cpu_us)).sum()
        };
        let quiet = |round: usize| {
            over.iter().chain(under).all(|peer| self.of(case, peer)[round].is_quiet())
        };
        let mut counted: Vec<usize> = (0..rounds).filter(|round| quiet(*round)).collect();
        if counted.len() < 3.min(rounds) {
            counted = (0..rounds).collect();
        }
        spread(counted.iter().filter_map(|r| Some(sum(over, *r)? / sum(under, *r)?)).collect())
    }

    /// The table for people.
    pub fn table(&self, cases: &[(&str, f64)], peers: &[&str], memory: Memory) -> String {
        let mut text = String::new();
        for (case, events) in cases {
            let _ = writeln!(
                text,
                "\ncase {case}, {events:.2} events a request\n  {:<11}{:>9}{:>17}{:>8}{:>10}{:>10}{:>8}{:>8}{:>8}{:>7}",
                "peer",
                "µs/req",
                "min – max",
                "kernel",
                "µs/event",
                "req/s",
                "p50 ms",
                "p99 ms",
                "rounds",
                "busy"
            );
            let rows = peers.iter().filter_map(|peer| self.row(case, peer, *events, memory));
            for row in rows {
                let shown = |value: Option<f64>, digits: usize| {
                    value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
                };
                let rounds = if row.discarded > 0 {
                    format!("{}-{}", row.rounds, row.discarded)
                } else {
                    row.rounds.to_string()
                };
                let _ = writeln!(
                    text,
                    "  {:<11}{:>9.2}{:>17}{:>8.2}{:>10.3}{:>10}{:>8}{:>8}{rounds:>8}{:>6.0}%",
                    row.peer,
                    row.cpu_us_request,
                    format!("{:.2} – {:.2}", row.cpu_us_request_min, row.cpu_us_request_max),
                    row.system_us_request,
                    row.cpu_us_event,
                    shown(row.req_s, 0),
                    shown(row.p50_ms, 2),
                    shown(row.p99_ms, 2),
                    row.busy * 100.0
                );
                if row.status_errors > 0 || row.socket_errors > 0 {
                    let _ = writeln!(
                        text,
                        "  {:<11}{} of {} answers not 2xx, {} requests without an answer",
                        "", row.status_errors, row.requests, row.socket_errors
                    );
                }
            }
        }
        text + &self.verdicts(cases, memory)
    }

    /// The targets, each with what was reached.
    fn verdicts(&self, cases: &[(&str, f64)], memory: Memory) -> String {
        let mut text =
            String::from("\ntargets (median of the rounds' ratios, min – max in brackets)\n");
        let mut line = |what: &str, got: Option<Spread>, limit: Option<(f64, bool)>| {
            let Some(got) = got else { return };
            let mark = limit.map_or(String::new(), |(limit, at_most)| {
                let reached = if at_most { got.median <= limit } else { got.median >= limit };
                let sign = if at_most { "≤" } else { "≥" };
                format!("  {sign} {limit:.2}  {}", if reached { "reached" } else { "NOT REACHED" })
            });
            let (median, min, max) = (got.median, got.min, got.max);
            let _ = writeln!(text, "  {what:<52}{median:>7.2} ({min:.2} – {max:.2}){mark}");
        };
        for (case, events) in cases {
            let batch = *events > 20.0;
            let single = *case == "a" || *case == "c";
            let of = |over: &[&str], under: &[&str]| self.ratio(case, over, under);
            line(
                &format!("{case}: tusk / same-reply"),
                of(&["tusk"], &["same-reply"]),
                single.then_some((1.25, true)),
            );
            line(
                &format!("{case}: tusk, ring in memory / same-reply"),
                of(&["tusk-shm"], &["same-reply"]),
                None,
            );
            line(&format!("{case}: tusk / return 204"), of(&["tusk"], &["204"]), None);
            line(
                &format!("{case}: lua / tusk"),
                of(&["lua"], &["tusk"]),
                match (single, batch) {
                    (true, _) => Some((3.5, false)),
                    (_, true) => Some((8.0, false)),
                    _ => None,
                },
            );
            line(
                &format!("{case}: tusk / (bare + body)"),
                of(&["tusk"], &["bare", "body"]),
                batch.then_some((0.75, true)),
            );
            line(
                &format!("{case}: tusk, ring in memory / (bare + body)"),
                of(&["tusk-shm"], &["bare", "body"]).filter(|_| batch),
                None,
            );
            let per_event = |value: fn(&Sample) -> f64| {
                let used = self.counted(case, "tusk").into_iter().map(value);
                spread(used.map(|us| us / events).collect())
            };
            if batch {
                let stretch = Some((1.0, true));
                line(
                    &format!("{case}: tusk µs per event (stretch)"),
                    per_event(|s| s.cpu_us),
                    stretch,
                );
            }
            line(
                &format!("{case}: shipper µs per event, zstd included"),
                per_event(|s| s.companion_us),
                Some((1.5, true)),
            );
        }
        if memory.tusk_bytes > 0 {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            let over = mb(memory.tusk_bytes.saturating_sub(memory.plain_bytes));
            let _ = writeln!(
                text,
                "  worker's RssAnon {:.1} MB, {over:.1} MB over plain nginx (≤ 8 MB {}), shipper's {:.0} MB",
                mb(memory.tusk_bytes),
                if over <= 8.0 { "reached" } else { "NOT REACHED" },
                mb(memory.shipper_bytes)
            );
        }
        text
    }

    /// The rows for `bench.json`.
    ///
    /// # Errors
    /// If a number is not finite.
    pub fn rows(
        &self,
        cases: &[(&str, f64)],
        peers: &[&str],
        memory: Memory,
    ) -> Result<Vec<serde_json::Value>, Error> {
        cases
            .iter()
            .flat_map(|(case, events)| {
                peers.iter().filter_map(|peer| self.row(case, peer, *events, memory))
            })
            .map(|row| Ok(serde_json::to_value(row)?))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_us: f64, server_share: f64) -> Sample {
        Sample {
            requests: 1000,
            status_errors: 0,
            socket_errors: 0,
            requests_per_s: 1e6 / cpu_us,
            cpu_us,
            system_us: cpu_us / 2.0,
            companion_us: 1.0,
            p50_ms: 0.2,
            p99_ms: 1.0,
            server_share,
            machine_share: 1.0,
            foreign_share: 0.0,
        }
    }

    #[test]
    fn a_crowded_round_does_not_count() {
        let mut samples = Samples::default();
        for (plain, tusk, share) in
            [(6.0, 7.0, 1.0), (6.1, 7.1, 1.0), (9.0, 30.0, 0.4), (6.2, 7.2, 1.0)]
        {
            samples.push("a", "same-reply", sample(plain, share));
            samples.push("a", "tusk", sample(tusk, share));
        }
        let row = samples.row("a", "tusk", 1.0, Memory::default()).unwrap();
        assert_eq!((row.rounds, row.discarded, row.cpu_us_request), (3, 1, 7.1));
        let ratio = samples.ratio("a", &["tusk"], &["same-reply"]).unwrap();
        assert!(ratio.max < 1.2, "the crowded round counted: {}", ratio.max);
    }

    #[test]
    fn json_has_the_promised_names() {
        let mut samples = Samples::default();
        samples.push("b", "bare", sample(80.0, 1.0));
        let rows = samples.rows(&[("b", 50.0)], &["bare", "tusk"], Memory::default()).unwrap();
        assert_eq!(rows.len(), 1, "a peer that was not measured has no row");
        assert_eq!(rows[0]["cpu_us_event"], 1.6);
        for name in
            ["case", "peer", "cpu_us_request", "req_s", "p50_ms", "p99_ms", "rounds", "busy"]
        {
            assert!(rows[0].get(name).is_some(), "{name} is missing");
        }
    }
}
