//! `[olap]` of `tusk.toml`.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// `[olap]`. All but the first are settings of `tusk-olap` under the same names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OlapConfig {
    /// Whether there is one, where `[sink.clickhouse]` names no server.
    pub enabled: bool,
    /// `libchdb.so`; unset: looked for, see [`super::find`].
    pub library: Option<PathBuf>,
    /// Folder of the tables and the key; unset: `<data>/olap`.
    pub data: Option<PathBuf>,
    /// Where it serves HTTP.
    pub listen: SocketAddr,
    /// Memory of all statements together, bytes; 0 = a third of the machine's, 1 to 8 GiB.
    pub memory_bytes_max: u64,
    /// Memory of one statement, bytes; 0 = three quarters of that.
    pub query_memory_bytes_max: u64,
    /// Threads of one statement; 0 = one per core.
    pub threads_max: u32,
    /// Statements at a time.
    pub queries_max: u32,
    /// How long a statement waits for its turn, ms.
    pub queue_ms_max: u32,
    /// Connections at a time.
    pub connections_max: u32,
    /// Longest statement without its data, bytes.
    pub query_bytes_max: u64,
    /// Rows of an insert that are stored whole or not at all.
    pub insert_rows_max: u64,
    /// A client that neither sends nor takes a byte for so long is given up, s.
    pub client_timeout_s: u32,
    /// A connection without a request is closed after so long, s.
    pub keep_alive_s: u32,
    /// Each insert is on the disk before it is answered.
    pub fsync: bool,
    /// The kernel keeps SQL inside the folder.
    pub confine: bool,
    /// How long running statements may go on at a stop, s.
    pub stop_timeout_s: u32,
}

impl Default for OlapConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            library: None,
            data: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8124)),
            memory_bytes_max: 0,
            query_memory_bytes_max: 0,
            threads_max: 0,
            queries_max: 8,
            queue_ms_max: 10_000,
            connections_max: 256,
            query_bytes_max: 16 << 20,
            insert_rows_max: 10_000_000,
            client_timeout_s: 30,
            keep_alive_s: 60,
            fsync: true,
            confine: true,
            stop_timeout_s: 10,
        }
    }
}

impl OlapConfig {
    /// Its folder, where the data folder is `data`.
    #[must_use]
    pub fn folder(&self, data: &Path) -> PathBuf {
        self.data.clone().unwrap_or_else(|| data.join("olap"))
    }

    /// How this machine reaches it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.listen.port())
    }

    /// Values that cannot be, as (setting, what to write instead).
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut within = |name: &'static str, value: u64, least: u64, most: u64| {
            if !(least..=most).contains(&value) {
                problems.push((name, format!("write a number from {least} to {most}")));
            }
        };
        within("olap.queries_max", self.queries_max.into(), 1, 256);
        within("olap.connections_max", self.connections_max.into(), 1, 65_536);
        within("olap.query_bytes_max", self.query_bytes_max, 1 << 10, 1 << 30);
        within("olap.insert_rows_max", self.insert_rows_max, 1, 1 << 32);
        within("olap.client_timeout_s", self.client_timeout_s.into(), 1, 86_400);
        within("olap.keep_alive_s", self.keep_alive_s.into(), 1, 86_400);
        within("olap.stop_timeout_s", self.stop_timeout_s.into(), 1, 3_600);
        if self.listen.port() == 0 {
            problems.push((
                "olap.listen",
                "name a port: the ClickHouse sink has to know it".to_owned(),
            ));
        }
        if self.memory_bytes_max != 0 && self.memory_bytes_max < 1 << 29 {
            let write =
                "write 0, or at least 536870912 (512 MiB): the engine alone takes half of that";
            problems.push(("olap.memory_bytes_max", write.to_owned()));
        }
        problems
    }

    /// The command line of `tusk-olap`.
    pub(super) fn arguments(&self, library: &Path, folder: &Path, timezone: &str) -> Vec<String> {
        let pairs: [(&str, String); 18] = [
            ("data", folder.display().to_string()),
            ("library", library.display().to_string()),
            ("listen", self.listen.to_string()),
            ("memory_bytes_max", self.memory_bytes_max.to_string()),
            ("query_memory_bytes_max", self.query_memory_bytes_max.to_string()),
            ("threads_max", self.threads_max.to_string()),
            ("queries_max", self.queries_max.to_string()),
            ("queue_ms_max", self.queue_ms_max.to_string()),
            ("connections_max", self.connections_max.to_string()),
            ("query_bytes_max", self.query_bytes_max.to_string()),
            ("insert_rows_max", self.insert_rows_max.to_string()),
            ("client_timeout_s", self.client_timeout_s.to_string()),
            ("keep_alive_s", self.keep_alive_s.to_string()),
            ("fsync", self.fsync.to_string()),
            ("confine", self.confine.to_string()),
            ("stop_timeout_s", self.stop_timeout_s.to_string()),
            ("timezone", timezone.to_owned()),
            ("end_with_stdin", true.to_string()),
        ];
        pairs.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_fine_and_on_loopback() {
        let config = OlapConfig::default();
        assert_eq!(config.problems(), []);
        assert!(config.enabled && config.listen.ip().is_loopback());
        let open = OlapConfig { listen: "0.0.0.0:9".parse().unwrap(), ..config };
        assert_eq!(open.address().to_string(), "127.0.0.1:9");
    }

    #[test]
    fn wrong_values_are_named() {
        let config = OlapConfig {
            queries_max: 0,
            memory_bytes_max: 1,
            listen: "127.0.0.1:0".parse().unwrap(),
            ..OlapConfig::default()
        };
        let names: Vec<_> = config.problems().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["olap.queries_max", "olap.listen", "olap.memory_bytes_max"]);
    }
}
