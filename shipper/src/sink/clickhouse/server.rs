//! A ClickHouse server over HTTP: every call has a time limit of ours, every error is one line that says what to change.

use crate::secret::Secret;
use bytes::Bytes;
use clickhouse::{Client, Compression as Packing};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// Bytes handed to the connection at once: small enough to be packed while the last piece is on its way.
const PIECE_BYTES: usize = 256 << 10;
/// Longest part of a server's message shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// Where a server is and how to log in.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) url: String,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) lz4: bool,
    /// Longest time for one question …
    pub(super) ask: Duration,
    /// … and for one insert or change of the schema.
    pub(super) work: Duration,
}

/// What a call failed with.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server refused these rows, by its own words; what is in them is the reason.
    Rows(String),
    /// The table or database is not what we need.
    Schema(String),
    /// Anything else; whether an insert took effect is not known.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(text) | Self::Schema(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

/// The server and the runtime its calls run on; owned by one thread.
pub(super) struct Server {
    access: Access,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Connects to nothing yet.
    pub(super) fn new(access: &Access) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut client = Client::default()
            .with_url(&access.url)
            .with_user(&access.user)
            .with_compression(if access.lz4 { Packing::Lz4 } else { Packing::None })
            .with_validation(false);
        if let Some(password) = &access.password {
            client = client.with_password(password.expose());
        }
        Ok(Self { access: access.clone(), client, runtime: runtime.map_err(|e| e.to_string())? })
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// A table by its full name.
    pub(super) fn table(&self, table: &str) -> String {
        format!("{}.{table}", self.access.database)
    }

    /// Runs a question whose answer is small; gives the lines of its TSV, escapes undone in none of them.
    pub(super) fn ask(&self, sql: &str) -> Result<Vec<Vec<String>>, Fault> {
        let bytes = self.ask_bytes(sql, "TSVRaw")?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    /// Runs a question; gives its answer in that format.
    pub(super) fn ask_bytes(&self, sql: &str, format: &str) -> Result<Vec<u8>, Fault> {
        let answer = async {
            let mut cursor = self.client.query_raw(sql).fetch_bytes(format)?;
            let mut all = Vec::new();
            while let Some(piece) = cursor.next().await? {
                all.extend_from_slice(&piece);
            }
            Ok(all)
        };
        self.run(self.access.ask, answer)
    }

    /// Runs a statement without an answer.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Fault> {
        // A statement of ours is never a batch: its block is not compared with others.
        let query = self.client.query_raw(sql).with_setting("insert_deduplicate", "0");
        self.run(self.access.work, query.with_setting("async_insert", "0").execute())
    }

    /// Inserts rows as one block under a token: the same token again changes nothing, in the table and in what views make of it.
    pub(super) fn insert(
        &self,
        (table, columns): (&str, &str),
        rows: &[u8],
        token: &str,
        query_id: &str,
    ) -> Result<(), Fault> {
        let sql = format!("INSERT INTO {} ({columns}) FORMAT RowBinary", self.table(table));
        let limit_s = self.access.work.as_secs().max(1);
        let work = async {
            let mut insert = self.client.insert_formatted_with(sql);
            for (setting, value) in SETTINGS {
                insert = insert.with_setting(*setting, *value);
            }
            let mut insert = insert
                .with_setting("insert_deduplication_token", token)
                .with_setting("max_execution_time", limit_s.to_string())
                .with_setting("query_id", query_id);
            for piece in rows.chunks(PIECE_BYTES) {
                insert.send(Bytes::copy_from_slice(piece)).await?;
            }
            insert.end().await
        };
        self.run(self.access.work, work)
    }

