//! `make bench`: what a request and an event cost in Tusk, in nginx itself, in nginx + Lua and in a plain loop.
//!
//! Peers take turns within each round, so that a slow minute slows all of them; the numbers to read are CPU µs and the
//! ratios of one round. Servers run on core 0, the generator and the shipper on core 1.

mod bare;
mod corpus;
mod deliver;
mod http;
mod load;
mod measured;
mod peer;
mod proc;
mod report;
mod shipper;

use crate::corpus::Case;
use crate::load::{Load, Sample};
use crate::peer::{Peer, Replies};
use crate::report::{Memory, Samples};
use crate::shipper::Shipper;
use std::path::{Path, PathBuf};

/// Any failure: the bench stops and says why.
pub type Error = Box<dyn std::error::Error>;

const HELP: &str = "\
bench [deliver] [--rounds N] [--seconds N] [--cases a,b,c,d] [--peers 204,same-reply,body,lua,bare,accept,tusk,tusk-shm]
      [--connections N]
  --rounds       interleaved rounds (5)
  --seconds      length of one measurement (2)
  --connections  of the generator, kept alive (32)
  --pause-ms     rest of a connection between two requests (0): with it every peer gets the same load, below its limit
  --ring-mib     size of Tusk's ring (1024): must hold what one measurement sends faster than the shipper writes
  --out FILE     rows as JSON (target/bench.json)
`deliver` measures the sinks (bench deliver --help). `bench/run.sh` builds everything and calls this with the folders it needs.";

/// Where things are and what to measure.
pub struct Setup {
    /// `bench/`.
    source: PathBuf,
    /// Unpacked Debian packages.
    packages: PathBuf,
    /// Shared libraries inside `packages`, such as `usr/lib/x86_64-linux-gnu`.
    lib_dir: String,
    /// For `LD_LIBRARY_PATH`.
    libraries: String,
    /// Folder of this run.
    run: PathBuf,
    nginx: PathBuf,
    tusk: PathBuf,
    tusk_module: PathBuf,
    ring_mib: u32,
    rounds: u32,
    seconds: u32,
    connections: u32,
    pause_ms: u32,
    cases: Vec<String>,
    peers: Vec<String>,
    out: PathBuf,
}

impl Setup {
    fn from_arguments() -> Result<Self, Error> {
        let path = |name: &str| -> Result<PathBuf, Error> {
            let value = std::env::var_os(name);
            Ok(PathBuf::from(value.ok_or(format!("{name} is not set: start bench/run.sh"))?))
        };
        let packages = path("BENCH_PACKAGES")?;
        let lib_dir = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let library_path = [packages.join(&lib_dir), packages.join(&lib_dir["usr/".len()..])];
        let mut setup = Self {
            source: path("BENCH_SOURCE")?,
            libraries: library_path.map(|path| path.display().to_string()).join(":"),
            packages,
            lib_dir,
            run: path("BENCH_RUN")?,
            nginx: path("BENCH_NGINX")?,
            tusk: path("BENCH_TUSK")?,
            tusk_module: path("BENCH_TUSK_MODULE")?,
            ring_mib: 1024,
            rounds: 5,
            seconds: 2,
            connections: 32,
            pause_ms: 0,
            cases: ["a", "b", "c", "d"].map(String::from).to_vec(),
            peers: peer::NAMES.iter().map(|name| (*name).to_owned()).collect(),
            out: PathBuf::from("target/bench.json"),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--help" {
                println!("{HELP}");
                std::process::exit(0);
            }
            let value = arguments.next().ok_or(format!("{name} needs a value\n{HELP}"))?;
            let list = || value.split(',').map(str::to_owned).collect();
            match name.as_str() {
                "--rounds" => setup.rounds = value.parse()?,
                "--seconds" => setup.seconds = value.parse()?,
                "--connections" => setup.connections = value.parse()?,
                "--pause-ms" => setup.pause_ms = value.parse()?,
                "--ring-mib" => setup.ring_mib = value.parse()?,
                "--cases" => setup.cases = list(),
                "--peers" => setup.peers = list(),
                "--out" => setup.out = value.into(),
                _ => return Err(format!("{name} is unknown\n{HELP}").into()),
            }
        }
        Ok(setup)
    }

    /// A dynamic module of the unpacked packages.
    fn module(&self, file: &str) -> PathBuf {
        self.packages.join("usr/lib/nginx/modules").join(file)
    }

    /// A file in memory.
    fn sink(&self, file: &str) -> PathBuf {
        Path::new("/dev/shm").join(format!("tusk-bench-{}-{file}", std::process::id()))
    }

    /// Data folder of the peer `tusk` or `tusk-shm`.
    fn tusk_data(&self, peer: &str) -> PathBuf {
        self.run.join(format!("{peer}-data"))
    }

    /// Its ring: beside the data as in the production sample, or in memory.
    fn tusk_ring(&self, peer: &str) -> PathBuf {
        if peer == "tusk" { self.tusk_data(peer).join("ring") } else { self.sink("ring") }
    }

    fn generator_core(&self) -> usize {
        peer::SERVER_CORE + 1
    }

    fn wants(&self, peer: &str) -> bool {
        self.peers.iter().any(|name| name == peer)
    }

    fn load(&self) -> Load {
        let unpacked = self.packages.join("usr/bin/wrk");
        Load {
            wrk: if unpacked.exists() { unpacked } else { "wrk".into() },
            libraries: self.libraries.clone(),
            script: self.source.join("replay.lua"),
            connections: self.connections,
            pause_ms: self.pause_ms,
            core: self.generator_core(),
        }
    }
}

