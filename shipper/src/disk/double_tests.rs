//! What a crash of the double keeps and loses.

use super::*;
use crate::disk::{create_dirs, read, replace};

#[test]
fn synced_bytes_and_names_survive_every_crash() {
    for seed in 0..200 {
        let disk = DoubleDisk::new(seed);
        create_dirs(&disk, Path::new("/a"), Path::new("/a/b")).unwrap();
        replace(&disk, Path::new("/a/b/f"), b"kept").unwrap();
        let file = disk.open(Path::new("/a/b/f"), Open::Write).unwrap();
        file.write_at(b"LOST", 0).unwrap();
        let after = disk.reboot(seed);
        let bytes = read(&after, Path::new("/a/b/f"), 100).unwrap().unwrap();
        assert_eq!(bytes.len(), 4);
        assert!(file.sync().is_err(), "an old handle is dead");
    }
}

#[test]
fn unsynced_bytes_and_names_are_lost_kept_and_torn() {
    let (mut gone, mut whole, mut torn) = (0, 0, 0);
    for seed in 0..300 {
        let disk = DoubleDisk::new(seed);
        let file = disk.open(Path::new("/f"), Open::Create).unwrap();
        file.write_at(b"0123456789", 0).unwrap();
        match read(&disk.reboot(seed), Path::new("/f"), 100).unwrap().as_deref() {
            None | Some([]) => gone += 1,
            Some(b"0123456789") => whole += 1,
            Some(_) => torn += 1,
        }
    }
    assert!(gone > 30 && whole > 30 && torn > 10, "{gone} {whole} {torn}");
}

#[test]
fn a_replaced_file_is_old_or_new_at_every_crash_point() {
    for seed in 0..50 {
        for point in 1..12 {
            let disk = DoubleDisk::new(seed);
            replace(&disk, Path::new("/f"), b"old").unwrap();
            disk.die_at(disk.operations() + point);
            let done = replace(&disk, Path::new("/f"), b"newer").is_ok();
            let bytes = read(&disk.reboot(seed), Path::new("/f"), 100).unwrap();
            let bytes = bytes.unwrap();
            assert!(bytes == b"newer" || (!done && bytes == b"old"), "seed {seed} {point}");
        }
    }
}
