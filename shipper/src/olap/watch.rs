//! Starts `tusk-olap`, watches it and starts it again. It ends with this process, however that ends: its stdin is a pipe that only we
//! hold.

use super::{Found, Missing, OlapConfig, find};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the process is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is looked for while it is being built.
const LOOK_FOR: Duration = Duration::from_secs(1);
/// How often it is asked whether it answers …
const ASK: Duration = Duration::from_secs(5);
/// … and how long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// It is killed and started again when it answered nothing for so long: a busy machine is slow, a hung engine is for ever.
const SILENT: Duration = Duration::from_secs(60);
/// How long a start may take: after a kill it reads its parts again, 0.6 s were seen.
const START: Duration = Duration::from_secs(120);
/// First pause before it is started again, doubled each time …
const PAUSE: Duration = Duration::from_millis(500);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// One that lived so long was well: pauses begin anew.
const WELL: Duration = Duration::from_secs(60);
/// What a stop may take beyond `stop_timeout_s`: the engine writes down what it has.
const STOP_MORE: Duration = Duration::from_secs(15);

/// What it may know of our environment.
const KEPT: [&str; 5] = ["LANG", "LC_ALL", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "TZ"];

/// What happens to it, for a log or a screen: one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is not there yet, or cannot be had; the sentence says why.
    Missing(String),
    /// It answers at this address.
    Ready {
        /// Where.
        address: SocketAddr,
        /// What it said about itself.
        text: String,
    },
    /// It ended, or did not start, and will be started again.
    Ended {
        /// Why: its last words and how it ended.
        why: String,
        /// When it is started again.
        retry: Duration,
    },
    /// A line it wrote to stderr.
    Said(String),
}

/// What can be seen of it at any moment.
#[derive(Debug, Default)]
pub struct Window {
    up: AtomicBool,
    since: Mutex<Option<Instant>>,
    restarts: AtomicU64,
    process: AtomicU64,
}

impl Window {
    /// Whether it answered when last asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether it has answered for so long. A sink that met it down says so until it tries again.
    #[must_use]
    pub fn is_up_for(&self, time: Duration) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_up() && since.is_some_and(|since| since.elapsed() >= time)
    }

    fn set(&self, up: bool) {
        if self.up.swap(up, Ordering::Relaxed) != up {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = up.then(Instant::now);
        }
    }

    /// How often it was started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Its process id; 0 while there is none.
    #[must_use]
    pub fn process(&self) -> u64 {
        self.process.load(Ordering::Relaxed)
    }

    /// Prometheus text.
    pub fn metrics(&self, out: &mut String) {
        use std::fmt::Write as _;
        let (up, restarts) = (u8::from(self.is_up()), self.restarts());
        let _ = write!(
            out,
            "# HELP tusk_olap_up 1 while the embedded ClickHouse answers.\n# TYPE tusk_olap_up gauge\ntusk_olap_up {up}\n\
             # HELP tusk_olap_restarts_total How often it was started again.\n# TYPE tusk_olap_restarts_total counter\n\
             tusk_olap_restarts_total {restarts}\n"
        );
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `[olap]`
    pub config: OlapConfig,
    /// Its folder.
    pub folder: PathBuf,
    /// The journal's zone.
    pub timezone: String,
    /// Somebody builds it meanwhile, with the output in this file: wait for it.
    pub wait: Option<PathBuf>,
}

/// The thread that looks after it.
#[derive(Debug)]
pub struct Supervisor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    window: Arc<Window>,
}

impl Supervisor {
    /// Begins; returns at once. `tell` hears what happens.
    ///
    /// # Errors
    /// No thread.
    pub fn start(plan: Plan, tell: impl Fn(News) + Send + Sync + 'static) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let window = Arc::new(Window::default());
        let watch = Watch {
            plan,
            window: Arc::clone(&window),
            stopped,
            tell: Arc::new(tell),
            pause: PAUSE,
        };
        let thread =
            std::thread::Builder::new().name("olap".to_owned()).spawn(move || watch.run())?;
        Ok(Self { stop: Some(stop), thread: Some(thread), window })
    }

    /// What can be seen.
    #[must_use]
    pub fn window(&self) -> Arc<Window> {
        Arc::clone(&self.window)
    }
}

