//! SM2 (GB/T 32918.4), C1 ‖ C3 ‖ C2: point, SM3 digest, text. C1 with or without its leading 04.

use openssl::hash::{Hasher, MessageDigest};

use super::ecies::multiply;
use crate::keys::EcSecret;

const DIGEST: usize = 32;

/// Decrypts a session key of at most 32 bytes; `None` if it is not one.
pub(super) fn decrypt(key: &EcSecret, ekey: &[u8], out: &mut [u8; 32]) -> Option<usize> {
    // 64 + 32 + text, or one more with the 04. Texts are 16 or 32 bytes, so the length alone tells the two apart.
    let bare = match (ekey.len() % 16, ekey.first()) {
        (0, _) => ekey,
        (1, Some(4)) => &ekey[1..],
        _ => return None,
    };
    let (point, rest) = bare.split_at_checked(64)?;
    let (digest, text) = rest.split_at_checked(DIGEST)?;
    if text.is_empty() || text.len() > out.len() {
        return None;
    }
    let mut full = [4; 65];
    full[1..].copy_from_slice(point);
    let (x, y) = multiply(key, &full)?;
    let stream = sm3(&[&x, &y, &1u32.to_be_bytes()])?; // one block of the KDF is all a key needs
    for ((to, from), key) in out.iter_mut().zip(text).zip(stream) {
        *to = from ^ key;
    }
    let wanted = sm3(&[&x, &out[..text.len()], &y])?;
    openssl::memcmp::eq(&wanted, digest).then_some(text.len())
}

fn sm3(parts: &[&[u8]]) -> Option<[u8; DIGEST]> {
    let mut hasher = Hasher::new(MessageDigest::from_name("SM3")?).ok()?;
    for part in parts {
        hasher.update(part).ok()?;
    }
    (*hasher.finish().ok()?).try_into().ok()
}

#[cfg(test)]
mod tests {
    use openssl::bn::BigNumContext;
    use openssl::ec::{EcGroup, EcKey, PointConversionForm};
    use openssl::nid::Nid;

    use super::*;

    #[test]
    fn sm3_is_the_standards_example() {
        assert_eq!(sm3(&[b"a", b"bc"]).unwrap()[..4], [0x66, 0xc7, 0xf0, 0xf4]);
    }

    #[test]
    fn opens_with_and_without_04_and_finds_any_change() {
        let group = EcGroup::from_curve_name(Nid::SM2).unwrap();
        let mut context = BigNumContext::new().unwrap();
        let (ours, own) = (EcKey::generate(&group).unwrap(), EcKey::generate(&group).unwrap());
        let secret = |key: &EcKey<_>| EcSecret {
            group: EcGroup::from_curve_name(Nid::SM2).unwrap(),
            scalar: key.private_key().to_owned().unwrap(),
        };
        let mut bytes = |key: &EcKey<openssl::pkey::Private>| {
            key.public_key()
                .to_bytes(&group, PointConversionForm::UNCOMPRESSED, &mut context)
                .unwrap()
        };
        let (c1, public) = (bytes(&own), bytes(&ours));
        let (x, y) = multiply(&secret(&own), &public).unwrap();
        let text = b"0123456789abcdef";
        let stream = sm3(&[&x, &y, &[0, 0, 0, 1]]).unwrap();
        let c2: Vec<u8> = text.iter().zip(stream).map(|(a, b)| a ^ b).collect();
        let c3 = sm3(&[&x, text, &y]).unwrap();
        let full = [&c1[..], &c3, &c2].concat();
        let (secret, mut out) = (secret(&ours), [0; 32]);
        for ekey in [&full[..], &full[1..]] {
            assert_eq!(decrypt(&secret, ekey, &mut out), Some(16));
            assert_eq!(&out[..16], text);
            for at in 0..ekey.len() {
                let mut bad = ekey.to_vec();
                bad[at] ^= 1;
                assert_eq!(decrypt(&secret, &bad, &mut out), None, "byte {at}");
                assert_eq!(decrypt(&secret, &ekey[..at], &mut out), None, "cut at {at}");
            }
        }
    }
}
