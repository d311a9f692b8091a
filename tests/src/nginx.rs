//! The real nginx with the module.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::{Dir, children, is_alive, signal, wait_for};

/// A running nginx. Dropped: every process of its session is killed.
#[derive(Debug)]
pub struct Nginx {
    /// The first master, whose session all later ones belong to.
    first: u32,
    address: SocketAddr,
    pid_file: std::path::PathBuf,
}

impl Nginx {
    /// Starts nginx with the configuration that `conf` makes for a free port, and waits until it accepts connections.
    /// The configuration must write its pid to `<dir>/nginx.pid`, as [`crate::conf`] does.
    ///
    /// # Panics
    /// If nginx does not come up; the message holds its log.
    #[track_caller]
    pub fn start(dir: &Dir, conf: impl Fn(u16) -> String) -> Self {
        for _ in 0..5 {
            let port = crate::free_port();
            match Self::try_start(dir, port, &conf(port)) {
                Ok(nginx) => return nginx,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("nginx did not start:\n{log}"),
            }
        }
        panic!("five free ports were all taken by others");
    }

    /// Starts nginx on a port that the caller chose (a restart on the same address).
    ///
    /// # Errors
    /// What nginx printed and logged, when it does not come up.
    pub fn try_start(dir: &Dir, port: u16, conf: &str) -> Result<Self, String> {
        fs::create_dir_all(dir.ring()).unwrap();
        let file = dir.write("nginx.conf", conf);
        let _ = fs::remove_file(dir.join("nginx.pid"));
        // As a daemon: an nginx whose parent is still there takes USR2 for one of its own and ignores it.
        let log = fs::File::create(dir.join("nginx.out")).unwrap();
        let started = Command::new(crate::nginx_path())
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let said = || format!("{}{}", dir.read("nginx.out"), dir.read("error.log"));
        if !started.success() {
            return Err(said());
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut first = None;
        let start = Instant::now();
        loop {
            first = first.or_else(|| dir.read("nginx.pid").trim().parse().ok());
            if first.is_some_and(|id| !is_alive(id)) {
                return Err(said());
            }
            // The master listens before it has workers.
            if let Some(first) = first
                && !children(first).is_empty()
                && TcpStream::connect(address).is_ok()
            {
                return Ok(Self { first, address, pid_file: dir.join("nginx.pid") });
            }
            if start.elapsed() > Duration::from_secs(20) {
                first.into_iter().for_each(kill_session);
                return Err(format!("no answer on {address} in 20 s\n{}", said()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `nginx -t` on a configuration.
    #[must_use]
    pub fn check(dir: &Dir, conf: &str) -> Output {
        let file = dir.write("check.conf", conf);
        let mut command = Command::new(crate::nginx_path());
        command.arg("-p").arg(dir.path()).arg("-t").arg("-c").arg(file).output().unwrap()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, as SDKs take it.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process id in the pid file: the master that serves now, also after a binary upgrade.
    #[must_use]
    pub fn master(&self) -> u32 {
        let text = fs::read_to_string(&self.pid_file).unwrap_or_default();
        text.trim().parse().unwrap_or(self.first)
    }

    /// Process ids of the master's children (workers, also those that are shutting down).
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        children(self.master())
    }

    /// HUP, and waits until every worker of before has gone and new ones are there.
    #[track_caller]
    pub fn reload(&self) {
        let old = self.workers();
        signal(self.master(), Signal::HUP);
        wait_for(20, "new workers after a reload", || {
            let now = self.workers();
            (!now.is_empty() && now.iter().all(|id| !old.contains(id))).then_some(())
        });
    }

    /// USR2, then QUIT to the old master: the binary is replaced while connections are served.
    #[track_caller]
    pub fn upgrade(&mut self) {
        let old = self.master();
        signal(old, Signal::USR2);
        wait_for(20, "the new master's pid file", || (self.master() != old).then_some(()));
        wait_for(20, "the new master's workers", || (!self.workers().is_empty()).then_some(()));
        signal(old, Signal::QUIT);
        wait_for(20, "the old master to end", || (!is_alive(old)).then_some(()));
    }

    /// Ends gracefully (QUIT): open requests are answered first.
    #[track_caller]
    pub fn quit(self) {
        self.end(Signal::QUIT);
    }

    /// Ends fast (TERM).
    #[track_caller]
    pub fn term(self) {
        self.end(Signal::TERM);
    }

    #[track_caller]
    fn end(&self, how: Signal) {
        let master = self.master();
        signal(master, how);
        wait_for(30, "nginx to end", || (!is_alive(master)).then_some(()));
    }

    /// Kills master and workers at once, like a crash of the machine's nginx.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        kill_session(self.first);
    }
}

/// Kills all processes of a daemon's session and waits until they are gone.
fn kill_session(first: u32) {
    let Some(group) = i32::try_from(first).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process_group(group, Signal::KILL);
    let start = Instant::now();
    while test_kill_process_group(group).is_ok() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(2));
    }
}
