//! ECIES as Bouncy Castle, SpongyCastle (Android) and Crypto++ (iOS) do it by default, on P-256 or secp256k1.
//!
//! `ekey` = V[65] (04 ‖ X ‖ Y) ‖ C ‖ T[20]. Z = X of d·V; K = KDF2-SHA1(V ‖ Z): 16 bytes for the MAC, then the key stream.
//! M = C xor stream; T = HMAC-SHA1(MAC key, C ‖ 8 zero bytes).

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::EcPoint;
use openssl::sha::Sha1;

use crate::keys::EcSecret;

const POINT: usize = 65;
const TAG: usize = 20;
const MAC_KEY: usize = 16;

/// Decrypts a session key of at most 32 bytes; `None` if it is not one.
pub(super) fn decrypt(key: &EcSecret, ekey: &[u8], out: &mut [u8; 32]) -> Option<usize> {
    let (point, rest) = ekey.split_at_checked(POINT)?;
    let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
    if text.is_empty() || text.len() > out.len() || point.first() != Some(&4) {
        return None;
    }
    let (x, _) = multiply(key, point)?;
    let mut keys = [0; MAC_KEY + 32];
    kdf2(point, &x, &mut keys);
    let (mac_key, stream) = keys.split_at(MAC_KEY);
    let wanted = hmac(mac_key, &[text, &[0; 8]]);
    for ((to, from), key) in out.iter_mut().zip(text).zip(stream) {
        *to = from ^ key;
    }
    openssl::memcmp::eq(&wanted, tag).then_some(text.len())
}

/// Coordinates of secret · point, 32 bytes each; `None` if the point is not on the curve.
pub(super) fn multiply(key: &EcSecret, point: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let mut context = BigNumContext::new().ok()?;
    // Refuses points that are not on the curve; the curves have no small subgroups.
    let point = EcPoint::from_bytes(&key.group, point, &mut context).ok()?;
    let mut product = EcPoint::new(&key.group).ok()?;
    product.mul2(&key.group, &point, &key.scalar, &mut context).ok()?;
    let (mut x, mut y) = (BigNum::new().ok()?, BigNum::new().ok()?);
    product.affine_coordinates(&key.group, &mut x, &mut y, &mut context).ok()?;
    let bytes = |n: &BigNum| n.to_vec_padded(32).ok()?.try_into().ok();
    Some((bytes(&x)?, bytes(&y)?))
}

/// ISO 18033-2 KDF2 with SHA-1 over point ‖ z.
fn kdf2(point: &[u8], z: &[u8], out: &mut [u8]) {
    for (counter, block) in (1u32..).zip(out.chunks_mut(20)) {
        let mut hash = Sha1::new();
        hash.update(point);
        hash.update(z);
        hash.update(&counter.to_be_bytes());
        let digest = hash.finish();
        block.copy_from_slice(&digest[..block.len()]);
    }
}

/// HMAC-SHA1 with a key of at most 64 bytes.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let keyed = |pad: u8| {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        let mut hash = Sha1::new();
        hash.update(&block);
        hash
    };
    let mut inner = keyed(0x36);
    for part in parts {
        inner.update(part);
    }
    let mut outer = keyed(0x5c);
    outer.update(&inner.finish());
    outer.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use openssl::ec::{EcGroup, EcKey, PointConversionForm};
    use openssl::nid::Nid;

    use super::*;

    /// The sender's side.
    pub(crate) fn encrypt(
        group: &EcGroup,
        public: &openssl::ec::EcPointRef,
        text: &[u8],
    ) -> Vec<u8> {
        let mut context = BigNumContext::new().unwrap();
        let own = EcKey::generate(group).unwrap();
        let point = own
            .public_key()
            .to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut context)
            .unwrap();
        let secret = EcSecret {
            group: EcGroup::from_curve_name(group.curve_name().unwrap()).unwrap(),
            scalar: own.private_key().to_owned().unwrap(),
        };
        let their =
            public.to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut context).unwrap();
        let (z, _) = multiply(&secret, &their).unwrap();
        let mut keys = vec![0; MAC_KEY + text.len()];
        kdf2(&point, &z, &mut keys);
        let cipher: Vec<u8> = text.iter().zip(&keys[MAC_KEY..]).map(|(a, b)| a ^ b).collect();
        let tag = hmac(&keys[..MAC_KEY], &[&cipher, &[0; 8]]);
        [&point[..], &cipher, &tag].concat()
    }

    #[test]
    fn hmac_is_rfc_2202() {
        let digest = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(digest[..4], [0xef, 0xfc, 0xdf, 0x6a]);
    }

    #[test]
    fn both_curves_open_and_any_change_is_found() {
        for curve in [Nid::X9_62_PRIME256V1, Nid::SECP256K1] {
            let group = EcGroup::from_curve_name(curve).unwrap();
            let key = EcKey::generate(&group).unwrap();
            let secret = EcSecret {
                group: EcGroup::from_curve_name(curve).unwrap(),
                scalar: key.private_key().to_owned().unwrap(),
            };
            let ekey = encrypt(&group, key.public_key(), b"0123456789abcdef");
            assert_eq!(ekey.len(), 101);
            let mut out = [0; 32];
            assert_eq!(decrypt(&secret, &ekey, &mut out), Some(16));
            assert_eq!(&out[..16], b"0123456789abcdef");
            for at in 0..ekey.len() {
                let mut bad = ekey.clone();
                bad[at] ^= 1;
                assert_eq!(decrypt(&secret, &bad, &mut out), None, "byte {at}");
            }
            for end in 0..ekey.len() {
                assert_eq!(decrypt(&secret, &ekey[..end], &mut out), None);
            }
        }
    }
}
