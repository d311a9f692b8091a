//! `[sink.clickhouse]` of `tusk.toml`.

use super::server::Access;
use crate::columns::Conflict;
use crate::olap::Embedded;
use crate::secret::Secret;
use crate::sink::Start;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `[sink.clickhouse]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it runs.
    pub enabled: bool,
    /// Whether it may hold the journal up to its cap; unset: a server may, the embedded engine is parked.
    pub required: Option<bool>,
    /// Where an optional sink is parked; 0 = half of the journal's cap.
    pub lag_bytes_max: u64,
    /// HTTP interface, `http://host:8123` or `https://host:8443`; unset: the embedded engine.
    pub url: Option<String>,
    /// Database; made by `tusk migrate`.
    pub database: String,
    /// User.
    pub user: String,
    /// Password, or `env:NAME`.
    pub password: Option<Secret>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Name of a cluster in the server's configuration: replicated and distributed tables.
    pub cluster: Option<String>,
    /// Whether rows are packed on their way.
    pub compression: Compression,
    /// Whether missing migrations are applied before the first range; unset: for the embedded engine.
    pub migrate_at_start: Option<bool>,
    /// Days events and counts by hour are kept, by whole days; 0 = for ever.
    pub keep_days: u32,
    /// Days counts by minute are kept; 0 = for ever.
    pub minutes_keep_days: u32,
    /// Days copies of rejected events are kept; 0 = for ever.
    pub bad_keep_days: u32,
    /// What happens to an SDK's resend (D001).
    pub duplicates: Duplicates,
    /// What happens to a value of another type than its property had first.
    pub type_conflict: Conflict,
    /// Properties whose type is remembered at most.
    pub types_max: usize,
    /// Whether rejected events are copied to `bad_events`.
    pub rejected_too: bool,
    /// A range is closed at this many journal bytes …
    pub range_bytes_max: u64,
    /// … or at this age, ms.
    pub range_age_ms_max: u64,
    /// Longest time for one insert or change of the schema, seconds.
    pub timeout_s: u32,
    /// How long after its first try a range is resent under its token; later, what is missing is asked for. Seconds.
    pub resend_s_max: u32,
    /// Where a new sink starts.
    pub start: Start,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            required: None,
            lag_bytes_max: 0,
            url: None,
            database: "tusk".to_owned(),
            user: "default".to_owned(),
            password: None,
            password_file: None,
            cluster: None,
            compression: Compression::Lz4,
            migrate_at_start: None,
            keep_days: 400,
            minutes_keep_days: 7,
            bad_keep_days: 30,
            duplicates: Duplicates::Drop,
            type_conflict: Conflict::Convert,
            types_max: 20_000,
            rejected_too: true,
            range_bytes_max: 16 << 20,
            range_age_ms_max: 1_000,
            timeout_s: 60,
            resend_s_max: 600,
            start: Start::Oldest,
        }
    }
}

/// How rows are packed on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// LZ4: a quarter of the bytes for little CPU.
    Lz4,
    /// As they are.
    None,
}

/// What happens to an SDK's resend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Left out and counted as deduplicated.
    Drop,
    /// Stored with `duplicate = 1`.
    Keep,
}

impl Config {
    /// Whether missing migrations are applied without being asked for.
    pub(super) fn migrates(&self) -> bool {
        self.migrate_at_start.unwrap_or(self.url.is_none())
    }

    /// Settings that are out of range, as (setting, what to write instead).
    pub(super) fn wrong(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut expect = |good: bool, setting: &str, write: &str| {
            if !good {
                problems.push((setting.to_owned(), write.to_owned()));
            }
        };
        let url = self.url.as_deref().unwrap_or("http://127.0.0.1");
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        expect(
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', '@', ' '])),
            "url",
            "write the HTTP interface, such as \"http://clickhouse.example:8123\"; user and password have settings of their own",
        );
        expect(is_plain(&self.database), "database", "write letters, digits and _, not starting with a digit");
        expect(!self.user.is_empty(), "user", "write the user's name, or leave the line out");
        expect(
            self.cluster.as_deref().is_none_or(|name| !name.is_empty() && !name.contains(['\'', '\\'])),
            "cluster",
            "write the cluster's name in the server's remote_servers, or leave the line out",
        );
        expect(
            self.cluster.is_none() || self.url.is_some(),
            "cluster",
            "leave it out: the embedded engine is no cluster; or set url",
        );
        expect(
            (64 << 10..=256 << 20).contains(&self.range_bytes_max),
            "range_bytes_max",
            "write a number from 65536 (64 KiB) to 268435456 (256 MiB): a range is held in memory",
        );
        expect(
            (100..=600_000).contains(&self.range_age_ms_max),
            "range_age_ms_max",
            "write a number from 100 to 600000 (ten minutes)",
        );
        expect((1..=3600).contains(&self.timeout_s), "timeout_s", "write a number from 1 to 3600");
        expect(
            (1..=86_400).contains(&self.resend_s_max),
            "resend_s_max",
            "write a number from 1 to 86400",
        );
        expect(self.keep_days <= 20_000, "keep_days", "write a number up to 20000, or 0 for ever");
        expect(self.types_max <= 1_000_000, "types_max", "write a number up to 1000000");
        problems
    }

    /// How the server is reached: the one at `url`, else the embedded engine.
    pub(super) fn access(&self, embedded: Option<&Embedded>) -> Result<Access, String> {
        let access = |url: &str, user: &str, password| Access {
            url: url.trim_end_matches('/').to_owned(),
            database: self.database.clone(),
            user: user.to_owned(),
            password,
            lz4: self.compression == Compression::Lz4,
            ask: Duration::from_secs(u64::from(self.timeout_s).min(30)),
            work: Duration::from_secs(u64::from(self.timeout_s)),
        };
        match (&self.url, embedded) {
            (Some(url), _) => {
                let (written, file) = (self.password.as_ref(), self.password_file.as_deref());
                let password = Secret::read(written, file, "sink.clickhouse.password")?;
                Ok(access(url, &self.user, password))
            }
            (None, Some(embedded)) => {
                Ok(access(&embedded.url, "default", Some(embedded.key.clone())))
            }
            (None, None) => {
                Err("there is no embedded ClickHouse here; set `url` to a server's HTTP interface"
                    .to_owned())
            }
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_fine_and_off() {
        assert_eq!(Config::default().wrong(), []);
        assert!(!Config::default().enabled);
    }

    #[test]
    fn wrong_values_are_named() {
        let wrong = |config: Config| -> Vec<String> {
            config.wrong().into_iter().map(|(setting, _)| setting).collect()
        };
        let with = |url: &str| Config { url: Some(url.to_owned()), ..Config::default() };
        assert_eq!(wrong(with("clickhouse:9000")), ["url"]);
        assert_eq!(wrong(with("http://u:p@h")), ["url"]);
        assert_eq!(wrong(with("https://h:8443")), [""; 0]);
        let config = Config {
            database: "a-b".into(),
            range_age_ms_max: 1,
            timeout_s: 0,
            ..Config::default()
        };
        assert_eq!(wrong(config), ["database", "range_age_ms_max", "timeout_s"]);
    }
}
