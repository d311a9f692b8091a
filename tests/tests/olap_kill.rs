//! `tusk-olap` under `kill -9` while four writers insert: what was acknowledged is there, what was not is stored once by a resend with
//! the same token, in the table and in its view. `KILL_ROUNDS=60 SEED=7` for a long run; the short one is part of `make test`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tusk_tests::random::Random;
use tusk_tests::servers::olap::Olap;

const WRITERS: u64 = 4;
/// Rows of a batch, over two partitions: an insert is atomic within one only.
const ROWS: u64 = 500;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE t (batch UInt64, row UInt32, part UInt8) ENGINE = MergeTree PARTITION BY part ORDER BY (batch, row) \
     SETTINGS non_replicated_deduplication_window = 10000",
    "CREATE TABLE sums (batch UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY batch \
     SETTINGS non_replicated_deduplication_window = 10000",
    "CREATE MATERIALIZED VIEW v TO sums AS SELECT batch, count() AS n FROM t GROUP BY batch",
];

/// Sends a batch under its token; whether it was acknowledged.
fn send(olap: &Olap, batch: u64) -> bool {
    let mut data = "INSERT INTO t FORMAT TSV\n".to_owned();
    for row in 0..ROWS {
        data += &format!("{batch}\t{row}\t{}\n", row % 2);
    }
    let parameters = format!("&insert_deduplication_token=b{batch}");
    olap.try_send(&parameters, data.as_bytes()).is_ok_and(|answer| answer.status == 200)
}

/// Rows of each batch by that query.
fn counts(olap: &Olap, sql: &str) -> BTreeMap<u64, u64> {
    let text = olap.query(sql);
    let number = |text: &str| text.parse::<u64>().unwrap();
    text.lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(k, n)| (number(k), number(n)))
        .collect()
}

#[derive(Debug, Default)]
struct Sums {
    acknowledged: u64,
    lost: u64,
    twice: u64,
    nothing: u64,
    whole: u64,
    half: u64,
    view_behind: u64,
    wrong_after_resend: u64,
}

struct Run {
    olap: Olap,
    random: Random,
    next: AtomicU64,
    known: BTreeSet<u64>,
    sums: Sums,
    boots: Vec<Duration>,
    inserts: Vec<Duration>,
}

