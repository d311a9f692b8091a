//! Where in `tusk.toml` something is wrong, in the words a person needs.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Why a configuration was refused; the text has file, line, the line itself and what may stand there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl ConfigError {
    /// A file that cannot be read.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: cannot read the configuration: {error}", path.display()))
    }
}

/// A text with its file's name.
#[derive(Clone, Debug)]
pub(super) struct Source {
    file: PathBuf,
    /// As written, variables not put in: only this is ever shown.
    pub(super) text: String,
}

impl Source {
    pub(super) fn new(file: &Path, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }

    /// Something at a line.
    pub(super) fn at_line(&self, number: usize, problem: &str) -> ConfigError {
        let (file, line) = (self.file.display(), shown(self.line(number)));
        ConfigError(format!("{file}:{number}: {problem}\n{number} | {line}"))
    }

    /// What the TOML reader found in `text`, which is this source with variables put in: the same lines, other columns.
    pub(super) fn toml(&self, text: &str, error: &toml::de::Error) -> ConfigError {
        let message = error.message().trim_end();
        let Some(span) = error.span() else {
            return ConfigError(format!("{}: {message}", self.file.display()));
        };
        let before = text.get(..span.start).unwrap_or_default();
        let number = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.line(number);
        if text.lines().nth(number - 1) != Some(line) {
            // A variable stands in this line: its value stays unseen, also in the reader's own message.
            return self.at_line(number, "the value does not fit here once its variable is put in");
        }
        let column = text.get(start..span.start).unwrap_or_default().chars().count();
        let marked = text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
        let marks =
            marked.chars().count().clamp(1, line.chars().count().saturating_sub(column).max(1));
        let gutter = number.to_string().len();
        let line = shown(line);
        let mut out = format!("{}:{number}:{}: {message}", self.file.display(), column + 1);
        let _ = write!(
            out,
            "\n{number} | {line}\n{:gutter$} | {:column$}{}",
            "",
            "",
            "^".repeat(marks)
        );
        ConfigError(out)
    }

    /// A setting whose value is not possible.
    pub(super) fn setting(&self, name: &str, problem: &str) -> ConfigError {
        match self.find(name) {
            Some(number) => self.at_line(number, &format!("{name}: {problem}")),
            None if name.is_empty() => ConfigError(format!("{}: {problem}", self.file.display())),
            None => ConfigError(format!("{}: {name}: {problem}", self.file.display())),
        }
    }

    /// Line of a setting such as `journal.bytes_max`, written as a key of its table.
    fn find(&self, name: &str) -> Option<usize> {
        let (table, key) = name.rsplit_once('.').unwrap_or(("", name));
        let mut current = String::new();
        for (i, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix('[') {
                current = rest.split(']').next().unwrap_or_default().replace([' ', '"'], "");
            } else if let Some((left, _)) = line.split_once('=') {
                let left = left.trim();
                if (current == table && left == key) || (current.is_empty() && left == name) {
                    return Some(i + 1);
                }
            }
        }
        None
    }
}

/// A line as it may be shown: what is set to a `…password…` stays unseen.
fn shown(line: &str) -> String {
    let secret = line.find("password").and_then(|at| {
        let equals = at + line.get(at..)?.find('=')?;
        let name = line.get(at..equals)?.trim_end();
        // A file's name is no secret, and what is wrong with it mostly is its name.
        let file = name.ends_with("_file");
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_\"'".contains(&b));
        (plain && !file).then_some(equals)
    });
    match secret {
        Some(equals) => format!("{}= ***", line.get(..equals).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_a_password() {
        let text = "[sink.kafka]\npassword = \"hunter2\n\"mysql_password\" = 'hunter2'\npassword_file = \"p\"\n";
        let source = Source::new(Path::new("tusk.toml"), text);
        let problem = toml::from_str::<toml::Table>(text).unwrap_err();
        let error = source.toml(text, &problem).to_string();
        assert!(error.contains("2 | password = ***") && !error.contains("hunter2"), "{error}");
        let error = source.setting("sink.kafka.password", "too short").to_string();
        assert_eq!(error, "tusk.toml:2: sink.kafka.password: too short\n2 | password = ***");
        assert!(!source.at_line(3, "").to_string().contains("hunter2"));
        assert!(source.at_line(4, "").to_string().contains("password_file = \"p\""));
    }
}
