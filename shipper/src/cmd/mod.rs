//! One file per command.

mod check;
mod compare;
mod console;
mod decode;
mod doctor;
mod import;
mod keys;
mod ledger;
mod migrate;
mod quarantine;
mod replay;
mod run;
mod span;
mod tail;
mod up;

use std::io::{self, Write};
use std::process::ExitCode;

use event::Lang;

use crate::cli::{Cli, Command, Common, Keys, LangArg};
use crate::config::{self, ConfigError, Loaded};
use crate::lang::Language;
use crate::{Fail, lang};

/// Runs what was typed.
///
/// # Errors
/// [`Fail`]: shown on stderr, exit code 1.
pub(crate) fn main(cli: Cli) -> Result<ExitCode, Fail> {
    let common = &cli.common;
    match cli.command {
        Command::Run => run::run(common),
        Command::Up(arguments) => up::run(common, &arguments),
        Command::Check(arguments) => check::run(common, &arguments),
        Command::Tail(arguments) => tail::run(common, &arguments),
        Command::Decode(arguments) => decode::run(common, &arguments),
        Command::Import(arguments) => import::run(common, &arguments),
        Command::Compare(arguments) => compare::run(common, &arguments),
        Command::Console => console::run(common),
        Command::Doctor(arguments) => doctor::run(common, &arguments),
        Command::Ledger(arguments) => ledger::run(common, &arguments),
        Command::Quarantine(verb) => quarantine::run(common, verb),
        Command::Replay(arguments) => replay::run(common, &arguments),
        Command::Keys(Keys::New(arguments)) => keys::run(common, &arguments),
        Command::Migrate(arguments) => migrate::run(common, &arguments),
    }
}

impl Common {
    /// Loads the configuration these options name.
    fn load(&self) -> Result<Loaded, ConfigError> {
        Ok(self.in_language(config::load(self.config.as_deref(), self.data.as_deref())?))
    }

    /// The same, to ask a running daemon.
    fn load_to_ask(&self) -> Result<Loaded, ConfigError> {
        Ok(self.in_language(config::load_to_ask(self.config.as_deref(), self.data.as_deref())?))
    }

    fn in_language(&self, mut loaded: Loaded) -> Loaded {
        if let Some(lang) = self.lang {
            loaded.config.lang = Some(lang.into());
        }
        loaded
    }

    /// Language without a configuration.
    fn lang(&self) -> Lang {
        lang::choose(self.lang.map(Into::into))
    }
}

impl From<LangArg> for Language {
    fn from(lang: LangArg) -> Self {
        match lang {
            LangArg::Zh => Self::Zh,
            LangArg::En => Self::En,
        }
    }
}

/// Writes to stdout; `false` once its reader is gone (`tusk tail | head`), which ends a command well.
fn put(text: &str) -> Result<bool, Fail> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Fail::new(format!("cannot write to stdout: {error}"))),
    }
}