impl Drop for Supervisor {
    /// Ends it in order and waits.
    fn drop(&mut self) {
        self.stop.take();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

type Tell = Arc<dyn Fn(News) + Send + Sync>;

struct Watch {
    plan: Plan,
    window: Arc<Window>,
    stopped: Receiver<()>,
    tell: Tell,
    pause: Duration,
}

/// How a life ended.
enum End {
    /// A stop was asked for.
    Stopped,
    /// By itself or by us.
    Over(String),
}

impl Watch {
    fn run(mut self) {
        let Some(found) = self.found() else { return };
        loop {
            let start = Instant::now();
            let end = match self.spawn(&found) {
                Ok(life) => self.live(life),
                Err(error) => End::Over(format!("{}: {error}", found.program.display())),
            };
            self.window.set(false);
            self.window.process.store(0, Ordering::Relaxed);
            let End::Over(why) = end else { return };
            if start.elapsed() >= WELL {
                self.pause = PAUSE;
            }
            let retry = self.pause;
            (self.tell)(News::Ended { why, retry });
            if !self.sleep(retry) {
                return;
            }
            self.pause = (retry * 2).min(PAUSE_MAX);
            self.window.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// False if a stop is asked for meanwhile.
    fn sleep(&self, time: Duration) -> bool {
        matches!(self.stopped.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    /// Program and library, waited for if somebody builds them; `None`: there will be none, or a stop.
    fn found(&self) -> Option<Found> {
        let mut told = String::new();
        loop {
            let missing = match find(&self.plan.config) {
                Ok(found) => return Some(found),
                Err(missing) => missing,
            };
            let text = match (&self.plan.wait, &missing) {
                (Some(log), Missing::NotYet(_)) => match failure(log) {
                    Some(line) => format!("could not be built: {line}; see {}", log.display()),
                    None => format!("being built, see {}", log.display()),
                },
                _ => missing.to_string(),
            };
            if text != told {
                (self.tell)(News::Missing(text.clone()));
                told = text;
            }
            if self.plan.wait.is_none() || missing == Missing::Never || !self.sleep(LOOK_FOR) {
                return None;
            }
        }
    }

    fn spawn(&self, found: &Found) -> io::Result<Life> {
        let Plan { config, folder, timezone, .. } = &self.plan;
        let mut child = Command::new(&found.program)
            .args(config.arguments(&found.library, folder, timezone))
            // Secrets of other sinks may stand in the environment, and SQL gets at its process's.
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: it has to live until the sink has drained.
            .process_group(0)
            .spawn()?;
        self.window.process.store(child.id().into(), Ordering::Relaxed);
        let words = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let (words, tell) = (Arc::clone(&words), Arc::clone(&self.tell));
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    line.clone_into(&mut words.lock().unwrap_or_else(PoisonError::into_inner));
                    tell(News::Said(line));
                }
            });
        }
        let (ready, is_ready) = bounded(1);
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(text) = line.strip_prefix("ready ") {
                        let _ = ready.try_send(text.to_owned());
                    }
                }
            });
        }
        Ok(Life { child, words, is_ready })
    }

    fn live(&self, mut life: Life) -> End {
        let (mut ready, mut answered, mut asked) = (false, Instant::now(), Instant::now());
        loop {
            match life.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return End::Over(life.over(status)),
                Err(error) => return End::Over(error.to_string()),
            }
            if !ready && let Ok(text) = life.is_ready.try_recv() {
                (ready, answered, asked) = (true, Instant::now(), Instant::now());
                self.window.set(true);
                (self.tell)(News::Ready { address: self.plan.config.address(), text });
            }
            if ready && asked.elapsed() >= ASK {
                let up = answers(self.plan.config.address());
                asked = Instant::now();
                if up {
                    answered = asked;
                }
                self.window.set(up);
            }
            let limit = if ready { SILENT } else { START };
            if answered.elapsed() >= limit {
                life.kill();
                return End::Over(format!(
                    "it answered nothing for {} s and was killed",
                    limit.as_secs()
                ));
            }
            if !self.sleep(LOOK) {
                let limit = Duration::from_secs(self.plan.config.stop_timeout_s.into());
                life.stop(limit + STOP_MORE);
                return End::Stopped;
            }
        }
    }
}

/// One process.
struct Life {
    child: Child,
    words: Arc<Mutex<String>>,
    is_ready: Receiver<String>,
}

impl Life {
    fn over(&self, status: ExitStatus) -> String {
        // Its last line may be on its way still.
        std::thread::sleep(Duration::from_millis(20));
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() { status.to_string() } else { format!("{words} ({status})") }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of its stdin is what it ends by.
    fn stop(&mut self, limit: Duration) {
        self.child.stdin.take();
        let start = Instant::now();
        while start.elapsed() < limit {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }
}

/// Asks `/ping`; false after five seconds without an answer.
#[must_use]
pub fn answers(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

/// What a build that failed says about itself; `None` while it goes on.
fn failure(log: &std::path::Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    lines.find(|line| line.starts_with("make") && line.contains("***"))?;
    let reason =
        text.lines().rev().find(|line| !line.starts_with("make") && !line.trim().is_empty());
    Some(reason.unwrap_or("make failed").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_is_told_from_one_that_goes_on() {
        let path = std::env::temp_dir().join(format!("tusk-olap-log-{}", std::process::id()));
        let say = |text: &str| {
            std::fs::write(&path, text).unwrap();
            failure(&path)
        };
        assert_eq!(say("libchdb: 50 of 178 MB\n   Compiling olap\n"), None);
        let failed = say("libchdb: npm is not installed\nmake: *** [Makefile:39: olap] Error 3\n");
        assert_eq!(failed.as_deref(), Some("libchdb: npm is not installed"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(failure(&path), None);
    }
}
