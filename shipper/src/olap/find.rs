//! Where program and library are.

use super::OlapConfig;
use std::env;
use std::path::{Path, PathBuf};

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `tusk-olap`
    pub program: PathBuf,
    /// `libchdb.so`
    pub library: PathBuf,
}

/// Why there is none: a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Not on this machine.
    #[error(
        "there is no embedded ClickHouse for this machine, only for Linux on x86_64 with glibc; give [sink.clickhouse] the url of a server"
    )]
    Never,
    /// Not built or fetched.
    #[error("no embedded ClickHouse: {0}")]
    NotYet(String),
}

/// Name of the program: beside `tusk`, else in the PATH.
const PROGRAM: &str = "tusk-olap";
/// Where the library is if it was installed, and where `scripts/libchdb.sh` puts it.
const LIBRARY: [&str; 2] = ["/usr/local/lib/tusk/libchdb.so", "build/libchdb/libchdb.so"];

/// Looks for program and library: the setting `library`, else `../lib/tusk/libchdb.so` beside the program's folder, then [`LIBRARY`].
///
/// # Errors
/// [`Missing`].
pub fn find(config: &OlapConfig) -> Result<Found, Missing> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Err(Missing::Never);
    }
    let here = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let beside = here.iter().map(|folder| folder.join(PROGRAM));
    let paths = env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<PathBuf> = env::split_paths(&paths).map(|path| path.join(PROGRAM)).collect();
    let program = beside.chain(in_path).find(|path| path.is_file()).ok_or_else(|| {
        Missing::NotYet(format!("no {PROGRAM} beside tusk or in the PATH; `make olap` builds it"))
    })?;
    let places: Vec<PathBuf> = match &config.library {
        Some(path) => vec![path.clone()],
        None => here
            .iter()
            .map(|folder| folder.join("../lib/tusk/libchdb.so"))
            .chain(LIBRARY.iter().map(PathBuf::from))
            .collect(),
    };
    let library = places.iter().find(|path| path.is_file()).ok_or_else(|| {
        let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
        Missing::NotYet(format!(
            "no library at {} (olap.library); `make olap` fetches it by npm (178 MB)",
            places.join(" or ")
        ))
    })?;
    // The other process may have another working folder one day; the kernel's rules want it absolute.
    let library = std::path::absolute(library).unwrap_or_else(|_| library.clone());
    Ok(Found { program, library })
}
