//! A daemon that runs, fed through a real ring as nginx's workers feed it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use event::{Config, KeyRing, Project, Scratch};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shm_ring::{Meta, Options, Producer};

use crate::support::{Dir, run, stderr, stdout, tusk};

/// How long anything may take before the test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running daemon with its ring.
pub(crate) struct Daemon {
    pub(crate) dir: Dir,
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) ring: Producer,
    pub(crate) scratch: Scratch,
}

pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < LIMIT, "{what}: not in {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// GET by hand, so that the Host header is ours; status and body.
pub(crate) fn get(address: SocketAddr, path: &str, host: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Writes `tusk.toml`; where the daemon will answer.
fn configure(dir: &Dir, toml: &str) -> SocketAddr {
    let address = free_address();
    let text = format!(
        "data = \"data\"\nlisten = \"{address}\"\nnode = \"web1\"\ntimezone = \"Asia/Shanghai\"\n{toml}\n\
         [journal]\nbytes_max = 1073741824\n[sink.file]\ncompression = \"none\"\nrange_age_ms_max = 200\n"
    );
    dir.write("tusk.toml", &text);
    address
}

/// Makes the ring as nginx's master does, and attaches as its worker does.
fn make_ring(dir: &Dir) -> Producer {
    let path = dir.path().join("data/ring");
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    shm_ring::prepare(&Options { path: path.clone(), size_bytes: 64 << 20, owner: None }).unwrap();
    Producer::attach(&path).unwrap()
}

impl Daemon {
    pub(crate) fn start(toml: &str) -> Self {
        Self::start_in(Dir::new(), toml)
    }

    pub(crate) fn start_in(dir: Dir, toml: &str) -> Self {
        let address = configure(&dir, toml);
        let ring = make_ring(&dir);
        let child = Self::spawn(&dir);
        let mut daemon = Self { dir, child, address, ring, scratch: Scratch::new() };
        daemon.ready();
        daemon
    }

    /// As when nginx starts after the daemon: the ring comes when the daemon answers already.
    pub(crate) fn start_before_the_ring() -> Self {
        let dir = Dir::new();
        let address = configure(&dir, "");
        let child = Self::spawn(&dir);
        wait_for("/healthz", || get(address, "/healthz", "localhost"));
        let ring = make_ring(&dir);
        Self { dir, child, address, ring, scratch: Scratch::new() }
    }

    pub(crate) fn spawn(dir: &Dir) -> Child {
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        tusk(dir).args(["run", "--config", "tusk.toml"]).stderr(log).spawn().unwrap()
    }

    pub(crate) fn ready(&mut self) {
        let address = self.address;
        wait_for("/readyz", || {
            assert!(self.child.try_wait().unwrap().is_none(), "ended: {}", self.log());
            get(address, "/readyz", "localhost").filter(|answer| answer.0 == 200)
        });
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Ends it with SIGTERM and expects a clean end.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = wait_for("the end after SIGTERM", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Sends one request's body as nginx's module would.
    pub(crate) fn send(&mut self, body: &str) {
        let config =
            Config { project: Project::Any, keys: KeyRing::default().into(), ..Config::default() };
        self.send_with(&config, body);
    }

    /// Sends one request's body as a module with these settings would.
    pub(crate) fn send_with(&mut self, config: &Config, body: &str) {
        let raw = format!("POST /sa?project=shop HTTP/1.1\r\n\r\n{body}");
        let parsed = event::http::parse(raw.as_bytes()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let recv_ns = u64::try_from(now.as_nanos()).unwrap();
        let request = parsed.request(b"203.0.113.7", recv_ns);
        let accepted = event::accept(&request, config, &mut self.scratch);
        let meta = Meta {
            kind: accepted.store.unwrap() as u8,
            flags: 0,
            kept: accepted.kept.try_into().unwrap(),
            rejected: accepted.rejected.try_into().unwrap(),
            recv_ns,
        };
        let mut heads = [[0; 8]; 5];
        self.ring.push(&meta, &accepted.sections(&mut heads)).unwrap();
    }

    /// One event of a user now.
    pub(crate) fn event(&mut self, name: &str, user: &str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let ms = now.as_millis();
        self.send(&format!(
            "data={{\"type\":\"track\",\"event\":\"{name}\",\"distinct_id\":\"{user}\",\"time\":{ms},\
             \"lib\":{{\"$lib\":\"js\",\"$lib_version\":\"1.27.11\"}},\"properties\":{{\"price\":9.50,\"kind\":\"苹果\"}}}}"
        ));
    }

    /// Output of another command on the same folder, which must succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = run(tusk(&self.dir).args(arguments).args(["--config", "tusk.toml"]), b"");
        assert!(output.status.success(), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    /// A question to the socket as `docs/configuration.md` and `control` describe it.
    pub(crate) fn socket(&self, request: &str) -> Value {
        let mut stream = UnixStream::connect(self.dir.path().join("data/tusk.sock")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until the ledger shows this many received events.
    pub(crate) fn received(&self, number: u64) -> Value {
        wait_for("the ledger", || {
            let ledger = self.socket(r#"{"cmd":"ledger"}"#)["ok"].clone();
            (ledger["received"] == number).then_some(ledger)
        })
    }

    /// Waits until this many events are in the file sink.
    pub(crate) fn delivered(&self, number: u64) {
        wait_for("the file sink", || {
            let ledger = self.socket(r#"{"cmd":"ledger"}"#);
            (ledger["ok"]["sinks"][0]["sums"]["delivered"] == number).then_some(())
        });
    }

    /// Starts a tail and waits until the daemon knows it.
    pub(crate) fn tail(&self, arguments: &[&str]) -> Child {
        let before = self.socket(r#"{"cmd":"status"}"#)["ok"]["tap"]["subscribers"].clone();
        let mut command = tusk(&self.dir);
        command.arg("tail").args(arguments).args(["--config", "tusk.toml"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the tail", || {
            let now = self.socket(r#"{"cmd":"status"}"#)["ok"]["tap"]["subscribers"].clone();
            (now.as_u64() > before.as_u64()).then_some(())
        });
        child
    }

    /// Lines of all finished files.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut open = vec![self.dir.path().join("data/files")];
        let mut lines = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|end| end == "jsonl") {
                    let text = std::fs::read_to_string(path).unwrap();
                    lines.extend(text.lines().map(str::to_owned));
                }
            }
        }
        lines
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
    }
}
