//! RSA: PKCS#1 v1.5 and OAEP.

use openssl::pkey::Private;
use openssl::rsa::{Padding, Rsa};

const LARGEST: usize = 1024;

/// Decrypts a session key of 16, 24 or 32 bytes; `None` or another length if the padding is wrong.
///
/// The padding is taken off here and not by OpenSSL: we know the lengths that can be meant, so all three are tried in one pass
/// whose time does not depend on the plaintext, whatever the version of OpenSSL does.
pub(super) fn pkcs1(key: &Rsa<Private>, ekey: &[u8], out: &mut [u8; 32]) -> Option<usize> {
    let size = usize::try_from(key.size()).ok()?;
    if ekey.len() != size || !(64..=LARGEST).contains(&size) {
        return None;
    }
    let mut block = [0; LARGEST];
    let block = block.get_mut(..size)?;
    // Fails for public reasons alone: the number is not below the modulus.
    key.private_decrypt(ekey, block, Padding::NONE).ok()?;
    Some(unpad(block, out))
}

/// 00 02, at least 8 bytes that are not 0, 00, key. Returns the key's length, 0 if there is none.
fn unpad(block: &[u8], out: &mut [u8; 32]) -> usize {
    let mut found = 0u8;
    for length in [16u8, 24, 32] {
        let end = block.len() - usize::from(length) - 1;
        let mut wrong = block[0] | (block[1] ^ 2) | block[end];
        for &byte in &block[2..end] {
            wrong |= is_zero(byte);
        }
        let take = is_zero(std::hint::black_box(wrong)).wrapping_neg(); // 0xff if all is right
        for (to, &from) in out.iter_mut().zip(&block[end + 1..]) {
            *to = (*to & !take) | (from & take);
        }
        found = (found & !take) | (length & take);
    }
    usize::from(found)
}

/// 1 if `byte` is 0, else 0, without a branch.
fn is_zero(byte: u8) -> u8 {
    ((u16::from(byte).wrapping_sub(1) >> 8) & 1) as u8
}

/// As [`pkcs1`] with OAEP, SHA-1 and MGF1-SHA-1; OpenSSL checks it in constant time.
pub(super) fn oaep(key: &Rsa<Private>, ekey: &[u8], out: &mut [u8; 32]) -> Option<usize> {
    let size = usize::try_from(key.size()).ok()?;
    if ekey.len() != size || !(64..=LARGEST).contains(&size) {
        return None;
    }
    let mut block = [0; LARGEST];
    let length =
        key.private_decrypt(ekey, block.get_mut(..size)?, Padding::PKCS1_OAEP).unwrap_or(0);
    out.copy_from_slice(block.first_chunk::<32>()?);
    (length <= 32).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_paddings_open_every_key_length_and_nothing_else() {
        let key = Rsa::generate(2048).unwrap();
        for length in [0u8, 1, 15, 16, 17, 24, 32, 33, 64] {
            let plain: Vec<u8> = (0..length).collect();
            for (padding, open) in
                [(Padding::PKCS1, pkcs1 as fn(&_, &_, &mut _) -> _), (Padding::PKCS1_OAEP, oaep)]
            {
                let mut ekey = vec![0; 256];
                key.public_encrypt(&plain, &mut ekey, padding).unwrap();
                let mut out = [0; 32];
                let got = open(&key, &ekey, &mut out).unwrap_or(0);
                if matches!(length, 16 | 24 | 32) {
                    assert_eq!(&out[..got], plain);
                } else {
                    assert!(!matches!(got, 16 | 24 | 32), "{length} gave {got}");
                }
            }
        }
    }

    #[test]
    fn a_block_is_right_only_as_a_whole() {
        let mut good = [7; 256];
        good[0] = 0;
        good[1] = 2;
        good[256 - 17] = 0;
        let mut out = [0; 32];
        assert_eq!(unpad(&good, &mut out), 16);
        assert_eq!(out[..16], [7; 16]);
        for (at, byte) in [(0, 1), (1, 1), (1, 0), (239, 1), (2, 0), (100, 0), (238, 0)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(unpad(&bad, &mut [0; 32]), 0, "byte {at} = {byte}");
        }
    }

    #[test]
    fn foreign_lengths_are_refused() {
        let key = Rsa::generate(2048).unwrap();
        for ekey in [&[][..], &[1; 255], &[1; 257], &[0xff; 256]] {
            assert_eq!(pkcs1(&key, ekey, &mut [0; 32]), None);
        }
    }
}
