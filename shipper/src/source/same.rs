//! Telling files apart by what is in them.

use super::tail::{Piece, Tail};
use crate::import::mark::{Mark, chain};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Whether the first `size` bytes of both are the same.
pub(super) fn is_start_of(file: &File, size: u64, of: &Path) -> io::Result<bool> {
    let Ok(other) = File::open(of) else { return Ok(false) };
    let mut buffers = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut at = 0;
    while at < size {
        let want = usize::try_from(size - at).unwrap_or(usize::MAX).min(64 << 10);
        let n = file.read_at(&mut buffers.0[..want], at)?;
        if n == 0 {
            return Ok(true);
        }
        let mut held = 0;
        while held < n {
            match other.read_at(&mut buffers.1[held..n], at + held as u64)? {
                0 => return Ok(false),
                more => held += more,
            }
        }
        if buffers.0[..n] != buffers.1[..n] {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}

/// How far a copy is what its original held: the last line end, up to `done`, that `is_mark` of the original; of a copy that was
/// compared while the original stood, simply its last line end.
pub(super) fn common(
    file: &File,
    done: &Mark,
    compared: bool,
    is_mark: &dyn Fn(&Mark) -> bool,
) -> io::Result<Option<Mark>> {
    let mut tail = Tail::at(0);
    let (mut mark, mut found) = (Mark::default(), None);
    loop {
        let (pieces, more) = tail.read(file, false)?;
        for Piece { text, end } in &pieces {
            if *end > done.bytes {
                return Ok(found);
            }
            let lines = mark.lines + 1;
            mark = Mark { bytes: *end, lines, digest: chain(&mark.digest, text), ..mark };
            if compared || is_mark(&mark) {
                found = Some(mark);
            }
        }
        if !more {
            return Ok(found);
        }
    }
}

/// Start of the line that `size` cuts, within 64 KiB.
pub(super) fn line_start(file: &File, size: u64) -> io::Result<u64> {
    let from = size.saturating_sub(64 << 10);
    let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(0)];
    let n = file.read_at(&mut bytes, from)?;
    let at = memchr::memrchr(b'\n', &bytes[..n]);
    Ok(at.map_or(if from == 0 { 0 } else { size }, |at| from + at as u64 + 1))
}
