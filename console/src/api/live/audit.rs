//! Who looked at what a client sent as it was sent, and who acted on it: `<data>/console/audit.jsonl`, one line each. The line stands
//! before the answer goes out; where it cannot be written there is no answer.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::trying;
use crate::error::Problem;
use crate::guard::Who;
use crate::Shared;

/// A file this large becomes `audit.1.jsonl`; there is one of those.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Writes a line.
///
/// # Errors
/// 503: the disk will not.
pub(super) async fn write(
    shared: &Arc<Shared>,
    who: &Who,
    action: &'static str,
    what: &Value,
) -> Result<(), Problem> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let line = json!({"at": now, "user": who.user, "action": action, "what": what});
    let line = format!("{line}\n");
    trying(shared, move |shared| {
        append(shared, &line).map_err(|error| {
            let path = shared.store.folder().join("audit.jsonl");
            Problem::daemon(&format!("cannot write {}: {error}", path.display()))
        })
    })
    .await
}

fn append(shared: &Shared, line: &str) -> std::io::Result<()> {
    let folder = shared.store.folder();
    let path = folder.join("audit.jsonl");
    if std::fs::metadata(&path).is_ok_and(|file| file.len() > FILE_BYTES_MAX) {
        std::fs::rename(&path, folder.join("audit.1.jsonl"))?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(&path)?;
    file.write_all(line.as_bytes())
}
