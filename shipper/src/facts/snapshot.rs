//! `facts.snap`: the state of the window and the sessions at an lsn, so that a start replays minutes, not days.
//!
//! Text would be 50 MB larger; the form is `"TUSKSNAP" version u32 | epoch u32 | lsn u64 | evicted u64 | keys u64 | devices u64`,
//! then `key u64 | second u32` and `device u64 | session u64 | first i64 | last i64`, then crc32c of all before it.

use super::dup::DupWindow;
use super::session::{Device, Sessions};
use crate::disk::{self, Disk};
use crate::journal::layout::{u32_at, u64_at};
use std::io;
use std::path::Path;

const MAGIC: &[u8; 8] = b"TUSKSNAP";
const HEADER: usize = 48;
const KEY: usize = 12;
const DEVICE: usize = 32;
/// Far above what the limits of the two tables allow.
const BYTES_MAX: u64 = 1 << 30;

/// Writes the state as of `lsn`.
pub(super) fn save(
    disk: &dyn Disk,
    dir: &Path,
    epoch: u32,
    lsn: u64,
    window: &DupWindow,
    sessions: &Sessions,
) -> io::Result<()> {
    let mut out = Vec::with_capacity(HEADER + window.len() * KEY);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&window.evicted.to_le_bytes());
    out.extend_from_slice(&(window.len() as u64).to_le_bytes());
    out.extend_from_slice(&(sessions.entries().count() as u64).to_le_bytes());
    for (key, second) in window.entries() {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
    }
    for (device, state) in sessions.entries() {
        for field in
            [device, state.session, state.first_ms.cast_unsigned(), state.last_ms.cast_unsigned()]
        {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    disk::replace(disk, &dir.join("facts.snap"), &out)
}

/// Fills the two tables and returns the lsn to replay from; `None` if there is no snapshot that can be used.
pub(super) fn load(
    disk: &dyn Disk,
    dir: &Path,
    epoch: u32,
    window: &mut DupWindow,
    sessions: &mut Sessions,
) -> io::Result<Option<u64>> {
    let Some(bytes) = disk::read(disk, &dir.join("facts.snap"), BYTES_MAX)? else {
        return Ok(None);
    };
    let Some(body) = bytes.len().checked_sub(4).filter(|n| *n >= HEADER) else { return Ok(None) };
    let (keys, devices) = (u64_at(&bytes, 32) as usize, u64_at(&bytes, 40) as usize);
    let sized = keys.checked_mul(KEY).zip(devices.checked_mul(DEVICE)).map(|(k, d)| HEADER + k + d);
    if &bytes[..8] != MAGIC
        || u32_at(&bytes, 8) != 1
        || u32_at(&bytes, 12) != epoch
        || sized != Some(body)
        || crc32c::crc32c(&bytes[..body]) != u32_at(&bytes, body)
    {
        return Ok(None);
    }
    window.evicted = u64_at(&bytes, 24);
    for at in (HEADER..HEADER + keys * KEY).step_by(KEY) {
        window.insert(u64_at(&bytes, at), u32_at(&bytes, at + 8));
    }
    for at in (HEADER + keys * KEY..body).step_by(DEVICE) {
        let state = Device {
            session: u64_at(&bytes, at + 8),
            first_ms: u64_at(&bytes, at + 16).cast_signed(),
            last_ms: u64_at(&bytes, at + 24).cast_signed(),
        };
        sessions.insert(u64_at(&bytes, at), state);
    }
    Ok(Some(u64_at(&bytes, 16)))
}
