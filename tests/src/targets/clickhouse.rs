//! ClickHouse: the product's own embedded engine as a server, behind a proxy.

use std::path::Path;
use std::time::Duration;

use crate::contract::{Act, Target};
use crate::load;
use crate::oracle::Seen;
use crate::proxy::Proxy;
use crate::servers::olap::Olap;

/// What identifies an event of the load in table `events`.
const ROWS: &str =
    "SELECT num['request'], num['index'], node, lsn, idx FROM tusk.events FORMAT TSV";

/// A running engine.
#[derive(Debug)]
pub struct ClickhouseTarget {
    /// The server.
    pub olap: Olap,
    proxy: Proxy,
}

impl ClickhouseTarget {
    /// Starts one.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let olap = Olap::start();
        let proxy = Proxy::to(olap.address().port());
        Self { olap, proxy }
    }
}

impl Target for ClickhouseTarget {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn toml(&self, _: &Path) -> String {
        format!(
            "[sink.clickhouse]\nenabled = true\nurl = \"http://{}\"\npassword_file = \"{}\"\nmigrate_at_start = true\n\
             range_age_ms_max = 200\ntimeout_s = 3\n",
            self.proxy.address(),
            self.olap.data().join("key").display()
        )
    }

    fn parts(&self) -> &'static [&'static str] {
        &["olap"]
    }

    fn act(&mut self, _: usize, act: Act) {
        match act {
            Act::Kill => self.olap.kill(),
            Act::End => self.olap.stop(),
            Act::Start => self.olap.restart(),
            Act::Freeze => self.olap.pause(),
            Act::Thaw => self.olap.resume(),
        }
    }

    fn wait_ready(&mut self) {
        // It was waited for when it started.
    }

    fn proxy(&self) -> Option<&Proxy> {
        Some(&self.proxy)
    }

    fn late(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn read(&self, _: &Path) -> Vec<Seen> {
        // Also rows that a merge or the reader would take for one.
        let text = self.olap.query(ROWS);
        text.lines().map(|line| Seen::row(line.split('\t'))).collect()
    }

    fn poison(&mut self, request: u64, index: u32) -> Option<String> {
        self.olap.query("ALTER TABLE tusk.events ADD CONSTRAINT no_poison CHECK event != 'Poison'");
        Some(load::event(request, index, 0).replace("\"Load\"", "\"Poison\""))
    }
}
