//! Projects and their tokens: who may write where.

use std::fmt;

use serde::Deserialize;

/// Project of a location (`tusk_project NAME | *`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Project {
    /// Requests that name no project belong to this one; without a tokens file it is the only one there is.
    Named(Box<str>),
    /// Any legal name is accepted; requests that name none belong to `default`.
    Any,
}

impl Default for Project {
    fn default() -> Self {
        Self::Named("default".into())
    }
}

impl Project {
    /// Longest project name in bytes.
    pub const NAME_BYTES: usize = 64;

    /// Reads the directive's value.
    ///
    /// # Errors
    /// [`ProjectsError::Name`] if it is neither `*` nor a legal name.
    pub fn parse(text: &str) -> Result<Self, ProjectsError> {
        match text {
            "*" => Ok(Self::Any),
            name if is_name(name.as_bytes()) => Ok(Self::Named(name.into())),
            name => Err(ProjectsError::Name(name.into())),
        }
    }

    /// Name given to requests that name none.
    #[must_use]
    pub fn fallback(&self) -> &[u8] {
        match self {
            Self::Named(name) => name.as_bytes(),
            Self::Any => b"default",
        }
    }
}

/// Whether `name` is a legal project name: 1 to 64 of `A-Z a-z 0-9 _ -`. Folders and topics are named by it, so nothing else is.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    (1..=Project::NAME_BYTES).contains(&name.len())
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// How a project looks at the time of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRules {
    /// Events that say `time_free` skip the time window.
    pub free: bool,
    /// Events without a time or outside the window are rejected (T304) instead of remarked upon.
    pub strict: bool,
}

/// What a project lets a client do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Events are stored, by the project's rules of time.
    Granted(TimeRules),
    /// There is no such project (A001).
    UnknownProject,
    /// The token is not one of the project's (A002).
    WrongToken,
}

/// Decides whether an event with this effective project and token may be stored. Tokens are compared in constant time.
#[must_use]
pub fn access(project: &Project, projects: Option<&Projects>, name: &[u8], token: &[u8]) -> Access {
    if let Some(projects) = projects {
        return projects.access(name, token);
    }
    let known = match project {
        Project::Named(only) => only.as_bytes() == name,
        Project::Any => is_name(name),
    };
    if known { Access::Granted(TimeRules::default()) } else { Access::UnknownProject }
}

/// The known projects (`tusk_tokens FILE`):
/// ```toml
/// [[project]]
/// name = "shop"
/// tokens = ["d9k2…"]   # empty: no token is asked for
/// time_free = false    # true: events that say `time_free` skip the time window
/// time_strict = false  # true: events outside the time window are rejected (T304)
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Projects(Vec<Entry>);

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    name: Box<str>,
    tokens: Vec<Box<str>>,
    time: TimeRules,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    project: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    time_free: bool,
    #[serde(default)]
    time_strict: bool,
}

/// Why a tokens file or project name was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProjectsError {
    /// Not TOML, or an unknown name in it; the message has line and column.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Illegal name.
    #[error("project name `{0}` is not 1 to 64 of A-Z a-z 0-9 _ -")]
    Name(String),
    /// Two tables with one name.
    #[error("project `{0}` stands twice; merge its tokens into one [[project]] table")]
    Twice(String),
    /// A token that cannot stand in a URL, or is empty.
    #[error("a token of project `{0}` is empty or longer than 256 bytes")]
    Token(String),
}

impl Projects {
    /// Reads a tokens file.
    ///
    /// # Errors
    /// [`ProjectsError`]; its text names the place and what to change.
    pub fn parse(text: &str) -> Result<Self, ProjectsError> {
        let file: File = toml::from_str(text)?;
        let mut all: Vec<Entry> = Vec::with_capacity(file.project.len());
        for row in file.project {
            if !is_name(row.name.as_bytes()) {
                return Err(ProjectsError::Name(row.name));
            }
            if all.iter().any(|known| *known.name == *row.name) {
                return Err(ProjectsError::Twice(row.name));
            }
            if row.tokens.iter().any(|token| token.is_empty() || token.len() > 256) {
                return Err(ProjectsError::Token(row.name));
            }
            all.push(Entry {
                name: row.name.into(),
                tokens: row.tokens.into_iter().map(Into::into).collect(),
                time: TimeRules { free: row.time_free, strict: row.time_strict },
            });
        }
        Ok(Self(all))
    }

