//! How far the data reaches: when the newest event that is stored was received.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clickhouse::Client;
use crate::error::Problem;

/// A page asks for several reports at once: they share one look.
const KEPT: Duration = Duration::from_secs(2);
/// Projects remembered.
const PROJECTS_MAX: usize = 100;

/// The newest moment by project.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<HashMap<String, (Instant, i64)>>);

impl Fresh {
    /// In ms since 1970; 0 where nothing is stored.
    pub(super) async fn until(&self, client: &Client, project: &str) -> Result<i64, Problem> {
        if let Some(known) = self.known(project) {
            return Ok(known);
        }
        // by_minute has a row where there is an event: its newest day is the only one to look into.
        let sql = "SELECT toUnixTimestamp64Milli(max(recv_time)) FROM events WHERE project = {project:String} AND day >= \
                   (SELECT max(day) - 1 FROM by_minute WHERE project = {project:String})";
        let project_value = project.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
        let answer = client.rows(sql, &[("project".to_owned(), project_value)]).await?;
        let until = answer.rows.first().and_then(|row| row.first()?.as_i64()).unwrap_or(0).max(0);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= PROJECTS_MAX {
            all.clear();
        }
        all.insert(project.to_owned(), (Instant::now(), until));
        Ok(until)
    }

    fn known(&self, project: &str) -> Option<i64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(project).filter(|(at, _)| at.elapsed() < KEPT).map(|(_, until)| *until)
    }
}
