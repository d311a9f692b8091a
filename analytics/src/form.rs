//! From the source of a migration to the statements of a form.

use crate::{DEDUPLICATION_WINDOW, Rollup};
use std::fmt::Write as _;

/// What the schema is made for.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// Database, a plain name.
    pub database: &'a str,
    /// IANA zone times are shown in.
    pub zone: &'a str,
    /// User and password the dictionary reads with; `None` = the server's default user without one.
    pub login: Option<(&'a str, &'a str)>,
    /// Replicated and distributed tables on this cluster; `None` = a single server.
    pub cluster: Option<&'a str>,
}

/// Rows of one day of one node; both are to be put in as literals.
const DAY_OF_NODE: &str = "day = {day} AND node = {node}";

/// A string literal of ClickHouse.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for char in text.chars() {
        if matches!(char, '\'' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('\'');
    out
}

impl Form<'_> {
    /// Statements of a source: each ends with `;` at a line's end; `--` lines are comments; marks stand in braces.
    pub(crate) fn statements(&self, source: &str) -> Vec<String> {
        split(source).filter_map(|statement| self.statement(&statement, "")).collect()
    }

    /// The roll-ups a source defines.
    pub(crate) fn rollups(&self, source: &str) -> Vec<Rollup> {
        let views = split(source)
            .filter(|sql| sql.contains("MATERIALIZED VIEW") && sql.contains("{where}"));
        let rollup = |view: String| {
            let (head, select) = view.split_once(" AS\n")?;
            let table = head.split_once(" TO {db}.")?.1.split('{').next()?.to_owned();
            let select = self.statement(select, DAY_OF_NODE)?;
            Some(Rollup { table, select })
        };
        views.filter_map(rollup).collect()
    }

    /// Statements of a source that fill a table in which what is there already merges away, for one day of one node.
    pub(crate) fn refills(&self, source: &str) -> Vec<String> {
        let inserts = split(source).filter(|statement| statement.starts_with("INSERT INTO "));
        inserts.filter_map(|statement| self.statement(&statement, DAY_OF_NODE)).collect()
    }

    /// Puts in what the marks stand for; `None` if the statement is not of this form.
    fn statement(&self, source: &str, filter: &str) -> Option<String> {
        let mut out = String::with_capacity(source.len());
        let mut rest = source;
        while let Some((before, behind)) = rest.split_once('{') {
            out.push_str(before);
            let (mark, behind) = behind.split_once('}')?;
            match mark.split_once(' ').unwrap_or((mark, "")) {
                ("db", _) => out.push_str(self.database),
                ("zone", _) => out.push_str(self.zone),
                ("where", _) if !filter.is_empty() => {
                    let _ = write!(out, "FINAL WHERE {filter}");
                }
                ("and", _) if !filter.is_empty() => {
                    let _ = write!(out, " AND {filter}");
                }
                ("where" | "and", _) => {}
                ("local", _) => out.push_str(self.cluster.map_or("", |_| "_local")),
                ("on_cluster", _) => {
                    if let Some(cluster) = self.cluster {
                        let _ = write!(out, " ON CLUSTER {}", quoted(cluster));
                    }
                }
                ("login", _) => {
                    if let Some((user, password)) = self.login {
                        let _ = write!(out, "USER {} PASSWORD {} ", quoted(user), quoted(password));
                    }
                }
                ("engine", what) => self.engine(what, &mut out),
                ("windows", _) => self.windows(&mut out),
                ("distributed", what) => self.distributed(what, &mut out)?,
                _ => {
                    let _ = write!(out, "{{{mark}}}");
                }
            }
            rest = behind;
        }
        out.push_str(rest);
        Some(out)
    }

    /// `Replacing VERSION`, `Aggregating`.
    fn engine(&self, what: &str, out: &mut String) {
        let (kind, version) = what.split_once(' ').unwrap_or((what, ""));
        let _ = match self.cluster {
            None => write!(out, "{kind}MergeTree({version})"),
            Some(_) => {
                let comma = if version.is_empty() { "" } else { ", " };
                write!(
                    out,
                    "Replicated{kind}MergeTree('/clickhouse/tables/{{shard}}/{{database}}/{{table}}', '{{replica}}'{comma}{version})"
                )
            }
        };
    }

    /// How many blocks a table remembers.
    fn windows(&self, out: &mut String) {
        let _ = match self.cluster {
            None => write!(out, "non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"),
            Some(_) => write!(
                out,
                "replicated_deduplication_window = {DEDUPLICATION_WINDOW}, replicated_deduplication_window_seconds = 604800"
            ),
        };
    }

    /// `TABLE KEY`: the distributed table over the local ones.
    fn distributed(&self, what: &str, out: &mut String) -> Option<()> {
        let (cluster, (table, key)) = (self.cluster?, what.split_once(' ')?);
        let _ = write!(
            out,
            "CREATE TABLE IF NOT EXISTS {db}.{table} ON CLUSTER {name} AS {db}.{table}_local\nENGINE = Distributed({name}, {base}, \
             {local}, {key})",
            db = self.database,
            name = quoted(cluster),
            base = quoted(self.database),
            local = quoted(&format!("{table}_local")),
        );
        Some(())
    }
}

fn split(source: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = source.lines().filter(|line| !line.starts_with("--")).collect();
    let text = lines.join("\n") + "\n";
    let statements: Vec<String> = text
        .split(";\n")
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect();
    statements.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(quoted(r"it's \ it"), r"'it\'s \\ it'");
    }

    #[test]
    fn the_dictionary_logs_in_where_it_must() {
        let form = Form { database: "d", zone: "UTC", login: Some(("u", "p'w")), cluster: None };
        let source = "X({login}QUERY '{db}');\n-- comment; {db};\n";
        assert_eq!(form.statements(source), [r"X(USER 'u' PASSWORD 'p\'w' QUERY 'd')"]);
        let open = Form { login: None, ..form };
        assert_eq!(open.statements(source), ["X(QUERY 'd')"]);
    }
}
