//! Harness of the end-to-end tests: starts the real nginx, the real shipper and the real SDKs, and reads back what was stored.
//!
//! Everything a test starts ends with it: folders and processes are owned by values that clean up when dropped, processes are
//! signalled by the ids this harness started, and every wait has a limit. Nothing here is a double of a product's part.
//!
//! ```no_run
//! use tusk_tests::{Dir, Nginx, Tusk, conf, files, http, wait_for};
//! let dir = Dir::new("example");
//! let nginx = Nginx::start(&dir, |port| conf::collect(&dir, port));
//! let tusk = Tusk::start(&dir, "");
//! let answer = http::post(nginx.address(), "/sa?project=default", &[], b"data=e30%3D");
//! assert_eq!(answer.status, 200);
//! wait_for(10, "one event in the files", || (files::lines(&tusk.files()).len() == 1).then_some(()));
//! ```
// A harness has one way to report what it did not expect: the test fails here, with the reason.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]

pub mod conf;
pub mod contract;
pub mod files;
pub mod http;
pub mod json;
pub mod ledger;
pub mod load;
pub mod oracle;
pub mod prove;
pub mod proxy;
pub mod random;
pub mod ring;
pub mod sdk;
pub mod servers;
pub mod targets;

mod dir;
mod disk;
mod nginx;
mod process;
mod tusk;
mod wait;

pub use dir::Dir;
pub use disk::SmallDisk;
pub use nginx::Nginx;
pub use process::{Process, children, is_alive, signal};
pub use rustix::process::Signal;
pub use tusk::Tusk;
pub use wait::{free_port, wait_for};

use std::path::PathBuf;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target/` of the repository.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A file that an earlier build step made: the environment variable's value, else the path under `target/`.
///
/// # Panics
/// If it is missing; the message names the command that makes it.
fn built(variable: &str, default: &str, make: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| target().join(default), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `{make}` first, or set {variable}", path.display());
    path
}

/// The nginx module under test (`TUSK_MODULE`).
#[must_use]
pub fn module_path() -> PathBuf {
    built("TUSK_MODULE", "debug/libngx_http_tusk_module.so", "make module")
}

/// The shipper's binary under test (`TUSK_BIN`).
#[must_use]
pub fn tusk_path() -> PathBuf {
    built("TUSK_BIN", "debug/tusk", "cargo build -p shipper")
}

/// The embedded ClickHouse under test (`TUSK_OLAP`).
#[must_use]
pub fn olap_path() -> PathBuf {
    built("TUSK_OLAP", "debug/tusk-olap", "cargo build -p olap")
}

/// The library of the embedded ClickHouse (`TUSK_LIBCHDB`, else the one fetched).
///
/// # Panics
/// If it is missing.
#[must_use]
pub fn libchdb_path() -> PathBuf {
    let path = std::env::var_os("TUSK_LIBCHDB")
        .map_or_else(|| root().join("build/libchdb/libchdb.so"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run scripts/libchdb.sh", path.display());
    path
}

/// The nginx under test (`TUSK_NGINX`, else the system's); an absolute path, without which a binary upgrade cannot find it.
#[must_use]
pub fn nginx_path() -> PathBuf {
    std::env::var_os("TUSK_NGINX").map_or_else(|| PathBuf::from("/usr/sbin/nginx"), PathBuf::from)
}
