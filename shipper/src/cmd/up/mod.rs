//! `tusk up`
use crate::Fail;
use crate::cli::{Common, Up};
use std::process::ExitCode;
pub(crate) fn run(_common: &Common, _arguments: &Up) -> Result<ExitCode, Fail> {
    Err(Fail::new("not yet"))
}
