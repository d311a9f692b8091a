//! Starting: the order in which files are opened and threads begin.

use super::config::{host_name, is_node_name};
use super::shared::{Parts, Shared};
use super::watch::Watch;
use super::{Engine, EngineConfig, StartError, drain, threads};
use crate::disk::{Disk, RealDisk, create_dirs};
use crate::facts::FactsLog;
use crate::facts::pass::FactsPass;
use crate::fill::Fill;
use crate::health::Health;
use crate::import::Importer;
use crate::import::register::Register;
use crate::journal::{Journal, JournalError, Meta};
use crate::quarantine::Quarantine;
use crate::range::Want;
use crate::sealed::Opener;
use crate::sink::runner::{self, Reopen, Runner};
use crate::sink::{Common, Context, Records};
use crate::source::Follower;
use crate::state::State;
use crate::zone::Zone;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Requests of the quarantine's doors that may wait for the drain.
const APPENDS: usize = 4;

pub(super) fn start(config: EngineConfig) -> Result<Engine, StartError> {
    if let Some(problem) = config.problems().into_iter().next() {
        return Err(problem);
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let data = &config.data;
    let dir = data.join("journal");
    create_dirs(disk.as_ref(), data, &dir).map_err(|error| at(&dir, error))?;
    let lock = Arc::new(lock(data)?);
    let meta = meta(disk.as_ref(), &dir, &config)?;
    let zone = Zone::named(&meta.timezone).map_err(|problem| setting("timezone", problem))?;
    let bytes_max = config.journal_bytes_max(disk.as_ref()).map_err(|error| at(data, error))?;
    let log = FactsLog::open(Arc::clone(&disk), &dir, meta.epoch).map_err(|e| journal(&dir, e))?;
    let opened = Journal::open(
        Arc::clone(&disk),
        &dir,
        meta.epoch,
        &config.journal,
        bytes_max,
        log.end_lsn(),
    )
    .map_err(|error| journal(&dir, error))?;
    let segments = Arc::clone(opened.journal.segments());
    let imports = Register::open(Arc::clone(&disk), data, meta.epoch, &segments)
        .map_err(|error| journal(&dir, error))?;
    let shared = Shared::new(Parts {
        config,
        disk: Arc::clone(&disk),
        journal_dir: dir.clone(),
        node: meta.node(),
        timezone: meta.timezone.clone(),
        segments: Arc::clone(&segments),
        facts: Arc::clone(log.files()),
        torn_tails: u64::from(opened.torn_bytes > 0),
        journal_bytes_max: bytes_max,
        imports,
        health: Health::new(Arc::clone(&disk), &dir, meta.epoch, zone.clone()),
    });
    let shared = Arc::new(shared.map_err(|error| at(&dir, error))?);
    if opened.torn_bytes > 0 {
        shared.warn("journal", &format!("cut a torn tail of {} bytes", opened.torn_bytes));
    }
    let opener = Opener::new(shared.config.accept_config()?);
    let opens_with = opener.settings();
    let watch = Box::new(Watch::new(Arc::clone(&shared)));
    let parts = (segments, log, opener);
    let pass =
        FactsPass::open(Arc::clone(&disk), &dir, meta.epoch, &shared.config.facts, parts, watch)
            .map_err(|error| journal(&dir, error))?;
    let (sender, receiver) = crossbeam_channel::bounded(APPENDS);
    let fill =
        Fill::open(&shared.config.fill).map_err(|problem| setting("fill.geo_file", problem))?;
    let data = shared.config.data.clone();
    let all = shared.config.sink.all();
    let running = all.iter().filter(|(_, sink)| sink.common().enabled);
    let sinks = running.map(|(name, _)| (*name).to_owned()).collect();
    let olap = shared.config.olap.clone();
    let records =
        Records { segments: Arc::clone(&shared.segments), facts: Arc::clone(&shared.facts) };
    let context = Context {
        disk,
        data,
        node: meta.node(),
        state: None,
        zone,
        fill,
        sinks,
        olap,
        records: Some(records),
    };
    let importer = Importer::new(sender.clone(), Arc::clone(&shared));
    let quarantine = Quarantine::open(&context, &shared.config, sender)
        .map_err(|problem| setting("quarantine", problem))?;
    let runners = runners(&shared, &context, &quarantine, bytes_max)?;
    let follower = follower(&shared, &importer)?;
    let drain =
        drain::Drain::new(opened.journal, shared.config.ring_dir(), Arc::clone(&shared), receiver);
    let mut handles = vec![spawn("drain", move || drain.run())?];
    let facts = Arc::clone(&shared);
    handles.push(spawn("facts", move || threads::facts(pass, &facts))?);
    for (name, runner) in runners {
        let (shared, lock) = (Arc::clone(&shared), Arc::clone(&lock));
        handles.push(spawn(&name, move || {
            threads::sink(runner, &shared);
            // A stop may let a hanging sink go; the data folder stays this process's until its call has come back.
            drop(lock);
        })?);
    }
    if let Some(follower) = follower {
        handles.push(spawn("source-file", move || follower.run())?);
    }
    Ok(Engine {
        shared,
        quarantine,
        importer,
        opens_with,
        threads: Mutex::new(handles),
        _lock: lock,
    })
}

fn follower(shared: &Arc<Shared>, importer: &Importer) -> Result<Option<Follower>, StartError> {
    let config = &shared.config.source.file;
    if !config.is_on() {
        return Ok(None);
    }
    let disk = Arc::clone(&shared.disk);
    let follower = Follower::open(importer.clone(), config.clone(), disk, &shared.config.data);
    follower.map(Some).map_err(|error| setting("source.file", error.to_string()))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let builder = std::thread::Builder::new().name(format!("tusk-{name}"));
    builder.spawn(run).map_err(|error| StartError::File {
        path: format!("thread {name}"),
        problem: format!("{error}; raise the limit of processes (LimitNPROC, ulimit -u)"),
    })
}

fn runners(
    shared: &Arc<Shared>,
    context: &Context,
    quarantine: &Quarantine,
    bytes_max: u64,
) -> Result<Vec<(String, Runner)>, StartError> {
    let mut runners = Vec::new();
    let mut open = |name: &str, common: Common, want: Want, sink, reopen: Option<Reopen>| {
        let common = Common {
            lag_bytes_max: match common.lag_bytes_max {
                0 => bytes_max / 2,
                set => set,
            },
            ..common
        };
        let parts = runner::Parts {
            disk: Arc::clone(&context.disk),
            dir: context.data.join("state"),
            node: context.node.clone(),
            name: name.to_owned(),
            common,
            want,
            segments: Arc::clone(&shared.segments),
            facts: Arc::clone(&shared.facts),
            refused: quarantine.refused(),
            reopen,
        };
        let runner = Runner::open(parts, sink)
            .map_err(|problem| setting(&format!("sink.{name}"), problem))?;
        runners.push((name.to_owned(), runner));
        Ok::<_, StartError>(())
    };
    let (common, sink) = quarantine.sink();
    open("quarantine", common, Want::Quarantine, sink, None)?;
    for (name, config) in shared.config.sink.all() {
        if !config.common().enabled {
            continue;
        }
        let wrong = |problem| setting(&format!("sink.{name}"), problem);
        let path = context.data.join("state").join(format!("{name}.state"));
        let state = State::load(context.disk.as_ref(), &path).map_err(|e| wrong(e.to_string()))?;
        let sink = config.open(&Context { state, ..context.clone() }).map_err(wrong)?;
        let common = config.common();
        let name = name.to_owned();
        let want =
            if common.rejected_too { Want::All(name.clone()) } else { Want::Kept(name.clone()) };
        let (again, context, word) = (Arc::clone(shared), context.clone(), name.clone());
        let reopen: Reopen = Box::new(move |state| {
            let all = again.config.sink.all();
            let config = all.iter().find(|(name, _)| *name == word).map(|(_, config)| config);
            let config = config.ok_or_else(|| format!("there is no sink {word}"))?;
            config.open(&Context { state: Some(state), ..context.clone() })
        });
        open(&name, common, want, sink, Some(reopen))?;
    }
    let windows: Vec<_> = runners.iter().map(|(_, runner)| Arc::clone(runner.shared())).collect();
    quarantine.watch(&windows, &shared.segments);
    let _ = shared.sinks.set(windows);
    Ok(runners)
}

fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o640);
    let file = options.open(&path).map_err(|error| at(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StartError::InUse(data.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(at(&path, error)),
    }
}

/// META as it is, or made at the first start.
fn meta(disk: &dyn Disk, dir: &Path, config: &EngineConfig) -> Result<Meta, StartError> {
    let zone = || match &config.timezone {
        Some(name) => Zone::named(name).map_err(|problem| setting("timezone", problem)),
        None => Ok(Zone::system()),
    };
    let Some(meta) = Meta::load(disk, dir).map_err(|error| journal(dir, error))? else {
        let strangers = disk.list(dir).map_err(|error| at(dir, error))?;
        if strangers.iter().any(|item| item.name.ends_with(".seg") || item.name.ends_with(".facts"))
        {
            return Err(StartError::File {
                path: dir.display().to_string(),
                problem:
                    "has segments but no META; restore META from a backup, or move the folder away"
                        .to_owned(),
            });
        }
        let name = config.node.clone().unwrap_or_else(host_name);
        let meta = Meta { name, epoch: random(), timezone: zone()?.name().to_owned() };
        meta.save(disk, dir).map_err(|error| journal(dir, error))?;
        return Ok(meta);
    };
    if let Some(name) = &config.node
        && *name != meta.name
        && is_node_name(name)
    {
        return Err(setting(
            "node",
            format!(
                "the journal in {} is that of `{}`; keep that name, or give `{name}` its own data folder",
                dir.display(),
                meta.name
            ),
        ));
    }
    if config.timezone.is_some() && zone()?.name() != meta.timezone {
        return Err(setting(
            "timezone",
            format!(
                "the folders so far are in {}; keep it, or change it with `tusk migrate`",
                meta.timezone
            ),
        ));
    }
    Ok(meta)
}

/// 32 bits nobody can guess twice, from the seed the system gives each hash map.
fn random() -> u32 {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(super::now_ns());
    #[expect(clippy::cast_possible_truncation, reason = "half of a random number")]
    let epoch = hasher.finish() as u32;
    epoch
}

fn setting(name: &str, problem: impl Into<String>) -> StartError {
    StartError::Setting { setting: name.to_owned(), problem: problem.into() }
}

fn at(path: &Path, error: std::io::Error) -> StartError {
    StartError::File { path: path.display().to_string(), problem: error.to_string() }
}

fn journal(dir: &Path, error: JournalError) -> StartError {
    match error {
        JournalError::Foreign { path, problem } => StartError::File { path, problem },
        other => StartError::File { path: dir.display().to_string(), problem: other.to_string() },
    }
}
