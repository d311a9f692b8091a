//! A test's own folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new folder under the system's temporary folder, removed when dropped. With `TUSK_KEEP=1` it stays, to look into.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Makes the folder; `name` only helps a person to find it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tusk-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        // nginx's workers may run as another user and must reach the ring inside.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file inside and returns its path; folders on the way are made.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Text of a file inside; empty when it is missing.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path.join(name)).unwrap_or_default()).into_owned()
    }

    /// The ring's folder, as [`crate::conf`] and [`crate::Tusk`] both name it.
    #[must_use]
    pub fn ring(&self) -> PathBuf {
        self.path.join("data/ring")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::env::var_os("TUSK_KEEP").is_some() {
            eprintln!("kept: {}", self.path.display());
            return;
        }
        // A folder that stays behind costs disk, never the test's verdict.
        let _ = fs::remove_dir_all(&self.path);
    }
}
