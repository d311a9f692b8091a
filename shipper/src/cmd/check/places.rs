//! Every place on disk, with its size and its bound.

use std::fs;
use std::path::Path;

use shipper::disk::RealDisk;

use super::{Mark, Report, journal_cap};
use crate::config::Config;
use crate::term;

/// Files looked at in one place; above it the size is said to be more.
const FILES_MAX: u64 = 1_000_000;

/// Adds a line for each place.
pub(super) fn places(config: &Config, report: &mut Report) {
    let data = &config.data;
    let mut line = |about, path: &Path, bound: Option<(u64, &str)>| {
        let (used, whole) = size(path);
        let more = if whole { "" } else { "> " };
        let used_text = format!("{more}{}", term::bytes(used));
        let shown = path.display();
        match bound {
            Some((bound, setting)) => {
                let mark =
                    if used > bound.saturating_add(bound / 10) { Mark::Bad } else { Mark::Note };
                let bound = term::bytes(bound);
                report.add(
                    about,
                    mark,
                    format!("{shown}：{used_text}，上限 {bound}（{setting}）"),
                    format!("{shown}: {used_text}, at most {bound} ({setting})"),
                );
            }
            None => report.add(
                about,
                Mark::Note,
                format!("{shown}：{used_text}，只占零头"),
                format!("{shown}: {used_text}, never much"),
            ),
        }
    };
    line("place", &data.join("journal"), Some((journal_cap(config), "journal.bytes_max")));
    let quarantine = config.quarantine.bytes_max;
    line("place", &data.join("quarantine"), Some((quarantine, "quarantine.bytes_max")));
    if config.sink.file.enabled {
        let root = config.files();
        let bound = config.sink.file.bytes_bound(&RealDisk, &root).ok();
        line("place", &root, bound.map(|bound| (bound, "sink.file.bytes_max")));
    }
    line("place", &data.join("state"), None);
}

/// Bytes in a folder and below, and whether all was looked at.
fn size(folder: &Path) -> (u64, bool) {
    let (mut bytes, mut seen) = (0u64, 0u64);
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes = bytes.saturating_add(metadata.len());
            }
            seen += 1;
            if seen >= FILES_MAX {
                return (bytes, false);
            }
        }
    }
    (bytes, true)
}
