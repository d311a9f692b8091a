//! What the process may reach, enforced by the kernel (Landlock): its folder, and no other file, program or address.
//!
//! Grants alone do not do it. The engine believes to be a command line tool, and there SQL reads any file by the function `file()`,
//! runs any program as the source of a dictionary, and evaluates text as a query by `eval()`; none of these asks for a grant.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// The newest form this was tried with; an older kernel enforces what it knows.
const FORM: ABI = ABI::V6;

/// What the engine and the C library read: libraries, zones, the machine's size and name.
const READ: [&str; 20] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/timezone",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/share/zoneinfo",
];

/// How far the kernel goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confined {
    /// Files, programs and addresses.
    Whole,
    /// Files and programs, perhaps not addresses: an older kernel.
    Partly,
    /// Nothing: the kernel knows no Landlock, or it is off.
    No,
}

/// Confines this thread and all that it starts; call before there is another. `write` are folders, `read` further files and folders.
pub(super) fn confine(write: &[&Path], read: &[PathBuf]) -> Result<Confined, RulesetError> {
    let all = AccessFs::from_all(FORM);
    let reads: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    // No program is run from anywhere, also not from the folder.
    let writes = all & !AccessFs::Execute;
    let read = READ.iter().map(Path::new).chain(read.iter().map(PathBuf::as_path));
    let status = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::from_all(FORM))?
        .scope(Scope::from_all(FORM))?
        .create()?
        .add_rules(path_beneath_rules(write, writes))?
        .add_rules(path_beneath_rules(read, reads))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confined::Whole,
        RulesetStatus::PartiallyEnforced => Confined::Partly,
        RulesetStatus::NotEnforced => Confined::No,
    })
}
