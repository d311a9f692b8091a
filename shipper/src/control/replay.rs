//! A replay over the control socket: `{"ok":null}`, then `{"event":[progress of each sink]}` until all are over. It ends with its
//! connection.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shipper::engine::Engine;
use shipper::replay::{Ask, Progress};

use super::server::{answer, gone};

/// How often progress is told.
const EVERY: Duration = Duration::from_millis(300);

pub(super) fn serve(
    stream: &mut UnixStream,
    engine: &Engine,
    ask: &Ask,
    stop: &AtomicBool,
) -> io::Result<()> {
    let jobs = match engine.replay(ask) {
        Ok(jobs) => jobs,
        Err(sentence) => return answer(stream, "error", &sentence),
    };
    let told = (|| {
        answer(stream, "ok", &())?;
        stream.set_read_timeout(Some(EVERY))?;
        loop {
            let progress: Vec<Progress> = jobs.iter().map(|job| job.progress()).collect();
            let over = progress.iter().all(|job| job.over);
            answer(stream, "event", &progress)?;
            if over || stop.load(Ordering::Acquire) || gone(stream) {
                return Ok(());
            }
        }
    })();
    jobs.iter().for_each(|job| job.cancel());
    told
}
