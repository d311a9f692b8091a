//! Files: the target without a server. It is down while something else stands in its folder's place.

use std::fs;
use std::path::{Path, PathBuf};

use crate::contract::{Act, Target};
use crate::files;
use crate::oracle::Seen;
use crate::proxy::Proxy;

/// The file sink's folder.
#[derive(Debug, Default)]
pub struct FileTarget;

fn away(data: &Path) -> PathBuf {
    data.join("files.away")
}

impl Target for FileTarget {
    fn name(&self) -> &'static str {
        "file"
    }

    fn toml(&self, _: &Path) -> String {
        "[sink.file]\ncompression = \"zstd\"\nrange_age_ms_max = 200\n".to_owned()
    }

    fn parts(&self) -> &'static [&'static str] {
        &[]
    }

    fn act(&mut self, _: usize, _: Act) {}

    fn wait_ready(&mut self) {}

    fn down(&mut self, data: &Path) {
        fs::rename(data.join("files"), away(data)).unwrap();
        fs::write(data.join("files"), "not a folder").unwrap();
    }

    fn up(&mut self, data: &Path) {
        fs::remove_file(data.join("files")).unwrap();
        fs::rename(away(data), data.join("files")).unwrap();
    }

    fn proxy(&self) -> Option<&Proxy> {
        None
    }

    fn read(&self, data: &Path) -> Vec<Seen> {
        let lines = files::lines(&data.join("files"));
        super::seen(lines.iter().map(String::as_str))
    }

    fn poison(&mut self, _: u64, _: u32) -> Option<String> {
        None
    }
}
