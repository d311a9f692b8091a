//! Which schema a database has, and bringing it to ours.

use super::server::{Access, Fault, Server};
use analytics::{Form, MIGRATIONS, Migration, VERSIONS, quoted};

/// Oldest server the schema runs on.
const OLDEST: (u32, u32) = (24, 8);

/// What stands at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Version of the server, such as `26.7.2.1`.
    pub server: String,
    /// Number of the newest migration the database has; 0 = none.
    pub version: u32,
}

impl Found {
    /// Migrations it lacks, in order.
    #[must_use]
    pub fn missing(&self) -> &'static [Migration] {
        let at = MIGRATIONS.partition_point(|migration| migration.number <= self.version);
        MIGRATIONS.get(at..).unwrap_or_default()
    }

    /// One line if this tusk cannot write there, whatever is migrated.
    pub(super) fn refusal(&self, access: &Access) -> Option<String> {
        let Access { url, database, .. } = access;
        let mut parts = self.server.split('.').map(|part| part.parse().unwrap_or(0));
        let server = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if server < OLDEST {
            return Some(format!(
                "ClickHouse at {url} is {}; the schema needs {}.{} or newer",
                self.server, OLDEST.0, OLDEST.1
            ));
        }
        let ours = analytics::version();
        (self.version > ours).then(|| {
            format!(
                "database {database} at {url} has schema {}, this tusk knows {ours}: a newer tusk migrated it; upgrade this one too",
                self.version
            )
        })
    }
}

/// Asks the server.
pub(super) fn look(server: &Server) -> Result<Found, Fault> {
    let database = quoted(&server.access().database);
    let versions = quoted(VERSIONS);
    let answer = server.ask(&format!(
        "SELECT version(), count() FROM system.tables WHERE database = {database} AND name = {versions}"
    ))?;
    let cell = |at: usize| answer.first().and_then(|line| line.get(at)).map_or("", String::as_str);
    let (version, there) = (cell(0).to_owned(), cell(1) == "1");
    if !version.starts_with(|first: char| first.is_ascii_digit()) {
        let url = &server.access().url;
        return Err(Fault::Other(format!(
            "{url} does not answer as ClickHouse does; check `url` (the HTTP port, 8123 by default)"
        )));
    }
    if !there {
        return Ok(Found { server: version, version: 0 });
    }
    let newest = server.ask(&format!("SELECT max(version) FROM {}", server.table(VERSIONS)))?;
    let newest = newest.first().and_then(|line| line.first()?.parse().ok());
    Ok(Found { server: version, version: newest.unwrap_or(0) })
}

/// Applies what is missing; gives the numbers. `done` hears of each.
pub(super) fn apply(
    server: &Server,
    form: &Form<'_>,
    done: &mut dyn FnMut(&Migration),
) -> Result<(), Fault> {
    for statement in analytics::prepare(form) {
        server.execute(&statement)?;
    }
    for migration in look(server)?.missing() {
        let open = migration.statements(&Form { login: None, ..*form });
        for (statement, open) in migration.statements(form).iter().zip(&open) {
            server.execute(statement)?;
            // Where a gate in front of the server asks for the password, the server's own user may have none.
            if statement != open && look_up(server).is_err() {
                reload(server, form)?;
            }
        }
        // After all of it: whoever dies before begins it anew.
        server.execute(&format!(
            "INSERT INTO {} (version, name) VALUES ({}, {})",
            server.table(VERSIONS),
            migration.number,
            quoted(migration.name)
        ))?;
        done(migration);
    }
    Ok(())
}

/// Makes the dictionary anew from what the table holds now, for an engine that does not do so by itself.
pub(super) fn reload(server: &Server, form: &Form<'_>) -> Result<(), Fault> {
    // Without a password first: an engine behind a gate of its own is the one this is for.
    server.execute(&analytics::dictionary(&Form { login: None, ..*form }))?;
    if look_up(server).is_err() && form.login.is_some() {
        server.execute(&analytics::dictionary(form))?;
    }
    look_up(server)
}

fn look_up(server: &Server) -> Result<(), Fault> {
    let name = quoted(&server.table("id_dict"));
    let sql = format!("SELECT dictGetOrDefault({name}, 'login_hash', toUInt64(0), toUInt64(0))");
    server.ask(&sql).map(|_| ())
}

/// When the dictionary was read last, seconds since 1970; `None` = not yet, so that the next question reads it.
pub(super) fn dictionary_s(server: &Server) -> Result<Option<i64>, Fault> {
    let database = quoted(&server.access().database);
    let answer = server.ask(&format!(
        "SELECT toUnixTimestamp(last_successful_update_time) FROM system.dictionaries WHERE database = {database} AND name = 'id_dict' \
         AND status != 'NOT_LOADED'"
    ))?;
    Ok(answer.first().and_then(|line| line.first()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_cannot_be_written_to_is_said_in_one_line() {
        let access = Access {
            url: "http://h:8123".into(),
            database: "tusk".into(),
            user: "u".into(),
            password: None,
            lz4: true,
            ask: Duration::from_secs(1),
            work: Duration::from_secs(1),
        };
        let refusal = |server: &str, version| {
            Found { server: server.into(), version }.refusal(&access).unwrap_or_default()
        };
        let ours = analytics::version();
        assert_eq!(refusal("24.8.14.39", ours), "");
        assert_eq!(refusal("26.7.2.1", 0), "");
        assert!(refusal("23.10.1.1", ours).contains("needs 24.8 or newer"));
        assert!(refusal("26.7.2.1", ours + 1).contains("upgrade this one too"));
        let found = Found { server: "26.7".into(), version: 2 };
        assert_eq!(found.missing().first().map(|m| m.number), Some(3));
    }
}
