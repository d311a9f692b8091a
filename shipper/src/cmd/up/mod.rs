//! `tusk up`: nginx with the module and the daemon, in the foreground, for the first minute and for debugging. What `make run` runs.
//!
//! Reads no configuration file unless one is named, so that nothing is sent elsewhere. A stop loses nothing: nginx answers what it
//! has (QUIT), then the ring is drained; the next start goes on with the same data.

mod banner;
mod nginx;
mod place;
mod tls;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select, tick};
use event::Lang;
use shipper::olap::News;
use shipper::sink::file::Compression;
use shipper::tap::TapEvent;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::put;
use super::run::{end_at_next, signals};
use super::tail::row::{Layout, Row};
use crate::Fail;
use crate::cli::{Common, Up};
use crate::config::{Config, Loaded, load};
use crate::control::client::connect;
use crate::daemon::Daemon;
use crate::embed;
use crate::lang::{self, pick};
use crate::log::{self, Level};
use crate::term::{self, Paint, Tone, count};
use nginx::Nginx;

/// Events the display may lag behind.
const TAP_EVENTS: usize = 2_000;
/// How often nginx is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// A range is closed at this age, ms: files appear while one looks.
const RANGE_AGE_MS: u64 = 2_000;

/// What was found out before anything starts.
struct Plan {
    data: PathBuf,
    /// Where to receive.
    address: std::net::SocketAddr,
    /// By which a phone or another machine reaches it; with `--lan`.
    lan: Option<std::net::IpAddr>,
    tls: Option<tls::Files>,
    /// Where the embedded ClickHouse is, or will be once it is up.
    olap: Option<std::net::SocketAddr>,
    lang: Lang,
    paint: Paint,
    /// Columns of the terminal, if it is one.
    columns: Option<usize>,
}

impl Plan {
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The receive URL as seen from `host`.
    fn url(&self, host: &str) -> String {
        format!("{}://{host}:{}/sa?project=default", self.scheme(), self.address.port())
    }

    /// Host by which this machine reaches it.
    fn here(&self) -> String {
        let ip = self.address.ip();
        if ip.is_unspecified() {
            return "127.0.0.1".to_owned();
        }
        if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
    }

    /// Host by which others reach it: the LAN address if there is one.
    fn host(&self) -> String {
        match self.lan {
            Some(ip) if ip.is_ipv6() => format!("[{ip}]"),
            Some(ip) => ip.to_string(),
            None => self.here(),
        }
    }

    fn say(&self, tone: Tone, text: &str) {
        say(&self.paint.tone(tone, text));
    }
}

/// Starts everything, shows events, stops everything.
pub(crate) fn run(common: &Common, arguments: &Up) -> Result<ExitCode, Fail> {
    let (mut loaded, lang) = configuration(common)?;
    let data = loaded.config.data.clone();
    let nginx = place::program(&arguments.nginx)?;
    let module = place::file(&arguments.module)?;
    let mut log_config = loaded.config.log;
    if common.config.is_none() {
        log_config.level = Level::Warn; // the screen belongs to the events
    }
    let level = log::init(log_config);
    let signals = signals(&[SIGTERM, SIGINT, SIGHUP])?;

    if connect(&loaded.config.socket()).is_ok() {
        return Err(Fail::new(format!(
            "{} is in use by a running tusk: stop it first, or give this one its own folder (--data, make run DATA=)",
            data.display()
        )));
    }
    let user = place::user()?;
    place::folder(&data, user.as_ref())?;
    if nginx::stop_leftover(&data) > 0 {
        let text = pick(
            lang,
            "上次留下的 nginx 已停止；它收下的数据都在",
            "stopped an nginx left by an earlier run; what it took is kept",
        );
        say(text);
    }
    let listen = if arguments.lan { place::all(arguments.listen) } else { arguments.listen };
    let address = place::free((listen, arguments.port).into(), lang)?;
    loaded.config.listen = place::free(arguments.console, lang)?;
    if arguments.web.is_some() {
        loaded.config.console.web.clone_from(&arguments.web);
    }
    if loaded.config.olap.enabled {
        loaded.config.olap.listen = place::free(loaded.config.olap.listen, lang)?;
    }
    let lan = if arguments.lan { place::lan_address(lang) } else { None };
    let tls = if arguments.tls { Some(tls::files(&data, listen, lan)?) } else { None };
    let mut plan = Plan {
        data,
        address,
        lan,
        tls,
        olap: None,
        lang,
        paint: Paint::for_stdout(),
        columns: term::columns(),
    };

    loaded.config.console.receive = vec![plan.url(&plan.host())];
    if plan.lan.is_some() {
        loaded.config.console.receive.push(plan.url(&plan.here()));
    }
    let conf = nginx::Conf { module: &module, user: user.as_ref(), plan: &plan };
    nginx::write(&conf)?;
    nginx::check(&nginx, &plan.data)?;
    let wait = arguments.olap_wait.clone();
    let key = shorter(&loaded.config.olap.folder(&plan.data).join("key"));
    let paint = plan.paint;
    let tell = move |news: News| {
        if let Some(line) = embed::line(&news, &key, lang) {
            let tone = if matches!(news, News::Ended { .. }) { Tone::Warn } else { Tone::Good };
            say(&paint.tone(tone, &line));
        }
    };
    let daemon = Daemon::start(loaded, Some(plan.data.clone()), level, wait, tell)?;
    plan.olap = daemon.olap_address();
    let events = daemon.engine.tap(TAP_EVENTS);
    let mut nginx = Nginx::start(&nginx, &plan.data, plan.address)?;

    let layout = Layout::new(lang, plan.columns, plan.paint);
    let mut text = banner::text(&plan, daemon.config.listen, daemon.page().as_deref());
    text += &layout.head();
    let shown = put(&text)? && follow(&plan, &daemon, &mut nginx, &events, &signals, &layout)?;
    if shown {
        plan.say(
            Tone::Faint,
            pick(
                lang,
                "正在停止…（再按一次立即退出，也不丢数据）",
                "stopping … (once more ends at once and loses nothing either)",
            ),
        );
    }
    end_at_next(signals);
    nginx.quit();
    stop(&plan, daemon);
    Ok(ExitCode::SUCCESS)
}

