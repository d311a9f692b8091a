//! The servers that are compared. Each is an nginx of its own with one worker on one core and the same `http` settings;
//! they differ in what a location does.

use crate::http::{self, Answer};
use crate::{Error, Setup, proc};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names in table order. `bare` and `accept` are no servers: the first is [`crate::bare`], the second Tusk's own
/// decoding in the same loop. `tusk` has its ring on disk, as the production sample, `tusk-shm` in memory.
pub const NAMES: &[&str] =
    &["204", "same-reply", "body", "lua", "bare", "accept", "tusk", "tusk-shm"];

/// Core of every server.
pub const SERVER_CORE: usize = 0;

/// A running server. Dropped: stopped.
pub struct Peer {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Its port on loopback.
    pub port: u16,
    /// Master and worker.
    pub pids: Vec<u32>,
    /// The worker.
    pub worker: u32,
    child: Child,
}

/// What a location sends back, to be copied by `same-reply`.
pub struct Replies {
    /// To a GET of `/sa.gif`.
    pub get: Answer,
    /// To a POST of `/sa`.
    pub post: Answer,
}

impl Replies {
    /// What Tusk answers by its documents; used when it is not among the peers.
    pub fn documented() -> Self {
        let answer = |content_type: &str, body: &[u8]| Answer {
            status: 200,
            headers: vec![
                ("access-control-allow-origin".into(), "*".into()),
                ("content-type".into(), content_type.into()),
            ],
            body: body.to_vec(),
        };
        Self {
            get: answer("image/gif", b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"),
            post: answer("application/json", b"{}"),
        }
    }
}

/// Parts of an `nginx.conf`.
#[derive(Default)]
struct Conf {
    modules: Vec<PathBuf>,
    http: String,
    locations: Vec<u8>,
}

impl Peer {
    /// Starts the peer `name`; `replies` is what `same-reply` copies.
    ///
    /// # Errors
    /// If nginx cannot be started; says what nginx said.
    pub fn start(name: &'static str, setup: &Setup, replies: &Replies) -> Result<Self, Error> {
        let conf = match name {
            "204" => simple("location / { return 204; }"),
            "same-reply" => same_reply(setup, replies),
            "body" => Conf {
                modules: vec![setup.module("ngx_http_echo_module.so")],
                ..simple("location / { echo_read_request_body; echo_status 200; echo -n \"\"; }")
            },
            "lua" => lua(setup),
            "tusk" | "tusk-shm" => tusk(name, setup),
            _ => return Err(format!("no peer is called {name}").into()),
        };
        let mut last = String::new();
        for _ in 0..5 {
            match Self::spawn(name, setup, &conf) {
                Ok(peer) => return Ok(peer),
                Err(error) => last = error.to_string(),
            }
            if !last.contains("Address already in use") {
                break;
            }
        }
        Err(format!("{name}: {last}").into())
    }

