//! Bytes of a tracking SDK's HTTP request to checked events.
//!
//! Pure: no I/O, no clock, no unsafe. Arrival time, client address and keys come in with the arguments.
#![forbid(unsafe_code)]

pub mod record;
mod request;

pub use request::{Headers, Method, Request, Watch};
