//! The nginx of `tusk up`: its configuration, its process, its end. It starts in the data folder and knows only paths below it.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Plan;
use super::place::User;
use crate::Fail;
use crate::lang::pick;
use crate::term::Tone;

/// How long nginx may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long open requests may take at a stop; then nginx is told to end at once.
const QUIT_LIMIT: Duration = Duration::from_secs(15);
/// A died nginx is started again at most this often.
const RESTART_EVERY: Duration = Duration::from_secs(1);
/// Names below the data folder.
const CONF: &str = "nginx.conf"; // certificates are looked for beside it
const PID: &str = "nginx/nginx.pid";
const ERRORS: &str = "nginx/error.log";

/// What the configuration is made from.
pub(super) struct Conf<'a> {
    pub(super) module: &'a Path,
    pub(super) user: Option<&'a User>,
    pub(super) plan: &'a Plan,
}

/// Writes `<data>/nginx.conf`.
pub(super) fn write(conf: &Conf<'_>) -> Result<(), Fail> {
    let path = conf.plan.data.join(CONF);
    fs::write(&path, text(conf)).map_err(|error| Fail::new(format!("{}: {error}", path.display())))
}

fn text(conf: &Conf<'_>) -> String {
    let Conf { module, user, plan } = conf;
    let mut out = String::from("# Written by `tusk up` at each start: changes are lost.\n");
    let _ = writeln!(out, "load_module {};", quoted(&module.to_string_lossy()));
    if let Some(user) = user {
        let _ = writeln!(out, "user {} {};", user.name, user.group);
    }
    let _ = write!(
        out,
        "worker_processes 2;
pid {PID};
error_log {ERRORS} warn;
worker_shutdown_timeout 10s;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
"
    );
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(out, "    {name}_temp_path nginx/temp-{name};");
    }
    let ssl = if plan.tls.is_some() { " ssl" } else { "" };
    let _ = write!(
        out,
        "    # Too large bodies are cut and kept by tusk_max_body; a 413 would make apps delete their events.
    client_max_body_size 0;
    client_body_buffer_size 128k;
    # Image and mini-program requests carry up to 16 KB in the URL.
    large_client_header_buffers 8 64k;
    tusk_ring ring size=128m;
    server {{
        listen {}{ssl};
",
        plan.address
    );
    if plan.tls.is_some() {
        out += "        ssl_certificate tls/server.pem;
        ssl_certificate_key tls/server.key;
        # The local authority, for phones to install.
        location = /ca.pem { default_type application/x-x509-ca-cert; alias tls/ca.pem; }
";
    }
    out += "        location = /tusk_health { tusk_health; }
        location / {
            tusk on;
            tusk_project *;
            tusk_verdict asked;
        }
    }
}
";
    out
}

/// A path as one nginx argument.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// nginx with the arguments all calls share.
fn command(nginx: &Path, data: &Path) -> Command {
    let mut command = Command::new(nginx);
    // A group of its own: Ctrl-C is for us, who end it gracefully.
    command.current_dir(data).args(["-p", "./", "-c", CONF]).process_group(0);
    command.stdin(Stdio::null());
    command
}

