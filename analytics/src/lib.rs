//! The ClickHouse schema of tracking events, as numbered migrations in `sql/`.
//!
//! And the reports over it ([`report`]): from parameters to statements.
//!
//! This crate is text: it knows the statements and their order, not how they reach a server. One source gives two forms: a single
//! server, and a cluster with replicated tables and distributed ones over them ([`Form::cluster`]; parsed by the engine in the tests,
//! not run). Every statement may be run again (`IF NOT EXISTS`), since ClickHouse has no transactions over DDL: whoever dies in the
//! middle of a migration begins it anew.
//!
//! Servers from 24.8 on.
#![forbid(unsafe_code)]

pub mod filter;
mod form;
pub mod presets;
pub mod report;
pub mod tags;

pub use form::{Form, quoted};

/// A step of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1; stored in [`VERSIONS`] once all of it is done.
    pub number: u32,
    /// What it is about, the file's name without its number.
    pub name: &'static str,
    source: &'static str,
}

/// One line per file of `sql/`. A file that was released is never edited: what is to change goes into a new one.
macro_rules! migrations {
    ($($number:literal $name:ident;)+) => {
        /// All of them, in order.
        pub const MIGRATIONS: &[Migration] = &[$(Migration {
            number: $number,
            name: stringify!($name),
            source: include_str!(concat!("../sql/00", stringify!($number), "_", stringify!($name), ".sql")),
        }),+];
    };
}

migrations! {
    1 events;
    2 people;
    3 items;
    4 rollups;
    5 visits;
}

/// The table that says which migrations a database has.
pub const VERSIONS: &str = "schema_migrations";

/// Blocks a table remembers tokens of: at an insert a second, nearly three hours.
pub const DEDUPLICATION_WINDOW: u32 = 10_000;

/// Number of the last migration.
#[must_use]
pub fn version() -> u32 {
    MIGRATIONS.last().map_or(0, |last| last.number)
}

impl Migration {
    /// Its statements in this form, in order.
    #[must_use]
    pub fn statements(&self, form: &Form<'_>) -> Vec<String> {
        form.statements(self.source)
    }
}

/// Statements that make the database and [`VERSIONS`].
#[must_use]
pub fn prepare(form: &Form<'_>) -> Vec<String> {
    form.statements(
        "CREATE DATABASE IF NOT EXISTS {db}{on_cluster};\n\
         CREATE TABLE IF NOT EXISTS {db}.schema_migrations{on_cluster}\n(\n    version UInt32,\n    name String,\n    \
         applied_at DateTime DEFAULT now()\n)\nENGINE = {engine Replacing applied_at}\nORDER BY version;\n",
    )
}

/// A table of counts that a materialized view fills, and how its rows of one day and node are made from the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollup {
    /// The table, without its database.
    pub table: String,
    /// `SELECT` of its rows; `{day}` (a date) and `{node}` (both as SQL literals) are to be put in.
    pub select: String,
}

/// Every roll-up, by its newest definition.
#[must_use]
pub fn rollups(form: &Form<'_>) -> Vec<Rollup> {
    let mut all: Vec<Rollup> = Vec::new();
    for migration in MIGRATIONS {
        for rollup in form.rollups(migration.source) {
            all.retain(|known| known.table != rollup.table);
            all.push(rollup);
        }
    }
    all
}

/// Statements that fill the narrow copies of one day of one node; `{day}` and `{node}` as in a [`Rollup`]. What is there stays as it is.
#[must_use]
pub fn refills(form: &Form<'_>) -> Vec<String> {
    MIGRATIONS.iter().flat_map(|migration| form.refills(migration.source)).collect()
}

/// The statement that makes the dictionary of people anew, by its newest definition.
#[must_use]
pub fn dictionary(form: &Form<'_>) -> String {
    let all = MIGRATIONS.iter().flat_map(|migration| migration.statements(form));
    let mark = "CREATE DICTIONARY IF NOT EXISTS";
    let newest = all.rev().find(|statement| statement.starts_with(mark)).unwrap_or_default();
    newest.replacen(mark, "CREATE OR REPLACE DICTIONARY", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINGLE: Form<'_> =
        Form { database: "tusk", zone: "Asia/Shanghai", login: None, cluster: None };

    #[test]
    fn every_file_is_in_the_list() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> =
            MIGRATIONS.iter().map(|m| format!("{:03}_{}.sql", m.number, m.name)).collect();
        assert_eq!(files, listed);
        assert!(MIGRATIONS.iter().zip(1..).all(|(migration, number)| migration.number == number));
    }

    #[test]
    fn no_mark_is_left_over_and_every_statement_may_run_again() {
        let cluster = Form { cluster: Some("main"), login: Some(("tusk", "it's")), ..SINGLE };
        for form in [SINGLE, cluster] {
            let all = MIGRATIONS.iter().flat_map(|m| m.statements(&form)).chain(prepare(&form));
            for statement in all {
                assert!(!statement.contains(['{', '}']) || form.cluster.is_some(), "{statement}");
                // Or it fills a table in which what is there already merges away.
                let again =
                    statement.contains(" IF NOT EXISTS ") || statement.starts_with("INSERT INTO ");
                assert!(again, "{statement}");
                assert!(!statement.ends_with(';'), "{statement}");
            }
        }
    }

    #[test]
    fn the_cluster_has_a_distributed_table_over_each_replicated_one() {
        let form = Form { cluster: Some("main"), ..SINGLE };
        let all: Vec<String> =
            MIGRATIONS.iter().flat_map(|migration| migration.statements(&form)).collect();
        let local = all.iter().filter(|s| s.contains("ENGINE = Replicated")).count();
        let distributed = all.iter().filter(|s| s.contains("ENGINE = Distributed")).count();
        assert_eq!((local, distributed), (9, 9));
        let made = all.iter().filter(|statement| statement.starts_with("CREATE"));
        assert!(
            made.clone().count() > 20 && made.into_iter().all(|s| s.contains(" ON CLUSTER 'main'"))
        );
        assert!(all.iter().any(|s| s.contains("replicated_deduplication_window = 10000")));
    }

    #[test]
    fn the_dictionary_can_be_made_anew() {
        assert!(dictionary(&SINGLE).starts_with("CREATE OR REPLACE DICTIONARY tusk.id_dict\n("));
    }

    #[test]
    fn copies_are_filled_again_for_one_day_of_one_node() {
        let refills = refills(&SINGLE);
        assert_eq!(refills.len(), 2);
        for sql in refills {
            assert_eq!(sql.matches(" AND day = {day} AND node = {node}").count(), 1, "{sql}");
        }
    }

    #[test]
    fn roll_ups_are_made_of_one_day_of_one_node() {
        let rollups = rollups(&SINGLE);
        let tables: Vec<_> = rollups.iter().map(|rollup| rollup.table.as_str()).collect();
        assert_eq!(tables, ["by_minute", "by_hour"]);
        for rollup in rollups {
            assert!(rollup.select.starts_with("SELECT "), "{}", rollup.select);
            let marks = rollup.select.matches("WHERE day = {day} AND node = {node}").count();
            assert_eq!(marks, 1);
        }
    }
}
