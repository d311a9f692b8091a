//! How long tables keep what they hold: whole partitions go, never rows.

use super::server::{Fault, Server};
use super::{Access, Config};
use analytics::quoted;

/// How often old partitions are looked for.
const EVERY_MS: i64 = 3_600_000;

/// Tables and the days they keep; 0 = for ever.
#[derive(Debug)]
pub(super) struct Keep {
    tables: [(&'static str, u32); 4],
    looked_ms: i64,
    local: &'static str,
    on_cluster: String,
}

impl Keep {
    pub(super) fn new(config: &Config) -> Self {
        let cluster = config.cluster.as_deref();
        Self {
            tables: [
                ("events", config.keep_days),
                ("by_hour", config.keep_days),
                ("by_minute", config.minutes_keep_days),
                ("bad_events", config.bad_keep_days),
            ],
            looked_ms: i64::MIN,
            local: if cluster.is_some() { "_local" } else { "" },
            on_cluster: cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {}", quoted(name))),
        }
    }

    /// Whether it is time to look; if so, the next time is an hour later.
    pub(super) fn is_due(&mut self, now_ms: i64) -> bool {
        let due = now_ms.saturating_sub(self.looked_ms) >= EVERY_MS;
        if due {
            self.looked_ms = now_ms;
        }
        due
    }

    /// Drops partitions of days before `today` (days since 1970) less what is kept.
    pub(super) fn drop_old(&self, server: &Server, today: u16) -> Result<(), Fault> {
        let Access { database, .. } = server.access();
        for (table, days) in self.tables {
            if days == 0 {
                continue;
            }
            let first = u32::from(today).saturating_sub(days);
            let table = format!("{table}{}", self.local);
            // A partition's name starts with its day: 2026-05-01, ('2026-05-01','node') or 20260501.
            let old = server.ask(&format!(
                "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = {} AND table = {} \
                 AND toDateOrNull(extract(partition, '\\\\d{{4}}-?\\\\d{{2}}-?\\\\d{{2}}')) < toDate({first})",
                quoted(database),
                quoted(&table)
            ))?;
            for id in old.iter().filter_map(|line| line.first()) {
                server.execute(&format!(
                    "ALTER TABLE {}{} DROP PARTITION ID {}",
                    server.table(&table),
                    self.on_cluster,
                    quoted(id)
                ))?;
                tracing::info!(table, partition = id, "dropped what is older than it is kept");
            }
        }
        Ok(())
    }
}
