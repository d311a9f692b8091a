//! The shipper that drains the ring while the peer `tusk` is measured.

use crate::{Error, Setup, http, proc};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the shipper to come up or to have written everything.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A running `tusk run`. Dropped: stopped.
pub struct Shipper {
    child: Child,
}

impl Shipper {
    /// Starts it on a new data folder: file sink, zstd, defaults otherwise. Waits until it is ready.
    ///
    /// # Errors
    /// If it does not come up; says what it said.
    pub fn start(peer: &str, setup: &Setup) -> Result<Self, Error> {
        let data = setup.tusk_data(peer);
        let port = crate::peer::free_port()?;
        let config = setup.run.join(format!("{peer}.toml"));
        fs::write(
            &config,
            format!(
                "data = \"{data}\"\nring = \"{ring}\"\nlisten = \"127.0.0.1:{port}\"\n{more}",
                data = data.display(),
                ring = setup.tusk_ring(peer).display(),
                more = SETTINGS
            ),
        )?;
        let log_path = setup.run.join(format!("{peer}.log"));
        let log = fs::File::create(&log_path)?;
        // On the generator's core: the server keeps its own.
        let child = Command::new("taskset")
            .args(["-c", &setup.generator_core().to_string()])
            .arg(&setup.tusk)
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut shipper = Self { child };
        let start = Instant::now();
        loop {
            if http::get(port, "/readyz").is_ok_and(|answer| answer.status == 200) {
                return Ok(shipper);
            }
            if shipper.child.try_wait()?.is_some() || start.elapsed() > WAIT_MAX {
                let said = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(format!("`tusk run` does not come up: {said}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has written what the ring held: no CPU for half a second.
    ///
    /// # Errors
    /// If it does not come to rest.
    pub fn wait_idle(&self) -> Result<(), Error> {
        let start = Instant::now();
        let mut quiet = 0;
        while quiet < 5 {
            let before = proc::cpu(&[self.pid()]);
            std::thread::sleep(Duration::from_millis(100));
            let used = proc::cpu(&[self.pid()]).since(before).total_s();
            quiet = if used < 0.02 { quiet + 1 } else { 0 };
            if start.elapsed() > WAIT_MAX {
                return Err("the shipper is still at work after two minutes".into());
            }
        }
        Ok(())
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        crate::peer::stop(&mut self.child);
    }
}

/// What differs from the defaults: no embedded ClickHouse beside what is measured.
const SETTINGS: &str = "[olap]\nenabled = false\n";