fn main() {
    if let Err(error) = run() {
        eprintln!("bench: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "deliver") {
        return deliver::run(&arguments[1..]);
    }
    let setup = Setup::from_arguments()?;
    if proc::cores() < 2 {
        return Err("two cores are needed: one for the server, one for the generator".into());
    }
    std::fs::create_dir_all(&setup.run)?;
    let result = measure(&setup);
    // What lies in memory would stay until the next boot.
    let _ = std::fs::remove_file(setup.sink("lua.jsonl"));
    let _ = std::fs::remove_dir_all(setup.sink("ring"));
    result
}

fn now_ms() -> Result<u64, Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_millis())?)
}

fn corpus_path(setup: &Setup, case: &str) -> PathBuf {
    setup.run.join(format!("{case}.requests"))
}

/// The servers of one run.
struct Servers {
    peers: Vec<Peer>,
    shippers: Vec<(&'static str, Shipper)>,
}

impl Servers {
    fn shipper(&self, peer: &str) -> Option<&Shipper> {
        self.shippers.iter().find(|(name, _)| *name == peer).map(|(_, shipper)| shipper)
    }
}

fn start(setup: &Setup) -> Result<Servers, Error> {
    let mut replies = Replies::documented();
    let (mut peers, mut shippers) = (Vec::new(), Vec::new());
    let (get, post) = (corpus::one("a"), corpus::one("c"));
    for name in ["tusk", "tusk-shm"].into_iter().filter(|name| setup.wants(name)) {
        // nginx's master makes the ring, the shipper drains it.
        std::fs::create_dir_all(setup.tusk_data(name))?;
        let tusk = Peer::start(name, setup, &replies)?;
        shippers.push((name, Shipper::start(name, setup)?));
        replies =
            Replies { get: http::send(tusk.port, &get)?, post: http::send(tusk.port, &post)? };
        for reply in [&replies.get, &replies.post] {
            if reply.status != 200 {
                return Err(format!("tusk does not collect: {reply:?}").into());
            }
        }
        peers.push(tusk);
    }
    for name in ["204", "same-reply", "body", "lua"] {
        if setup.wants(name) {
            peers.push(Peer::start(name, setup, &replies)?);
        }
    }
    if let (false, Some(same)) =
        (shippers.is_empty(), peers.iter().find(|p| p.name == "same-reply"))
    {
        for (request, reply) in [(&get, &replies.get), (&post, &replies.post)] {
            if let Some(difference) = peer::difference(same.port, request, reply)? {
                eprintln!("bench: same-reply is not the same: {difference}");
            }
        }
    }
    Ok(Servers { peers, shippers })
}

fn measure(setup: &Setup) -> Result<(), Error> {
    let wanted = |name: &&&str| setup.cases.iter().any(|wanted| wanted == **name);
    let cases: Vec<&'static str> = ["a", "b", "c", "d"].iter().filter(wanted).copied().collect();
    let mut events_per_request = Vec::new();
    let mut servers = start(setup)?;
    let load = setup.load();
    touch_rings(setup, &load, &servers)?;
    let mut bare = bare::Pipeline::new();
    let (config, mut scratch) = (event::Config::default(), event::Scratch::new());
    let mut samples = Samples::default();
    // Round 0 warms up: buffers grow, LuaJIT compiles, the ring's pages are touched.
    for round in 0..=setup.rounds {
        events_per_request.clear();
        for name in &cases {
            let now_ms = now_ms()?;
            let case = &corpus::case(name, now_ms);
            case.write(&corpus_path(setup, name))?;
            events_per_request.push((*name, case.events_per_request()));
            let seconds = if round == 0 { 1 } else { setup.seconds };
            let count = servers.peers.len();
            for turn in 0..count {
                // Not always behind the same peer.
                let peer = &servers.peers[(turn + round as usize) % count];
                let sample = one(setup, &load, &servers, peer, case, round, seconds)?;
                if round > 0 {
                    samples.push(case.name, peer.name, sample);
                }
            }
            let budget_ns = u64::from(seconds) * 250_000_000;
            for name in ["bare", "accept"].into_iter().filter(|name| setup.wants(name)) {
                let sample = in_loop(budget_ns, || match name {
                    "bare" => bare::measure(case, budget_ns, |s| bare.decode(&s.form)),
                    _ => bare::measure(case, budget_ns, |s| {
                        bare::accept(s, now_ms, &config, &mut scratch)
                    }),
                })?;
                if round > 0 {
                    samples.push(case.name, name, sample);
                }
            }
        }
        if round > 0 {
            eprintln!("bench: round {round} of {}", setup.rounds);
        }
    }

    let worker = |name: &str| servers.peers.iter().find(|p| p.name == name).map(|p| p.worker);
    let rss = |pid: Option<u32>| pid.map_or(0, proc::rss_anon_bytes);
    let memory = Memory {
        tusk_bytes: rss(worker("tusk")),
        plain_bytes: rss(worker("same-reply")),
        shipper_bytes: rss(servers.shipper("tusk").map(Shipper::pid)),
    };
    println!("{}", samples.table(&events_per_request, peer::NAMES, memory));
    let mut rows = samples.rows(&events_per_request, peer::NAMES, memory)?;
    rows.extend(measured::read(&setup.out)?.into_iter().filter(measured::is_delivery));
    measured::save(&setup.out, &rows)?;
    println!("rows: {}", setup.out.display());
    servers.peers.clear();
    Ok(())
}

/// Fills every ring once over, with batches: the first store to each of its pages is dear, and happens once in its life.
fn touch_rings(setup: &Setup, load: &Load, servers: &Servers) -> Result<(), Error> {
    let load = &Load { pause_ms: 0, ..load.clone() };
    let case = corpus::case("b", now_ms()?);
    let corpus = corpus_path(setup, "touch");
    case.write(&corpus)?;
    let json_bytes: usize = case.samples.iter().map(|sample| sample.json_bytes).sum();
    let record_bytes = json_bytes as f64 / case.samples.len() as f64;
    for (name, shipper) in &servers.shippers {
        let Some(peer) = servers.peers.iter().find(|peer| peer.name == *name) else { continue };
        let mut bytes = 0.0;
        while bytes < f64::from(setup.ring_mib) * f64::from(1 << 20) {
            let sample = load.run(peer.port, &corpus, 0, &peer.pids, &[], 1)?;
            bytes += (sample.requests - sample.status_errors) as f64 * record_bytes;
            shipper.wait_idle()?;
        }
    }
    Ok(())
}

/// One peer, one case. The shipper gets the time to empty the ring and is charged for it.
fn one(
    setup: &Setup,
    load: &Load,
    servers: &Servers,
    peer: &Peer,
    case: &Case,
    round: u32,
    seconds: u32,
) -> Result<Sample, Error> {
    let companions: Vec<u32> = servers.shippers.iter().map(|(_, shipper)| shipper.pid()).collect();
    let before = proc::cpu(&companions);
    let corpus = corpus_path(setup, case.name);
    let mut sample =
        load.run(peer.port, &corpus, u64::from(round), &peer.pids, &companions, seconds)?;
    if let Some(shipper) = servers.shipper(peer.name) {
        shipper.wait_idle()?;
        let used = proc::cpu(&companions).since(before).total_s();
        sample.companion_us = used / sample.requests.max(1) as f64 * 1e6;
    }
    Ok(sample)
}

/// A loop in this process, on the servers' core.
fn in_loop(budget_ns: u64, measure: impl FnOnce() -> f64) -> Result<Sample, Error> {
    let all = rustix::thread::sched_getaffinity(None)?;
    let mut one = rustix::thread::CpuSet::new();
    one.set(peer::SERVER_CORE);
    rustix::thread::sched_setaffinity(None, &one)?;
    let (busy, total) = proc::machine()?;
    let start = std::time::Instant::now();
    let cpu_us = measure();
    let wall_s = start.elapsed().as_secs_f64();
    let (busy_after, total_after) = proc::machine()?;
    rustix::thread::sched_setaffinity(None, &all)?;
    let own_s = budget_ns as f64 / 1e9;
    let total = (total_after - total).max(0.01);
    let machine_share = (busy_after - busy) / total;
    Ok(Sample {
        requests: 0,
        status_errors: 0,
        socket_errors: 0,
        requests_per_s: 0.0,
        cpu_us,
        system_us: 0.0,
        companion_us: 0.0,
        p50_ms: 0.0,
        p99_ms: 0.0,
        server_share: own_s / wall_s,
        machine_share,
        foreign_share: (machine_share - own_s / total).max(0.0),
    })
}
