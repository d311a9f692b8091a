//! Processes a test started, and only those.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A child in a process group of its own. Dropping it kills whatever of the group is left.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` with its output appended to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        use std::os::unix::process::CommandExt;
        let out = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let err = out.try_clone().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child }
    }

    /// The process id, which is also its group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal to the process itself; nothing happens if it has ended.
    pub fn signal(&mut self, what: Signal) {
        // Until `wait` has seen the end, the id cannot be another process's.
        if self.ended().is_none() {
            signal(self.id(), what);
        }
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// After `limit_s` seconds.
    #[track_caller]
    pub fn wait(&mut self, limit_s: u64) -> ExitStatus {
        crate::wait_for(limit_s, &format!("process {} to end", self.id()), || self.ended())
    }

    /// Ends it at once, like a crash, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait(10);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        // Also children that outlived their parent: a group lives until its last member ends.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        let start = Instant::now();
        while rustix::process::test_kill_process_group(group).is_ok()
            && start.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Signals a process that this test knows to be its own; one that has ended is no error.
pub fn signal(id: u32, what: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(id, what);
    }
}

/// Whether the process runs (a zombie does not).
#[must_use]
pub fn is_alive(id: u32) -> bool {
    state_and_parent(id).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// Ids of a process's living children, in ascending order.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| state_and_parent(*id).is_some_and(|(state, of)| of == parent && state != 'Z'))
        .collect();
    found.sort_unstable();
    found
}

/// State letter and parent of a process, from `/proc/<id>/stat`, whose second field may hold blanks and brackets.
fn state_and_parent(id: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
