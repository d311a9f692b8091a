//! Making, replacing and retiring generations, from several sides at once.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dir, drain, meta};
use shm_ring::{Options, Producer, SIZE_BYTES_MIN};
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Two masters of a binary upgrade, and a reload in the middle.
#[test]
fn masters_that_prepare_at_the_same_time_make_one_ring() {
    let dir = Dir::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| dir.prepare(SIZE_BYTES_MIN));
        }
    });
    assert_eq!(dir.rings().len(), 1);
}

#[test]
fn what_a_killed_master_left_is_removed() {
    let dir = Dir::new();
    let unfinished = dir.path().join("unfinished");
    fs::write(&unfinished, "half a ring").unwrap();
    dir.prepare(SIZE_BYTES_MIN);
    assert!(!unfinished.exists());
    dir.producer().push(&meta(), &[b"x"]).unwrap();
    assert_eq!(drain(&mut dir.consumer()), [b"x"]);
}

/// A master runs as root, in a folder that the workers' user may write to.
#[test]
fn a_link_in_the_folder_is_not_followed() {
    for name in ["unfinished", "ring.ctl", "consumer.lock", "prepare.lock"] {
        let dir = Dir::new();
        let target = dir.path().join("precious");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join(name)).unwrap();
        let result = shm_ring::prepare(&dir.options(SIZE_BYTES_MIN));
        assert_eq!(result.is_ok(), name == "unfinished", "{name}");
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }
}

#[test]
fn everything_is_given_to_the_owner() {
    let dir = Dir::new();
    let path = dir.path().join("ring");
    if File::open("/proc/self").unwrap().metadata().unwrap().uid() != 0 {
        println!("only root can give files away");
        return;
    }
    for owner in [(65_534, 65_533), (65_534, 65_532)] {
        let options = Options { path: path.clone(), size_bytes: 1, owner: Some(owner) };
        shm_ring::prepare(&Options { size_bytes: SIZE_BYTES_MIN, ..options }).unwrap();
        let folder = fs::metadata(&path).unwrap();
        assert_eq!(
            (folder.uid(), folder.gid(), folder.mode() & 0o7777),
            (owner.0, owner.1, 0o2770)
        );
        let mut files = 0;
        for entry in fs::read_dir(&path).unwrap() {
            let data = entry.unwrap().metadata().unwrap();
            assert_eq!((data.uid(), data.gid()), owner);
            assert_eq!(data.permissions().mode() & 0o777, 0o660);
            files += 1;
        }
        assert_eq!(files, 4);
    }
}

/// Rings come and go while workers attach and the reader deletes: no record falls between two.
#[test]
fn no_record_is_lost_between_generations() {
    const ROUNDS: u32 = 150;
    let dir = Dir::new();
    dir.prepare(SIZE_BYTES_MIN);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2u32)
            .map(|worker| {
                let dir = &dir;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        if worker == 0 {
                            dir.prepare(SIZE_BYTES_MIN * (1 + u64::from(round % 3)));
                        }
                        let mut producer = Producer::attach(dir.path()).unwrap();
                        let payload = [worker.to_le_bytes(), round.to_le_bytes()].concat();
                        producer.push(&meta(), &[&payload]).unwrap();
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut consumer = dir.consumer();
            let (mut payloads, mut retired) = (Vec::new(), 0);
            loop {
                // Before the look, so that nothing comes after the last one.
                let last = done.load(Ordering::Acquire);
                consumer.refresh().unwrap();
                payloads.extend(drain(&mut consumer));
                retired += consumer.retire_empty().unwrap();
                if last {
                    return (payloads, retired);
                }
                consumer.wait(Duration::from_millis(1));
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Release);
        let (payloads, retired) = reader.join().unwrap();
        for worker in 0..2 {
            let mut rounds: Vec<u32> = payloads
                .iter()
                .filter(|payload| payload[0] == worker)
                .map(|payload| u32::from_le_bytes(*payload[4..].first_chunk().unwrap()))
                .collect();
            // In no promised order: an older ring may get a record after it was looked at.
            rounds.sort_unstable();
            assert_eq!(rounds, (0..ROUNDS).collect::<Vec<_>>(), "worker {worker}");
        }
        assert!(retired > 10, "retired {retired}");
    });
    assert_eq!(dir.rings().len(), 1);
}
