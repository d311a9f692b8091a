//! What can be set, as `--name value` on the command line. `tusk run` passes on what stands in `[olap]` of `tusk.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Settings of one `tusk-olap`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of the tables, the key and the lock; made if missing.
    pub data: PathBuf,
    /// Where HTTP is served; port 0 takes a free one and says which.
    pub listen: SocketAddr,
    /// `libchdb.so`.
    pub library: PathBuf,
    /// Memory of all statements together, bytes; 0 = a third of the machine's, at least 1 GiB, at most 8 GiB. What needs more fails
    /// with code 241, the process goes on.
    pub memory_bytes_max: u64,
    /// Memory of one statement, bytes; 0 = three quarters of `memory_bytes_max`. A client may change it for a statement.
    pub query_memory_bytes_max: u64,
    /// Threads of one statement; 0 = one per core.
    pub threads_max: u32,
    /// Statements at a time; further ones wait.
    pub queries_max: u32,
    /// How long a statement waits for its turn before it is refused with code 202 and status 503, ms.
    pub queue_ms_max: u32,
    /// Connections at a time; further ones wait in the system's queue.
    pub connections_max: u32,
    /// A statement without its data is at most so long, bytes.
    pub query_bytes_max: usize,
    /// Rows of an insert that become one block, which is stored whole or not at all. Larger inserts are cut.
    pub insert_rows_max: u64,
    /// A client that neither sends nor takes a byte for so long is given up, s.
    pub client_timeout_s: u32,
    /// A connection without a request is closed after so long, s.
    pub keep_alive_s: u32,
    /// Each insert is on the disk before it is answered.
    pub fsync: bool,
    /// How long running statements may go on after SIGTERM, s.
    pub stop_timeout_s: u32,
    /// Zone of date and time texts without one; empty = the system's.
    pub timezone: String,
    /// Keep the process to its folder by the kernel's Landlock: without it SQL of whoever has the key can read files and run programs
    /// of this user.
    pub confine: bool,
    /// Whether to end when stdin ends, that is with the process that started this one.
    pub end_with_stdin: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data/olap"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8124)),
            library: PathBuf::from("build/libchdb/libchdb.so"),
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
            stop_timeout_s: 10,
            timezone: String::new(),
            confine: true,
            end_with_stdin: false,
        }
    }
}

const GIB: u64 = 1 << 30;

impl Settings {
    /// Reads `--name value` and `--name=value`.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what is allowed.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut table = toml::Table::new();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                return Err(format!("`{argument}`: write --name value"));
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => match arguments.next() {
                    Some(value) => (name.to_owned(), value),
                    None => return Err(format!("--{name} has no value")),
                },
            };
            let value = match (value.parse::<i64>(), value.parse::<bool>()) {
                (Ok(number), _) => toml::Value::Integer(number),
                (_, Ok(switch)) => toml::Value::Boolean(switch),
                _ => toml::Value::String(value),
            };
            if table.insert(name.clone(), value).is_some() {
                return Err(format!("--{name} stands there twice"));
            }
        }
        let settings: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| error.message().replace('\n', " "))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        let ranges = [
            ("queries_max", u64::from(self.queries_max), 1, 256),
            ("connections_max", self.connections_max.into(), 1, 65_536),
            ("query_bytes_max", self.query_bytes_max as u64, 1 << 10, GIB),
            ("insert_rows_max", self.insert_rows_max, 1, 1 << 32),
            ("client_timeout_s", self.client_timeout_s.into(), 1, 86_400),
            ("keep_alive_s", self.keep_alive_s.into(), 1, 86_400),
            ("stop_timeout_s", self.stop_timeout_s.into(), 1, 3_600),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!("--{name} {value}: use {least} to {most}"));
            }
        }
        if self.memory_bytes_max != 0 && self.memory_bytes_max < GIB / 2 {
            return Err("--memory_bytes_max: use 0 or at least 536870912: the engine alone takes half of that".to_owned());
        }
        Ok(())
    }

    /// Memory of all statements together, bytes, of a machine that has `machine` bytes.
    #[must_use]
    pub fn memory_bytes(&self, machine: u64) -> u64 {
        match self.memory_bytes_max {
            0 => (machine / 3).clamp(GIB, 8 * GIB),
            set => set,
        }
    }

    /// Memory of one statement, bytes, of a machine that has `machine` bytes.
    #[must_use]
    pub fn query_memory_bytes(&self, machine: u64) -> u64 {
        match self.query_memory_bytes_max {
            0 => self.memory_bytes(machine) / 4 * 3,
            set => set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, String> {
        Settings::parse(line.split_ascii_whitespace().map(str::to_owned))
    }

    #[test]
    fn names_and_values() {
        let seen = parse("--data d --queries_max=3 --fsync false --listen 127.0.0.1:0").unwrap();
        assert_eq!((seen.data.to_str(), seen.queries_max, seen.fsync), (Some("d"), 3, false));
        assert_eq!(parse("").unwrap(), Settings::default());
    }

    #[test]
    fn a_wrong_one_is_named() {
        for (line, part) in [
            ("data", "write --name value"),
            ("--data", "has no value"),
            ("--dta x", "unknown field `dta`, expected one of `data`"),
            ("--queries_max 0", "use 1 to 256"),
            ("--queries_max many", "invalid type"),
            ("--listen x", "invalid socket address"),
            ("--data a --data b", "twice"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn memory_follows_the_machine_within_limits() {
        let settings = Settings::default();
        assert_eq!(settings.memory_bytes(GIB), GIB);
        assert_eq!(settings.memory_bytes(6 * GIB), 2 * GIB);
        assert_eq!(settings.memory_bytes(512 * GIB), 8 * GIB);
        assert_eq!(settings.query_memory_bytes(512 * GIB), 6 * GIB);
    }
}
