//! Payloads: IV[16] ‖ CBC ciphertext with PKCS#7 padding, AES or SM4.

use openssl::cipher::{Cipher as Algorithm, CipherRef};
use openssl::cipher_ctx::CipherCtx;

use super::SessionKey;
use crate::keys::Cipher;

const BLOCK: usize = 16;

/// A cipher context that is used again and again.
#[derive(Default)]
pub(crate) struct Cbc(Option<CipherCtx>);

impl std::fmt::Debug for Cbc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cbc")
    }
}

impl Cbc {
    /// Decrypts `payload` into `out` (overwritten). `false`: its length or padding is wrong; then `out` holds what came out, padding
    /// and all, so that the caller can go the rest of the way as if nothing were wrong.
    pub(crate) fn decrypt(&mut self, key: &SessionKey, payload: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some((iv, text)) = payload.split_at_checked(BLOCK) else { return false };
        if text.is_empty() || !text.len().is_multiple_of(BLOCK) {
            return false;
        }
        out.resize(text.len() + 2 * BLOCK, 0);
        let Some(length) = self.update(key, iv, text, out) else {
            out.clear();
            return false;
        };
        out.truncate(length);
        match padding(out) {
            Some(padding) => {
                out.truncate(length - padding);
                true
            }
            None => false,
        }
    }

    fn update(
        &mut self,
        key: &SessionKey,
        iv: &[u8],
        text: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        if self.0.is_none() {
            self.0 = CipherCtx::new().ok();
        }
        let context = self.0.as_mut()?;
        context.decrypt_init(Some(algorithm(key)), Some(key.bytes()), Some(iv)).ok()?;
        context.set_padding(false);
        let length = context.cipher_update(text, Some(out)).ok()?;
        (length == text.len()).then_some(length)
    }
}

fn algorithm(key: &SessionKey) -> &'static CipherRef {
    match (key.cipher, key.bytes().len()) {
        (Cipher::Sm4, _) => Algorithm::sm4_cbc(),
        (Cipher::Aes, 24) => Algorithm::aes_192_cbc(),
        (Cipher::Aes, 32) => Algorithm::aes_256_cbc(),
        (Cipher::Aes, _) => Algorithm::aes_128_cbc(),
    }
}

/// Length of the PKCS#7 padding, 1 to 16; `None` if it is wrong. The time does not depend on the bytes.
fn padding(text: &[u8]) -> Option<usize> {
    let last = text.last_chunk::<BLOCK>()?;
    let length = last[BLOCK - 1];
    let mut wrong = u8::from(length == 0) | u8::from(usize::from(length) > BLOCK);
    for (i, &byte) in last.iter().enumerate() {
        let inside = u8::from(BLOCK - i <= usize::from(length));
        wrong |= inside & u8::from(byte != length);
    }
    (std::hint::black_box(wrong) == 0).then_some(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_pkcs7() {
        for length in 1..=16u8 {
            let mut block = [0xaa; 32];
            block[32 - usize::from(length)..].fill(length);
            assert_eq!(padding(&block), Some(usize::from(length)));
            block[32 - usize::from(length)] ^= 1;
            let want = if length == 1 { None } else { Some(()) };
            assert_eq!(padding(&block).map(|_| ()).is_some(), want.is_some() && length == 1);
        }
        for last in [0, 17, 255] {
            assert_eq!(padding(&[last; 16]), None);
        }
    }

    #[test]
    fn wrong_lengths_are_no_payloads() {
        let key = SessionKey::new(&[1; 16], Cipher::Aes).unwrap();
        let (mut cbc, mut out) = (Cbc::default(), Vec::new());
        for length in [0, 15, 16, 17, 31, 33, 47] {
            assert!(!cbc.decrypt(&key, &vec![0; length], &mut out), "{length}");
        }
    }

    #[test]
    fn every_cipher_opens_what_openssl_made() {
        use openssl::symm::{Cipher as Symm, encrypt};
        for (length, cipher, symm) in [
            (16, Cipher::Aes, Symm::aes_128_cbc()),
            (24, Cipher::Aes, Symm::aes_192_cbc()),
            (32, Cipher::Aes, Symm::aes_256_cbc()),
            (16, Cipher::Sm4, Symm::sm4_cbc()),
        ] {
            let bytes: Vec<u8> = (0..length).collect();
            let key = SessionKey::new(&bytes, cipher).unwrap();
            let (mut cbc, mut out) = (Cbc::default(), Vec::new());
            for text in [&b""[..], b"0123456789abcdef", b"{\"event\":\"Buy\"}"] {
                let mut payload = [9; 16].to_vec();
                payload.extend(encrypt(symm, &bytes, Some(&[9; 16]), text).unwrap());
                assert!(cbc.decrypt(&key, &payload, &mut out));
                assert_eq!(out, text);
                let end = payload.len() - 1;
                payload[end] ^= 1;
                cbc.decrypt(&key, &payload, &mut out);
                assert_ne!(out, text);
            }
        }
    }
}
