//! What the tests share.
#![allow(dead_code, clippy::unwrap_used)]

use shm_ring::{Batch, Consumer, Gap, Meta, Options, Producer};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder that is removed at the end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("shm-ring-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn options(&self, size_bytes: u64) -> Options {
        Options { path: self.0.clone(), size_bytes, owner: None }
    }

    /// Makes the ring.
    pub(crate) fn prepare(&self, size_bytes: u64) {
        shm_ring::prepare(&self.options(size_bytes)).unwrap();
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer::attach(&self.0).unwrap()
    }

    pub(crate) fn consumer(&self) -> Consumer {
        Consumer::open(&self.0).unwrap()
    }

    /// The generation files, oldest first.
    pub(crate) fn rings(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "ring"))
            .collect();
        files.sort();
        files
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn meta() -> Meta {
    Meta { kind: 1, flags: 2, kept: 3, rejected: 4, recv_ns: 5 }
}

/// Reads all there is and releases it; the payloads in order. There must be no damage.
pub(crate) fn drain(consumer: &mut Consumer) -> Vec<Vec<u8>> {
    read_out(consumer, |gaps| assert!(gaps.is_empty(), "{gaps:?}"))
}

/// The same where damage is to be read past.
pub(crate) fn drain_past_damage(consumer: &mut Consumer) -> Vec<Vec<u8>> {
    read_out(consumer, |_| {})
}

fn read_out(consumer: &mut Consumer, check: impl Fn(&[Gap])) -> Vec<Vec<u8>> {
    let mut batch = Batch::new();
    let mut payloads = Vec::new();
    loop {
        let outcome = consumer.read(&mut batch, 1 << 20).unwrap();
        check(batch.gaps());
        for record in batch.records() {
            payloads.push(record.payload.to_vec());
        }
        let ends: Vec<_> = batch.records().map(|record| (record.generation, record.end)).collect();
        for (generation, end) in ends {
            consumer.release(generation, end);
        }
        let gaps: Vec<_> = batch.gaps().iter().map(|gap| (gap.generation, gap.to)).collect();
        for (generation, to) in gaps {
            consumer.release(generation, to);
        }
        if !outcome.more {
            return payloads;
        }
    }
}

/// A small random generator: its seed is all that a failure needs to be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
