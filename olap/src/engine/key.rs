//! The key: 32 hex digits in a file only its owner can read. Any user of the machine reaches a loopback port, so there is one by
//! default.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Reads the key, or draws one at the first start. The shipper does the same with the same file, whoever comes first.
pub(super) fn load_or_make(path: &Path) -> io::Result<String> {
    if !path.exists() {
        make(path)?;
    }
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        let name = path.display();
        return Err(io::Error::other(format!(
            "others may read {name} (mode {:04o}): chmod 600 {name}, or delete it to get a new key",
            mode & 0o7777
        )));
    }
    let key = fs::read_to_string(path)?.trim().to_owned();
    if key.is_empty() {
        return Err(io::Error::other(format!(
            "{} is empty: delete it to get a new key",
            path.display()
        )));
    }
    Ok(key)
}

fn make(path: &Path) -> io::Result<()> {
    let mut random = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(key.as_bytes()).and_then(|()| file.sync_all())?;
    // Unlike a rename, a link leaves a key alone that came in between.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_drawn_once_and_kept_to_its_owner() {
        let path = std::env::temp_dir().join(format!("tusk-olap-key-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let key = load_or_make(&path).unwrap();
        assert_eq!((key.len(), load_or_make(&path).unwrap()), (32, key));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_make(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::remove_file(&path).unwrap();
    }
}