    fn spawn(name: &'static str, setup: &Setup, conf: &Conf) -> Result<Self, Error> {
        let dir = setup.run.join(name);
        fs::create_dir_all(&dir)?;
        let port = free_port()?;
        let file = dir.join("nginx.conf");
        fs::write(&file, conf.text(&dir, port))?;
        let log = fs::File::create(dir.join("out.log"))?;
        let mut child = Command::new(&setup.nginx)
            .arg("-p")
            .arg(&dir)
            .arg("-c")
            .arg(&file)
            .env("LD_LIBRARY_PATH", &setup.libraries)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let start = Instant::now();
        loop {
            let pids = proc::tree(child.id());
            if pids.len() == 2 && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                let worker = pids[1];
                return Ok(Self { name, port, pids, worker, child });
            }
            if child.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(20) {
                let _ = child.kill();
                let said = fs::read_to_string(dir.join("out.log")).unwrap_or_default();
                let logged = fs::read_to_string(dir.join("error.log")).unwrap_or_default();
                return Err(format!("nginx did not start: {said}{logged}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// TERM, and after 10 s KILL.
pub fn stop(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let start = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if start.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port nobody uses now.
///
/// # Errors
/// If loopback cannot be bound.
pub fn free_port() -> Result<u16, Error> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn simple(location: &str) -> Conf {
    Conf { locations: location.as_bytes().to_vec(), ..Conf::default() }
}

impl Conf {
    /// The settings of the production sample as far as they cost CPU, the same for every peer; no access log, so that
    /// the log's cost hides nothing.
    fn text(&self, dir: &Path, port: u16) -> Vec<u8> {
        let dir = dir.display();
        let mut text = String::from("daemon off;\nworker_processes 1;\n");
        if rustix::process::geteuid().is_root() {
            text += "user root;\n";
        }
        text += &format!("worker_cpu_affinity {:b};\n", 1 << SERVER_CORE);
        text += &format!("pid {dir}/nginx.pid;\nerror_log {dir}/error.log warn;\n");
        for module in &self.modules {
            text += &format!("load_module {};\n", module.display());
        }
        text += "events { worker_connections 4096; }\nhttp {\n  access_log off;\n";
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            text += &format!("  {name}_temp_path {dir}/{name};\n");
        }
        text += "  server_tokens off;\n  keepalive_timeout 75;\n  keepalive_requests 100000000;\n  \
                 client_header_buffer_size 4k;\n  large_client_header_buffers 8 32k;\n  \
                 client_max_body_size 0;\n  client_body_buffer_size 128k;\n";
        text += &self.http;
        text += &format!("  server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    ");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.locations);
        bytes.extend_from_slice(b"\n  }\n}\n");
        bytes
    }
}

/// The same bytes as Tusk's answers. `return` answers a GET most cheaply, but throws a POST's body away unread;
/// the echo module reads it, for less than Lua or a proxy would take.
fn same_reply(setup: &Setup, replies: &Replies) -> Conf {
    let mut locations = b"location /sa.gif { ".to_vec();
    locations.extend_from_slice(&head_directives(&replies.get));
    locations.extend_from_slice(format!("return {} \"", replies.get.status).as_bytes());
    locations.extend_from_slice(&quoted(&replies.get.body));
    locations.extend_from_slice(b"\"; }\n    location / { ");
    locations.extend_from_slice(&head_directives(&replies.post));
    let length = replies.post.body.len();
    let rest = format!(
        "echo_read_request_body; echo_status {}; more_set_headers \"Content-Length: {length}\"; echo -n \"",
        replies.post.status
    );
    locations.extend_from_slice(rest.as_bytes());
    locations.extend_from_slice(&quoted(&replies.post.body));
    locations.extend_from_slice(b"\"; }");
    Conf {
        modules: vec![
            setup.module("ngx_http_echo_module.so"),
            setup.module("ngx_http_headers_more_filter_module.so"),
        ],
        http: String::new(),
        locations,
    }
}

/// Directives for the headers that nginx does not write by itself.
fn head_directives(answer: &Answer) -> Vec<u8> {
    let mut text = String::new();
    for (name, value) in &answer.headers {
        match name.as_str() {
            "content-type" => text += &format!("types {{ }} default_type \"{value}\"; "),
            "server" | "content-length" | "transfer-encoding" | "connection" => {}
            _ => text += &format!("add_header {name} \"{value}\"; "),
        }
    }
    text.into_bytes()
}

fn quoted(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in body {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

fn lua(setup: &Setup) -> Conf {
    let root = setup.packages.join("usr");
    let (share, lib) = (root.join("share/lua/5.1"), setup.packages.join(&setup.lib_dir));
    let sink = setup.sink("lua.jsonl");
    let http = format!(
        "  lua_package_path '{share}/?.lua;{share}/?/init.lua;{own}/?.lua;;';\n  \
           lua_package_cpath '{lib}/lua/5.1/?.so;;';\n  \
           init_by_lua_block {{ collect = require 'collect' }}\n  \
           init_worker_by_lua_block {{ collect.start('{sink}') }}\n",
        share = share.display(),
        lib = lib.display(),
        own = setup.source.join("lua").display(),
        sink = sink.display()
    );
    Conf {
        modules: vec![
            setup.module("ndk_http_module.so"),
            setup.module("ngx_http_lua_module.so"),
        ],
        http,
        locations: b"location / { content_by_lua_block { collect.handle() } }\n    \
            location = /stat { content_by_lua_block { ngx.print(collect.kept, ' ', collect.rejected) } }"
            .to_vec(),
    }
}

fn tusk(name: &str, setup: &Setup) -> Conf {
    Conf {
        modules: vec![setup.tusk_module.clone()],
        http: format!(
            "  tusk_ring {} size={}m;\n",
            setup.tusk_ring(name).display(),
            setup.ring_mib
        ),
        locations: b"location / { tusk on; }\n    location = /tusk-metrics { tusk_metrics; }"
            .to_vec(),
    }
}

/// Says where an answer differs from the one it copies.
///
/// # Errors
/// If the request cannot be sent.
pub fn difference(port: u16, request: &[u8], want: &Answer) -> Result<Option<String>, Error> {
    let got = http::send(port, request)?;
    let same = got.status == want.status && got.headers == want.headers && got.body == want.body;
    Ok((!same).then(|| format!("{got:?} instead of {want:?}")))
}
