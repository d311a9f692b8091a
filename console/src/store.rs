//! Small documents in `<data>/console/`: boards, names, recordings. One JSON file each, replaced whole: a crash leaves the old one or
//! the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest document, bytes: they are read whole.
pub const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// The folder. Methods read and write files: handlers call them through [`crate::api::blocking`].
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// One writer at a time: a change is read, made and written.
    writing: Mutex<()>,
}

impl Store {
    /// Makes the folder (0750, as the data folder is).
    ///
    /// # Errors
    /// A sentence.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
        made.map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), writing: Mutex::new(()) })
    }

    /// Its folder, for files that are no documents.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The document, or `None` if there is none.
    ///
    /// # Errors
    /// A sentence: unreadable, or not what it should be.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let path = self.path(name)?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{} is damaged: {error}; move it away", path.display()))
    }

    /// Writes it whole.
    ///
    /// # Errors
    /// A sentence: too large, or the disk will not.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), String> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(name, value)
    }

    /// Reads (or takes the default), changes, writes; nobody writes in between.
    ///
    /// # Errors
    /// A sentence; the change's own, and then nothing is written.
    pub fn change<T, R>(
        &self,
        name: &str,
        change: impl FnOnce(&mut T) -> Result<R, String>,
    ) -> Result<R, String>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut value = self.read(name)?.unwrap_or_default();
        let result = change(&mut value)?;
        self.replace(name, &value)?;
        Ok(result)
    }

    /// Removes it; no error if there is none.
    ///
    /// # Errors
    /// A sentence.
    pub fn remove(&self, name: &str) -> Result<(), String> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Names of documents that begin so, sorted.
    #[must_use]
    pub fn names(&self, begin: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|name| name.starts_with(begin))
            .collect();
        names.sort();
        names
    }

    fn replace<T: Serialize>(&self, name: &str, value: &T) -> Result<(), String> {
        let path = self.path(name)?;
        let bytes = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(format!(
                "{name} would be {} bytes, over {DOCUMENT_BYTES_MAX}",
                bytes.len()
            ));
        }
        let cannot = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o640).open(&new);
        let mut file = opened.map_err(cannot)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(cannot)?;
        fs::rename(&new, &path).map_err(cannot)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(cannot)
    }

    /// Names are ours or checked here: letters, digits, `-`, `_`, at most 100 bytes; no way out of the folder.
    fn path(&self, name: &str) -> Result<PathBuf, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
            return Err("no such document".to_owned());
        }
        Ok(self.folder.join(format!("{name}.json")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_stay_in_their_folder_and_are_replaced_whole() {
        let folder = std::env::temp_dir().join(format!("console-store-{}", std::process::id()));
        let store = Store::open(&folder).unwrap();
        assert_eq!(store.read::<Vec<u32>>("a").unwrap(), None);
        store.write("a", &vec![1, 2]).unwrap();
        let push = |list: &mut Vec<u32>| {
            list.push(3);
            Ok(())
        };
        store.change("a", push).unwrap();
        assert!(store.change("a", |_: &mut Vec<u32>| Err::<(), _>("no".to_owned())).is_err());
        assert_eq!(store.read("a").unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(store.names(""), ["a"]);
        for name in ["", "../a", "a/b", "a.b", ".", "ä", "a\0"] {
            assert!(store.write(name, &1).is_err(), "{name:?}");
        }
        store.remove("a").unwrap();
        store.remove("a").unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
