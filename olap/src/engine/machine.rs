//! The machine below.

use std::fs;

/// Memory this process may have, bytes: the machine's, or that of its control group if that is less.
#[must_use]
pub fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    });
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let machine = machine.unwrap_or(4 << 30);
    group.map_or(machine, |group| machine.min(group))
}

/// The engine makes its files with the widest mode: others have no business in them.
pub fn keep_to_ourselves() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
}

/// Should memory run out, this process is to be ended and not the collector: everybody may offer himself.
pub fn die_first() {
    // Without it only the kernel's own choice remains.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
}
