//! Measures the ring: `cargo run --release -p shm-ring --example bench`.
//!
//! First one producer alone (what a push costs a worker), then two producer processes and a consumer that checks and
//! releases every record (what the ring carries). `BENCH_DIR` chooses the file system, `BENCH_SECONDS` the time of each
//! row.
#![allow(clippy::unwrap_used)]

use shm_ring::{Batch, Consumer, Meta, Options, Producer, PushError};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

const RING_BYTES: u64 = 64 << 20;

fn main() {
    let seconds = std::env::var("BENCH_SECONDS").map_or(2, |text| text.parse().unwrap());
    let limit = Duration::from_secs(seconds);
    if let Ok(role) = std::env::var("BENCH_ROLE") {
        let dir = PathBuf::from(std::env::var("BENCH_RING").unwrap());
        return push_for(&dir, role.parse().unwrap(), limit);
    }
    let base = std::env::var("BENCH_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    println!("ring of {} MiB in {}", RING_BYTES >> 20, base.display());
    for payload_bytes in [200, 1024, 8192] {
        let dir = base.join(format!("ring-bench-{}", std::process::id()));
        let options = Options { path: dir.clone(), size_bytes: RING_BYTES, owner: None };
        shm_ring::prepare(&options).unwrap();
        alone(&dir, payload_bytes, limit);
        together(&dir, payload_bytes);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Fills the ring, empties it outside the measured time, and so on.
fn alone(dir: &Path, payload_bytes: usize, limit: Duration) {
    let mut producer = Producer::attach(dir).unwrap();
    let mut consumer = Consumer::open(dir).unwrap();
    let payload = vec![7; payload_bytes];
    let meta = Meta { kind: 1, ..Meta::default() };
    let (mut pushed, mut pushing_ns) = (0u64, 0);
    let (mut read, mut reading_ns) = (0u64, 0);
    let mut batch = Batch::new();
    let started = Instant::now();
    while started.elapsed() < limit {
        let round_ns = cpu_ns();
        while producer.push(&meta, &[&payload]).is_ok() {
            pushed += 1;
        }
        pushing_ns += cpu_ns() - round_ns;
        let round_ns = cpu_ns();
        read += drain(&mut consumer, &mut batch);
        reading_ns += cpu_ns() - round_ns;
    }
    println!(
        "{payload_bytes:>5} B, one producer alone: CPU {:>5.0} ns/push = {:>8.0} records/s, {:>5.0} ns/read",
        pushing_ns as f64 / pushed as f64,
        pushed as f64 * 1e9 / pushing_ns as f64,
        reading_ns as f64 / read as f64
    );
}

/// CPU time of this thread, which other programs on the machine disturb less than the clock.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn together(dir: &Path, payload_bytes: usize) {
    let mut consumer = Consumer::open(dir).unwrap();
    let mut batch = Batch::new();
    let helper = || -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("BENCH_ROLE", payload_bytes.to_string()).env("BENCH_RING", dir);
        command.spawn().unwrap()
    };
    let mut producers = [helper(), helper()];
    let started = Instant::now();
    let mut read = 0;
    while producers.iter_mut().any(|producer| producer.try_wait().unwrap().is_none()) {
        read += drain(&mut consumer, &mut batch);
        consumer.wait(Duration::from_millis(10));
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = read as f64 / seconds;
    let mib = rate * payload_bytes as f64 / f64::from(1 << 20);
    println!("{payload_bytes:>5} B, two producers, drained: {rate:>8.0} records/s, {mib:.0} MiB/s");
}

fn drain(consumer: &mut Consumer, batch: &mut Batch) -> u64 {
    let mut read = 0;
    loop {
        let outcome = consumer.read(batch, 1 << 20).unwrap();
        read += outcome.records as u64;
        let end = batch.records().last().map(|record| (record.generation, record.end));
        if let Some((generation, end)) = end {
            consumer.release(generation, end);
        }
        if !outcome.more {
            return read;
        }
    }
}

fn push_for(dir: &Path, payload_bytes: usize, limit: Duration) {
    let mut producer = Producer::attach(dir).unwrap();
    let payload = vec![7; payload_bytes];
    let meta = Meta { kind: 1, ..Meta::default() };
    let started = Instant::now();
    while started.elapsed() < limit {
        for _ in 0..64 {
            if producer.push(&meta, &[&payload]) == Err(PushError::Full) {
                std::thread::yield_now();
            }
        }
    }
}
