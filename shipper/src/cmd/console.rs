//! `tusk console`: a one-time address of the running daemon's pages.

use std::process::ExitCode;

use super::put;
use crate::Fail;
use crate::cli::Common;
use crate::control::{Client, Request};

/// Prints it.
pub(crate) fn run(common: &Common) -> Result<ExitCode, Fail> {
    let config = common.load_to_ask()?.config;
    let (address, _) = Client::ask::<String>(&config.socket(), &Request::Console)?;
    put(&format!("{address}\n"))?;
    Ok(ExitCode::SUCCESS)
}
