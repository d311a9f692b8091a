//! `tusk.toml`: works when empty, refuses unknown names, is checked before anything is opened.
//! Every setting stands in `docs/configuration.md`; a test holds the two together.

mod check;
mod console;
mod expand;
mod source;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shipper::engine::EngineConfig;
use shipper::facts::FactsConfig;
use shipper::fill::FillConfig;
use shipper::journal::JournalConfig;
use shipper::olap::OlapConfig;
use shipper::quarantine::QuarantineConfig;
use shipper::sink::SinksConfig;
use shipper::source::SourcesConfig;

use crate::lang::Language;
use crate::log::LogConfig;

pub(crate) use check::{Secrecy, read_keys, read_tokens};
pub(crate) use console::ConsoleConfig;
pub(crate) use source::ConfigError;
use source::Source;

/// Where a configuration is looked for when none is named.
const SEARCH: [&str; 2] = ["/etc/tusk/tusk.toml", "./tusk.toml"];

/// The whole of `tusk.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Data folder.
    pub(crate) data: PathBuf,
    /// The ring's folder, the path of `tusk_ring`; default `<data>/ring`.
    pub(crate) ring: Option<PathBuf>,
    /// Name of this machine in identities; default: the host name.
    pub(crate) node: Option<String>,
    /// Zone of `dt=`/`hour=`; default: the system's.
    pub(crate) timezone: Option<String>,
    /// The file of `tusk_keys`.
    pub(crate) keys_file: Option<PathBuf>,
    /// The file of `tusk_tokens`.
    pub(crate) tokens_file: Option<PathBuf>,
    /// Sealed and re-driven events may name any project, as under `tusk_project *`.
    pub(crate) any_project: bool,
    /// Where `/metrics`, `/healthz` and `/readyz` answer.
    pub(crate) listen: SocketAddr,
    /// Further host names these may be asked by.
    pub(crate) hosts: Vec<String>,
    /// Language of what people read; default: the locale's.
    pub(crate) lang: Option<Language>,
    /// How long a stop may drain, seconds.
    pub(crate) stop_timeout_s: u32,
    /// `[log]`
    pub(crate) log: LogConfig,
    /// `[journal]`
    pub(crate) journal: JournalConfig,
    /// `[facts]`
    pub(crate) facts: FactsConfig,
    /// `[fill]`
    pub(crate) fill: FillConfig,
    /// `[quarantine]`
    pub(crate) quarantine: QuarantineConfig,
    /// `[olap]`
    pub(crate) olap: OlapConfig,
    /// `[console]`
    pub(crate) console: ConsoleConfig,
    /// `[sink.<name>]`
    pub(crate) sink: SinksConfig,
    /// `[source.<name>]`
    pub(crate) source: SourcesConfig,
}

impl Default for Config {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            data: engine.data,
            ring: None,
            node: None,
            timezone: None,
            keys_file: None,
            tokens_file: None,
            any_project: engine.any_project,
            listen: SocketAddr::from(([127, 0, 0, 1], 8190)),
            hosts: Vec::new(),
            lang: None,
            stop_timeout_s: 30,
            log: LogConfig::default(),
            journal: engine.journal,
            facts: engine.facts,
            fill: engine.fill,
            quarantine: engine.quarantine,
            olap: OlapConfig::default(),
            console: ConsoleConfig::default(),
            sink: engine.sink,
            source: engine.source,
        }
    }
}

impl Config {
    /// The ring's folder.
    pub(crate) fn ring(&self) -> PathBuf {
        self.ring.clone().unwrap_or_else(|| self.data.join("ring"))
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data.join("tusk.sock")
    }

    /// The file sink's root.
    pub(crate) fn files(&self) -> PathBuf {
        self.sink.file.root.clone().unwrap_or_else(|| self.data.join("files"))
    }