fn configuration(common: &Common) -> Result<(Loaded, Lang), Fail> {
    let mut loaded = match &common.config {
        Some(file) => load(Some(file), common.data.as_deref())?,
        None => {
            let data = common.data.clone().unwrap_or_else(|| PathBuf::from("data"));
            let mut config = Config { data, any_project: true, ..Config::default() };
            config.sink.file.compression = Compression::None;
            config.sink.file.range_age_ms_max = RANGE_AGE_MS;
            Loaded { config, file: None }
        }
    };
    if let Some(lang) = common.lang {
        loaded.config.lang = Some(lang.into());
    }
    let data = std::path::absolute(&loaded.config.data)
        .map_err(|error| Fail::new(format!("{}: {error}", loaded.config.data.display())))?;
    loaded.config.data = data;
    let lang = lang::choose(loaded.config.lang);
    Ok((loaded, lang))
}

/// Shows events until a signal; `false` if nobody reads the screen any more.
fn follow(
    plan: &Plan,
    daemon: &Daemon,
    nginx: &mut Nginx,
    events: &Receiver<Arc<TapEvent>>,
    signals: &Receiver<i32>,
    layout: &Layout,
) -> Result<bool, Fail> {
    let mut events = events.clone();
    let look = tick(LOOK);
    let mut dropped = daemon.engine.status().tap.dropped;
    let mut problems: Vec<String> = Vec::new();
    let mut looks: u64 = 0;
    loop {
        select! {
            recv(signals) -> _ => return Ok(true),
            recv(events) -> event => match event {
                Ok(event) => {
                    if !put(&layout.event(&Row::from(&*event)))? {
                        return Ok(false);
                    }
                }
                Err(_) => events = never(),
            },
            recv(look) -> _ => {
                nginx.keep_alive(plan)?;
                looks += 1;
                if looks.is_multiple_of(10) {
                    let mut status = daemon.engine.status();
                    if daemon.olap_is_down() {
                        // Said already; the sink only says it once more.
                        status.problems.retain(|problem| !problem.starts_with("sink clickhouse is retrying"));
                    }
                    for problem in status.problems.iter().filter(|problem| !problems.contains(problem)) {
                        plan.say(Tone::Bad, problem);
                    }
                    problems = status.problems;
                    if status.tap.dropped > dropped && events.is_empty() {
                        let missed = count(status.tap.dropped - dropped);
                        plan.say(Tone::Warn, &pick(
                            plan.lang,
                            format!("显示跟不上，略过了 {missed} 条（数据都已保存）"),
                            format!("too fast for this screen: {missed} events not shown (all are stored)"),
                        ));
                        dropped = status.tap.dropped;
                    }
                }
            },
        }
    }
}

/// Drains and says what there is now.
fn stop(plan: &Plan, daemon: Daemon) {
    let engine = Arc::clone(&daemon.engine);
    let files = daemon.config.files();
    let report = daemon.stop();
    let ledger = engine.ledger();
    let (received, kept, rejected) =
        (count(ledger.received), count(ledger.kept), count(ledger.rejected));
    let files = shorter(&files);
    let text = pick(
        plan.lang,
        format!(
            "已停止。累计接收 {received}，入库 {kept}，隔离 {rejected}；数据在 {files}，下次接着用"
        ),
        format!(
            "stopped. In all {received} received, {kept} kept, {rejected} rejected; data in {files}, the next start goes on with it"
        ),
    );
    plan.say(Tone::Good, &text);
    if !(report.ring_drained && report.sinks_drained) {
        let text = pick(
            plan.lang,
            "还有数据在 ring / journal 里，下次启动继续写",
            "some of it is still in ring or journal; the next start writes it",
        );
        plan.say(Tone::Warn, text);
    }
}

/// A line on stderr; a terminal that was closed is no reason to stop in the middle of a stop.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The path as seen from here, if it is below.
fn shorter(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// This program as one would type it.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "tusk".to_owned(), |path| shorter(&path))
}
