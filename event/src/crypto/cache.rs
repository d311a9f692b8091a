//! Session keys by `ekey`: constant for a page or process of the SDK, so most requests need no private key at all.

use std::collections::HashMap;

use openssl::sha::Sha256;

use super::SessionKey;

/// Entries of one generation; two are held. 2 × 2,048 × about 100 bytes, filled only where envelopes arrive.
const GENERATION: usize = 2048;

type Map = HashMap<[u8; 32], SessionKey>;

/// A bounded cache that forgets what was not used for a whole generation. Failures are remembered too: the second try of a bad
/// `ekey` must cost what the second try of a good one does.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    young: Map,
    old: Map,
}

impl Cache {
    /// The name of an `ekey` under a `pkv` of one key ring.
    pub(crate) fn name(ring: u64, pkv: i64, ekey: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(&ring.to_le_bytes());
        hash.update(&pkv.to_le_bytes());
        hash.update(ekey);
        hash.finish()
    }

    /// The key kept under `name`.
    pub(crate) fn get(&mut self, name: &[u8; 32]) -> Option<SessionKey> {
        if let Some(key) = self.young.get(name) {
            return Some(*key);
        }
        let key = self.old.remove(name)?;
        self.put(*name, key);
        Some(key)
    }

    /// Keeps `key`.
    pub(crate) fn put(&mut self, name: [u8; 32], key: SessionKey) {
        if self.young.len() >= GENERATION {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(name, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Cipher;

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let key = SessionKey::new(&[7; 16], Cipher::Aes).unwrap();
        let mut cache = Cache::default();
        let used = Cache::name(1, 1, b"used");
        cache.put(used, key);
        for i in 0..10 * GENERATION {
            cache.put(Cache::name(1, 2, &i.to_le_bytes()), key);
            assert!(cache.get(&used).is_some(), "forgotten after {i}");
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
        assert!(cache.get(&Cache::name(1, 2, &0usize.to_le_bytes())).is_none());
    }

    #[test]
    fn another_ring_or_pkv_is_another_key() {
        let names = [Cache::name(1, 1, b"e"), Cache::name(2, 1, b"e"), Cache::name(1, 2, b"e")];
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
    }
}