/// `nginx -t` on what was written.
pub(super) fn check(nginx: &Path, data: &Path) -> Result<(), Fail> {
    let output = command(nginx, data)
        .args(["-e", "stderr", "-t", "-q"])
        .output()
        .map_err(|error| Fail::new(format!("cannot run {}: {error}", nginx.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim_end();
    let hint = if text.contains("not binary compatible") || text.contains("version") {
        "\nthe module was built for another nginx: make module NGINX=/path/to/this/nginx"
    } else {
        ""
    };
    Err(Fail::new(format!("nginx refuses its configuration:\n{text}{hint}")))
}

/// The running nginx. Dropped without [`Nginx::quit`] (an error on the way): told to end at once.
pub(super) struct Nginx {
    program: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    child: Child,
    started: Instant,
    ended: bool,
}

impl Nginx {
    /// Starts it and waits until it accepts connections.
    pub(super) fn start(program: &Path, data: &Path, address: SocketAddr) -> Result<Self, Fail> {
        let child = spawn(program, data)?;
        let (program, data) = (program.to_owned(), data.to_owned());
        let mut nginx =
            Self { program, data, address, child, started: Instant::now(), ended: false };
        nginx.ready()?;
        Ok(nginx)
    }

    fn ready(&mut self) -> Result<(), Fail> {
        let start = Instant::now();
        let mut to = self.address;
        if to.ip().is_unspecified() {
            to.set_ip(if to.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        while start.elapsed() < START_LIMIT {
            if let Ok(Some(status)) = self.child.try_wait() {
                let errors = last_lines(&self.data.join(ERRORS));
                return Err(Fail::new(format!("nginx ended at once ({status}):\n{errors}")));
            }
            let pid = fs::read_to_string(self.data.join(PID)).unwrap_or_default();
            if pid.trim() == self.child.id().to_string() && TcpStream::connect(to).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Fail::new(format!("nginx does not answer on {to} after {START_LIMIT:?}")))
    }

    /// Starts it again if it died.
    pub(super) fn keep_alive(&mut self, plan: &Plan) -> Result<(), Fail> {
        let Ok(Some(status)) = self.child.try_wait() else { return Ok(()) };
        if self.started.elapsed() < RESTART_EVERY {
            return Ok(());
        }
        plan.say(
            Tone::Bad,
            &pick(
                plan.lang,
                format!(
                    "nginx 意外退出（{status}），正在重新启动；日志：{}",
                    self.data.join(ERRORS).display()
                ),
                format!(
                    "nginx died ({status}), starting it again; its log: {}",
                    self.data.join(ERRORS).display()
                ),
            ),
        );
        // A killed master leaves workers that hold the port.
        stop_leftover(&self.data);
        self.child = spawn(&self.program, &self.data)?;
        self.started = Instant::now();
        Ok(())
    }

    /// Ends it gracefully: open requests are answered first.
    pub(super) fn quit(mut self) {
        self.ended = true;
        let start = Instant::now();
        self.signal(Signal::QUIT);
        let mut hurried = false;
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > QUIT_LIMIT && !hurried {
                self.signal(Signal::TERM);
                hurried = true;
            }
            if start.elapsed() > QUIT_LIMIT * 2 {
                self.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        // Ours until it is waited for, so the number is no one else's.
        if let Some(pid) = pid(self.child.id()) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn spawn(program: &Path, data: &Path) -> Result<Child, Fail> {
    // A pid file of before would be taken for this one's.
    let _ = fs::remove_file(data.join(PID));
    command(program, data)
        .args(["-e", ERRORS, "-g", "daemon off;"])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Fail::new(format!("cannot start {}: {error}", program.display())))
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Ends what an earlier, killed run left behind in this folder; how many processes there were.
pub(super) fn stop_leftover(data: &Path) -> usize {
    let found = ours(data).len();
    let start = Instant::now();
    let mut signal = Signal::QUIT;
    for round in 0.. {
        let left = ours(data);
        if left.is_empty() {
            break;
        }
        if start.elapsed() > QUIT_LIMIT {
            signal = Signal::KILL;
        }
        if round == 0 || signal == Signal::KILL {
            for process in left {
                // It may have ended by itself just now.
                let _ = kill_process(process, signal);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    found
}

/// Processes named nginx whose working folder is this one: masters and, should a master have been killed, workers on their own.
fn ours(data: &Path) -> Vec<Pid> {
    let Ok(folder) = fs::canonicalize(data) else { return Vec::new() };
    let is_ours = |proc: &Path| {
        fs::read_to_string(proc.join("comm")).is_ok_and(|name| name.trim() == "nginx")
            && fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd == folder)
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            is_ours(&entry.path()).then(|| pid(number))?
        })
        .collect()
}

fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
