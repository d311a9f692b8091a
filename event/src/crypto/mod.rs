//! Envelopes: from `ekey` or `key_id` to the session key, from a payload to plaintext.
//!
//! Whatever goes wrong in here must look the same from outside, in the answer and in the time it takes: an attacker who could
//! tell a bad RSA padding from a bad CBC padding could read other people's events. So a failed step never ends the way: it goes on
//! with a key derived from the key ring's secret and the `ekey` ("implicit rejection"), and the reason is only noted.

mod cache;
mod cbc;
mod ecies;
mod rsa;
mod sm2;

pub(crate) use cache::Cache;
pub(crate) use cbc::Cbc;

use openssl::sha::Sha256;

use crate::Code;
use crate::keys::{Asymmetric, Cipher, KeyRing, PrivateKey};

/// Longest wrapped key that is looked at: RSA-8192.
const EKEY_BYTES_MAX: usize = 1024;

/// A key for payloads.
#[derive(Clone, Copy)]
pub(crate) struct SessionKey {
    bytes: [u8; 32],
    length: u8,
    /// Cipher of the payloads.
    pub(crate) cipher: Cipher,
    /// Why the bytes are not the sender's; `None` if they are.
    pub(crate) fault: Option<Code>,
}

impl SessionKey {
    /// A key of 16, 24 or 32 bytes; others are no keys.
    pub(crate) fn new(bytes: &[u8], cipher: Cipher) -> Option<Self> {
        let length = match (bytes.len(), cipher) {
            (16, _) | (24 | 32, Cipher::Aes) => u8::try_from(bytes.len()).ok()?,
            _ => return None,
        };
        let mut key = Self { bytes: [0; 32], length, cipher, fault: None };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(key)
    }

    /// The key to go on with after `fault`.
    pub(crate) fn rejected(secret: &[u8; 32], ekey: &[u8], cipher: Cipher, fault: Code) -> Self {
        let mut hash = Sha256::new();
        hash.update(secret);
        hash.update(ekey);
        Self { bytes: hash.finish(), length: 16, cipher, fault: Some(fault) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKey").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// Unwraps an `ekey` (already base64-decoded): one private-key operation.
pub(crate) fn unwrap(key: &PrivateKey, secret: &[u8; 32], ekey: &[u8]) -> SessionKey {
    let rejected = SessionKey::rejected(secret, ekey, key.cipher, Code::K501);
    if ekey.len() > EKEY_BYTES_MAX {
        return rejected;
    }
    let mut plain = [0; 32];
    let length = match &key.kind {
        Asymmetric::RsaPkcs1(rsa) => rsa::pkcs1(rsa, ekey, &mut plain),
        Asymmetric::RsaOaep(rsa) => rsa::oaep(rsa, ekey, &mut plain),
        Asymmetric::Ecies(ec) => ecies::decrypt(ec, ekey, &mut plain),
        Asymmetric::Sm2(ec) => sm2::decrypt(ec, ekey, &mut plain),
    };
    let mut length = length.unwrap_or(0).min(plain.len());
    if key.cipher == Cipher::Sm4 && length == 32 {
        // Some senders wrap the key's hexadecimal text.
        length = from_hex(&mut plain).unwrap_or(0);
    }
    SessionKey::new(&plain[..length], key.cipher).unwrap_or(rejected)
}

/// Puts the 16 bytes that 32 hex digits stand for at the front.
fn from_hex(text: &mut [u8; 32]) -> Option<usize> {
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    text[..16].copy_from_slice(&bytes);
    Some(16)
}

/// The key of a `key_id`.
pub(crate) fn shared(ring: &KeyRing, key_id: i64) -> SessionKey {
    ring.shared(key_id)
        .and_then(|key| SessionKey::new(&key.bytes, key.cipher))
        .unwrap_or_else(|| missing(ring, &key_id.to_le_bytes(), Code::K503))
}

/// The key to go on with where the ring has none.
pub(crate) fn missing(ring: &KeyRing, ekey: &[u8], fault: Code) -> SessionKey {
    SessionKey::rejected(&ring.secret, ekey, Cipher::Aes, fault)
}
