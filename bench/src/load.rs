//! One measurement: wrk replays a corpus file at a server, and the server's CPU time is read before and after.

use crate::{Error, proc};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// How the load is made.
#[derive(Clone, Debug)]
pub struct Load {
    /// The `wrk` program.
    pub wrk: PathBuf,
    /// Folders with its shared libraries, for `LD_LIBRARY_PATH`.
    pub libraries: String,
    /// `replay.lua`.
    pub script: PathBuf,
    /// Connections, kept alive.
    pub connections: u32,
    /// Rest of a connection between two requests, ms; 0 = the next one at once.
    pub pause_ms: u32,
    /// Core the generator is bound to.
    pub core: usize,
}

/// What wrk says at the end.
#[derive(Debug, Deserialize)]
struct Told {
    requests: u64,
    duration_us: f64,
    socket_errors: u64,
    status_errors: u64,
    p50_us: f64,
    p99_us: f64,
}

/// One measurement of one peer and case.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Answers.
    pub requests: u64,
    /// Answers that were not 2xx or 3xx.
    pub status_errors: u64,
    /// Requests that got no answer.
    pub socket_errors: u64,
    /// Answers per second.
    pub requests_per_s: f64,
    /// Server CPU per request, µs.
    pub cpu_us: f64,
    /// Share of it spent in the kernel, µs.
    pub system_us: f64,
    /// CPU of companions (the shipper) until they were idle again, µs per request; filled by the caller.
    pub companion_us: f64,
    /// Median latency, ms.
    pub p50_ms: f64,
    /// 99th percentile of the latency, ms.
    pub p99_ms: f64,
    /// Share of one core the server got, 0 to 1.
    pub server_share: f64,
    /// Share of all cores in use, 0 to 1.
    pub machine_share: f64,
    /// Share of all cores used by programs that are no part of the measurement, 0 to 1.
    pub foreign_share: f64,
}

impl Sample {
    /// Whether the server had its core to itself. On a crowded machine caches are shared with strangers and
    /// CPU times are too long; such a round says little.
    pub fn is_quiet(&self) -> bool {
        self.machine_share < 0.99 || self.server_share >= 0.9
    }
}

impl Load {
    /// Replays `corpus` at `port` on loopback and counts the CPU of `server`; `companions` are known programs whose
    /// CPU is neither the server's nor a stranger's.
    ///
    /// # Errors
    /// If wrk cannot be run or says nothing.
    pub fn run(
        &self,
        port: u16,
        corpus: &std::path::Path,
        seed: u64,
        server: &[u32],
        companions: &[u32],
        seconds: u32,
    ) -> Result<Sample, Error> {
        let mut command = Command::new("taskset");
        command
            .args(["-c", &self.core.to_string()])
            .arg(&self.wrk)
            .args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s")])
            .args(["--latency", "--timeout", "10s", "-s"])
            .arg(&self.script)
            .arg(format!("http://127.0.0.1:{port}"))
            .arg("--")
            .arg(corpus)
            .arg(seed.to_string())
            .arg(self.pause_ms.to_string())
            .env("LD_LIBRARY_PATH", &self.libraries);
        let start = Instant::now();
        let (busy, total) = proc::machine()?;
        let ended = proc::ended_children_s()?;
        let (server_before, companions_before) = (proc::cpu(server), proc::cpu(companions));
        let output = command.output()?;
        let used = proc::cpu(server).since(server_before);
        let companions_used = proc::cpu(companions).since(companions_before);
        let wall_s = start.elapsed().as_secs_f64();
        let generator_s = proc::ended_children_s()? - ended;
        let (busy_after, total_after) = proc::machine()?;

        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let line = line.ok_or_else(|| {
            format!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr))
        })?;
        let told: Told = serde_json::from_str(line)?;
        let requests = told.requests.max(1) as f64;
        let (busy, total) = (busy_after - busy, total_after - total);
        let own = used.total_s() + companions_used.total_s() + generator_s;
        Ok(Sample {
            requests: told.requests,
            status_errors: told.status_errors,
            socket_errors: told.socket_errors,
            requests_per_s: requests / (told.duration_us / 1e6),
            cpu_us: used.total_s() / requests * 1e6,
            system_us: used.system_s / requests * 1e6,
            companion_us: 0.0,
            p50_ms: told.p50_us / 1e3,
            p99_ms: told.p99_us / 1e3,
            server_share: used.total_s() / wall_s,
            machine_share: busy / total,
            foreign_share: ((busy - own) / total).max(0.0),
        })
    }
}
