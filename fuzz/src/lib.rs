//! Fuzz targets: bytes in, nothing out; a broken promise is a panic.
//!
//! Each target is an ordinary function, so that it runs in three ways: by the seeded mutation of [`mutate`] in
//! `make test` (stable Rust, no C++), by libFuzzer with coverage in `make fuzz`, and on a saved input as a test.

pub mod json;
pub mod mutate;
pub mod seeds;
mod targets;

pub use targets::{TARGETS, Target, named};