    /// The engine's part.
    pub(crate) fn engine(&self) -> EngineConfig {
        EngineConfig {
            data: self.data.clone(),
            ring: self.ring.clone(),
            node: self.node.clone(),
            timezone: self.timezone.clone(),
            keys_file: self.keys_file.clone(),
            tokens_file: self.tokens_file.clone(),
            any_project: self.any_project,
            journal: self.journal.clone(),
            facts: self.facts.clone(),
            fill: self.fill.clone(),
            quarantine: self.quarantine.clone(),
            sink: self.sink.clone(),
            source: self.source.clone(),
            olap: None,
        }
    }
}

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) config: Config,
    /// The file; `None` if there was none and the defaults hold.
    pub(crate) file: Option<PathBuf>,
}

/// Reads the named file, else the first of `/etc/tusk/tusk.toml` and `./tusk.toml` that exists, else takes the defaults; then
/// puts `data` (from the command line) in place and checks every value. Opens nothing but the files named in it.
///
/// # Errors
/// [`ConfigError`], with file, line and what may stand there.
pub(crate) fn load(named: Option<&Path>, data: Option<&Path>) -> Result<Loaded, ConfigError> {
    let (loaded, source) = read(named, data)?;
    check::check(&loaded.config)
        .map_err(|(setting, problem)| source.setting(&setting, &problem))?;
    Ok(loaded)
}

/// The same for a command that only asks a running daemon: values are the daemon's concern, and whoever asks need not be able to
/// read its keys.
///
/// # Errors
/// [`ConfigError`].
pub(crate) fn load_to_ask(
    named: Option<&Path>,
    data: Option<&Path>,
) -> Result<Loaded, ConfigError> {
    Ok(read(named, data)?.0)
}

fn read(named: Option<&Path>, data: Option<&Path>) -> Result<(Loaded, Source), ConfigError> {
    let file = match named {
        Some(path) => Some(path.to_owned()),
        None => SEARCH.iter().map(PathBuf::from).find(|path| path.exists()),
    };
    let (mut config, source) = match &file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError::unreadable(path, &error))?;
            let source = Source::new(path, &text);
            (parse(&source, &|name| std::env::var(name).ok())?, source)
        }
        None => (Config::default(), Source::new(Path::new("defaults"), "")),
    };
    if let Some(data) = data {
        data.clone_into(&mut config.data);
    }
    Ok((Loaded { config, file }, source))
}

/// Reads a text; `variable` gives the value of a `${NAME}` in it.
fn parse(
    source: &Source,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let text = expand::expand(&source.text, variable)
        .map_err(|(line, problem)| source.at_line(line, &problem))?;
    toml::from_str(&text).map_err(|error| source.toml(&text, &error))
}

/// Names of settings whose values differ, such as `sink.file.shape`.
pub(crate) fn changed(old: &Config, new: &Config) -> Vec<String> {
    let mut names = Vec::new();
    if let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) {
        differences("", &old, &new, &mut names);
    }
    names
}