impl Run {
    /// Writers insert until the process is killed, after 50 to 1,200 ms; gives what was acknowledged and what was not.
    fn round(&mut self) -> (Vec<u64>, Vec<u64>) {
        let life = Duration::from_millis(50 + self.random.below(1_150));
        let id = self.olap.process().id();
        let over = AtomicBool::new(false);
        let (olap, next) = (&self.olap, &self.next);
        let mut acknowledged = Vec::new();
        let mut open = Vec::new();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    let over = &over;
                    scope.spawn(move || {
                        let (mut good, mut bad, mut took) = (Vec::new(), Vec::new(), Vec::new());
                        while !over.load(Ordering::Relaxed) {
                            let batch = next.fetch_add(1, Ordering::Relaxed);
                            let start = Instant::now();
                            if send(olap, batch) {
                                took.push(start.elapsed());
                                good.push(batch);
                            } else {
                                bad.push(batch);
                                // Refused by a dead process: the round is over.
                                break;
                            }
                        }
                        (good, bad, took)
                    })
                })
                .collect();
            std::thread::sleep(life);
            tusk_tests::signal(id, tusk_tests::Signal::KILL);
            over.store(true, Ordering::Relaxed);
            for writer in writers {
                let (good, bad, took) = writer.join().unwrap();
                acknowledged.extend(good);
                open.extend(bad);
                self.inserts.extend(took);
            }
        });
        self.olap.kill();
        (acknowledged, open)
    }

    fn check(&mut self, acknowledged: &[u64], open: &[u64]) {
        let table = counts(&self.olap, "SELECT batch, count() FROM t GROUP BY batch");
        let view = counts(&self.olap, "SELECT batch, sum(n) FROM sums GROUP BY batch");
        let of = |counts: &BTreeMap<u64, u64>, batch: &u64| counts.get(batch).copied().unwrap_or(0);
        self.sums.acknowledged += acknowledged.len() as u64;
        self.known.extend(acknowledged);
        for batch in &self.known {
            let (rows, seen) = (of(&table, batch), of(&view, batch));
            self.sums.lost += u64::from(rows < ROWS || seen < ROWS);
            self.sums.twice += u64::from(rows > ROWS || seen > ROWS);
        }
        for batch in open {
            match of(&table, batch) {
                0 => self.sums.nothing += 1,
                ROWS => self.sums.whole += 1,
                _ => self.sums.half += 1,
            }
            self.sums.view_behind += u64::from(of(&view, batch) < of(&table, batch));
        }
        for batch in open {
            assert!(send(&self.olap, *batch), "batch {batch} was refused");
        }
        let list: Vec<String> = open.iter().map(u64::to_string).collect();
        if !list.is_empty() {
            let list = list.join(", ");
            let table = counts(
                &self.olap,
                &format!("SELECT batch, count() FROM t WHERE batch IN ({list}) GROUP BY batch"),
            );
            let view = counts(
                &self.olap,
                &format!("SELECT batch, sum(n) FROM sums WHERE batch IN ({list}) GROUP BY batch"),
            );
            for batch in open {
                let good = of(&table, batch) == ROWS && of(&view, batch) == ROWS;
                self.sums.wrong_after_resend += u64::from(!good);
            }
        }
        self.known.extend(open);
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> u128 {
    times.sort_unstable();
    times
        .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
        .map_or(0, Duration::as_millis)
}

#[test]
fn nothing_acknowledged_is_lost_and_a_resend_counts_once() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (rounds, seed) = (number("KILL_ROUNDS", 10), number("SEED", 20_261_125));
    let olap = Olap::start();
    for sql in SCHEMA {
        olap.query(sql);
    }
    let mut run = Run {
        olap,
        random: Random::new(seed),
        next: AtomicU64::new(1),
        known: BTreeSet::new(),
        sums: Sums::default(),
        boots: Vec::new(),
        inserts: Vec::new(),
    };
    for _ in 0..rounds {
        let (acknowledged, open) = run.round();
        let start = Instant::now();
        run.olap.restart();
        run.boots.push(start.elapsed());
        run.check(&acknowledged, &open);
    }
    // Old ones come again too: an answer may have been lost on its way.
    let known: Vec<u64> = run.known.iter().copied().collect();
    for _ in 0..known.len().min(100) {
        assert!(send(&run.olap, *run.random.pick(&known)));
    }
    let all = (known.len() as u64 * ROWS).to_string();
    let table = run.olap.query("SELECT count() FROM t");
    let view = run.olap.query("SELECT sum(n) FROM sums");
    let sums = &run.sums;
    println!(
        "kills={rounds} seed={seed} acknowledged={} lost={} twice={} in_flight: nothing={} whole={} half={} view_behind={} \
         wrong_after_resend={} rows: table={table} view={view} sent={all} boot_ms: p50={} max={} insert_ms: p50={} p99={}",
        sums.acknowledged,
        sums.lost,
        sums.twice,
        sums.nothing,
        sums.whole,
        sums.half,
        sums.view_behind,
        sums.wrong_after_resend,
        percentile(&mut run.boots, 50),
        percentile(&mut run.boots, 100),
        percentile(&mut run.inserts, 50),
        percentile(&mut run.inserts, 99),
    );
    assert_eq!((sums.lost, sums.twice, sums.wrong_after_resend), (0, 0, 0));
    assert_eq!((table, view), (all.clone(), all));
    assert!(sums.acknowledged > rounds, "hardly anything was inserted");
}
