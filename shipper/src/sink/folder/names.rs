//! Names of folders and files.

use crate::ledger::IdentityRange;
use std::borrow::Cow;

/// A project's folder name. Names are checked at the edge; one that is not legal all the same must not become a path.
pub(crate) fn project_folder(project: &[u8]) -> String {
    let name: Cow<'_, str> =
        if event::is_name(project) { String::from_utf8_lossy(project) } else { "_unknown".into() };
    format!("project={name}")
}

/// Names of a range's files.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// First lsn …
    pub(crate) from: u64,
    /// … and first lsn not in it.
    pub(crate) to: u64,
    /// Final name.
    pub(crate) last: String,
    /// Name while it is written.
    pub(crate) temporary: String,
    /// Whether it stands beside files of ranges it overlaps.
    pub(crate) beside: bool,
}

impl Names {
    /// Names for `[from, to)` of `node`. A `try_tag` tells tries apart whose calls may still reach the target after they were given up.
    pub(crate) fn new(
        node: &str,
        from: u64,
        to: u64,
        extension: &str,
        try_tag: Option<u64>,
    ) -> Self {
        let last = format!("part-{node}-{from:016x}-{to:016x}.{extension}");
        let temporary = match try_tag {
            Some(tag) => format!(".{last}.{tag:016x}.inprogress"),
            None => format!(".{last}.inprogress"),
        };
        Self { from, to, last, temporary, beside: false }
    }

    /// Names for what an audit found missing in `[from, to)`: beside the files that are there, and the same again when the same is missing.
    pub(crate) fn beside(
        node: &str,
        from: u64,
        to: u64,
        extension: &str,
        missing: &[IdentityRange],
    ) -> Self {
        let mut crc = 0;
        for run in missing {
            for number in [run.first.0, run.first.1.into(), run.last.0, run.last.1.into()] {
                crc = crc32c::crc32c_append(crc, &number.to_le_bytes());
            }
        }
        let extension = format!("replay-{crc:08x}.{extension}");
        Self { beside: true, ..Self::new(node, from, to, &extension, None) }
    }
}

/// The range in a final name `part-<node>-<from>-<to>.…` of this node.
pub(crate) fn range_of(name: &str, node: &str) -> Option<(u64, u64)> {
    let rest = name.strip_prefix("part-")?.strip_prefix(node)?.strip_prefix('-')?;
    let (range, _) = rest.split_once('.')?;
    let (from, to) = range.split_once('-')?;
    let hex = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    Some((hex(from)?, hex(to)?))
}

/// Whether a file holds what was missing of a range, beside the range's own.
pub(super) fn is_beside(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, rest)| rest.starts_with("replay-"))
}

/// Whether this is a file of this node that was never finished.
pub(super) fn is_leftover(name: &str, node: &str) -> bool {
    name.ends_with(".inprogress")
        && name.strip_prefix('.').is_some_and(|name| range_of(name, node).is_some())
}

/// Whether a file is named as ours, of any node.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("part-") || name.starts_with(".part-") || name.starts_with("_SUCCESS-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_range_back_and_no_other_node_does() {
        let names = Names::new("web-1-0000feed", 0x10, 0x2f0, "jsonl.zst", None);
        assert_eq!(names.last, "part-web-1-0000feed-0000000000000010-00000000000002f0.jsonl.zst");
        assert_eq!(range_of(&names.last, "web-1-0000feed"), Some((0x10, 0x2f0)));
        assert_eq!(range_of(&names.last, "web"), None);
        assert_eq!(range_of(&names.temporary, "web-1-0000feed"), None);
        assert!(is_leftover(&names.temporary, "web-1-0000feed"));
        assert!(!is_leftover(&names.last, "web-1-0000feed"));
        let tagged = Names::new("web-1-0000feed", 0x10, 0x2f0, "parquet", Some(7));
        assert!(is_leftover(&tagged.temporary, "web-1-0000feed"));
        assert!(!is_leftover(&tagged.temporary, "web-2-0000feed"));
    }
}
