//! What a stored event looks like to a reader: the SDK's bytes, with what the server knows spliced in.

pub mod encode;
pub mod members;

use serde::{Deserialize, Serialize};

/// Form of a value in files and topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The SDK's bytes + `"_server"` as last member.
    #[default]
    Server,
    /// Sensors-style: server facts as top-level members, `$ip` in `properties` where the SDK sent none.
    Flat,
    /// The SDK's bytes alone.
    Bare,
}