    fn run<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, Fault> {
        let done = self.runtime.block_on(async { tokio::time::timeout(limit, work).await });
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fault(&error)),
            Err(_) => Err(Fault::Other(format!(
                "{} did not answer within {} s; is it overloaded, or the limit too short?",
                self.access.url,
                limit.as_secs()
            ))),
        }
    }

    fn fault(&self, error: &clickhouse::error::Error) -> Fault {
        use clickhouse::error::Error;
        let url = &self.access.url;
        match error {
            Error::BadResponse(text) => self.said(text),
            Error::Network(cause) => {
                Fault::Other(format!("cannot reach ClickHouse at {url}: {}", innermost(cause.as_ref())))
            }
            other => Fault::Other(format!("ClickHouse at {url}: {}", one_line(&other.to_string()))),
        }
    }

    /// What an answer of the server means.
    fn said(&self, text: &str) -> Fault {
        let Access { url, database, user, .. } = &self.access;
        let message = one_line(text);
        match code(text) {
            Some(192..=194 | 516) => Fault::Other(format!(
                "ClickHouse at {url} refuses user {user} or the password; check `user` and `password`"
            )),
            Some(497) => Fault::Other(format!(
                "user {user} of ClickHouse at {url} lacks a right: {message}; grant it on {database}.*"
            )),
            Some(81) => Fault::Schema(format!(
                "ClickHouse at {url} has no database {database}; run `tusk migrate` or set `migrate_at_start = true`"
            )),
            Some(60 | 16 | 10 | 47) => Fault::Schema(format!(
                "database {database} at {url} has another schema than this tusk: {message}; run `tusk migrate`"
            )),
            Some(243) => Fault::Other(format!("the disk of ClickHouse at {url} is full: {message}")),
            Some(code) if of_rows(code) => Fault::Rows(message),
            _ if text.trim_start().starts_with('<') || !text.contains("DB::Exception") => {
                Fault::Other(format!("{url} does not answer as ClickHouse does: {message}; check `url` (the HTTP port, 8123 by default)"))
            }
            _ => Fault::Other(format!("ClickHouse at {url}: {message}")),
        }
    }
}

/// What makes an insert one block per table that counts once in table and views (docs/clickhouse.md).
const SETTINGS: &[(&str, &str)] = &[
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("async_insert", "0"),
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "0"),
    ("max_partitions_per_insert_block", "0"),
    // A distributed table passes on before it answers.
    ("distributed_foreground_insert", "1"),
    // Parts of one block must not be split over threads.
    ("max_insert_threads", "1"),
    ("input_format_parallel_parsing", "0"),
    ("wait_end_of_query", "1"),
];

/// The number in `Code: 60. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Whether an exception is about what stands in the rows: the same rows fail for ever, others may pass.
fn of_rows(code: u32) -> bool {
    const CODES: [u32; 22] = [
        6, 26, 27, 33, 38, 41, 43, 53, 69, 70, 72, 117, 128, 131, 153, 321, 349, 395, 407, 469, 641,
        691,
    ];
    CODES.contains(&code)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    one_line(&last.to_string())
}

fn one_line(text: &str) -> String {
    let text = text.split("(version ").next().unwrap_or(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let end = line.char_indices().nth(MESSAGE_CHARS_MAX).map_or(line.len(), |(at, _)| at);
    line[..end].trim_end_matches([' ', '.', ';']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let access = Access {
            url: "http://h:1".into(),
            database: "d".into(),
            user: "u".into(),
            password: Some(Secret::from("hunter2")),
            lz4: true,
            ask: Duration::from_secs(1),
            work: Duration::from_secs(1),
        };
        let server = Server::new(&access).unwrap();
        let said = |text: &str| server.said(text);
        let rows = "Code: 469. DB::Exception: Constraint `c` is violated. (VIOLATED_CONSTRAINT) (version 26.7.2.1)\n";
        assert!(matches!(said(rows), Fault::Rows(text) if text.ends_with("(VIOLATED_CONSTRAINT)")));
        let table = "Code: 60. DB::Exception: Table d.events does not exist. (UNKNOWN_TABLE)";
        assert!(matches!(said(table), Fault::Schema(text) if text.contains("tusk migrate")));
        let password = said("Code: 516. DB::Exception: u: Authentication failed: hunter2").to_string();
        assert_eq!(password, "ClickHouse at http://h:1 refuses user u or the password; check `user` and `password`");
        let disk = said("Code: 243. DB::Exception: Cannot reserve 1.00 MiB. (NOT_ENOUGH_SPACE)");
        assert!(disk.to_string().starts_with("the disk of ClickHouse at http://h:1 is full"));
        let page = said("<html>\n<body>It works!</body></html>").to_string();
        assert!(page.contains("does not answer as ClickHouse does"), "{page}");
        assert!(!format!("{:?}", server.access()).contains("hunter2"));
    }

    #[test]
    fn nobody_there_is_one_line() {
        let access = Access {
            url: "http://127.0.0.1:1".into(),
            database: "d".into(),
            user: "u".into(),
            password: None,
            lz4: false,
            ask: Duration::from_secs(5),
            work: Duration::from_secs(5),
        };
        let server = Server::new(&access).unwrap();
        let error = server.ask("SELECT 1").unwrap_err().to_string();
        assert!(error.starts_with("cannot reach ClickHouse at http://127.0.0.1:1: "), "{error}");
        assert!(!error.contains('\n'));
    }
}
