//! The ClickHouse sink: events with typed presets and maps, profiles, items, who is who, copies of what was rejected.
//!
//! A range is one block per table, sent under a token made of node, range and table, so that a resend changes nothing, in the table
//! and in what views make of it. Where the token may be forgotten, the server is asked by identity, only what is missing is inserted,
//! and the touched days' roll-ups are made anew (`deliver.rs`). Schema: the crate `analytics`.

mod audit;
mod deliver;
mod keep;
mod plan;
mod row;
mod rows;
mod schema;
mod server;
mod settings;
mod table;

pub use schema::Found;
pub use settings::{Compression, Config, Duplicates};

use super::{
    AuditContext, Common, Context, DeliverError, Range, Receipt, Replay, Sink, SinkConfig,
};
use crate::columns::Columns;
use crate::ledger::Audit;
use crate::olap::Embedded;
use analytics::{Form, Migration};
use deliver::Work;
use keep::Keep;
use plan::{Plan, Plans};
use rows::{Encoder, Rows};
use server::{Access, Fault, Server};
use table::Table;

/// How long a server may take to read its dictionary anew before we have it done: longer than the LIFETIME in the schema.
const DICTIONARY_MS: i64 = 20_000;

impl SinkConfig for Config {
    fn common(&self) -> Common {
        Common {
            enabled: self.enabled,
            required: self.required.unwrap_or(self.url.is_some()),
            lag_bytes_max: self.lag_bytes_max,
            range_bytes_max: self.range_bytes_max,
            range_age_ms_max: self.range_age_ms_max,
            start: self.start,
            rejected_too: self.rejected_too,
        }
    }

    fn problems(&self) -> Vec<(String, String)> {
        self.wrong()
    }

    fn open(&self, context: &Context) -> Result<Box<dyn Sink>, String> {
        Ok(Box::new(ClickHouse::new(self, context)?))
    }

    fn probe(&self, context: &Context) -> Result<String, String> {
        let mut access = self.access(context.olap.as_ref())?;
        access.ask = access.ask.min(std::time::Duration::from_secs(3));
        let server = Server::new(&access)?;
        let found = schema::look(&server).map_err(|fault| fault.to_string())?;
        if let Some(refusal) = found.refusal(&access) {
            return Err(refusal);
        }
        let (have, ours) = (found.version, analytics::version());
        if have < ours && !self.migrates() {
            return Err(format!(
                "database {} at {} has schema {have}, this tusk needs {ours}: run `tusk migrate`",
                access.database, access.url
            ));
        }
        let free = server.ask("SELECT formatReadableSize(min(unreserved_space)) FROM system.disks");
        let free = free.ok().and_then(|lines| lines.into_iter().next()?.into_iter().next());
        let free = free.map_or_else(String::new, |free| format!(", {free} free"));
        Ok(format!(
            "ClickHouse {} at {}, database {}, schema {have} of {ours}{free}",
            found.server, access.url, access.database
        ))
    }

    fn audit(&self, context: &AuditContext) -> Result<Audit, String> {
        let server = Server::new(&self.access(context.olap.as_ref())?)?;
        audit::audit(context, &server, self.duplicates)
    }
}

impl Config {
    /// What `tusk migrate` finds at the target.
    ///
    /// # Errors
    /// One line: it cannot be reached, or is not for this tusk.
    pub fn found(&self, olap: Option<&Embedded>) -> Result<Found, String> {
        let access = self.access(olap)?;
        let found = schema::look(&Server::new(&access)?).map_err(|fault| fault.to_string())?;
        found.refusal(&access).map_or(Ok(found), Err)
    }

    /// The statements that are still to be applied, passwords not shown.
    #[must_use]
    pub fn statements(&self, found: &Found, zone: &str) -> Vec<String> {
        let login = self.login("***");
        let form = self.form(zone, login);
        let migrations = found.missing();
        let first = if found.version == 0 { analytics::prepare(&form) } else { Vec::new() };
        first.into_iter().chain(migrations.iter().flat_map(|m| m.statements(&form))).collect()
    }

