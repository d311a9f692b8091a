//! The targets and what each promises.

mod decoders;
mod olap;
mod readers;
mod requests;

use crate::seeds;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: a file in `fuzz_targets/`, a folder of saved inputs.
    pub name: &'static str,
    /// Tries one input; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "form", run: decoders::form, seeds: seeds::forms },
    Target { name: "base64", run: decoders::base64, seeds: seeds::values },
    Target { name: "gunzip", run: decoders::gunzip, seeds: seeds::streams },
    Target { name: "json", run: requests::json, seeds: seeds::texts },
    Target { name: "decrypt", run: requests::decrypt, seeds: requests::decrypt_seeds },
    Target { name: "request", run: requests::request, seeds: seeds::requests },
    Target { name: "record", run: readers::record, seeds: readers::record_seeds },
    Target { name: "ring", run: readers::ring, seeds: readers::patch_seeds },
    Target { name: "journal", run: readers::journal, seeds: readers::patch_seeds },
    Target { name: "sql", run: olap::sql, seeds: olap::sql_seeds },
    Target { name: "blocks", run: olap::blocks, seeds: olap::blocks_seeds },
];

/// The target of that name.
#[must_use]
pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}
