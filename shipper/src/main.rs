//! `tusk`: the daemon that drains nginx's ring, and its command line.
//!
//! * [`cli`]: what can be typed · [`cmd`]: one file per command · [`config`]: `tusk.toml`
//! * [`daemon`]: engine + [`control`] socket + [`http`] server, as `tusk run` and `tusk up` start them · [`embed`]: the embedded
//!   ClickHouse beside them · [`console`]: what its pages may ask
//! * [`term`], [`lang`], [`log`]: how things are said
#![forbid(unsafe_code)]

mod cli;
mod cmd;
mod config;
mod console;
mod control;
mod daemon;
mod embed;
mod http;
mod lang;
mod live;
mod log;
mod term;

use std::fmt;
use std::process::ExitCode;

/// Why a command ends with exit code 1: a sentence that says what to do.
#[derive(Debug)]
pub(crate) struct Fail(String);

impl Fail {
    /// A failure with this sentence.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<config::ConfigError> for Fail {
    fn from(error: config::ConfigError) -> Self {
        Self(error.to_string())
    }
}

fn main() -> ExitCode {
    match cmd::main(cli::parse()) {
        Ok(code) => code,
        Err(fail) => {
            eprintln!("tusk: {fail}");
            ExitCode::FAILURE
        }
    }
}