    /// Applies what is missing; `done` hears of each migration.
    ///
    /// # Errors
    /// One line. What was applied stays, and the rest may be applied later.
    pub fn migrate(
        &self,
        olap: Option<&Embedded>,
        zone: &str,
        done: &mut dyn FnMut(&Migration),
    ) -> Result<(), String> {
        let access = self.access(olap)?;
        let server = Server::new(&access)?;
        self.bring(&server, zone, done).map_err(|fault| fault.to_string())
    }

    fn bring(
        &self,
        server: &Server,
        zone: &str,
        done: &mut dyn FnMut(&Migration),
    ) -> Result<(), Fault> {
        let password = server.access().password.as_ref();
        let login = self.login(password.map_or("", |password| password.expose()));
        schema::apply(server, &self.form(zone, login), done)
    }

    fn form<'f>(&'f self, zone: &'f str, login: Option<(&'f str, &'f str)>) -> Form<'f> {
        let cluster = self.cluster.as_deref();
        Form { database: &self.database, zone, login, cluster }
    }

    /// How the dictionary logs in; the embedded engine's reads without.
    fn login<'f>(&'f self, password: &'f str) -> Option<(&'f str, &'f str)> {
        let open = self.user == "default" && self.password.is_none() && self.password_file.is_none();
        (self.url.is_some() && !open).then_some((&self.user, password))
    }
}

/// The sink.
struct ClickHouse {
    config: Config,
    server: Server,
    encoder: Encoder,
    rows: Rows,
    plans: Plans,
    keep: Keep,
    node: String,
    zone: String,
    /// The schema was seen to be ours.
    ready: bool,
    /// The range that may have been sent already.
    tried: Option<(u64, u64)>,
    run: String,
    statements: u64,
    /// When people were bound to ids that the dictionary may not know yet, ms; 0 = it knows.
    bound_ms: i64,
}

impl ClickHouse {
    fn new(config: &Config, context: &Context) -> Result<Self, String> {
        let access = config.access(context.olap.as_ref())?;
        let types = (config.type_conflict, config.types_max);
        let columns = Columns::open(
            &context.disk,
            &context.data,
            "clickhouse",
            &context.node,
            context.fill.clone(),
            types,
        );
        let columns = columns.map_err(|error| error.to_string())?;
        let (zone, keep_days) = (context.zone.clone(), config.keep_days);
        Ok(Self {
            config: config.clone(),
            server: Server::new(&access)?,
            encoder: Encoder::new(columns, &context.node, zone, keep_days, config.duplicates),
            rows: Rows::default(),
            plans: Plans::new(&context.disk, &context.data),
            keep: Keep::new(config),
            node: context.node.clone(),
            zone: context.zone.name().to_owned(),
            ready: false,
            tried: context.state.as_ref().and_then(|state| state.pending),
            run: format!("{:x}", jiff::Timestamp::now().as_millisecond()),
            statements: 0,
            bound_ms: 0,
        })
    }

    /// Sees that the schema is ours, once; brings it there if it may.
    fn ready(&mut self) -> Result<(), DeliverError> {
        if self.ready {
            return Ok(());
        }
        let unavailable = |fault: Fault| DeliverError::Unavailable(fault.to_string());
        let found = schema::look(&self.server).map_err(unavailable)?;
        let access = self.server.access();
        if let Some(refusal) = found.refusal(access) {
            return Err(DeliverError::Unavailable(refusal));
        }
        if !found.missing().is_empty() {
            if !self.config.migrates() {
                return Err(DeliverError::Unavailable(format!(
                    "database {} at {} has schema {}, this tusk needs {}: run `tusk migrate`, or set `migrate_at_start = true`",
                    access.database,
                    access.url,
                    found.version,
                    analytics::version()
                )));
            }
            let mut done = |migration: &Migration| {
                tracing::info!(number = migration.number, name = migration.name, "ClickHouse schema applied");
            };
            self.config.bring(&self.server, &self.zone, &mut done).map_err(unavailable)?;
        }
        self.ready = true;
        Ok(())
    }

