//! The command line as a person meets it: the real binary, its output, its exit codes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod compare;
mod config;
mod daemon;
mod decode;
mod keys;
mod running;
mod sealed;
mod support;
