//! How bodies are packed on their way in and out.

pub mod block;
mod multipart;
mod pack;
mod rowbinary;

pub use multipart::{FormError, multipart};
pub use pack::{Encoding, Packer, unpack};
pub use rowbinary::head_bytes;
