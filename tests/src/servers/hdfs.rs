//! A real HDFS: one NameNode and one DataNode. Their jars come from `scripts/servers.sh hdfs`.
//!
//! Permissions are on. Whoever runs the tests is the superuser; every other user name is a stranger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::http::{Answer, Connection, escape};
use crate::{Dir, Process, Signal, files, free_port};

/// How long a start may take: a format and two Java processes on a busy machine.
const START_LIMIT_S: u64 = 90;
/// How long a question of the harness may take: a server may be stopped on purpose.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// One of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Holds the names.
    NameNode,
    /// Holds the blocks.
    DataNode,
}

/// A running HDFS. Dropped: both processes are killed.
#[derive(Debug)]
pub struct Hdfs {
    // Before the folder, so that they end first.
    name_node: Option<Process>,
    data_node: Option<Process>,
    dir: Dir,
    rpc: u16,
    http: u16,
    data: [u16; 3],
}

/// A file or folder, as WebHDFS lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whole path.
    pub path: String,
    /// Whether it is a folder.
    pub dir: bool,
    /// Bytes of a file.
    pub bytes: u64,
}

impl Hdfs {
    /// Formats a new one and waits until it takes a file.
    ///
    /// # Panics
    /// If it does not come up; the message holds the ends of its logs.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        for _ in 0..3 {
            let port = || free_port();
            let mut hdfs = Self {
                name_node: None,
                data_node: None,
                dir: Dir::new("hdfs"),
                rpc: port(),
                http: port(),
                data: [port(), port(), port()],
            };
            hdfs.configure();
            let format = hdfs.java("namenode.NameNode").args(FORMAT).output().unwrap();
            assert!(format.status.success(), "format: {}", String::from_utf8_lossy(&format.stderr));
            hdfs.spawn(Part::NameNode);
            hdfs.spawn(Part::DataNode);
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(START_LIMIT_S) {
                if hdfs.takes_files() {
                    return hdfs;
                }
                if hdfs.ended() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            // A port that was free may be another's by now.
            assert!(hdfs.logs().contains("in use"), "HDFS did not start:\n{}", hdfs.logs());
        }
        panic!("three sets of free ports were all taken by others");
    }

    /// `hdfs://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("hdfs://127.0.0.1:{}", self.rpc)
    }

    /// `webhdfs://127.0.0.1:PORT`
    #[must_use]
    pub fn web_url(&self) -> String {
        format!("webhdfs://127.0.0.1:{}", self.http)
    }

    /// Ends one like a crash.
    pub fn kill(&mut self, part: Part) {
        if let Some(mut process) = self.part(part).take() {
            process.kill();
        }
    }

    /// Ends one in order (TERM).
    #[track_caller]
    pub fn stop(&mut self, part: Part) {
        if let Some(mut process) = self.part(part).take() {
            process.signal(Signal::TERM);
            process.wait(30);
        }
    }

    /// Freezes one: it takes connections and answers nothing.
    pub fn pause(&mut self, part: Part) {
        self.signal(part, Signal::STOP);
    }

    /// Thaws it.
    pub fn cont(&mut self, part: Part) {
        self.signal(part, Signal::CONT);
    }

    /// Starts one that was ended, on the same data and ports, and does not wait.
    pub fn restart(&mut self, part: Part) {
        self.kill(part);
        self.spawn(part);
    }

    /// Waits until a file can be written.
    ///
    /// # Panics
    /// If that takes too long; the message holds the ends of the logs.
    #[track_caller]
    pub fn wait_ready(&self) {
        let start = Instant::now();
        while !self.takes_files() {
            let waited = start.elapsed() < Duration::from_secs(START_LIMIT_S);
            assert!(waited, "HDFS does not take files:\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every file and folder below `folder`, sorted by path; none if it is missing.
    ///
    /// # Panics
    /// If the NameNode does not answer.
    #[track_caller]
    #[must_use]
    pub fn list(&self, folder: &str) -> Vec<Entry> {
        let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = open.pop() {
            let answer = self.ask("GET", &folder, "op=LISTSTATUS", b"");
            if answer.status == 404 {
                continue;
            }
            assert_eq!(answer.status, 200, "{folder}: {}", answer.text());
            for one in answer.text().split("{\"accessTime\"").skip(1) {
                let name = between(one, "\"pathSuffix\":\"", "\"");
                let path = format!("{}/{name}", folder.trim_end_matches('/'));
                let dir = between(one, "\"type\":\"", "\"") == "DIRECTORY";
                if dir {
                    open.push(path.clone());
                }
                let bytes = between(one, "\"length\":", ",").parse().unwrap();
                found.push(Entry { path, dir, bytes });
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// Bytes of a file.
    ///
    /// # Panics
    /// If it cannot be read.
    #[track_caller]
    #[must_use]
    pub fn read(&self, path: &str) -> Vec<u8> {
        let answer = self.ask("GET", path, "op=OPEN", b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.body
    }

    /// Every line of every finished file of JSON lines below `root`.
    ///
    /// # Panics
    /// If one cannot be read.
    #[track_caller]
    #[must_use]
    pub fn lines(&self, root: &str) -> Vec<String> {
        let name = |entry: &Entry| entry.path.rsplit('/').next().unwrap_or_default().to_owned();
        let files = self.list(root).into_iter().filter(|entry| files::is_data_name(&name(entry)));
        files.flat_map(|entry| files::unpack(&entry.path, self.read(&entry.path))).collect()
    }

    /// Writes a file, replacing another.
    ///
    /// # Panics
    /// If it cannot be written.
    #[track_caller]
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let answer = self.ask("PUT", path, "op=CREATE&overwrite=true", bytes);
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    }

    /// Any other WebHDFS operation as superuser, such as `("PUT", "/a", "op=MKDIRS")` or `op=SETQUOTA&storagespacequota=…`.
    ///
    /// # Panics
    /// If there is no answer.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        self.try_ask(method, path, query, body)
            .unwrap_or_else(|error| panic!("{method} {path}?{query}: {error}"))
    }

    fn try_ask(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let path: Vec<String> = path.split('/').map(|name| escape(name.as_bytes())).collect();
        let target = format!("/webhdfs/v1{}?{query}&user.name={}", path.join("/"), user());
        let answer = send(self.http, method, &target, b"")?;
        let Some(place) = answer.header("location").filter(|_| answer.status == 307) else {
            return Ok(answer);
        };
        // A DataNode, at another port of this machine.
        let (host, target) = place.trim_start_matches("http://").split_once('/').unwrap();
        let port = host.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        send(port, method, &format!("/{target}"), body)
    }

    /// Whether a file can be written, to the end.
    fn takes_files(&self) -> bool {
        let query = "op=CREATE&overwrite=true";
        let taken = self.try_ask("PUT", "/.harness", query, b"ready");
        taken.is_ok_and(|answer| answer.status == 201)
    }

    fn ended(&mut self) -> bool {
        [Part::NameNode, Part::DataNode]
            .into_iter()
            .any(|part| self.part(part).as_mut().is_none_or(|process| process.ended().is_some()))
    }

    /// The ends of both logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let end = |name: &str| {
            let text = self.dir.read(name);
            let lines: Vec<&str> = text.lines().collect();
            lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
        };
        format!("NameNode:\n{}\nDataNode:\n{}", end("NameNode.log"), end("DataNode.log"))
    }

    fn part(&mut self, part: Part) -> &mut Option<Process> {
        match part {
            Part::NameNode => &mut self.name_node,
            Part::DataNode => &mut self.data_node,
        }
    }

    fn signal(&mut self, part: Part, what: Signal) {
        if let Some(process) = self.part(part) {
            process.signal(what);
        }
    }

    fn spawn(&mut self, part: Part) {
        let (class, log) = match part {
            Part::NameNode => ("namenode.NameNode", "NameNode.log"),
            Part::DataNode => ("datanode.DataNode", "DataNode.log"),
        };
        let log = self.dir.join(log);
        let process = Process::start(&mut self.java(class), &log);
        *self.part(part) = Some(process);
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xms32m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(format!("{}:{}/*", self.dir.join("conf").display(), jars().display()))
            .arg(format!("org.apache.hadoop.hdfs.server.{class}"));
        command
    }

    fn configure(&self) {
        let dir = self.dir.path().display();
        let (rpc, http, [data, data_http, data_ipc]) = (self.rpc, self.http, self.data);
        let at = |port: u16| format!("127.0.0.1:{port}");
        let site = [
            ("dfs.namenode.name.dir", format!("file://{dir}/name")),
            ("dfs.datanode.data.dir", format!("file://{dir}/data")),
            ("dfs.namenode.rpc-address", at(rpc)),
            ("dfs.namenode.http-address", at(http)),
            ("dfs.datanode.address", at(data)),
            ("dfs.datanode.http.address", at(data_http)),
            ("dfs.datanode.ipc.address", at(data_ipc)),
            ("dfs.datanode.hostname", "127.0.0.1".into()),
            ("dfs.replication", "1".into()),
            ("dfs.permissions.enabled", "true".into()),
            ("dfs.namenode.datanode.registration.ip-hostname-check", "false".into()),
            // No waiting that a test does not ask for: a safe mode ends with the first DataNode, which is missed within seconds.
            ("dfs.namenode.safemode.extension", "0".into()),
            ("dfs.namenode.safemode.min.datanodes", "1".into()),
            ("dfs.heartbeat.interval", "1".into()),
            ("dfs.namenode.heartbeat.recheck-interval", "2000".into()),
            ("dfs.namenode.handler.count", "4".into()),
            ("dfs.namenode.fs-limits.min-block-size", "4096".into()),
        ];
        let core = [
            ("fs.defaultFS", self.url()),
            ("hadoop.tmp.dir", format!("{dir}/tmp")),
            ("hadoop.security.authentication", "simple".into()),
        ];
        self.dir.write("conf/hdfs-site.xml", xml(&site));
        self.dir.write("conf/core-site.xml", xml(&core));
        self.dir.write("conf/log4j.properties", LOG4J);
        // The jars hold no web pages, and without these folders neither process starts.
        for empty in ["hdfs", "datanode", "static"] {
            std::fs::create_dir_all(self.dir.join("conf/webapps").join(empty)).unwrap();
        }
        for own in ["name", "data", "tmp"] {
            std::fs::create_dir_all(self.dir.join(own)).unwrap();
        }
    }
}

const FORMAT: [&str; 3] = ["-format", "-force", "-nonInteractive"];
const LOG4J: &str = "log4j.rootLogger=WARN,A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=%d %p %c: %m%n
";

fn xml(properties: &[(&str, String)]) -> String {
    let one = |(name, value): &(&str, String)| {
        format!("<property><name>{name}</name><value>{value}</value></property>\n")
    };
    let all: String = properties.iter().map(one).collect();
    format!("<configuration>\n{all}</configuration>\n")
}

/// The folder of jars; `TUSK_HDFS_LIB` names another.
fn jars() -> PathBuf {
    let path = std::env::var_os("TUSK_HDFS_LIB")
        .map_or_else(|| crate::root().join("build/servers/hdfs/lib"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `scripts/servers.sh hdfs` first", path.display());
    path
}

/// Who runs this, and so the superuser.
#[must_use]
pub fn user() -> String {
    let out = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn send(port: u16, method: &str, target: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut connection =
        Connection::open_with_limit(SocketAddr::from(([127, 0, 0, 1], port)), ASK_LIMIT)?;
    connection.request(method, target, &[("Connection", "close")], body)
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    rest.split_once(after).map_or(rest, |(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_for;

    #[test]
    fn what_was_written_outlives_a_crash_of_both() {
        let mut hdfs = Hdfs::start();
        hdfs.write("/a/b=c/file one", b"bytes");
        hdfs.kill(Part::NameNode);
        hdfs.kill(Part::DataNode);
        assert!(hdfs.try_ask("GET", "/a", "op=LISTSTATUS", b"").is_err(), "it is dead");
        hdfs.restart(Part::NameNode);
        hdfs.restart(Part::DataNode);
        hdfs.wait_ready();
        let paths: Vec<String> = hdfs.list("/a").into_iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["/a/b=c", "/a/b=c/file one"]);
        assert_eq!(hdfs.read("/a/b=c/file one"), b"bytes");
        hdfs.pause(Part::NameNode);
        assert!(
            Connection::open(SocketAddr::from(([127, 0, 0, 1], hdfs.rpc))).is_ok(),
            "a frozen one still takes connections"
        );
        hdfs.cont(Part::NameNode);
        wait_for(30, "an answer after the thaw", || {
            hdfs.try_ask("GET", "/", "op=LISTSTATUS", b"").ok()
        });
        hdfs.stop(Part::DataNode);
        hdfs.stop(Part::NameNode);
    }
}
