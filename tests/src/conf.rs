//! nginx configurations for tests.

use crate::Dir;
use std::fmt::Write as _;

/// What a test may change in [`Conf::text`].
#[derive(Clone, Debug)]
pub struct Conf {
    /// Worker processes.
    pub workers: u32,
    /// Arguments of `tusk_ring` after the path, such as `size=64m ack=journal`.
    pub ring: String,
    /// Lines inside `http { }`.
    pub http: String,
    /// Lines inside `server { }`.
    pub server: String,
    /// Lines inside `location / { }`, beside `tusk on;`.
    pub location: String,
}

impl Default for Conf {
    fn default() -> Self {
        Self {
            workers: 2,
            ring: "size=64m".into(),
            http: String::new(),
            server: String::new(),
            location: "tusk_project *;".into(),
        }
    }
}

impl Conf {
    /// The whole `nginx.conf`: logs, pid and temporary folders under the test's own folder.
    #[must_use]
    pub fn text(&self, dir: &Dir, port: u16) -> String {
        let Self { workers, ring, http, server, location } = self;
        let (path, ring_path) = (dir.path().display(), dir.ring().display().to_string());
        // On one level `off` would also cancel a log that the test asks for.
        let quiet = if http.contains("access_log") { "" } else { "access_log off;" };
        let mut temporary = String::new();
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(temporary, "    {name}_temp_path {path}/temp-{name};");
        }
        format!(
            "{head}worker_processes {workers};
pid {path}/nginx.pid;
error_log {path}/error.log info;
worker_shutdown_timeout 10s;
events {{ worker_connections 1024; }}
http {{
    {quiet}
{temporary}    client_max_body_size 0;
    client_body_buffer_size 128k;
    large_client_header_buffers 8 64k;
    keepalive_requests 1000000;
    tusk_ring {ring_path} {ring};
{http}
    server {{
        listen 127.0.0.1:{port};
{server}
        location / {{
            tusk on;
            {location}
        }}
    }}
}}
",
            head = head()
        )
    }
}

/// The lines before everything: the module, and the user a master started by root gives its workers.
#[must_use]
pub fn head() -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!("load_module {};\n{user}", crate::module_path().display())
}

/// The plain collector of most tests: two workers, any project, `location /`.
#[must_use]
pub fn collect(dir: &Dir, port: u16) -> String {
    Conf::default().text(dir, port)
}
