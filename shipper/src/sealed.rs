//! Opens what was kept unopened: sealed requests in the facts pass, quarantined requests when they are re-driven. The same
//! `event::accept` as at the edge, without its private-key budget.

use crate::journal::layout::Header;
use event::record::{Builder, CodeRef, Entry, Record, meta};
use event::{Config, Project, Scratch, is_name};
use std::sync::{Arc, PoisonError, RwLock};

/// Opens requests.
pub struct Opener {
    settings: Settings,
    scratch: Scratch,
}

/// Keys, projects and limits of an [`Opener`], which can be replaced while it works.
#[derive(Clone)]
pub struct Settings(Arc<RwLock<Config>>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

impl Settings {
    /// The next request is opened with these. The budgets of the edge are taken out: here there is time.
    pub fn replace(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = unhurried(config);
    }

    /// Those in force now.
    #[must_use]
    pub fn get(&self) -> Config {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn unhurried(mut config: Config) -> Config {
    config.seal = false;
    config.key_ops_per_s = u32::MAX;
    config.rejected_bytes_per_s = 0;
    config
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    /// Opens with these keys, projects and limits. The budgets of the edge are taken out: here there is time.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let settings = Settings(Arc::new(RwLock::new(unhurried(config))));
        Self { settings, scratch: Scratch::new() }
    }

    /// The settings, to replace them later.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// The payload a sealed record turns into: its events, decided; or one rejected entry that holds the request.
    pub fn open(&mut self, header: &Header, payload: &[u8]) -> Vec<u8> {
        let record = Record::parse(payload).unwrap_or_default();
        let opened = self.raw(record.raw, &record, header.recv_ns);
        opened.unwrap_or_else(|| unreadable(&record, header.recv_ns))
    }

    /// Decides a raw request again; `None` if it holds nothing or is no HTTP request.
    pub fn raw(&mut self, raw: &[u8], record: &Record<'_>, recv_ns: u64) -> Option<Vec<u8>> {
        let parsed = event::http::parse(raw).ok()?;
        let request = parsed.request(record.meta(meta::IP), recv_ns);
        self.decide(&request, record)
    }

    /// Decides a request; `record` tells the project of the location it came through.
    pub fn decide(&mut self, request: &event::Request<'_>, record: &Record<'_>) -> Option<Vec<u8>> {
        let mut config = self.settings.get();
        let through = record.meta(meta::PROJECT);
        let through = std::str::from_utf8(through).ok().filter(|name| is_name(name.as_bytes()));
        let mut request = *request;
        let mut query = Vec::new();
        match (&config.project, through) {
            // Any name is legal, but a request that names none belongs to its location's, not to `default`.
            (Project::Any, Some(name)) => {
                query.extend_from_slice(request.query);
                query.extend_from_slice(b"&project=");
                query.extend_from_slice(name.as_bytes());
                request.query = query.strip_prefix(b"&").unwrap_or(&query);
            }
            (Project::Named(_), Some(name)) => config.project = Project::Named(name.into()),
            (_, None) => {}
        }
        let accepted = event::accept(&request, &config, &mut self.scratch);
        accepted.store.is_some().then(|| accepted.payload())
    }
}

/// A record whose request cannot be read back: kept whole, as one rejected event, like at the edge.
fn unreadable(record: &Record<'_>, recv_ns: u64) -> Vec<u8> {
    let mut builder = Builder::default();
    for id in [meta::PROJECT, meta::IP, meta::USER_AGENT, meta::PATH] {
        builder.meta(id, record.meta(id), 1024);
    }
    builder.entry(&Entry::unopened((recv_ns / 1_000_000).cast_signed()));
    builder.code(CodeRef { index: 0, code: *b"X001", pointer: b"", detail: b"" });
    builder.payload(record.raw)
}
