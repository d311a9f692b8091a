//! Mends, before the engine starts, what a crash leaves in its deduplication logs.
//!
//! The engine writes "this token is stored as part P" before it moves part P into place. Killed in between, it has the token and not
//! the part: the insert was not answered, its client sends it again, and the engine drops it as a duplicate. The rows are lost, and with a
//! materialized view the view alone may lose them. Seen once in some 240 inserts under way at a `kill -9`. So at each start every token whose
//! part is not there, nor one that it was merged into, is taken back: a record of the engine's own form is appended that says so.
//!
//! A log is lines of operation (1 adds, 2 takes back), part and token, separated by tabs. A last line that is cut off would end the
//! engine's reading there for ever; it is cut away.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the folder of logs in a table's.
const LOGS: &str = "deduplication_logs";

/// Mends the logs of all tables below the engine's folder; gives the number of tokens taken back.
pub(super) fn repair(store: &Path) -> io::Result<usize> {
    let mut taken_back = 0;
    // `store/abc/<uuid>`, and `data/<database>/<table>` where a database has no ids.
    for top in ["store", "data"] {
        for group in folders(&store.join(top))? {
            for table in folders(&group)? {
                if table.join(LOGS).is_dir() {
                    taken_back += repair_table(&table)?;
                }
            }
        }
    }
    Ok(taken_back)
}

/// Folders in a folder, which may be missing; links are not followed.
fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Blocks of a part: from, to.
type Blocks = (u64, u64);

fn repair_table(table: &Path) -> io::Result<usize> {
    let mut parts: HashMap<String, Vec<Blocks>> = HashMap::new();
    for folder in folders(table)? {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some((partition, blocks)) = part(name) {
            parts.entry(partition.to_owned()).or_default().push(blocks);
        }
    }
    let is_there = |name: &str| {
        let Some((partition, (from, to))) = part(name) else { return true };
        let of = parts.get(partition).map_or(&[][..], Vec::as_slice);
        of.iter().any(|(first, last)| *first <= from && to <= *last)
    };
    let mut logs: Vec<(u64, PathBuf)> = fs::read_dir(table.join(LOGS))?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_stem()?.to_str()?.strip_prefix("deduplication_log_")?.parse();
            Some((number.ok()?, path))
        })
        .collect();
    logs.sort();
    let mut stored: HashMap<String, String> = HashMap::new();
    for (_, path) in &logs {
        let mut bytes = fs::read(path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            bytes.truncate(whole);
            OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
        }
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut fields = line.splitn(3, '\t');
            match (fields.next(), fields.next(), fields.next()) {
                (Some("1"), Some(part), Some(token)) => {
                    stored.insert(token.to_owned(), part.to_owned());
                }
                (Some("2"), _, Some(token)) => {
                    stored.remove(token);
                }
                _ => {}
            }
        }
    }
    let mut lines = String::new();
    let mut taken_back = 0;
    for (token, part) in stored.iter().filter(|(_, part)| !is_there(part)) {
        lines += &format!("2\t{part}\t{token}\n");
        taken_back += 1;
    }
    if let Some((_, last)) = logs.last().filter(|_| taken_back > 0) {
        let mut file = OpenOptions::new().append(true).open(last)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
    }
    Ok(taken_back)
}

/// Partition and blocks of `<partition>_<from>_<to>_<level>` or `…_<mutation>`; `None` if it is no part in place.
fn part(name: &str) -> Option<(&str, Blocks)> {
    let mut fields = name.split('_');
    let partition =
        fields.next().filter(|partition| !matches!(*partition, "" | "tmp" | "delete"))?;
    let numbers: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [from, to, _level] | [from, to, _level, _] => Some((partition, (*from, *to))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_by_name() {
        assert_eq!(part("all_1_1_0"), Some(("all", (1, 1))));
        assert_eq!(part("202511_3_9_2_11"), Some(("202511", (3, 9))));
        assert_eq!(part("20251101-7_3_9_2"), Some(("20251101-7", (3, 9))));
        for name in [
            "tmp_insert_all_1_1_0",
            "tmp_merge_all_1_5_1",
            "delete_tmp_all_1_1_0",
            "detached",
            LOGS,
            "",
            "all_1_x_0",
        ] {
            assert_eq!(part(name), None, "{name}");
        }
    }

    #[test]
    fn a_token_without_its_part_is_taken_back_and_no_other() {
        let store = std::env::temp_dir().join(format!("tusk-olap-repair-{}", std::process::id()));
        let _ = fs::remove_dir_all(&store);
        let table = store.join("store/abc/abcdef");
        let logs = table.join(LOGS);
        fs::create_dir_all(&logs).unwrap();
        // all_1_3_1 holds what 1, 2 and 3 were merged into; 4 is whole, 5 never came, nor 6 of another partition.
        for name in ["all_1_3_1", "all_4_4_0", "tmp_insert_all_5_5_0", "p_5_5_0"] {
            fs::create_dir(table.join(name)).unwrap();
        }
        let first = "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n1\tall_9_9_0\tgone\n";
        let second =
            "1\tall_4_4_0\td\n2\tall_9_9_0\tgone\n1\tall_5_5_0\te\n1\tq_6_6_0\tf\n1\tall_7";
        fs::write(logs.join("deduplication_log_9.txt"), first).unwrap();
        fs::write(logs.join("deduplication_log_10.txt"), second).unwrap();
        assert_eq!(repair(&store).unwrap(), 2);
        let text = fs::read_to_string(logs.join("deduplication_log_10.txt")).unwrap();
        let (kept, added) = text.split_at(second.rfind('\n').unwrap() + 1);
        assert_eq!(kept, &second[..kept.len()]);
        let mut added: Vec<_> = added.lines().collect();
        added.sort_unstable();
        assert_eq!(added, ["2\tall_5_5_0\te", "2\tq_6_6_0\tf"]);
        assert_eq!(fs::read_to_string(logs.join("deduplication_log_9.txt")).unwrap(), first);
        assert_eq!(repair(&store).unwrap(), 0, "a second time finds nothing");
        assert_eq!(repair(&store.join("nowhere")).unwrap(), 0);
        fs::remove_dir_all(&store).unwrap();
    }
}
