//! Recorded requests and what must become of them.
//!
//! Each folder of `tests/golden/sensors` holds `request.http` (head and body as on the wire), `meta.toml` (where it comes from,
//! keys, settings), `expected.jsonl` (one line per event, then one with the answer) and, for recordings of real SDKs, `sent.json`:
//! the events the SDK meant, decoded by another program. `UPDATE_GOLDEN=1` rewrites `expected.jsonl`; read the diff.
#![allow(clippy::unwrap_used, clippy::panic)]

mod case;
mod same;

use std::path::{Path, PathBuf};

use case::Case;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sensors")
}

fn folders(root: &Path, file: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.join(file).exists() {
            found.push(path);
        } else if path.is_dir() {
            found.extend(folders(&path, file));
        }
    }
    found.sort();
    found
}

#[test]
fn golden() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let folders = folders(&root(), "meta.toml");
    assert!(folders.len() >= 80, "only {} cases found", folders.len());
    let mut wrong = Vec::new();
    for folder in &folders {
        let case = Case::read(folder);
        let got = case.run();
        if let Some(sent) = &case.sent
            && let Err(difference) = same::events(sent, &got.kept, got.enveloped)
        {
            wrong.push(format!("{}: {difference}", folder.display()));
        }
        let file = folder.join("expected.jsonl");
        if update {
            std::fs::write(&file, &got.lines).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != got.lines {
            wrong.push(format!("{}: got\n{}", folder.display(), got.lines));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}

/// A folder of recordings outside the repository (`request.http`, `expected.json`, `meta.json` each), named by `RECORDINGS`.
#[test]
#[ignore = "needs RECORDINGS=DIR"]
fn recordings() {
    let root = PathBuf::from(std::env::var_os("RECORDINGS").unwrap());
    let folders = folders(&root, "expected.json");
    let (mut events, mut wrong) = (0, Vec::new());
    for folder in &folders {
        let case = Case::read_recording(folder);
        let got = case.run();
        events += got.kept.len();
        if let Err(difference) =
            same::events(case.sent.as_deref().unwrap(), &got.kept, got.enveloped)
        {
            wrong.push(format!("{}: {difference}\n{}", folder.display(), got.lines));
        }
    }
    println!("{} requests, {events} events, {} wrong", folders.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
