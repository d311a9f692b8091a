//! HDFS: a NameNode behind a proxy, and a DataNode, which clients reach by the address that the NameNode gives.

use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use crate::contract::{Act, Target};
use crate::oracle::Seen;
use crate::proxy::Proxy;
use crate::servers::hdfs::{Hdfs, Part};

/// Where the sink writes.
const ROOT: &str = "/events";

/// How the sink reaches it, and what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By the NameNode's own protocol, as Parquet.
    Parquet,
    /// By WebHDFS, as JSON lines.
    WebLines,
}

/// A running HDFS.
#[derive(Debug)]
pub struct HdfsTarget {
    /// The servers.
    pub hdfs: Hdfs,
    proxy: Proxy,
    form: Form,
}

impl HdfsTarget {
    /// Starts one.
    #[track_caller]
    #[must_use]
    pub fn start(form: Form) -> Self {
        let hdfs = Hdfs::start();
        let url = if form == Form::WebLines { hdfs.web_url() } else { hdfs.url() };
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        Self { hdfs, proxy: Proxy::to(port), form }
    }
}

impl Target for HdfsTarget {
    fn name(&self) -> &'static str {
        "hdfs"
    }

    fn toml(&self, _: &Path) -> String {
        let (scheme, format) = match self.form {
            Form::Parquet => ("hdfs", "parquet"),
            Form::WebLines => ("webhdfs", "jsonl"),
        };
        format!(
            "[sink.hdfs]\nenabled = true\nformat = \"{format}\"\nurl = \"{scheme}://{}\"\nroot = \"{ROOT}\"\nrange_age_ms_max = 200\ncall_timeout_ms = 2000\n",
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

    fn cut_bytes(&self) -> &'static [u64] {
        match self.form {
            Form::Parquet => &[50, 400, 1500],
            // A connection a request, and each is short: what is long goes to the DataNode.
            Form::WebLines => &[50, 120],
        }
    }

    fn read(&self, _: &Path) -> Vec<Seen> {
        let lines = self.hdfs.lines(ROOT);
        let mut found = super::seen(lines.iter().map(String::as_str));
        for entry in self.hdfs.list(ROOT) {
            let name = entry.path.rsplit('/').next().unwrap_or_default();
            if name.starts_with("part-") && name.ends_with(".parquet") {
                let file =
                    SerializedFileReader::new(bytes::Bytes::from(self.hdfs.read(&entry.path)));
                let file = file.unwrap_or_else(|error| panic!("{}: {error}", entry.path));
                found.extend(file.get_row_iter(None).unwrap().map(|row| seen(&row.unwrap())));
            }
        }
        found
    }

    fn poison(&mut self, _: u64, _: u32) -> Option<String> {
        None
    }
}

/// A row of the load.
fn seen(row: &Row) -> Seen {
    let column = |wanted: &str| {
        let found = row.get_column_iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("no column {wanted}: {row}")).1
    };
    let number = |wanted: &str| {
        let Field::MapInternal(map) = column("num") else { panic!("num is no map: {row}") };
        let found = map.entries().iter().find(|(key, _)| *key == Field::Str(wanted.to_owned()));
        match &found.unwrap_or_else(|| panic!("no {wanted}: {row}")).1 {
            Field::Double(number) => number.to_string(),
            other => panic!("{wanted} is {other}: {row}"),
        }
    };
    let Field::Str(node) = column("node") else { panic!("node is no text: {row}") };
    let text = |name| column(name).to_string();
    Seen::row([
        number("request").as_str(),
        number("index").as_str(),
        node.as_str(),
        text("lsn").as_str(),
        text("idx").as_str(),
    ])
}
