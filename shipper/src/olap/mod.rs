//! The embedded ClickHouse as seen from here: a process of its own, `tusk-olap`, that speaks ClickHouse's HTTP interface.
//!
//! * [`OlapConfig`]: `[olap]` · [`find`]: program and library · [`Supervisor`]: starts it, watches it, starts it again
//! * [`Embedded`]: what the ClickHouse sink needs to reach it

mod config;
mod find;
mod watch;

pub use config::OlapConfig;
pub use find::{Found, Missing, find};
pub use watch::{News, Plan, Supervisor, Window, answers};

use crate::secret::Secret;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How `[sink.clickhouse]` without a `url` reaches it. It may be down at any moment, also at the start: whoever uses it retries, as
/// with any server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// Password of its user `default`.
    pub key: Secret,
}

impl Embedded {
    /// The name under which a sink's state knows it: folder and not port, as the port may be another one at the next start.
    pub const TARGET: &str = "embedded ClickHouse";

    /// The one that listens at this address on this folder. The key is read, or drawn if neither side did so before: the collector
    /// does not wait for `tusk-olap` to start.
    ///
    /// # Errors
    /// The folder or the key cannot be read or made.
    pub fn new(listen: std::net::SocketAddr, data: &Path) -> io::Result<Self> {
        let key = load_or_make_key(data)?;
        Ok(Self { url: format!("http://{listen}"), key: Secret::from(key.as_str()) })
    }
}

/// The key in `<data>/key`, 32 hex digits, mode 0600.
fn load_or_make_key(data: &Path) -> io::Result<String> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(data)?;
    let path = data.join("key");
    if !path.exists() {
        let mut random = [0; 16];
        openssl::rand::rand_bytes(&mut random).map_err(io::Error::other)?;
        let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let new = data.join(format!("key.new-{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(key.as_bytes()).and_then(|()| file.sync_all())?;
        // Unlike a rename, a link leaves alone a key that came in between.
        let linked = fs::hard_link(&new, &path);
        fs::remove_file(&new)?;
        linked.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
    }
    Ok(fs::read_to_string(&path)?.trim().to_owned())
}
