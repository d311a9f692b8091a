//! The HDFS a sink delivers to: how it is reached, and its folders as a tree.

use super::Config;
use super::fs::{Create, Fs, Way};
use super::native::Native;
use super::web::Web;
use crate::sink::folder::{Content, Item, Tree};
use hdfs_native::ClientBuilder;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The client's own limit for a silent DataNode, unless `options` has another. Ours are around it.
const SOCKET_TIMEOUT: &str = "dfs.client.socket-timeout";
/// How often the client itself goes round the NameNodes before it gives up. The loop above it tries again for ever, and says why.
const ATTEMPTS: (&str, &str) = ("dfs.client.failover.max.attempts", "4");

/// An HDFS; connects when first needed.
pub(super) struct Target {
    config: Config,
    runtime: Runtime,
    fs: Mutex<Option<Arc<Fs>>>,
}

impl Target {
    /// Connects to nothing.
    pub(super) fn new(config: &Config) -> Result<Arc<Self>, String> {
        // A thread beside the caller's, so that packets and answers move while files are encoded.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("hdfs-io")
            .enable_all()
            .build()
            .map_err(|error| format!("no thread for HDFS: {error}"))?;
        Ok(Arc::new(Self { config: config.clone(), runtime, fs: Mutex::new(None) }))
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The connection in use, or a new one.
    pub(super) fn fs(&self) -> io::Result<Arc<Fs>> {
        let mut fs = self.fs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fs) = &*fs {
            return Ok(Arc::clone(fs));
        }
        let made = Arc::new(self.connect().map_err(io::Error::other)?);
        *fs = Some(Arc::clone(&made));
        Ok(made)
    }

    /// After a failure: what hung may hang for ever, so the next call gets a connection of its own.
    pub(super) fn renew(&self) {
        *self.fs.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn connect(&self) -> Result<Fs, String> {
        let config = &self.config;
        let limit = Duration::from_millis(config.call_timeout_ms);
        let way = match config.url.split_once("://") {
            Some(("webhdfs", authority)) => Way::Web(Web::new(authority, &config.web_user())),
            _ => {
                let _inside = self.runtime.enter();
                Way::Native(Native::new(self.builder())?)
            }
        };
        Ok(Fs { way, url: config.url.clone(), limit })
    }

    fn builder(&self) -> ClientBuilder {
        let config = &self.config;
        let mut options = config.options.clone();
        let socket_timeout_ms = config.call_timeout_ms.to_string();
        for (name, value) in [(SOCKET_TIMEOUT, socket_timeout_ms.as_str()), ATTEMPTS] {
            options.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let mut builder = ClientBuilder::new()
            .with_url(&config.url)
            .with_config(options)
            .with_io_runtime(self.runtime.handle().clone());
        if let Some(folder) = &config.config_dir {
            builder = builder.with_config_dir(folder.to_string_lossy());
        }
        if let Some(user) = &config.user {
            builder = builder.with_user(user);
        }
        if let Some(principal) = &config.kerberos_principal {
            builder = builder.with_kerberos_principal(principal);
        }
        if let Some(keytab) = &config.kerberos_keytab {
            builder = builder.with_kerberos_keytab(keytab.to_string_lossy());
        }
        builder
    }

    /// Runs a call to its end; after a failure the next one gets a new connection.
    pub(super) fn call<T>(
        &self,
        call: impl AsyncFnOnce(&Fs) -> io::Result<T>,
    ) -> io::Result<T> {
        let fs = self.fs()?;
        let done = self.runtime.block_on(call(&fs));
        if done.is_err() {
            self.renew();
        }
        done
    }
}

/// A path as HDFS takes it.
pub(super) fn text(path: &Path) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}

/// The folders of an HDFS.
pub(super) struct HdfsTree(pub(super) Arc<Target>);

impl Tree for HdfsTree {
    fn list(&self, folder: &Path) -> io::Result<Vec<Item>> {
        self.0.call(async |fs| fs.list(&text(folder)).await)
    }

    fn make(&self, _root: &Path, folder: &Path) -> io::Result<()> {
        self.0.call(async |fs| fs.mkdirs(&text(folder)).await)
    }

    fn mark(&self, folder: &Path, name: &str) -> io::Result<()> {
        let path = folder.join(name);
        let how = Create { overwrite: false, replication: None, block_bytes: None };
        self.0.call(async |fs| match fs.create(&text(&path), how).await {
            Ok(writer) => writer.finish().await,
            // There, or its folder was deleted: nothing to mark.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.call(async |fs| fs.delete(&text(path)).await)
    }

    fn remove_dir(&self, folder: &Path) -> io::Result<()> {
        self.remove(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Content>> {
        let stat = self.0.call(async |fs| fs.stat(&text(path)).await)?;
        let stat = stat.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(HdfsFile {
            target: Arc::clone(&self.0),
            path: text(path).into_owned(),
            bytes: stat.bytes,
        }))
    }
}

struct HdfsFile {
    target: Arc<Target>,
    path: String,
    bytes: u64,
}

impl Content for HdfsFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let read = self.target.call(async |fs| fs.read(&self.path, at, buf.len()).await)?;
        let n = read.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), read.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}
