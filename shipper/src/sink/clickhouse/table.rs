//! The tables rows go to, and their columns in the order they are written.

use crate::columns::Preset;
use std::fmt::Write as _;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Events,
    ProfileOps,
    Items,
    IdMap,
    BadEvents,
}

impl Table {
    /// In the order they are written.
    pub(super) const ALL: [Self; 5] =
        [Self::Events, Self::ProfileOps, Self::Items, Self::IdMap, Self::BadEvents];
    /// Those an event may be at home in: where its identity is looked for.
    pub(super) const HOMES: [Self; 3] = [Self::Events, Self::ProfileOps, Self::Items];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::ProfileOps => "profile_ops",
            Self::Items => "items",
            Self::IdMap => "id_map",
            Self::BadEvents => "bad_events",
        }
    }

    /// Columns of an insert, as `rows.rs` writes them.
    pub(super) fn columns(self) -> String {
        match self {
            Self::Events => {
                let mut columns = "project, event, type, day, time, client_time, recv_time, node, lsn, idx, dup_key, duplicate, track_id, \
                    distinct_id, login_id, anonymous_id, original_id, identities"
                    .to_owned();
                for preset in Preset::ALL {
                    let _ = write!(columns, ", {}", preset.column());
                }
                columns + ", codes, conflicts, str, num, arr"
            }
            Self::ProfileOps => {
                "project, op, key, kind, str, num, arr, time, recv_time, node, lsn, idx, dup_key, track_id, distinct_id, login_id, lib, \
                 codes"
                    .to_owned()
            }
            Self::Items => {
                "project, op, item_type, item_id, time, recv_time, node, lsn, idx, dup_key, track_id, lib, codes, str, num, arr".to_owned()
            }
            Self::IdMap => "project, anon_id, login_id, bound_at".to_owned(),
            Self::BadEvents => {
                "project, reason, codes, field, detail, event, lib, lib_version, app_version, distinct_id, recv_time, node, lsn, idx, ip, \
                 user_agent, raw"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Type;
    use analytics::{Form, MIGRATIONS};

    /// Column types of a table by the schema, in order.
    fn schema(table: &str) -> Vec<(String, String)> {
        let form = Form { database: "d", zone: "UTC", login: None, cluster: None };
        let all: Vec<String> = MIGRATIONS.iter().flat_map(|m| m.statements(&form)).collect();
        let head = format!("CREATE TABLE IF NOT EXISTS d.{table}\n(");
        let statement = all.iter().find_map(|statement| statement.strip_prefix(&head)).unwrap();
        let body = statement.split_once("\n)\n").unwrap().0;
        let columns = body.lines().map(str::trim).filter(|line| {
            !line.is_empty() && !line.starts_with("INDEX") && !line.contains(" DEFAULT ")
        });
        columns
            .map(|line| {
                let (name, rest) = line.split_once(' ').unwrap();
                let rest = rest.split(" CODEC").next().unwrap();
                (name.to_owned(), rest.trim().trim_end_matches(',').to_owned())
            })
            .collect()
    }

    #[test]
    fn inserts_name_the_columns_of_the_schema_in_its_order() {
        for table in Table::ALL {
            let columns = table.columns();
            let written: Vec<&str> = columns.split(", ").map(str::trim).collect();
            let schema = schema(table.name());
            let schema: Vec<&str> = schema.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(written, schema, "{}", table.name());
        }
    }

    #[test]
    fn every_preset_has_the_column_of_its_type() {
        let schema = schema("events");
        for preset in Preset::ALL {
            let wanted = match preset.kind() {
                Type::Word => "LowCardinality(String)",
                Type::Text => "String",
                Type::Int => "Int32",
                Type::Float => "Float64",
                Type::Bool => "UInt8",
            };
            let found = schema.iter().find(|(name, _)| name == preset.column());
            assert_eq!(found.map(|(_, kind)| kind.as_str()), Some(wanted), "{preset:?}");
        }
    }
}
