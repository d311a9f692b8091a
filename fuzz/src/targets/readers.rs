//! Readers of bytes that lie on disk or in shared memory.

use crate::seeds;
use event::record::Record;
use event::{Config, Scratch};
use shm_ring::{Batch, Consumer, Meta, Options, Producer};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Any bytes as a record's payload: readers find shorter lists, never more than is there.
pub(super) fn record(data: &[u8]) {
    let Some(record) = Record::parse(data) else { return };
    let mut bytes = 0;
    for (_, json) in record.events() {
        assert!(json.len() <= data.len(), "JSON longer than the record");
        bytes += 1;
    }
    assert!(bytes <= data.len(), "more events than bytes");
    assert!(record.events().count() <= record.len(), "more events than entries");
    for code in record.codes() {
        assert!(
            code.pointer.len() + code.detail.len() <= data.len(),
            "a code longer than the record"
        );
    }
    for id in 0..16 {
        assert!(record.meta(id).len() <= data.len(), "a field longer than the record");
    }
}

/// Records of the golden requests.
pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let (config, mut scratch) = (Config::default(), Scratch::new());
    seeds::requests()
        .iter()
        .filter_map(|raw| {
            let parsed = event::http::parse(raw).ok()?;
            Some(event::accept(&parsed.request(b"127.0.0.1", 1), &config, &mut scratch).payload())
        })
        .collect()
}

/// Overwrites in a file: `| place u32 le | length u8 | bytes |`, places taken modulo the file's size.
fn patches(mut data: &[u8]) -> Vec<(u64, &[u8])> {
    let mut patches = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<5>() {
        let place = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let (bytes, rest) = rest.split_at(usize::from(head[4]).min(rest.len()));
        patches.push((u64::from(place), bytes));
        data = rest;
    }
    patches
}

/// A few patches: of the identity, of the shared words, of records.
pub(super) fn patch_seeds() -> Vec<Vec<u8>> {
    let patch = |place: u32, bytes: &[u8]| {
        let mut seed = place.to_le_bytes().to_vec();
        seed.push(bytes.len() as u8);
        seed.extend_from_slice(bytes);
        seed
    };
    let mut seeds = vec![Vec::new()];
    for place in [0, 12, 16, 64, 4096, 4160, 4224, 8192, 8196, 8200, 8208, 8216, 8224, 9000, 20_000]
    {
        seeds.push(patch(place, &[0xff; 8]));
        seeds.push(patch(place, &[0; 32]));
        seeds.push([patch(place, b"\x01"), patch(place + 32, b"\x40\0\0\0")].concat());
    }
    seeds
}

/// A ring with records in it, made once and copied for each input.
struct Template {
    _dir: tempfile::TempDir,
    ring: PathBuf,
    copy: PathBuf,
    payloads: Vec<Vec<u8>>,
}

const RING_BYTES: u64 = 64 << 10;

impl Template {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (ring, copy) = (dir.path().join("ring"), dir.path().join("copy"));
        let options = Options { path: ring.clone(), size_bytes: RING_BYTES, owner: None };
        shm_ring::prepare(&options).expect("a ring");
        let mut producer = Producer::attach(&ring).expect("the ring just made");
        let mut payloads = Vec::new();
        for number in 0..40u8 {
            let payload = vec![number; 1 + usize::from(number) * 25];
            let meta = Meta { kind: 1, kept: 1, ..Meta::default() };
            producer.push(&meta, &[&payload]).expect("room for small records");
            payloads.push(payload);
        }
        Self { _dir: dir, ring, copy, payloads }
    }

    /// A fresh copy of the ring's folder with the patches in its generation file.
    fn patched(&self, patches: &[(u64, &[u8])]) -> &Path {
        let _ = fs::remove_dir_all(&self.copy);
        fs::create_dir(&self.copy).expect("the copy's folder");
        for entry in fs::read_dir(&self.ring).expect("the ring's folder").flatten() {
            let target = self.copy.join(entry.file_name());
            fs::copy(entry.path(), &target).expect("a copy");
            let length = entry.metadata().map_or(0, |meta| meta.len());
            if length < RING_BYTES {
                continue;
            }
            let file = fs::File::options().write(true).open(&target).expect("the copy");
            for (place, bytes) in patches {
                let place = place % length;
                let room = (length - place).min(bytes.len() as u64) as usize;
                file.write_all_at(&bytes[..room], place).expect("a patch");
            }
        }
        &self.copy
    }
}

/// A damaged ring: every record read is one that was written, everything else is a gap, and reading ends.
pub(super) fn ring(data: &[u8]) {
    thread_local! {
        static TEMPLATE: RefCell<Option<Template>> = const { RefCell::new(None) };
    }
    TEMPLATE.with_borrow_mut(|template| {
        let template = template.get_or_insert_with(Template::new);
        let folder = template.patched(&patches(data)).to_path_buf();
        let Ok(mut consumer) = Consumer::open(&folder) else { return };
        let mut batch = Batch::new();
        // 64 KiB hold at most 2,048 records; a reader that goes round for ever would go on beyond.
        for _ in 0..4096 {
            batch.clear();
            let Ok(read) = consumer.read(&mut batch, 1 << 20) else { return };
            for record in batch.records() {
                let known = template.payloads.iter().any(|payload| payload == record.payload);
                assert!(known, "a record that nobody wrote, {} bytes", record.payload.len());
            }
            let last = batch.records().last().map(|record| (record.generation, record.end));
            let gap = batch.gaps().last().map(|gap| (gap.generation, gap.to));
            if let Some((generation, end)) = last.into_iter().chain(gap).max_by_key(|(_, end)| *end)
            {
                consumer.release(generation, end);
            }
            if read.records == 0 && !read.more {
                return;
            }
        }
        panic!("reading a ring of 64 KiB does not end");
    });
}
