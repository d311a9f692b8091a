use super::*;
use crate::crash::{START_MS, is_rejected, payload};
use crate::disk::double::DoubleDisk;
use crate::facts::FactsConfig;
use crate::facts::decide::Decider;
use crate::journal::layout::Header;
use event::record::Kind;
use std::path::Path;

/// Shows record `n` of the crash tests to the counts, as the facts pass does.
fn count(health: &Health, decider: &mut Decider, n: u64) {
    let payload = payload(n);
    let header = Header {
        kind: Kind::Request as u8,
        lsn: 4096 + n * 256,
        recv_ns: (START_MS + (n as i64) * 500).cast_unsigned() * 1_000_000,
        ..Header::default()
    };
    let mut facts = Vec::new();
    decider.decide(&header, &payload, None, &mut facts);
    health.count(&payload, &facts);
}

fn open(disk: &DoubleDisk) -> Health {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    disk::create_dirs(disk.as_ref(), Path::new("/d"), Path::new("/d")).unwrap();
    let zone = Zone::named("Asia/Shanghai").unwrap();
    let health = Health::new(disk, Path::new("/d"), 7, zone);
    health.restore().unwrap();
    health
}

#[test]
fn saved_counts_go_on_where_they_were_and_count_nothing_twice() {
    let disk = DoubleDisk::new(1);
    let mut decider = Decider::new(&FactsConfig::default());
    let health = open(&disk);
    for n in 0..30 {
        count(&health, &mut decider, n);
    }
    health.save(4096 + 30 * 256).unwrap();
    for n in 30..40 {
        count(&health, &mut decider, n);
    }
    // A new life: the last ten are replayed, with some of those before.
    let health = open(&disk);
    for n in 10..60 {
        count(&health, &mut decider, n);
    }
    let rejected = (0..60).filter(|n| is_rejected(*n)).count() as u64;
    let want = Counts { kept: 60 - rejected, rejected, ..Counts::default() };
    assert_eq!(health.total(), want);
    let snapshot = health.snapshot(START_MS);
    let projects: Vec<&str> = snapshot.events.iter().map(|row| row.key[0].as_ref()).collect();
    assert_eq!(projects, ["shop", "news"]);
    let shop = &snapshot.events[0].value;
    assert_eq!(shop.total.received(), 12);
    // 20 s lie before midnight in Shanghai (17:00 UTC is 01:00 there: one day), so all stands in one day.
    let days: Vec<u64> = shop.days.iter().map(|(_, counts)| counts.received()).collect();
    assert_eq!(days, [12]);
    let hours: Vec<[u32; 3]> =
        snapshot.series[0].value.hours.iter().map(|(_, sums)| *sums).collect();
    assert_eq!(hours.iter().map(|sums| sums[0] + sums[2]).sum::<u32>(), 12);
    assert_eq!(hours.len(), 2, "ten seconds in one hour, twenty in the next");
    let code = &snapshot.codes[0];
    assert_eq!(code.key.join("|"), "news|N101|E|||");
    assert_eq!(snapshot.codes.iter().map(|row| row.value.total).sum::<u64>(), rejected);
}

#[test]
fn a_damaged_file_is_said_and_left_out() {
    let disk = DoubleDisk::new(1);
    let mut decider = Decider::new(&FactsConfig::default());
    let health = open(&disk);
    count(&health, &mut decider, 1);
    health.save(9000).unwrap();
    let path = Path::new("/d/facts.health");
    let whole = disk::read(&disk, path, 1 << 20).unwrap().unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        disk::replace(&disk, path, &bytes).unwrap();
        assert!(health.restore().is_err(), "byte {at}");
        assert_eq!(health.total(), Counts::default());
    }
    disk::replace(&disk, path, &whole).unwrap();
    health.restore().unwrap();
    assert_eq!(health.total().received(), 1);
}

#[test]
fn counts_of_another_journal_are_not_ours() {
    let disk = DoubleDisk::new(1);
    let mut decider = Decider::new(&FactsConfig::default());
    let health = open(&disk);
    count(&health, &mut decider, 1);
    health.save(9000).unwrap();
    let zone = Zone::named("UTC").unwrap();
    let other = Health::new(Arc::new(disk), Path::new("/d"), 8, zone);
    other.restore().unwrap();
    assert_eq!(other.total(), Counts::default());
}
