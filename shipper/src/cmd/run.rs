//! `tusk run`: the daemon in the foreground.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::Common;
use crate::daemon::Daemon;
use crate::{Fail, embed, log};

/// How often problems are looked for.
const WATCH: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(common: &Common) -> Result<ExitCode, Fail> {
    let loaded = common.load()?;
    let level = log::init(loaded.config.log);
    let signals = signals(&[SIGTERM, SIGINT, SIGHUP])?;
    let mut daemon = Daemon::start(loaded, common.data.clone(), level, None, embed::log)?;
    let status = daemon.engine.status();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = status.node,
        timezone = status.timezone,
        data = %daemon.config.data.display(),
        ring = %daemon.config.ring().display(),
        listen = %daemon.config.listen,
        "started"
    );
    tell(&[NotifyState::Ready]);
    let (mut watchdog_us, mut every) = (0, WATCH);
    if sd_notify::watchdog_enabled(false, &mut watchdog_us) {
        // Half the limit, as systemd asks; not 0, so that the loop below can wait.
        every = Duration::from_micros((watchdog_us / 2).max(1)).min(WATCH);
    }
    let mut watched = Instant::now();
    loop {
        match signals.recv_timeout(every) {
            Ok(SIGHUP) => {
                tell(&[NotifyState::Reloading]);
                daemon.reload();
                tell(&[NotifyState::Ready]);
            }
            Ok(_) => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if watched.elapsed() >= every {
            // Asks the engine, so a daemon whose engine hangs is not called alive.
            daemon.watch();
            watched = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
    tell(&[NotifyState::Stopping]);
    tracing::info!("stopping: draining the ring and the sinks; a second signal ends at once");
    end_at_next(signals);
    let report = daemon.stop();
    tracing::info!(
        ring_drained = report.ring_drained,
        sinks_drained = report.sinks_drained,
        "stopped; what is left goes on at the next start"
    );
    Ok(ExitCode::SUCCESS)
}

/// Signals as a channel.
pub(crate) fn signals(which: &[i32]) -> Result<Receiver<i32>, Fail> {
    let mut signals = signal_hook::iterator::Signals::new(which)
        .map_err(|error| Fail::new(format!("cannot listen for signals: {error}")))?;
    let (sender, receiver) = unbounded();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| Fail::new(format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

/// Ends the process at the next signal to stop: safe at any instruction, the journal has it all.
pub(crate) fn end_at_next(signals: Receiver<i32>) {
    // Without the thread only the short cut is missing.
    let _ = std::thread::Builder::new().name("second-signal".to_owned()).spawn(move || {
        while let Ok(signal) = signals.recv() {
            if signal != SIGHUP {
                std::process::exit(1);
            }
        }
    });
}

/// Tells systemd, if it started us.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
