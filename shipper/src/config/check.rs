//! Values that cannot be, found before anything is opened.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use event::{KeyRing, Projects};

use shipper::engine::StartError;

use super::Config;

/// First problem: the setting and what to write instead.
pub(super) fn check(config: &Config) -> Result<(), (String, String)> {
    own(config).map_err(|(setting, problem)| (setting.to_owned(), problem))?;
    match config.engine().problems().into_iter().next() {
        Some(StartError::Setting { setting, problem }) => Err((setting, problem)),
        Some(other) => Err((String::new(), other.to_string())),
        None => Ok(()),
    }
}

/// What the engine does not know, and files of secrets that are open to everybody.
fn own(config: &Config) -> Result<(), (&'static str, String)> {
    if let Some(host) =
        config.hosts.iter().find(|host| host.is_empty() || host.contains([':', '/', ' ']))
    {
        return Err(("hosts", format!("`{host}` is not a host name; leave scheme and port out")));
    }
    if !(1..=3600).contains(&config.stop_timeout_s) {
        return Err(("stop_timeout_s", "use 1 to 3600".to_owned()));
    }
    let clickhouse = &config.sink.clickhouse;
    if clickhouse.enabled && clickhouse.url.is_none() && !config.olap.enabled {
        let write = "name a server, as there is no embedded ClickHouse (olap.enabled = false)";
        return Err(("sink.clickhouse.url", write.to_owned()));
    }
    if let Some((setting, problem)) = config.olap.problems().into_iter().next() {
        return Err((setting, problem));
    }
    if let Some((setting, problem)) = config.console.problem() {
        return Err((setting, problem));
    }
    if let Some(file) = &config.keys_file {
        read_keys(file, Secrecy::Kept).map_err(|problem| ("keys_file", problem))?;
    }
    if let Some(file) = &config.tokens_file {
        read_tokens(file, Secrecy::Kept).map_err(|problem| ("tokens_file", problem))?;
    }
    Ok(())
}

/// Who may be able to read a file with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Owner and group alone: the daemon refuses anything else.
    Kept,
    /// A warning on stderr is enough: a person tries something out.
    Warned,
}

/// Reads a keys file and the private keys it names; paths in it are relative to it.
pub(crate) fn read_keys(file: &Path, secrecy: Secrecy) -> Result<KeyRing, String> {
    let text = secret(file, secrecy).map_err(|error| named(file, &error))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    KeyRing::parse(&text, &mut |name| secret(&folder.join(name), secrecy))
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads a tokens file.
pub(crate) fn read_tokens(file: &Path, secrecy: Secrecy) -> Result<Projects, String> {
    let text = secret(file, secrecy).map_err(|error| named(file, &error))?;
    Projects::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn named(file: &Path, error: &io::Error) -> String {
    format!("cannot use {}: {error}", file.display())
}

fn secret(file: &Path, secrecy: Secrecy) -> io::Result<String> {
    let mode = std::fs::metadata(file)?.permissions().mode();
    if mode & 0o007 != 0 {
        let name = file.display();
        let problem = format!(
            "everybody may read it (mode {:04o}) and it holds secrets: chmod o= {name}",
            mode & 0o7777
        );
        match secrecy {
            Secrecy::Kept => return Err(io::Error::other(problem)),
            Secrecy::Warned => eprintln!("tusk: {name}: {problem}"),
        }
    }
    std::fs::read_to_string(file)
}
