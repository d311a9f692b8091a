//! Passwords in settings: written plainly, named by an environment variable, or kept in a file; shown nowhere.
//!
//! ```toml
//! password = "plain"             # in the file itself
//! password = "env:TUSK_PASSWORD" # read from the environment when the sink opens
//! password_file = "/etc/tusk/kafka.password"
//! ```

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What is shown in its place.
const SHOWN: &str = "***";
/// Largest secret file; a password of more bytes is a wrong path.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A password as a setting: what was written, or after [`Secret::read`] the password itself. Debug and Serialize give `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A password from `written` (plain, or `env:NAME`) or from `file`, whose last line end is cut off; `None` if neither is set.
    /// `setting` names `written` in errors; the file's setting is taken for `<setting>_file`.
    ///
    /// # Errors
    /// A sentence without the password: both are set, the variable is not, the file cannot be read or everybody can read it.
    pub fn read(
        written: Option<&Self>,
        file: Option<&Path>,
        setting: &str,
    ) -> Result<Option<Self>, String> {
        match (written, file) {
            (Some(_), Some(_)) => {
                Err(format!("{setting} and {setting}_file are both set; leave one out"))
            }
            (None, None) => Ok(None),
            (Some(written), None) => match written.0.strip_prefix("env:") {
                None => Ok(Some(written.clone())),
                Some(name) => match std::env::var(name) {
                    Ok(value) => Ok(Some(Self(value))),
                    Err(_) => Err(format!("the environment variable {name} is not set")),
                },
            },
            (None, Some(file)) => Self::from_file(file).map(Some),
        }
    }

    /// The password itself, for the client library and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn from_file(file: &Path) -> Result<Self, String> {
        let name = file.display();
        let cannot = |error: std::io::Error| format!("cannot read {name}: {error}");
        let metadata = std::fs::metadata(file).map_err(cannot)?;
        let mode = metadata.permissions().mode();
        if mode & 0o007 != 0 {
            let mode = mode & 0o7777;
            return Err(format!("everybody may read {name} (mode {mode:04o}): chmod o= {name}"));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(format!("{name} has {} bytes: no password", metadata.len()));
        }
        let text = std::fs::read_to_string(file).map_err(cannot)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Self(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        /// A number without quotes: serde's own message would show it.
        const QUOTES: &str = "write it in quotes";
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::from(text))
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom(QUOTES))
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom(QUOTES))
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom(QUOTES))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[derive(Debug, Serialize, Deserialize)]
    struct Table {
        password: Option<Secret>,
    }

    #[test]
    fn it_is_read_from_three_places_and_shown_nowhere() {
        let table: Table = toml::from_str("password = \"hunter2\"").unwrap();
        assert_eq!(format!("{table:?}"), "Table { password: Some(***) }");
        assert_eq!(serde_json::to_string(&table).unwrap(), "{\"password\":\"***\"}");
        let read = |file: Option<&Path>, written: Option<&str>| {
            Secret::read(written.map(Secret::from).as_ref(), file, "password")
        };
        assert_eq!(read(None, None), Ok(None));
        assert_eq!(read(None, Some("hunter2")).unwrap().unwrap().expose(), "hunter2");
        let home = std::env::var("PATH").unwrap();
        assert_eq!(read(None, Some("env:PATH")).unwrap().unwrap().expose(), home);
        let error = read(None, Some("env:TUSK_NO_SUCH")).unwrap_err();
        assert_eq!(error, "the environment variable TUSK_NO_SUCH is not set");

        let file = std::env::temp_dir().join(format!("tusk-secret-{}", std::process::id()));
        fs::write(&file, "hunter2\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read(Some(&file), None).unwrap().unwrap().expose(), "hunter2");
        let error = read(Some(&file), Some("hunter2")).unwrap_err();
        assert!(error.contains("leave one out") && !error.contains("hunter2"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(Some(&file), None).unwrap_err();
        assert!(error.contains("everybody may read") && !error.contains("hunter2"), "{error}");
        fs::remove_file(&file).unwrap();
        assert!(read(Some(&file), None).unwrap_err().starts_with("cannot read "));
    }

    #[test]
    fn a_number_without_quotes_is_refused_and_not_shown() {
        let error = toml::from_str::<Table>("password = 4711").unwrap_err();
        assert_eq!(error.message().trim(), "write it in quotes");
    }
}
