//! CPU time, memory and children of processes, and how busy the machine is, from `/proc`.

use crate::Error;
use std::fs;

/// Ticks per second of `/proc`'s times; Linux shows 100 on every architecture.
const TICKS_PER_S: f64 = 100.0;

/// CPU time of processes, seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In user mode, in 10 ms ticks.
    pub user_s: f64,
    /// In the kernel, in 10 ms ticks.
    pub system_s: f64,
}

impl Cpu {
    /// Both together.
    pub fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }
}

/// Fields of `/proc/PID/stat` behind the command's name; `[0]` is the state.
fn stat(pid: &str) -> Result<Vec<u64>, Error> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = text.rsplit_once(')').ok_or("no command in /proc/PID/stat")?.1;
    Ok(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// CPU time of `pids`, all their threads; a process that is gone counts 0.
pub fn cpu(pids: &[u32]) -> Cpu {
    let mut sum = Cpu::default();
    for pid in pids {
        if let Ok(fields) = stat(&pid.to_string()) {
            sum.user_s += fields[11] as f64 / TICKS_PER_S;
            sum.system_s += fields[12] as f64 / TICKS_PER_S;
        }
    }
    sum
}

/// CPU time of this process's children that have ended, seconds.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn ended_children_s() -> Result<f64, Error> {
    let fields = stat("self")?;
    Ok((fields[13] + fields[14]) as f64 / TICKS_PER_S)
}

/// Busy and total time of all cores since boot, seconds.
///
/// # Errors
/// If `/proc/stat` cannot be read.
pub fn machine() -> Result<(f64, f64), Error> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().ok_or("/proc/stat is empty")?;
    // user nice system idle iowait irq softirq steal; the guest fields after them are in `user` already.
    let times: Vec<f64> =
        line.split_whitespace().skip(1).take(8).map(|t| t.parse().unwrap_or(0.0)).collect();
    let total: f64 = times.iter().sum();
    let idle = times[3] + times[4];
    Ok(((total - idle) / TICKS_PER_S, total / TICKS_PER_S))
}

/// `pid` and its descendants.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let child: u32 = name.parse().ok()?;
            Some((child, u32::try_from(*stat(&name).ok()?.get(1)?).ok()?))
        })
        .collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// Anonymous resident memory of `pid`, bytes: heap and stacks, no mapped files.
pub fn rss_anon_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Programs that ran or wanted to, on the mean of the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Number of cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