    fn work(&mut self) -> (Work<'_>, &mut Rows, &mut Encoder) {
        let work = Work {
            server: &self.server,
            plans: &self.plans,
            form: self.config.form(&self.zone, None),
            node: &self.node,
            resend_ms_max: i64::from(self.config.resend_s_max) * 1000,
            run: &self.run,
            statements: &mut self.statements,
        };
        (work, &mut self.rows, &mut self.encoder)
    }

    fn try_deliver(&mut self, range: &mut Range<'_>, tried: bool) -> Result<Receipt, DeliverError> {
        self.ready()?;
        let span = (range.from, range.to);
        let (mut work, rows, encoder) = self.work();
        deliver::encode(range, encoder, rows)?;
        let receipt = work.deliver(span, rows, tried, jiff::Timestamp::now().as_millisecond())?;
        encoder.delivered(rows);
        if self.bound_ms == 0 && !self.rows.block(Table::IdMap).bytes.is_empty() {
            self.bound_ms = jiff::Timestamp::now().as_millisecond();
        }
        Ok(receipt)
    }

    /// Has the dictionary read anew if it does not do so by itself: a server reads it every few seconds, the embedded engine never.
    fn know_people(&mut self, now_ms: i64) -> Result<(), Fault> {
        let patience_ms = if self.config.url.is_some() { DICTIONARY_MS } else { DICTIONARY_MS / 5 };
        if self.bound_ms == 0 || now_ms - self.bound_ms < patience_ms {
            return Ok(());
        }
        let read_s = schema::dictionary_s(&self.server)?;
        // Within the same second it may have been read before.
        if read_s.is_some_and(|read_s| read_s <= self.bound_ms / 1000) {
            let password = self.server.access().password.as_ref();
            let login = self.config.login(password.map_or("", |password| password.expose()));
            schema::reload(&self.server, &self.config.form(&self.zone, login))?;
        }
        self.bound_ms = 0;
        Ok(())
    }
}

impl Sink for ClickHouse {
    fn target(&self) -> String {
        match &self.config.url {
            Some(url) => format!("{url} database {}", self.config.database),
            None => format!("{}, database {}", Embedded::TARGET, self.config.database),
        }
    }

    fn deliver(&mut self, range: &mut Range<'_>) -> Result<Receipt, DeliverError> {
        let span = (range.from, range.to);
        let tried = self.tried.replace(span) == Some(span);
        let done = self.try_deliver(range, tried);
        match &done {
            Ok(_) => self.tried = None,
            // The schema may have been changed under us.
            Err(_) => self.ready = false,
        }
        done
    }

    fn replay(&mut self, range: &mut Range<'_>, replay: &Replay) -> Result<Receipt, DeliverError> {
        self.ready()?;
        let (from, to) = (range.from, range.to);
        let (mut work, rows, encoder) = self.work();
        deliver::encode(range, encoder, rows)?;
        let plan = Plan { from, to, ..Plan::default() };
        let refused = work.repair(&plan, rows, replay)?;
        Ok(deliver::receipt(rows, refused))
    }

    fn tick(&mut self, now_ms: i64, _: i64) -> Result<(), DeliverError> {
        if !self.ready {
            return Ok(());
        }
        let unavailable = |fault: Fault| DeliverError::Unavailable(fault.to_string());
        self.know_people(now_ms).map_err(unavailable)?;
        if !self.keep.is_due(now_ms) {
            return Ok(());
        }
        let today = self.encoder.day(now_ms);
        self.keep.drop_old(&self.server, today).map_err(unavailable)
    }
}
