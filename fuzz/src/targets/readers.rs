//! Readers of bytes that lie on disk or in shared memory.

use crate::seeds;
use event::record::Record;
use event::{Config, Scratch};
use shipper::disk::RealDisk;
use shipper::journal::{Journal, JournalConfig, NewRecord, Read, Reader};
use shm_ring::{Batch, Consumer, Meta, Options, Producer};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

const RING_BYTES: u64 = 64 << 10;
const SEGMENT_BYTES: u64 = 64 << 10;
const EPOCH: u32 = 7;

/// A folder with a ring or a journal in it, made once and copied for each input.
struct Template {
    _dir: tempfile::TempDir,
    original: PathBuf,
    copy: PathBuf,
    /// What was written.
    payloads: Vec<Vec<u8>>,
    /// Bytes at the start of a file that are worth damaging.
    used_bytes: u64,
}

impl Template {
    fn new(used_bytes: u64, fill: impl FnOnce(&Path, &[Vec<u8>])) -> Self {
        // In memory if possible: opening a journal syncs it, which a disk does a hundred times slower.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a temporary folder");
        let (original, copy) = (dir.path().join("original"), dir.path().join("copy"));
        // Multiples of 8, as records are: readers see the padding too.
        let payload = |number: u8| vec![number; usize::from(number) * 24];
        let payloads: Vec<Vec<u8>> = (1..=40).map(payload).collect();
        fill(&original, &payloads);
        Self { _dir: dir, original, copy, payloads, used_bytes }
    }

    fn ring() -> Self {
        Self::new(8192 + RING_BYTES, |folder, payloads| {
            let path = folder.to_path_buf();
            let options = Options { path, size_bytes: RING_BYTES, owner: None };
            shm_ring::prepare(&options).expect("a ring");
            let mut producer = Producer::attach(folder).expect("the ring just made");
            for payload in payloads {
                let meta = Meta { kind: 1, kept: 1, ..Meta::default() };
                producer.push(&meta, &[payload]).expect("room for small records");
            }
        })
    }

    fn journal() -> Self {
        Self::new(SEGMENT_BYTES, |folder, payloads| {
            fs::create_dir_all(folder).expect("the journal's folder");
            let mut journal = open(folder, 0).expect("a new journal");
            for (payload, number) in payloads.iter().zip(1..) {
                let record = NewRecord {
                    kind: 1,
                    flags: 0,
                    kept: 1,
                    rejected: 0,
                    generation: 1,
                    position: number * 4096,
                    recv_ns: number,
                    payload,
                };
                journal.append(&record, number).expect("room for small records");
            }
            journal.commit(1).expect("a disk that takes 64 KiB");
        })
    }

    /// A fresh copy of the folder, its files patched.
    fn patched(&self, patches: &[(u64, &[u8])]) -> &Path {
        let _ = fs::remove_dir_all(&self.copy);
        fs::create_dir_all(&self.copy).expect("the copy's folder");
        for entry in fs::read_dir(&self.original).expect("the folder just filled").flatten() {
            let target = self.copy.join(entry.file_name());
            fs::copy(entry.path(), &target).expect("a copy");
            let length = entry.metadata().map_or(0, |meta| meta.len()).min(self.used_bytes);
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

    fn wrote(&self, payload: &[u8]) -> bool {
        self.payloads.iter().any(|known| known == payload)
    }
}

fn open(folder: &Path, known_durable: u64) -> Option<Journal> {
    let config = JournalConfig { segment_bytes: SEGMENT_BYTES, ..JournalConfig::default() };
    let disk = Arc::new(RealDisk);
    Journal::open(disk, folder, EPOCH, &config, 1 << 30, known_durable).ok().map(|o| o.journal)
}

/// A damaged journal: it opens or says why not, every record read is one that was written, gaps lie in order, and reading
/// ends. The first byte says how much of it was durable before.
pub(super) fn journal(data: &[u8]) {
    thread_local! {
        static TEMPLATE: Template = Template::journal();
    }
    TEMPLATE.with(|template| {
        let (known, data) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
        let folder = template.patched(&patches(data));
        let Some(journal) = open(folder, u64::from(known) * 256) else { return };
        let segments = Arc::clone(journal.segments());
        let limit = segments.durable().get();
        let mut reader = Reader::new(segments, journal.segments().start_lsn());
        for _ in 0..10_000 {
            let before = reader.lsn();
            match reader.next(limit) {
                Err(_) | Ok(Read::End) => return,
                Ok(Read::Record { payload, .. }) => {
                    assert!(template.wrote(payload), "a record that nobody wrote");
                }
                Ok(Read::Gap { from, to }) => {
                    assert!(from == before && to > from && to <= limit, "gap {from}..{to}");
                }
            }
            assert!(reader.lsn() > before, "reading stands still at {before}");
        }
        panic!("reading a journal of 64 KiB does not end");
    });
}

/// A damaged ring: every record read is one that was written, everything else is a gap, and reading ends.
pub(super) fn ring(data: &[u8]) {
    thread_local! {
        static TEMPLATE: Template = Template::ring();
    }
    TEMPLATE.with(|template| {
        let folder = template.patched(&patches(data));
        let Ok(mut consumer) = Consumer::open(folder) else { return };
        let mut batch = Batch::new();
        // 64 KiB hold at most 2,048 records; a reader that goes round for ever would go on beyond.
        for _ in 0..4096 {
            batch.clear();
            let Ok(read) = consumer.read(&mut batch, 1 << 20) else { return };
            for record in batch.records() {
                assert!(template.wrote(record.payload), "a record that nobody wrote");
            }
            let last = batch.records().last().map(|record| (record.generation, record.end));
            let gap = batch.gaps().last().map(|gap| (gap.generation, gap.to));
            let furthest = last.into_iter().chain(gap).max_by_key(|(_, end)| *end);
            if let Some((generation, end)) = furthest {
                consumer.release(generation, end);
            }
            if read.records == 0 && !read.more {
                return;
            }
        }
        panic!("reading a ring of 64 KiB does not end");
    });
}
