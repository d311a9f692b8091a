//! One HDFS over whichever way leads to it. Every call ends within our own time limit: a frozen NameNode answers nothing, and the
//! client would wait for it as long as it takes.

use super::native::{Native, NativeWriter};
use super::web::{Web, WebWriter};
use crate::sink::folder::Item;
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::time::Duration;

/// Whose side a call depends on, for the sentence about its failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// Names: the NameNode.
    Names,
    /// Blocks: a DataNode, found through the NameNode.
    Blocks,
}

impl Side {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Names => "the NameNode",
            Self::Blocks => "a DataNode",
        }
    }
}

/// A way to HDFS.
pub(super) enum Way {
    /// RPC and block transfer.
    Native(Native),
    /// HTTP.
    Web(Web),
}

/// HDFS with a time limit around every call.
pub(super) struct Fs {
    pub(super) way: Way,
    /// Its address, for errors.
    pub(super) url: String,
    pub(super) limit: Duration,
}

/// A file being written.
pub(super) struct Writer {
    way: WriterWay,
    limit: Duration,
    url: String,
}

enum WriterWay {
    Native(Box<NativeWriter>),
    Web(WebWriter),
}

/// How a new file is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Create {
    pub(super) overwrite: bool,
    pub(super) replication: Option<u32>,
    pub(super) block_bytes: Option<u64>,
}

/// A file as the NameNode knows it.
#[derive(Clone, Debug)]
pub(super) struct Stat {
    pub(super) bytes: u64,
    pub(super) owner: String,
    pub(super) mode: u32,
}

/// Calls `$call` of whichever way.
macro_rules! either {
    ($way:expr, $one:ident => $call:expr) => {
        match $way {
            Way::Native($one) => $call,
            Way::Web($one) => $call,
        }
    };
}

impl Fs {
    async fn within<T>(
        &self,
        what: &str,
        side: Side,
        call: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        within(&self.url, self.limit, what, side, call).await
    }

    /// A folder's entries by name; none if there is no such folder.
    pub(super) async fn list(&self, folder: &str) -> io::Result<Vec<Item>> {
        let call = async { either!(&self.way, way => way.list(folder).await) };
        match self.within("list", Side::Names, call).await {
            Ok(mut items) => {
                items.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(items)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        let call = async { either!(&self.way, way => way.stat(path).await) };
        match self.within("stat", Side::Names, call).await {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn mkdirs(&self, folder: &str) -> io::Result<()> {
        let call = async { either!(&self.way, way => way.mkdirs(folder).await) };
        self.within("mkdirs", Side::Names, call).await
    }

    /// Never onto an existing file: `AlreadyExists` then.
    pub(super) async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let call = async { either!(&self.way, way => way.rename(from, to).await) };
        self.within("rename", Side::Names, call).await
    }

    /// A file or an empty folder; one that is gone is no error.
    pub(super) async fn delete(&self, path: &str) -> io::Result<()> {
        let call = async { either!(&self.way, way => way.delete(path).await) };
        match self.within("delete", Side::Names, call).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub(super) async fn create(&self, path: &str, how: Create) -> io::Result<Writer> {
        let way = match &self.way {
            Way::Native(way) => WriterWay::Native(Box::new(
                self.within("create", Side::Names, way.create(path, how)).await?,
            )),
            Way::Web(way) => {
                WriterWay::Web(self.within("create", Side::Names, way.create(path, how)).await?)
            }
        };
        Ok(Writer { way, limit: self.limit, url: self.url.clone() })
    }

    /// Up to `bytes` bytes of a finished file at `at`; fewer only at its end.
    pub(super) async fn read(&self, path: &str, at: u64, bytes: usize) -> io::Result<Bytes> {
        let call = async { either!(&self.way, way => way.read(path, at, bytes).await) };
        self.within("read", Side::Blocks, call).await
    }
}

impl Writer {
    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        let call = async {
            match &mut self.way {
                WriterWay::Native(way) => way.write(piece).await,
                WriterWay::Web(way) => way.write(piece).await,
            }
        };
        within(&self.url, self.limit, "write", Side::Blocks, call).await
    }

    /// Syncs and closes; only after `Ok` may the file be renamed.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        match &mut self.way {
            WriterWay::Native(way) => {
                within(&self.url, self.limit, "hsync", Side::Blocks, way.hsync()).await?;
                within(&self.url, self.limit, "close", Side::Blocks, way.close()).await
            }
            WriterWay::Web(way) => {
                within(&self.url, self.limit, "close", Side::Blocks, way.close()).await
            }
        }
    }
}

async fn within<T>(
    url: &str,
    limit: Duration,
    what: &str,
    side: Side,
    call: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(io::Error::new(error.kind(), format!("{url}: {what}: {error}"))),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "{url}: {what}: no answer from {} in {} s: it hangs, or the network drops packets; tried again with a new connection",
                side.word(),
                limit.as_secs_f32()
            ),
        )),
    }
}

/// What a Java exception means and what to do, in one line.
pub(super) fn remote(class: &str, message: &str) -> io::Error {
    use io::ErrorKind as Kind;
    let name = class.rsplit('.').next().unwrap_or(class);
    let line = message.lines().next().unwrap_or_default().trim();
    let line: String = line.chars().take(300).collect();
    let (kind, what) = match name {
        "SafeModeException" => (
            Kind::Other,
            format!(
                "the NameNode is in safe mode and takes no writes; it ends when enough DataNodes are there, or by `hdfs dfsadmin -safemode leave` ({line})"
            ),
        ),
        "AccessControlException" | "AuthorizationException" => (
            Kind::PermissionDenied,
            format!(
                "{line}; let this user write below sink.hdfs.root, or set sink.hdfs.user to one that may"
            ),
        ),
        "DSQuotaExceededException"
        | "NSQuotaExceededException"
        | "QuotaByStorageTypeExceededException"
        | "ClusterStorageCapacityExceededException" => (
            Kind::StorageFull,
            format!("{line}; raise the quota of the folder, or delete from it"),
        ),
        "StandbyException" => (
            Kind::Other,
            format!(
                "{line}; this NameNode is on standby: set sink.hdfs.url to the nameservice and name its NameNodes in [sink.hdfs.options]"
            ),
        ),
        "FileNotFoundException" => (Kind::NotFound, line),
        "FileAlreadyExistsException" => (Kind::AlreadyExists, line),
        _ if line.contains("could only be written to 0 of the") => (
            Kind::Other,
            format!("no DataNode takes a block: are DataNodes up, and have they space? ({line})"),
        ),
        _ => (Kind::Other, format!("{name}: {line}")),
    };
    io::Error::new(kind, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exception_says_what_to_do_in_one_line() {
        let denied = remote(
            "org.apache.hadoop.security.AccessControlException",
            "Permission denied: user=x, access=WRITE, inode=\"/\":root:supergroup:drwxr-xr-x\n\tat A.b(C.java:1)",
        );
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let text = denied.to_string();
        assert!(text.contains("user=x") && text.contains("sink.hdfs.user"), "{text}");
        assert!(!text.contains('\n'), "{text}");
        let full = remote("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "The quota");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let none = remote(
            "java.io.IOException",
            "File /a could only be written to 0 of the 1 minReplication nodes. There are 0",
        );
        assert!(none.to_string().starts_with("no DataNode takes a block"), "{none}");
    }
}
