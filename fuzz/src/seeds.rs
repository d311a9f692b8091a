//! What mutation starts from: the golden requests, and their parts as each decoder sees them.

use event::fuzzing;
use std::fs;
use std::path::{Path, PathBuf};

/// A golden request and the keys file that opens it.
#[derive(Clone, Debug, Default)]
pub struct Golden {
    /// Head and body.
    pub request: Vec<u8>,
    /// The `[[key]]` tables of its `meta.toml`; empty if it needs none.
    pub keys: String,
}

/// Every golden request, in the order of their folders.
///
/// # Panics
/// If there are none: mutation without them would find little and say so to nobody.
#[must_use]
pub fn golden() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let mut folders = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "request.http") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no request.http under {}", root.display());
    files
        .iter()
        .map(|file| {
            let meta = fs::read_to_string(file.with_file_name("meta.toml")).unwrap_or_default();
            let keys = meta.find("[[key]]").map_or("", |at| &meta[at..]);
            Golden { request: fs::read(file).unwrap_or_default(), keys: keys.to_owned() }
        })
        .collect()
}

/// The golden requests alone.
#[must_use]
pub fn requests() -> Vec<Vec<u8>> {
    golden().into_iter().map(|golden| golden.request).collect()
}

/// Queries and bodies.
#[must_use]
pub fn forms() -> Vec<Vec<u8>> {
    let requests = requests();
    let parsed = requests.iter().filter_map(|raw| event::http::parse(raw).ok());
    parsed.flat_map(|request| [request.query.to_vec(), request.body.into_owned()]).collect()
}

/// Values of `data` and `data_list`, percent-decoded.
#[must_use]
pub fn values() -> Vec<Vec<u8>> {
    let forms = forms();
    let values = forms.iter().flat_map(|form| fuzzing::params(form)[..2].to_vec());
    values.flatten().map(|value| fuzzing::url_decode(value, false)).collect()
}

/// What the values hold: JSON or gzip.
#[must_use]
pub fn contents() -> Vec<Vec<u8>> {
    values().iter().filter_map(|value| fuzzing::base64_decode(value)).collect()
}

/// Gzip streams.
#[must_use]
pub fn streams() -> Vec<Vec<u8>> {
    contents().into_iter().filter(|content| content.starts_with(&[0x1f, 0x8b])).collect()
}

/// JSON texts.
#[must_use]
pub fn texts() -> Vec<Vec<u8>> {
    let unpacked = |content: Vec<u8>| fuzzing::gunzip(&content, 1 << 20).unwrap_or(content);
    contents().into_iter().map(unpacked).filter(|text| !text.starts_with(&[0x1f])).collect()
}
