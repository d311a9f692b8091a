//! Asking every target whether it could be delivered to, for `tusk check`.

use super::EngineConfig;
use super::config::host_name;
use crate::disk::{Disk, RealDisk};
use crate::fill::Fill;
use crate::journal::Meta;
use crate::sink::Context;
use crate::zone::Zone;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// How long all targets together may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// What a target said, or what is wrong and what to change, in one line.
pub type Probed = (String, Result<String, String>);

/// Asks the target of every sink that is switched on, all at once; changes nothing there. Answers within ten seconds.
#[must_use]
pub fn probe(config: &EngineConfig) -> Vec<Probed> {
    let all = config.sink.all();
    let names: Vec<String> = all
        .iter()
        .filter(|(_, sink)| sink.common().enabled)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let context = match context(config, &names) {
        Ok(context) => context,
        Err(problem) => {
            return names.into_iter().map(|name| (name, Err(problem.clone()))).collect();
        }
    };
    let (sender, receiver) = channel();
    for (place, name) in names.iter().enumerate() {
        let (name, config) = (name.clone(), config.clone());
        let (context, sender) = (context.clone(), sender.clone());
        // A thread that hangs in a call is left behind; the process is about to end.
        let spawned = std::thread::Builder::new().spawn(move || {
            let all = config.sink.all();
            let sink = all.iter().find(|(word, _)| *word == name);
            let found = sink.map(|(_, sink)| sink.probe(&context));
            let _ = sender.send((place, found.unwrap_or_else(|| Err("no such sink".to_owned()))));
        });
        if let Err(error) = spawned {
            return names.into_iter().map(|name| (name, Err(error.to_string()))).collect();
        }
    }
    drop(sender);
    let deadline = Instant::now() + LIMIT;
    let mut found: Vec<Option<Result<String, String>>> = vec![None; names.len()];
    while let Ok((place, answer)) =
        receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        if let Some(slot) = found.get_mut(place) {
            *slot = Some(answer);
        }
    }
    let late = || Err(format!("no answer within {} s", LIMIT.as_secs()));
    names.into_iter().zip(found).map(|(name, answer)| (name, answer.unwrap_or_else(late))).collect()
}

/// As a start would make it; the journal may not be there yet.
fn context(config: &EngineConfig, sinks: &[String]) -> Result<Context, String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let meta = Meta::load(disk.as_ref(), &config.data.join("journal"));
    let meta = meta.map_err(|error| error.to_string())?;
    let (node, zone) = match &meta {
        Some(meta) => (meta.node(), Zone::named(&meta.timezone)?),
        None => {
            let name = config.node.clone().unwrap_or_else(host_name);
            let zone = config.timezone.as_deref().map_or_else(|| Ok(Zone::system()), Zone::named);
            (format!("{name}-00000000"), zone?)
        }
    };
    Ok(Context {
        disk,
        data: config.data.clone(),
        node,
        state: None,
        zone,
        fill: Fill::open(&config.fill)?,
        sinks: sinks.to_vec(),
        olap: config.olap.clone(),
        records: None,
    })
}
