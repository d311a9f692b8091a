//! Bytes of a tracking SDK's HTTP request to checked events.
//!
//! Pure: no I/O, no clock, no unsafe. Arrival time, client address and keys come in with the arguments.
#![forbid(unsafe_code)]

mod accept;
mod budget;
mod check;
mod code;
mod config;
mod crypto;
mod decode;
mod envelope;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
mod json;
mod keys;
mod project;
pub mod record;
mod reply;
mod request;
mod settle;
#[cfg(test)]
mod testing;
pub mod verdict;

pub use accept::{Accepted, Outcome, Scratch, accept};
pub use check::{EventType, corrected, watch_hash};
pub use code::{CODES, Code, Lang, Message, Place, Row, Severity, Words};
pub use config::{Config, Limits, VerdictMode};
pub use keys::{Cipher, KeyError, KeyRing};
pub use project::{Access, Project, Projects, ProjectsError, TimeRules, access, is_name};
pub use reply::{Body, GIF, Reply};
pub use request::{Headers, Method, Request, Watch};
