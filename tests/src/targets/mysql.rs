//! MySQL: a MariaDB behind a proxy.

use std::path::Path;
use std::time::Duration;

use crate::contract::{Act, Target};
use crate::load;
use crate::oracle::Seen;
use crate::proxy::Proxy;
use crate::servers::mariadb::Mariadb;

/// What identifies an event of the load in the debug table; rejected ones are none of the load.
const ROWS: &str = "SELECT JSON_VALUE(json, '$.properties.request'), JSON_VALUE(json, '$.properties.index'), node, lsn, idx \
                    FROM tusk_events WHERE result <> 'rejected'";

/// A running server.
#[derive(Debug)]
pub struct MysqlTarget {
    /// The server.
    pub server: Mariadb,
    proxy: Proxy,
}

impl MysqlTarget {
    /// Starts one.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let server = Mariadb::start();
        let proxy = Proxy::to(server.port());
        Self { server, proxy }
    }
}

impl Target for MysqlTarget {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn toml(&self, _: &Path) -> String {
        let port = format!("port = {}", self.server.port());
        let proxied = format!("port = {}", self.proxy.port());
        let more = "connect_timeout_ms = 2000\ntimeout_ms = 2000\n";
        self.server.toml(more).replace(&port, &proxied)
    }

    fn parts(&self) -> &'static [&'static str] {
        &["mariadb"]
    }

    fn act(&mut self, _: usize, act: Act) {
        match act {
            Act::Kill => self.server.kill(),
            Act::End => self.server.stop(),
            Act::Start => self.server.restart(),
            Act::Freeze => self.server.pause(),
            Act::Thaw => self.server.cont(),
        }
    }

    fn wait_ready(&mut self) {
        self.server.wait_ready();
    }

    fn proxy(&self) -> Option<&Proxy> {
        Some(&self.proxy)
    }

    fn late(&self) -> Duration {
        Duration::from_secs(4)
    }

    fn read(&self, _: &Path) -> Vec<Seen> {
        let rows = self.server.query(ROWS);
        rows.iter().map(|row| Seen::row(row.iter().map(String::as_str))).collect()
    }

    fn poison(&mut self, request: u64, index: u32) -> Option<String> {
        self.server
            .query("ALTER TABLE tusk_events ADD CONSTRAINT no_poison CHECK (event <> 'Poison')");
        Some(load::event(request, index, 0).replace("\"Load\"", "\"Poison\""))
    }
}
