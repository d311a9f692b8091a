//! A real MariaDB of its own. Debian's `mariadb-server` package has the programs; its service is not used.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::kafka::steady_port;
use crate::{Dir, Process, Signal};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The database that is made.
pub const DATABASE: &str = "tusk";
/// A user with all rights on it.
pub const USER: &str = "tusk";
/// Their password.
pub const PASSWORD: &str = "deb'ug s3cret";

/// A running server. Dropped: killed.
#[derive(Debug)]
pub struct Mariadb {
    // Before the folder, so that it ends first.
    process: Option<Process>,
    dir: Dir,
    port: u16,
    options: Vec<String>,
}

impl Mariadb {
    /// Starts one and waits until it answers; each commit is synced, as a real server's should be.
    ///
    /// # Panics
    /// If it does not come up; the message holds the end of its log.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further options, such as `--max-allowed-packet=1M`. Names in `{dir}` are paths in its folder.
    ///
    /// # Panics
    /// As [`Mariadb::start`].
    #[track_caller]
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self::prepare(options);
        server.restart();
        server.wait_ready();
        server
    }

    /// Makes the data folder and starts nothing: [`Mariadb::restart`] does.
    ///
    /// # Panics
    /// If the folder cannot be made.
    #[track_caller]
    #[must_use]
    pub fn prepare(options: &[&str]) -> Self {
        let dir = Dir::new("mariadb");
        let options: Vec<String> = options
            .iter()
            .map(|option| option.replace("{dir}", &dir.path().display().to_string()))
            .collect();
        if options.iter().any(|option| option.starts_with("--ssl")) {
            certificates(&dir);
        }
        // Of its own: several servers at work in one temporary folder remove each other's tables.
        std::fs::create_dir_all(dir.join("tmp")).unwrap();
        let out = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--user={}", account()))
            .arg(format!("--datadir={}", dir.join("db").display()))
            .arg(format!("--tmpdir={}", dir.join("tmp").display()))
            .output()
            .unwrap_or_else(|error| {
                panic!("mariadb-install-db: {error}; run `scripts/deps.sh test`")
            });
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let setup = format!(
            "CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n\
             CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{}';\n\
             GRANT ALL ON {DATABASE}.* TO '{USER}'@'%';\n",
            PASSWORD.replace('\'', "''")
        );
        dir.write("setup.sql", setup);
        Self { process: None, dir, port: steady_port(), options }
    }

    /// Port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The table `[sink.mysql]` that delivers here, with `more` lines, which may replace those it has.
    #[must_use]
    pub fn toml(&self, more: &str) -> String {
        let mut toml = format!("[sink.mysql]\nenabled = true\nport = {}\n", self.port);
        for (name, value) in [
            ("user", USER),
            ("database", DATABASE),
            ("password", PASSWORD),
            ("range_age_ms_max", "200"),
        ] {
            if !more.lines().any(|line| line.starts_with(name)) {
                let quote = if value.parse::<u32>().is_ok() { "" } else { "\"" };
                toml += &format!("{name} = {quote}{value}{quote}\n");
            }
        }
        toml + more
    }

    /// The authority that signed the server's certificate, PEM; only with `--ssl-…` options.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("tls/ca.pem")
    }

    /// Ends it like a crash.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it in order (TERM).
    #[track_caller]
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait(60);
        }
    }

    /// Freezes it: it takes connections and answers nothing.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Thaws it.
    pub fn cont(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Starts it on the same data and port, ends one that runs before, and does not wait.
    pub fn restart(&mut self) {
        self.kill();
        let path = self.dir.path().display();
        let mut command = Command::new("mariadbd");
        command
            .arg("--no-defaults")
            .arg(format!("--user={}", account()))
            .arg(format!("--datadir={path}/db"))
            .arg(format!("--tmpdir={path}/tmp"))
            .arg(format!("--socket={path}/s"))
            .arg(format!("--pid-file={path}/pid"))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=64M"])
            .args(["--innodb-flush-log-at-trx-commit=1", "--performance-schema=OFF"])
            .args(["--aria-pagecache-buffer-size=8M", "--key-buffer-size=8M"])
            .args(&self.options);
        // Once: a server that was killed in between makes them at its next start.
        if !self.dir.join("set-up").exists() {
            command.arg(format!("--init-file={path}/setup.sql"));
        }
        self.process = Some(Process::start(&mut command, &self.dir.join("log")));
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// If that takes too long or it ended; the message holds the end of its log.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let start = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        while start.elapsed() < START_LIMIT {
            let ended = self.process.as_mut().is_none_or(|process| process.ended().is_some());
            assert!(!ended, "MariaDB ended:\n{}", self.log());
            if TcpStream::connect(address).is_ok()
                && self.ask(DATABASE, "SELECT 1").status.success()
            {
                self.dir.write("set-up", "");
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("MariaDB does not answer:\n{}", self.log());
    }

    /// Rows of a query (or of the last of several statements), as root; NULL is the word `NULL`.
    ///
    /// # Panics
    /// With the server's message, if it refuses.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        let out = self.ask(DATABASE, sql);
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|line| line.split('\t').map(unescape).collect()).collect()
    }

    /// The first column of a query's first row.
    ///
    /// # Panics
    /// If there is no row.
    #[track_caller]
    #[must_use]
    pub fn one(&self, sql: &str) -> String {
        let rows = self.query(sql);
        rows.first().and_then(|row| row.first()).unwrap_or_else(|| panic!("no row: {sql}")).clone()
    }

    /// As [`Mariadb::one`], a number; 0 where the server or the table is not there.
    #[must_use]
    pub fn count(&self, sql: &str) -> u64 {
        let out = self.ask(DATABASE, sql);
        String::from_utf8_lossy(&out.stdout).trim().parse().unwrap_or(0)
    }

    fn ask(&self, database: &str, sql: &str) -> Output {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--batch", "--skip-column-names", "--connect-timeout=5"])
            .args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G"])
            .arg(format!("--socket={}", self.dir.join("s").display()))
            .args(["--user=root", database, "-e", sql]);
        command.output().unwrap()
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let text = self.dir.read("log");
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    fn signal(&mut self, what: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(what);
        }
    }
}

/// Who runs it: this user, whom the server must be told by name where it is root.
fn account() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// What `--batch` escapes.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('t')) => text.push('\t'),
            ('\\', Some('0')) => text.push('\0'),
            ('\\', Some(other)) => text.push(other),
            _ => text.push(c),
        }
    }
    text
}

/// An authority, and a certificate for 127.0.0.1.
fn certificates(dir: &Dir) {
    let tls = dir.join("tls");
    std::fs::create_dir_all(&tls).unwrap();
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=tests &&
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1 &&
printf 'subjectAltName=IP:127.0.0.1' > san &&
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san";
    let out = Command::new("sh").arg("-c").arg(script).current_dir(&tls).output().unwrap();
    assert!(out.status.success(), "openssl: {}", String::from_utf8_lossy(&out.stderr));
}

#[cfg(test)]
mod tests {
    use super::Mariadb;

    #[test]
    fn what_was_committed_stands_after_a_crash() {
        let mut server = Mariadb::start();
        server.query("CREATE TABLE t (a TEXT) CHARACTER SET utf8mb4; INSERT INTO t VALUES ('一\\t😀\\n\\\\')");
        assert_eq!(server.one("SELECT a FROM t"), "一\t😀\n\\");
        server.kill();
        assert_eq!(server.count("SELECT COUNT(*) FROM t"), 0);
        server.restart();
        server.wait_ready();
        assert_eq!(server.count("SELECT COUNT(*) FROM t"), 1);
    }
}
