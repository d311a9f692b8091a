//! The running shipper, as `tusk run` and `tusk up` start it: HTTP address, engine, control socket, in that order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use console::Console;
use shipper::engine::{Engine, StopReport};
use shipper::olap::{News, Supervisor};

use crate::config::{self, Config, Loaded};
use crate::log::LevelHandle;
use crate::{Fail, console as page, control, embed, http};

/// A sink whose target comes back tries again within so long.
const OLAP_NOTICED: Duration = Duration::from_secs(15);

/// Everything that runs.
pub(crate) struct Daemon {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// The settings in force.
    pub(crate) config: Config,
    file: Option<PathBuf>,
    data: Option<PathBuf>,
    log: LevelHandle,
    stopping: Arc<AtomicBool>,
    page: Option<control::Page>,
    control: Option<control::Server>,
    http: Option<http::Server>,
    olap: Option<Supervisor>,
    problems: Vec<String>,
}

impl Daemon {
    /// Starts; `data` is the folder named on the command line, kept for a reload. The embedded ClickHouse comes up meanwhile, if there
    /// is one: `tell` hears of it. `wait`: it is being built, with the output in that file.
    ///
    /// # Errors
    /// [`Fail`]: an address in use, a data folder that cannot be used, whatever the engine refuses.
    pub(crate) fn start(
        loaded: Loaded,
        data: Option<PathBuf>,
        log: LevelHandle,
        wait: Option<PathBuf>,
        tell: impl Fn(News) + Send + Sync + 'static,
    ) -> Result<Self, Fail> {
        let Loaded { config, file } = loaded;
        let listener = http::bind(config.listen).map_err(Fail::new)?;
        let mut settings = config.engine();
        let plan = embed::embed(&config, &mut settings, wait, &tell);
        let pages = config.console.enabled.then(|| settings.clone());
        let engine = Engine::start(settings).map_err(|error| Fail::new(error.to_string()))?;
        let engine = Arc::new(engine);
        let stopping = Arc::new(AtomicBool::new(false));
        let console = match pages {
            Some(settings) => Some(console(&config, &settings, &engine).map_err(Fail::new)?),
            None => None,
        };
        let page = console.clone().map(|console| -> control::Page {
            let address = config.listen;
            Arc::new(move || format!("http://{address}/?key={}", console.invite()))
        });
        let control = control::Server::start(&config.socket(), Arc::clone(&engine), page.clone())
            .map_err(Fail::new)?;
        let olap = plan.and_then(|mut plan| {
            plan.timezone = engine.status().timezone;
            // No thread is no reason not to collect.
            Supervisor::start(plan, tell)
                .map_err(|error| tracing::error!(%error, "no ClickHouse"))
                .ok()
        });
        let http = http::Server::start(
            listener,
            Arc::clone(&engine),
            Arc::clone(&stopping),
            &config.hosts,
            olap.as_ref().map(Supervisor::window),
            console,
        )
        .map_err(Fail::new)?;
        Ok(Self {
            engine,
            config,
            file,
            data,
            log,
            stopping,
            page,
            control: Some(control),
            http: Some(http),
            olap,
            problems: Vec::new(),
        })
    }

    /// A one-time address of the console's pages, if they are served.
    pub(crate) fn page(&self) -> Option<String> {
        self.page.as_ref().map(|page| page())
    }

    /// Where the embedded ClickHouse is, if there is one.
    pub(crate) fn olap_address(&self) -> Option<SocketAddr> {
        self.olap.as_ref().map(|_| self.config.olap.address())
    }

    /// Whether there is an embedded ClickHouse that does not answer yet, or not long enough for its sink to have noticed.
    pub(crate) fn olap_is_down(&self) -> bool {
        self.olap.as_ref().is_some_and(|olap| !olap.window().is_up_for(OLAP_NOTICED))
    }

    /// Logs what became wrong and what is well again since the last call.
    pub(crate) fn watch(&mut self) {
        for warning in self.engine.take_warnings() {
            tracing::warn!("{warning}");
        }
        let now = self.engine.status().problems;
        for problem in now.iter().filter(|problem| !self.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        for problem in self.problems.iter().filter(|problem| !now.contains(problem)) {
            tracing::info!("no more: {problem}");
        }
        self.problems = now;
    }

    /// Reads the configuration again and takes over what can be changed while running; says which settings wait for a restart.
    /// A configuration with an error changes nothing.
    pub(crate) fn reload(&mut self) {
        let loaded = match config::load(self.file.as_deref(), self.data.as_deref()) {
            Ok(loaded) => loaded,
            Err(error) => return tracing::error!("not reloaded: {error}"),
        };
        let names = config::changed(&self.config, &loaded.config);
        if let Err(error) = self.engine.reload_secrets() {
            tracing::error!("keys and tokens stay as they were: {error}");
        }
        let resumed = self.engine.resume();
        if !resumed.is_empty() {
            tracing::info!(sinks = ?resumed, "stopped sinks try again");
        }
        self.log.set(loaded.config.log.level);
        self.config.log.level = loaded.config.log.level;
        self.config.stop_timeout_s = loaded.config.stop_timeout_s;
        let waiting: Vec<_> = names
            .iter()
            .filter(|name| !matches!(name.as_str(), "log.level" | "stop_timeout_s"))
            .collect();
        if waiting.is_empty() {
            tracing::info!("reloaded");
        } else {
            tracing::warn!(settings = ?waiting, "reloaded; these settings take effect at the next start");
        }
    }

    /// Drains and stops; what is not done in `stop_timeout_s` stays in the journal for the next start.
    pub(crate) fn stop(mut self) -> StopReport {
        self.stopping.store(true, Ordering::Release);
        let report = self.engine.stop(Duration::from_secs(self.config.stop_timeout_s.into()));
        for warning in self.engine.take_warnings() {
            tracing::warn!("{warning}");
        }
        self.control.take();
        self.http.take();
        // After the sinks, which drain into it.
        self.olap.take();
        report
    }
}

/// The console over this engine.
fn console(
    config: &Config,
    settings: &shipper::engine::EngineConfig,
    engine: &Arc<Engine>,
) -> Result<Console, String> {
    let timezone = engine.status().timezone;
    let settings = config.console(settings, engine.node(), &timezone)?;
    Console::new(settings, Arc::new(page::Daemon::new(Arc::clone(engine))))
}
