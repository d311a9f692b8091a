//! The short run of every target: saved inputs first, then seeded mutation for `SECONDS_EACH` (default 2).
//! `FUZZ_SEED` repeats a run; an input that breaks a promise is saved under `artifacts/`.

use fuzz::mutate::{Random, mutate};
use fuzz::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time one input of at most 64 KiB may take, in the test profile on a busy machine.
const INPUT_LIMIT: Duration = Duration::from_secs(3);

fn folder(of: &str, target: Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of).join(target.name)
}

/// Runs one input; a failure names the file that repeats it.
fn try_one(target: Target, input: &[u8]) {
    let once = || {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        (result.is_ok(), start.elapsed())
    };
    let (mut good, mut took) = once();
    // On a crowded machine the thread may not have run for seconds: only an input that is slow again is slow.
    for _ in 0..2 {
        if good && took < INPUT_LIMIT {
            return;
        }
        let again = once();
        (good, took) = (good && again.0, took.min(again.1));
    }
    if good && took < INPUT_LIMIT {
        return;
    }
    let folder = folder("artifacts", target);
    let _ = std::fs::create_dir_all(&folder);
    let name = input.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let file = folder.join(format!("{name:016x}"));
    let _ = std::fs::write(&file, input);
    panic!(
        "{}: {} ({took:?}); put it into fuzz/saved/{0} when it is fixed",
        target.name,
        file.display()
    );
}

fn run(name: &str) {
    let target = fuzz::named(name).expect("a target of that name");
    for entry in std::fs::read_dir(folder("saved", target)).into_iter().flatten().flatten() {
        try_one(target, &std::fs::read(entry.path()).unwrap());
    }
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{name} has nothing to start from");
    for seed in &seeds {
        try_one(target, seed);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = number("SECONDS_EACH").unwrap_or(2);
    let seed = number("FUZZ_SEED").unwrap_or(20_261_125);
    let mut random = Random::new(seed);
    let mut pool = seeds.clone();
    let (start, mut runs) = (Instant::now(), 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut input = pool[random.below(pool.len())].clone();
        let other = &pool[random.below(pool.len())];
        mutate(&mut input, &other.clone(), &mut random);
        try_one(target, &input);
        runs += 1;
        // Some mutants become seeds, so that changes add up.
        if random.below(8) == 0 {
            let at = seeds.len() + random.below(256);
            if at < pool.len() { pool[at] = input } else { pool.push(input) }
        }
    }
    println!("{name}: {runs} inputs, seed {seed}");
}

macro_rules! targets {
    ($($name:ident)+) => {
        $(#[test] fn $name() { run(stringify!($name)); })+

        /// A target without a test, or without a libFuzzer door, would be forgotten in silence.
        #[test]
        fn every_target_is_here_and_has_its_door() {
            let here = [$(stringify!($name)),+];
            for target in TARGETS {
                assert!(here.contains(&target.name), "{} has no test", target.name);
                let door = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
                assert!(door.join(format!("{}.rs", target.name)).exists(), "{} has no door", target.name);
            }
        }
    };
}

targets!(form base64 gunzip json decrypt request record ring journal sql blocks);
