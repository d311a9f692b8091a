//! Where an event is: computed when somebody asks, from cursors, settings and names. Nothing is written down for it.

use super::Engine;
use super::shared::Shared;
use crate::sink::folder::project_folder;
use crate::sink::{SinksConfig, runner};
use crate::zone::Zone;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The event asked about, as its tap told it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// lsn of its record.
    pub lsn: u64,
    /// Effective project.
    pub project: String,
    /// Record type: `track`, `profile_set`, …
    pub kind: String,
    /// Arrival, ms since 1970.
    pub recv_ms: i64,
    /// Event time, ms since 1970.
    pub time_ms: i64,
    /// Whether it was rejected.
    pub rejected: bool,
}

/// Where one sink has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The sink's word.
    pub sink: String,
    /// `stored`, `waiting`, or `none`: it is not for this sink.
    pub state: &'static str,
    /// How long it has been waiting, ms; 0 once stored.
    pub lag_ms: i64,
    /// Names of places, such as `("table", "tusk.events")`.
    pub places: Vec<(&'static str, String)>,
}

impl Engine {
    /// Where every sink has it, as far as its cursor and the names at its target tell.
    pub fn stored(&self, asked: &Asked) -> Vec<Stored> {
        let windows = self.shared.sinks.get().map_or(&[][..], Vec::as_slice);
        windows.iter().map(|window| one(&self.shared, window, asked)).collect()
    }
}

fn one(shared: &Shared, window: &runner::Shared, asked: &Asked) -> Stored {
    let sinks = &shared.config.sink;
    let quarantine = window.name == "quarantine";
    let all = sinks.all();
    let config = all.iter().find(|(name, _)| *name == window.name).map(|(_, config)| config);
    let copies = config.is_some_and(|config| config.common().rejected_too);
    let wanted = if quarantine { asked.rejected } else { !asked.rejected || copies };
    let state = match (wanted, window.state().done > asked.lsn) {
        (false, _) => "none",
        (true, false) => "waiting",
        (true, true) => "stored",
    };
    let waiting_ms = (super::now_ms() - asked.recv_ms).max(0);
    let places = if wanted { places(shared, sinks, &window.name, asked) } else { Vec::new() };
    let lag_ms = if state == "waiting" { waiting_ms } else { 0 };
    Stored { sink: window.name.clone(), state, lag_ms, places }
}

fn places(
    shared: &Shared,
    sinks: &SinksConfig,
    sink: &str,
    asked: &Asked,
) -> Vec<(&'static str, String)> {
    let is_item = asked.kind.starts_with("item_");
    let is_event = asked.kind.starts_with("track") || asked.kind.is_empty();
    match sink {
        "file" => {
            let config = &sinks.file;
            let root = config.root.clone().unwrap_or_else(|| shared.config.data.join("files"));
            let by_receive = config.partition_by == crate::sink::file::PartitionBy::Receive;
            let Some(folder) = folder(shared, &root, by_receive, asked) else { return Vec::new() };
            let file = file_in(shared, &folder, asked.lsn);
            let mut places = vec![("folder", folder.display().to_string())];
            places.extend(file.map(|file| ("file", file)));
            places
        }
        "hdfs" => {
            let config = &sinks.hdfs;
            let by_receive = config.partition_by == crate::sink::file::PartitionBy::Receive;
            let Some(folder) = folder(shared, &config.root, by_receive, asked) else {
                return Vec::new();
            };
            vec![("cluster", config.url.clone()), ("folder", folder.display().to_string())]
        }
        "kafka" => {
            let config = &sinks.kafka;
            let topic = match (asked.rejected, is_item, is_event) {
                (true, ..) => &config.topic_rejected,
                (_, true, _) => &config.topic_items,
                (_, _, true) => &config.topic_events,
                _ => &config.topic_profiles,
            };
            vec![("topic", topic.replace("{project}", &asked.project))]
        }
        "clickhouse" => {
            let table = match (asked.rejected, is_item, is_event) {
                (true, ..) => "bad_events",
                (_, true, _) => "items",
                (_, _, true) => "events",
                _ => "profile_ops",
            };
            vec![("table", format!("{}.{table}", sinks.clickhouse.database))]
        }
        "mysql" => vec![("table", format!("{}.{}", sinks.mysql.database, sinks.mysql.table))],
        _ => Vec::new(),
    }
}

fn folder(shared: &Shared, root: &Path, by_receive: bool, asked: &Asked) -> Option<PathBuf> {
    let mut zone = Zone::named(&shared.timezone).ok()?;
    let hour = zone.hour(if by_receive { asked.recv_ms } else { asked.time_ms });
    let folder = root.join(project_folder(asked.project.as_bytes()));
    Some(folder.join(hour.dt()).join(hour.hour()))
}

/// The file whose range holds the record; `None` before it is finished.
fn file_in(shared: &Shared, folder: &Path, lsn: u64) -> Option<String> {
    let items = shared.disk.list(folder).ok()?;
    let holds = |name: &str| {
        crate::sink::folder::range_of(name, &shared.node)
            .is_some_and(|(from, to)| from <= lsn && lsn < to)
    };
    items.into_iter().map(|item| item.name).find(|name| holds(name))
}
