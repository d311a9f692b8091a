//! HDFS: a NameNode behind a proxy, and a DataNode, which clients reach by the address that the NameNode gives.

use std::path::Path;

use crate::contract::{Act, Target};
use crate::oracle::Seen;
use crate::proxy::Proxy;
use crate::servers::hdfs::{Hdfs, Part};

/// Where the sink writes.
const ROOT: &str = "/events";

/// A running HDFS.
#[derive(Debug)]
pub struct HdfsTarget {
    /// The servers.
    pub hdfs: Hdfs,
    proxy: Proxy,
    web: bool,
}

impl HdfsTarget {
    /// Starts one; `web` = the sink uses WebHDFS.
    #[track_caller]
    #[must_use]
    pub fn start(web: bool) -> Self {
        let hdfs = Hdfs::start();
        let url = if web { hdfs.web_url() } else { hdfs.url() };
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        Self { hdfs, proxy: Proxy::to(port), web }
    }
}

impl Target for HdfsTarget {
    fn name(&self) -> &'static str {
        "hdfs"
    }

    fn toml(&self, _: &Path) -> String {
        let scheme = if self.web { "webhdfs" } else { "hdfs" };
        format!(
            "[sink.hdfs]\nenabled = true\nurl = \"{scheme}://{}\"\nroot = \"{ROOT}\"\nrange_age_ms_max = 200\ncall_timeout_ms = 2000\n",
            self.proxy.address()
        )
    }

    fn parts(&self) -> &'static [&'static str] {
        &["namenode", "datanode"]
    }

    fn act(&mut self, part: usize, act: Act) {
        let part = if part == 0 { Part::NameNode } else { Part::DataNode };
        match act {
            Act::Kill => self.hdfs.kill(part),
            Act::End => self.hdfs.stop(part),
            Act::Start => self.hdfs.restart(part),
            Act::Freeze => self.hdfs.pause(part),
            Act::Thaw => self.hdfs.cont(part),
        }
    }

    fn wait_ready(&mut self) {
        self.hdfs.wait_ready();
    }

    fn proxy(&self) -> Option<&Proxy> {
        Some(&self.proxy)
    }

    fn read(&self, _: &Path) -> Vec<Seen> {
        let lines = self.hdfs.lines(ROOT);
        super::seen(lines.iter().map(String::as_str))
    }

    fn poison(&mut self, _: u64, _: u32) -> Option<String> {
        None
    }
}
