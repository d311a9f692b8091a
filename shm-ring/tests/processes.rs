//! Several processes on one ring: killed, stopped, replaced. The helpers are this test binary itself.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, Random, drain, meta};
use shm_ring::{Batch, Consumer, Meta, Options, Producer, PushError, RingError};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// No test here may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A helper process; killed by its own id when dropped.
struct Helper(Child);

impl Helper {
    fn command(role: &str, dir: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "helper", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("RING_ROLE", role).env("RING_DIR", dir).stdout(Stdio::null());
        command
    }

    fn start(role: &str, dir: &Path, id: u64) -> Self {
        Self(Self::command(role, dir).env("RING_ID", id.to_string()).spawn().unwrap())
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a signal to our own child, which is not reaped yet, so the id is still its.
        let sent = unsafe { libc::kill(self.0.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    /// Stops it and waits until the kernel says so.
    fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.0.id());
        wait_for("the helper to stop", || {
            let stat = fs::read_to_string(&stat).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        });
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn assert_running(&mut self) {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none(), "a helper ended by itself: {ended:?}");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
#[ignore = "a helper process of the other tests, not a test"]
fn helper() {
    let Ok(role) = std::env::var("RING_ROLE") else { return };
    let dir = PathBuf::from(std::env::var("RING_DIR").unwrap());
    let id = std::env::var("RING_ID").map_or(0, |id| id.parse().unwrap());
    match role.as_str() {
        "producer" => produce(&dir, id),
        "consumer" => consume(&dir, || false),
        "giant" => push_giants(&dir),
        "small-disk" => small_disk(&dir),
        "file-limit" => file_limit(&dir),
        other => unreachable!("{other}"),
    }
}

/// Pushes numbered records until it is killed or `stop` exists; notes after each how many were acknowledged.
fn produce(dir: &Path, id: u64) {
    let ring = dir.join("ring");
    let acks = File::create(dir.join(format!("acks-{id}"))).unwrap();
    let mut producer = Producer::attach(&ring).unwrap();
    let mut random = Random(id);
    // Every third spends its time in the lock, so that it dies there.
    let largest = if id.is_multiple_of(3) { 100_000 } else { 3_000 };
    let mut payload = Vec::new();
    let mut number = 0u64;
    while !dir.join("stop").exists() {
        for _ in 0..64 {
            payload.clear();
            payload.extend_from_slice(&id.to_le_bytes());
            payload.extend_from_slice(&number.to_le_bytes());
            payload.resize(16 + random.below(largest) as usize, (id + number) as u8);
            match producer.push(&meta(), &[&payload[..5], &payload[5..]]) {
                Ok(_) => {
                    number += 1;
                    acks.write_all_at(&number.to_le_bytes(), 0).unwrap();
                }
                Err(PushError::Full | PushError::Locked) => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Err(error) => unreachable!("{error}"),
            }
        }
    }
}

/// One record in the consumer's log: id, number, generation, end.
const ENTRY_BYTES: usize = 32;

/// Moves records from the ring to `log`, the journal of this test, until `done`.
fn consume(dir: &Path, done: impl Fn() -> bool) {
    let path = dir.join("log");
    let mut log = File::options().create(true).append(true).open(&path).unwrap();
    // A write that was cut by a kill.
    let whole = log.metadata().unwrap().len() / ENTRY_BYTES as u64 * ENTRY_BYTES as u64;
    log.set_len(whole).unwrap();
    let mut consumer = Consumer::open(&dir.join("ring")).unwrap();
    for [_, _, generation, end] in read_log(&path) {
        consumer.release(generation, end);
    }
    let mut batch = Batch::new();
    while !done() {
        let outcome = consumer.read(&mut batch, 128 << 10).unwrap();
        assert_eq!((batch.gaps(), consumer.take_problems().len()), (&[][..], 0));
        let mut entries = Vec::new();
        let mut ends = BTreeMap::new();
        for record in batch.records() {
            let word = |at: usize| u64::from_le_bytes(*record.payload[at..].first_chunk().unwrap());
            let (id, number) = (word(0), word(8));
            assert!(record.payload[16..].iter().all(|&byte| byte == (id + number) as u8));
            for value in [id, number, record.generation, record.end] {
                entries.extend_from_slice(&value.to_le_bytes());
            }
            ends.insert(record.generation, record.end);
        }
        log.write_all(&entries).unwrap();
        for (generation, end) in ends {
            consumer.release(generation, end);
        }
        consumer.heartbeat();
        consumer.retire_empty().unwrap();
        if !outcome.more {
            consumer.wait(Duration::from_millis(20));
        }
    }
}

fn read_log(path: &Path) -> Vec<[u64; 4]> {
    let bytes = fs::read(path).unwrap();
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    let word = |entry: &[u8], at: usize| u64::from_le_bytes(*entry[at..].first_chunk().unwrap());
    entries.iter().map(|entry| [0, 8, 16, 24].map(|at| word(entry, at))).collect()
}

#[test]
fn kills_at_any_instant_lose_nothing_and_double_nothing() {
    const PRODUCERS: usize = 3;
    /// In at most 15 s; `RING_KILLS` asks for more, at 8 a second or better.
    const KILLS: usize = 120;
    let wanted = std::env::var("RING_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let limit = Duration::from_secs(wanted as u64 / 8);
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    let dir = Dir::new();
    let ring = dir.path().join("ring");
    let prepare = |size_bytes| {
        shm_ring::prepare(&Options { path: ring.clone(), size_bytes, owner: None }).unwrap();
    };
    prepare(1 << 20);
    let mut ids = 0;
    let start_producer = |ids: &mut u64| {
        *ids += 1;
        Helper::start("producer", dir.path(), *ids)
    };
    let mut producers: Vec<_> = (0..PRODUCERS).map(|_| start_producer(&mut ids)).collect();
    let mut consumer = Helper::start("consumer", dir.path(), 0);
    let started = Instant::now();
    let mut kills = [0, 0];
    while kills[0] + kills[1] < wanted && started.elapsed() < limit {
        std::thread::sleep(Duration::from_micros(2_000 + random.below(40_000)));
        let victim = random.below(PRODUCERS as u64) as usize;
        match random.below(20) {
            0..12 => {
                producers[victim].assert_running();
                producers[victim].kill();
                producers[victim] = start_producer(&mut ids);
                kills[0] += 1;
            }
            12..16 => {
                consumer.assert_running();
                consumer.kill();
                consumer = Helper::start("consumer", dir.path(), 0);
                kills[1] += 1;
            }
            16..18 => {
                producers[victim].stop();
                std::thread::sleep(Duration::from_millis(30));
                producers[victim].signal(libc::SIGCONT);
            }
            18 => prepare((1 + random.below(3)) << 20),
            _ => {}
        }
    }
    fs::write(dir.path().join("stop"), "").unwrap();
    for producer in &mut producers {
        wait_for("a producer to end", || producer.0.try_wait().unwrap().is_some());
    }
    consumer.assert_running();
    consumer.kill();
    // What is left; by now nobody adds to it.
    let deadline = Instant::now() + Duration::from_millis(500);
    consume(dir.path(), || Instant::now() > deadline);

    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let mut records = 0;
    for [id, number, _, _] in read_log(&dir.path().join("log")) {
        let next = numbers.entry(id).or_default();
        assert_eq!(number, *next, "seed {seed}: producer {id} lost or doubled a record");
        *next += 1;
        records += 1;
    }
    for id in 1..=ids {
        // A helper that was killed at once has no file, or an empty one.
        let bytes = fs::read(dir.path().join(format!("acks-{id}"))).unwrap_or_default();
        let acknowledged = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let read = numbers.get(&id).copied().unwrap_or(0);
        let once_or_not_at_all = read == acknowledged || read == acknowledged + 1;
        assert!(
            once_or_not_at_all,
            "seed {seed}: producer {id}: {acknowledged} acknowledged, {read} read"
        );
    }
    let recovered = Producer::attach(&ring).unwrap().counters().lock_recovered.get();
    println!(
        "kills: {} of producers, {} of the consumer; {records} records; {recovered} locks recovered",
        kills[0], kills[1]
    );
    assert!(kills[0] >= 10 && kills[1] >= 2 && records > 1_000, "{kills:?} {records}");
}

/// Spends most of its time in the lock.
fn push_giants(dir: &Path) {
    let mut producer = Producer::attach(dir).unwrap();
    let payload = vec![1; producer.record_bytes_max()];
    loop {
        let _ = producer.push(&meta(), &[&payload]);
    }
}

/// A helper that was stopped while it holds the lock, found by a push that is refused; and how long that push took.
fn stopped_holder(
    dir: &Dir,
    producer: &mut Producer,
    consumer: &mut Consumer,
) -> (Helper, Duration) {
    let holder = Helper::start("giant", dir.path(), 0);
    let started = Instant::now();
    let mut random = Random(u64::from(std::process::id()));
    loop {
        assert!(started.elapsed() < LIMIT, "never met the helper in the lock");
        // Read what there is without checking it all: the helper needs room, or it does not copy.
        drain(consumer);
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
        holder.stop();
        let pushing = Instant::now();
        match producer.push(&meta(), &[b"probe"]) {
            Err(PushError::Locked) => return (holder, pushing.elapsed()),
            Ok(_) | Err(PushError::Full) => holder.signal(libc::SIGCONT),
            Err(error) => unreachable!("{error}"),
        }
    }
}

#[test]
fn a_stopped_lock_holder_costs_20_ms_once_and_nothing_when_it_dies() {
    let dir = Dir::new();
    dir.prepare(32 << 20);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let (mut holder, first) = stopped_holder(&dir, &mut producer, &mut consumer);
    assert!(first >= Duration::from_millis(19), "{first:?}");
    assert!(first < Duration::from_secs(2), "{first:?}");
    // Then only tries. The median, as a busy machine may take us away from a few.
    let mut tries: Vec<_> = (0..11)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(producer.push(&meta(), &[b"x"]), Err(PushError::Locked));
            started.elapsed()
        })
        .collect();
    tries.sort_unstable();
    assert!(tries[5] < Duration::from_millis(10), "{tries:?}");
    assert!(producer.counters().locked.get() >= 11);
    // The reader needs no lock.
    drain(&mut consumer);
    holder.kill();
    producer.push(&meta(), &[b"after"]).unwrap();
    assert_eq!(producer.counters().lock_recovered.get(), 1);
    assert_eq!(drain(&mut consumer), [b"after"]);
}

#[test]
fn a_death_in_the_middle_of_a_copy_leaves_whole_records() {
    let dir = Dir::new();
    dir.prepare(32 << 20);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let started = Instant::now();
    let mut random = Random(u64::from(std::process::id()));
    while producer.counters().lock_recovered.get() < 3 {
        assert!(started.elapsed() < LIMIT, "no helper died in the lock");
        let mut holder = Helper::start("giant", dir.path(), 0);
        let records = producer.counters().records.get();
        while producer.counters().records.get() == records {
            assert!(started.elapsed() < LIMIT, "the helper pushed nothing");
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(random.below(2_000)));
        holder.kill();
        let mut payloads = drain(&mut consumer);
        producer.push(&meta(), &[b"after"]).unwrap();
        payloads.extend(drain(&mut consumer));
        let giant = producer.record_bytes_max();
        let (last, giants) = payloads.split_last().unwrap();
        assert_eq!(last, b"after");
        assert!(giants.iter().all(|payload| payload.len() == giant && payload[giant - 1] == 1));
    }
}

#[test]
fn a_stopped_lock_holder_that_goes_on_ends_its_record() {
    let dir = Dir::new();
    dir.prepare(32 << 20);
    let (mut producer, mut consumer) = (dir.producer(), dir.consumer());
    let (mut holder, _) = stopped_holder(&dir, &mut producer, &mut consumer);
    drain(&mut consumer);
    let records = producer.counters().records.get();
    holder.signal(libc::SIGCONT);
    wait_for("a push", || {
        // Drains whatever the helper goes on to push, each record whole.
        let mut batch = Batch::new();
        consumer.read(&mut batch, 1 << 20).unwrap();
        assert_eq!(batch.gaps(), []);
        let ends: Vec<_> = batch.records().map(|record| (record.generation, record.end)).collect();
        ends.into_iter().for_each(|(generation, end)| consumer.release(generation, end));
        producer.push(&meta(), &[b"after"]).is_ok()
    });
    assert!(producer.counters().records.get() >= records + 2);
    holder.kill();
}

#[test]
fn a_change_of_size_drains_the_old_ring_while_its_workers_still_write() {
    let dir = Dir::new();
    dir.prepare(1 << 20);
    let (mut old, mut consumer) = (dir.producer(), dir.consumer());
    old.push(&meta(), &[b"1"]).unwrap();
    old.counters().requests.add(5);
    dir.prepare(2 << 20);
    // The same again changes nothing.
    dir.prepare(2 << 20);
    assert_eq!(dir.rings().len(), 2);
    let mut new = dir.producer();
    assert_ne!(old.generation(), new.generation());
    assert_eq!((new.capacity_bytes(), new.counters().requests.get()), (2 << 20, 5));
    assert!(new.heartbeat_age_ms() < 5_000, "the shipper is not taken for dead");
    new.push(&meta(), &[b"3"]).unwrap();
    old.push(&meta(), &[b"2"]).unwrap();
    consumer.refresh().unwrap();
    assert_eq!(drain(&mut consumer), [b"1", b"2", b"3"], "oldest generation first");
    // Empty, but a worker may still push.
    assert_eq!(consumer.retire_empty().unwrap(), 0);
    old.push(&meta(), &[b"4"]).unwrap();
    drop(old);
    assert_eq!(consumer.retire_empty().unwrap(), 0, "not empty");
    assert!(consumer.wait(Duration::from_secs(5)));
    let mut batch = Batch::new();
    consumer.read(&mut batch, 1).unwrap();
    assert_eq!(consumer.retire_empty().unwrap(), 0, "read, but not released");
    let (generation, end) =
        batch.records().map(|record| (record.generation, record.end)).next().unwrap();
    consumer.release(generation, end);
    assert_eq!(consumer.retire_empty().unwrap(), 1);
    assert_eq!((dir.rings().len(), consumer.generations().len()), (1, 1));
    new.push(&Meta { kind: 9, ..meta() }, &[b"5"]).unwrap();
    assert_eq!(drain(&mut consumer), [b"5"]);
}

/// The helper runs with a file system of 1 MiB at `dir`.
fn small_disk(dir: &Path) {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(dir)
        .status()
        .unwrap();
    if mounted.success() {
        fs::write(dir.with_extension("mounted"), "").unwrap();
        no_room(dir, 2 << 20);
        fs::write(dir.with_extension("done"), "").unwrap();
    }
}

/// The helper may not make a file of more than 1 MiB.
fn file_limit(dir: &Path) {
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: `limit` is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    no_room(dir, 2 << 20);
    fs::write(dir.with_extension("done"), "").unwrap();
}

fn no_room(dir: &Path, too_large: u64) {
    let options = |size_bytes| Options { path: dir.to_path_buf(), size_bytes, owner: None };
    let rings = || {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| !name.to_str().unwrap().ends_with(".lock") && name != "ring.ctl")
            .count()
    };
    let refused = || match shm_ring::prepare(&options(too_large)).unwrap_err() {
        RingError::NoSpace { size_bytes, .. } => assert_eq!(size_bytes, too_large + 8192),
        other => unreachable!("{other}"),
    };
    refused();
    assert_eq!(rings(), 0, "nothing is left behind");
    shm_ring::prepare(&options(256 << 10)).unwrap();
    let mut producer = Producer::attach(dir).unwrap();
    producer.push(&meta(), &[b"before"]).unwrap();
    refused();
    assert_eq!(rings(), 1, "and the ring that was there works on");
    producer.push(&meta(), &[b"after"]).unwrap();
    Producer::attach(dir).unwrap();
    assert_eq!(drain(&mut Consumer::open(dir).unwrap()), [&b"before"[..], b"after"]);
}

#[test]
fn a_file_limit_refuses_the_ring_and_leaves_nothing() {
    let dir = Dir::new();
    let inner = dir.path().join("ring");
    let status = Helper::command("file-limit", &inner).status().unwrap();
    assert!(status.success() && inner.with_extension("done").exists());
}

/// In a mount namespace of its own, so that nothing stays mounted whatever happens.
#[test]
fn a_full_disk_refuses_the_ring_and_leaves_nothing() {
    let dir = Dir::new();
    let inner = dir.path().join("ring");
    fs::create_dir(&inner).unwrap();
    let template = Helper::command("small-disk", &inner);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    command.arg(template.get_program()).args(template.get_args()).stdout(Stdio::null());
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = command.status();
    if inner.with_extension("mounted").exists() {
        assert!(inner.with_extension("done").exists(), "{status:?}");
    } else {
        println!("no file system may be mounted here; the file limit was tested");
    }
}
