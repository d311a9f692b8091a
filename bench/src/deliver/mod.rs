//! `bench deliver`: what delivery costs, beside a plain client of the same server in the same run.
//!
//! One file a case; [`CASES`] lists them. Whoever is compared takes turns within a round, so that a slow minute slows all of them; a
//! number is the median of the rounds with its spread. Servers are the tests' real ones.

mod drive;
mod filled;
mod flume;
mod hdfs;
mod kafka;
mod latency;

use crate::measured::{self, Measured};
use crate::{Error, proc};
use std::path::PathBuf;
use std::time::Instant;

/// A case.
struct Case {
    name: &'static str,
    measure: fn(&Options) -> Result<Vec<Measured>, Error>,
}

const CASES: &[Case] = &[
    Case { name: "kafka", measure: kafka::measure },
    Case { name: "latency", measure: latency::measure },
    Case { name: "flume", measure: flume::measure },
    Case { name: "hdfs", measure: hdfs::measure },
];

/// What can be chosen.
pub struct Options {
    rounds: u32,
    events: u64,
    seconds: u32,
    cases: Vec<String>,
    out: PathBuf,
}

const HELP: &str = "\
bench deliver [--cases NAMES] [--rounds N] [--events N] [--seconds N] [--out FILE]
  --cases    which (all)
  --rounds   interleaved rounds (5); one more goes before them and is not counted
  --events   in the filled journal (400000)
  --seconds  length of a round at a fixed rate (10)
  --out      rows as JSON (target/bench.json); rows of other cases in it stay";

impl Options {
    fn from(arguments: &[String]) -> Result<Self, Error> {
        let mut options = Self {
            rounds: 5,
            events: 400_000,
            seconds: 10,
            cases: CASES.iter().map(|case| case.name.to_owned()).collect(),
            out: PathBuf::from("target/bench.json"),
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            let help = || format!("{HELP}\ncases: {}", names.join(", "));
            if name == "--help" {
                println!("{}", help());
                std::process::exit(0);
            }
            let value = arguments.next().ok_or(format!("{name} needs a value\n{}", help()))?;
            match name.as_str() {
                "--cases" => options.cases = value.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = value.parse()?,
                "--events" => options.events = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--out" => options.out = value.into(),
                _ => return Err(format!("{name} is unknown\n{}", help()).into()),
            }
        }
        if let Some(name) = options.cases.iter().find(|n| !CASES.iter().any(|c| c.name == **n)) {
            return Err(format!("no case is called {name}\n{HELP}").into());
        }
        Ok(options)
    }
}

/// Measures the cases that are asked for, one after the other; one that fails does not take the others with it.
///
/// # Errors
/// Unknown arguments, a file that cannot be written, and at the end the first case that failed.
pub fn run(arguments: &[String]) -> Result<(), Error> {
    let options = Options::from(arguments)?;
    let mut failed = None;
    for case in CASES.iter().filter(|case| options.cases.iter().any(|name| name == case.name)) {
        let (start, load) = (Instant::now(), proc::load_average());
        // The tests' harness says by a panic what it did not expect.
        let done = std::panic::catch_unwind(|| (case.measure)(&options));
        let done = done.unwrap_or_else(|_| Err("a server or the shipper failed".into()));
        match done {
            Ok(measured) => {
                println!(
                    "\n{} ({:.0} s, machine's load before {load:.1})",
                    case.name,
                    start.elapsed().as_secs_f64()
                );
                measured.iter().for_each(|one| println!("  {one}"));
                measured::write(&options.out, case.name, &measured, load)?;
            }
            Err(error) => {
                eprintln!("bench: {}: {error}", case.name);
                failed.get_or_insert(format!("{}: {error}", case.name));
            }
        }
    }
    println!("rows: {}", options.out.display());
    failed.map_or(Ok(()), |error| Err(error.into()))
}
