//! The library behind `tusk`: ring → journal → facts → sinks.
//!
//! * [`engine`] composes the threads; everything else is a part that can be driven step by step.
//! * [`disk`] is the one door to the file system for whatever must survive a power cut.
//! * [`journal`], [`facts`], [`state`], [`sink`], [`quarantine`], [`ledger`]: see `docs/journal-format.md` and `docs/operating.md`.
//!
//! Invariants: nothing reads beyond what fdatasync covered; no sink reads beyond the facts; a range is written down before it is
//! tried; no sink retries or counts; the process may be killed at any instruction.
#![forbid(unsafe_code)]

pub mod columns;
pub mod compare;
#[cfg(test)]
mod crash;
pub mod disk;
pub mod engine;
pub mod facts;
pub mod fill;
pub mod health;
pub mod import;
pub mod journal;
pub mod ledger;
pub mod olap;
pub mod quarantine;
pub mod range;
pub mod replay;
pub mod sealed;
pub mod secret;
pub mod shape;
pub mod sink;
pub mod source;
pub mod state;
pub mod status;
pub mod tap;
pub mod zone;