fn differences(
    at: &str,
    old: &serde_json::Value,
    new: &serde_json::Value,
    names: &mut Vec<String>,
) {
    match (old, new) {
        (serde_json::Value::Object(old), serde_json::Value::Object(new)) => {
            for (name, value) in old {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                differences(&path, value, new.get(name).unwrap_or(&serde_json::Value::Null), names);
            }
        }
        _ if old != new => names.push(at.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let source = Source::new(Path::new("tusk.toml"), text);
        let result = parse(&source, &|name| (name == "TOKEN").then(|| "s3cret".to_owned()));
        let result = result.and_then(|config| {
            check::check(&config).map_err(|(setting, problem)| source.setting(&setting, &problem))
        });
        result.unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let source = Source::new(Path::new("tusk.toml"), "");
        assert_eq!(parse(&source, &|_| None).unwrap(), Config::default());
        assert_eq!(check::check(&Config::default()), Ok(()));
    }

    #[test]
    fn an_unknown_name_is_refused_at_its_line_with_the_allowed_ones() {
        assert_eq!(
            error("data = \"d\"\n[log]\nlevle = \"info\"\n"),
            "tusk.toml:3:1: unknown field `levle`, expected `level` or `format`\n\
             3 | levle = \"info\"\n  | ^^^^^"
        );
        let text = error("[sink.file]\nenabled = true\ncompresion = \"zstd\"\n");
        assert!(
            text.starts_with(
                "tusk.toml:3:1: unknown field `compresion`, expected one of `enabled`, "
            ),
            "{text}"
        );
        let text = error("[sink.kafak]\nbrokers = \"a\"\n");
        assert!(text.starts_with("tusk.toml:1:7: unknown field `kafak`, expected "), "{text}");
        // Every table there is, also those of sinks to come.
        let defaults = serde_json::to_value(Config::default()).unwrap();
        let sinks = defaults["sink"].as_object().unwrap();
        assert!(sinks.keys().all(|name| text.contains(&format!("`{name}`"))), "{text}");
        let tables = defaults.as_object().unwrap().iter().filter(|(_, value)| value.is_object());
        let tables = tables.map(|(name, _)| name.clone()).filter(|name| name != "sink");
        for table in tables.chain(sinks.keys().map(|name| format!("sink.{name}"))) {
            let text = error(&format!("[{table}]\nno_such_setting = 1\n"));
            let start = "tusk.toml:2:1: unknown field `no_such_setting`, expected ";
            assert!(text.starts_with(start), "{table}: {text}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_at_its_line() {
        assert_eq!(
            error("\nlisten = \"8190\"\n"),
            "tusk.toml:2:10: invalid socket address syntax\n2 | listen = \"8190\"\n  |          ^^^^^^"
        );
        assert_eq!(
            error("[journal]\nkeep_hours = -1\n"),
            "tusk.toml:2:14: invalid value: integer `-1`, expected u32\n2 | keep_hours = -1\n  |              ^^"
        );
        assert_eq!(
            error("# name\nnode = \"Web_1\"\n"),
            "tusk.toml:2: node: write 1 to 32 of a-z, 0-9 and -\n2 | node = \"Web_1\""
        );
        assert_eq!(
            error("timezone = \"Asia/Beijing\"\n"),
            "tusk.toml:1: timezone: `Asia/Beijing` is no time zone; write an IANA name such as \"Asia/Shanghai\" or \"UTC\"\n1 | timezone = \"Asia/Beijing\""
        );
    }

    #[test]
    fn a_variable_is_put_in_and_never_shown() {
        let source = Source::new(Path::new("tusk.toml"), "node = \"${TOKEN}\" # ${NONE}\n");
        let config = parse(&source, &|_| Some("a\"b\\".to_owned())).unwrap();
        assert_eq!(config.node.as_deref(), Some("a\"b\\"));
        assert_eq!(
            error("node = \"${MISSING}\"\n"),
            "tusk.toml:1: the environment variable MISSING is not set\n1 | node = \"${MISSING}\""
        );
        let text = error("listen = \"${TOKEN}\"\n");
        assert!(text.contains("${TOKEN}") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn a_reload_names_what_changed() {
        let old = Config::default();
        let mut new = old.clone();
        new.sink.file.range_age_ms_max = 1;
        new.listen = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(changed(&old, &new), ["listen", "sink.file.range_age_ms_max"]);
    }

    /// Every setting, as `table.name`.
    fn names(at: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        if let serde_json::Value::Object(members) = value {
            for (name, value) in members {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                if value.is_object() {
                    names(&path, value, out);
                } else {
                    out.push(path);
                }
            }
        }
    }

    #[test]
    fn the_page_names_every_setting_and_no_other() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let page = std::fs::read_to_string(page).unwrap();
        let page = page.split("## Control socket").next().unwrap();
        let mut all = Vec::new();
        names("", &serde_json::to_value(Config::default()).unwrap(), &mut all);
        let rows: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split('`').next())
            .collect();
        for name in &all {
            assert!(
                rows.contains(&name.as_str()),
                "docs/configuration.md lacks a row for `{name}`"
            );
        }
        for row in rows {
            assert!(
                all.iter().any(|name| name == row),
                "docs/configuration.md: no setting `{row}`"
            );
        }
    }
}
