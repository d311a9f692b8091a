//! The engine's configuration, written at every start.
//!
//! The engine believes to be a command line tool: without these files `file()`, `url()`, `ENGINE = File` and the like reach whatever
//! the process may reach, and `SYSTEM SHUTDOWN` ends it. A `<users>` element in the configuration itself is ignored; a users file is
//! honoured.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::machine::memory_bytes;
use crate::settings::Settings;

/// What SQL may do: work with tables, and nothing that leaves the data folder.
const GRANT: &str = "GRANT SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE TEMPORARY TABLE, CREATE VIEW, \
    CREATE DICTIONARY, DROP DATABASE, DROP TABLE, DROP VIEW, DROP DICTIONARY, TRUNCATE, OPTIMIZE, CHECK, UNDROP TABLE, KILL QUERY, \
    dictGet ON *.*";

/// Settings that nobody changes: the first for its meaning, see below, the others because they read files, send elsewhere, or make
/// another language of SQL.
const FIXED: [&str; 6] = [
    "deduplicate_blocks_in_dependent_materialized_views",
    "dialect",
    "format_avro_schema_registry_url",
    "format_schema",
    "format_template_resultset",
    "format_template_row",
];

/// Writes both files and gives the path of the first.
pub(super) fn write(data: &Path, settings: &Settings) -> io::Result<PathBuf> {
    let machine = memory_bytes();
    let users = data.join("users.xml");
    put(&users, &users_xml(settings, machine))?;
    let config = data.join("config.xml");
    put(&config, &config_xml(settings, machine, &users))?;
    Ok(config)
}

/// In place at once or not at all: the engine reads its files again when they change.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

fn users_xml(settings: &Settings, machine: u64) -> String {
    let rows = settings.insert_rows_max;
    let mut profile = String::new();
    let mut set = |name: &str, value: u64| {
        let _ = write!(profile, "<{name}>{value}</{name}>");
    };
    set("max_memory_usage", settings.query_memory_bytes(machine));
    set("max_threads", settings.threads_max.into());
    // 1 in this engine: an insert would be answered before it is stored.
    set("async_insert", 0);
    // As a server has them, not as the command line tool.
    set("implicit_select", 0);
    set("allow_introspection_functions", 0);
    // Compiled expressions need memory that is written and run, which a hardened unit forbids, and which is no good beside SQL.
    set("compile_expressions", 0);
    set("compile_aggregate_expressions", 0);
    set("compile_sort_description", 0);
    // An insert is stored whole or not at all only within one block.
    set("max_insert_block_size", rows);
    set("min_insert_block_size_rows", rows);
    set("min_insert_block_size_bytes", 0);
    // With 0, or changed between send and resend, a resent insert is dropped in the table and counted twice in its views. So it is
    // fixed.
    set("deduplicate_blocks_in_dependent_materialized_views", 1);
    let fixed: String = FIXED.iter().map(|name| format!("<{name}><readonly/></{name}>")).collect();
    format!(
        "<clickhouse><profiles><default>{profile}<constraints>{fixed}</constraints></default></profiles><quotas><default/></quotas><users><default>\
         <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
         <grants><query>{GRANT}</query></grants></default></users></clickhouse>\n"
    )
}

fn config_xml(settings: &Settings, machine: u64, users: &Path) -> String {
    let mut config = String::new();
    let mut set = |name: &str, value: &str| {
        let _ = write!(config, "<{name}>{}</{name}>", escape(value));
    };
    set("users_config", &users.display().to_string());
    set("max_server_memory_usage", &settings.memory_bytes(machine).to_string());
    // The defaults are for machines that do nothing else: 5 GiB of marks, a pool of 10,000 threads.
    set("mark_cache_size", "134217728");
    set("index_mark_cache_size", "33554432");
    set("uncompressed_cache_size", "0");
    set("max_thread_pool_size", "512");
    set("background_pool_size", "2");
    if !settings.timezone.is_empty() {
        set("timezone", &settings.timezone);
    }
    let fsync = u8::from(settings.fsync);
    // Mutations and merges share a small pool, so they leave fewer places free.
    let merge_tree = format!(
        "<merge_tree><fsync_after_insert>{fsync}</fsync_after_insert><fsync_part_directory>{fsync}</fsync_part_directory>\
         <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>\
         <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>\
         <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>\
         </merge_tree>"
    );
    format!("<clickhouse>{config}{merge_tree}</clickhouse>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_element() {
        let settings = Settings { timezone: "a</timezone>".to_owned(), ..Settings::default() };
        let text = config_xml(&settings, 1 << 34, Path::new("/a<b>&c/users.xml"));
        assert!(
            text.contains("/a&lt;b&gt;&amp;c/users.xml") && text.contains("a&lt;/timezone&gt;")
        );
    }
}
