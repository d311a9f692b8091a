//! Reads back what the file sink wrote.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Finished files of the sink, sorted by path; `.inprogress` and marker files are left out.
#[must_use]
pub fn list(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        // A folder may go while it is read (retention); what is gone holds nothing.
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if is_data(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_data(path: &Path) -> bool {
    is_data_name(path.file_name().and_then(|name| name.to_str()).unwrap_or_default())
}

/// Whether a finished file of JSON lines has such a name.
#[must_use]
pub fn is_data_name(name: &str) -> bool {
    let visible = !name.starts_with('.');
    visible && [".jsonl", ".jsonl.gz", ".jsonl.zst"].iter().any(|end| name.ends_with(end))
}

/// The lines of one file, unpacked.
///
/// # Panics
/// If the file cannot be read, is not UTF-8 or does not end with a newline: a finished file is whole.
#[track_caller]
#[must_use]
pub fn read(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    unpack(&path.display().to_string(), bytes)
}

/// The lines in the bytes of a file of that name.
///
/// # Panics
/// As [`read`].
#[track_caller]
#[must_use]
pub fn unpack(name: &str, bytes: Vec<u8>) -> Vec<String> {
    let mut text = String::new();
    match Path::new(name).extension().and_then(|end| end.to_str()) {
        Some("gz") => {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        }
        Some("zst") => {
            text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
        }
        _ => text = String::from_utf8(bytes).unwrap(),
    }
    assert!(text.is_empty() || text.ends_with('\n'), "{name} ends in mid-line");
    text.lines().map(str::to_owned).collect()
}

/// Every line of every finished file.
#[track_caller]
#[must_use]
pub fn lines(root: &Path) -> Vec<String> {
    list(root).iter().flat_map(|path| read(path)).collect()
}