    /// The names, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &*entry.name)
    }

    /// The same projects and their rules of time, asking for no token: for lines that an operator brings himself.
    #[must_use]
    pub fn without_tokens(&self) -> Self {
        let open = |entry: &Entry| Entry { tokens: Vec::new(), ..entry.clone() };
        Self(self.0.iter().map(open).collect())
    }

    /// Whether `name` is known.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|entry| entry.name.as_bytes() == name)
    }

    fn access(&self, name: &[u8], token: &[u8]) -> Access {
        let Some(entry) = self.0.iter().find(|entry| entry.name.as_bytes() == name) else {
            return Access::UnknownProject;
        };
        let mut good = entry.tokens.is_empty();
        for known in &entry.tokens {
            good |= same(known.as_bytes(), token);
        }
        if good { Access::Granted(entry.time) } else { Access::WrongToken }
    }

    /// Whether `token` is one of the project's tokens. A project without tokens has none.
    #[must_use]
    pub fn is_token(&self, name: &[u8], token: &[u8]) -> bool {
        let mut good = false;
        for entry in self.0.iter().filter(|entry| entry.name.as_bytes() == name) {
            for known in &entry.tokens {
                good |= same(known.as_bytes(), token);
            }
        }
        good
    }
}

impl fmt::Debug for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish() // never the tokens
    }
}

/// Equality whose time depends on the lengths only.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let mut difference = u8::from(a.len() != b.len());
    for (i, byte) in a.iter().enumerate() {
        difference |= byte ^ b.get(i).copied().unwrap_or(!byte);
    }
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[project]]
        name = "shop"
        tokens = ["one", "two"]
        time_free = true
        [[project]]
        name = "open"
        time_strict = true
    "#;

    #[test]
    fn only_the_projects_own_tokens_open_it() {
        let projects = Projects::parse(FILE).unwrap();
        let ask = |name: &str, token: &str| {
            access(&Project::Any, Some(&projects), name.as_bytes(), token.as_bytes())
        };
        let rules = |free, strict| Access::Granted(TimeRules { free, strict });
        assert_eq!(ask("shop", "two"), rules(true, false));
        assert_eq!(ask("shop", "tw"), Access::WrongToken);
        assert_eq!(ask("shop", ""), Access::WrongToken);
        assert_eq!(ask("open", "anything"), rules(false, true));
        assert_eq!(ask("shop2", "one"), Access::UnknownProject);
        let open = projects.without_tokens();
        let ask = |name: &str| access(&Project::Any, Some(&open), name.as_bytes(), b"");
        assert_eq!(ask("shop"), rules(true, false));
        assert_eq!(ask("shop2"), Access::UnknownProject);
    }

    #[test]
    fn without_a_file_only_the_locations_own_project_exists() {
        let named = Project::parse("shop").unwrap();
        assert_eq!(access(&named, None, b"shop", b""), Access::Granted(TimeRules::default()));
        assert_eq!(access(&named, None, b"other", b""), Access::UnknownProject);
        assert_eq!(
            access(&Project::Any, None, b"other", b""),
            Access::Granted(TimeRules::default())
        );
        assert_eq!(access(&Project::Any, None, b"../etc", b""), Access::UnknownProject);
    }

    #[test]
    fn a_bad_file_says_where_and_what() {
        for (text, want) in [
            ("[[project]]\nnam = 1", "unknown field `nam`"),
            ("[[project]]\nname = \"a b\"", "`a b`"),
            ("[[project]]\nname = \"a\"\n[[project]]\nname = \"a\"", "twice"),
            ("[[project]]\nname = \"a\"\ntokens = [\"\"]", "empty"),
        ] {
            let error = Projects::parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(Project::parse("a/b").is_err());
    }

    #[test]
    fn tokens_never_show_in_debug_output() {
        assert_eq!(format!("{:?}", Projects::parse(FILE).unwrap()), r#"["shop", "open"]"#);
    }
}
