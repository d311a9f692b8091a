//! Keys file (`tusk_keys FILE`, `tusk.toml`): private keys by `pkv`, the web plugin's AES keys by `key_id`.
//!
//! ```toml
//! [[key]]
//! pkv = 1
//! type = "RSA+AES"                 # or EC+AES, SM2+SM4, RSA/ECB/OAEPPadding+AES, RSA+SM4, …
//! private_key_file = "rsa-1.pem"   # or private_key = """-----BEGIN …"""; SM2: 64 hex digits
//! [[key]]
//! key_id = 7
//! type = "AES"
//! key = "MDEyMzQ1Njc4OWFiY2RlZg=="
//! ```

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::sha::Sha256;
use serde::Deserialize;

/// Block cipher of the payloads, always CBC with PKCS#7 padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES with a key of 16, 24 or 32 bytes.
    Aes,
    /// SM4, key of 16 bytes.
    Sm4,
}

/// A private key that unwraps `ekey`.
pub(crate) enum Asymmetric {
    /// RSA, PKCS#1 v1.5.
    RsaPkcs1(Rsa<Private>),
    /// RSA, OAEP with SHA-1 and MGF1-SHA-1.
    RsaOaep(Rsa<Private>),
    /// ECIES as Bouncy Castle and Crypto++ do it, on P-256 or secp256k1.
    Ecies(EcSecret),
    /// SM2, C1 ‖ C3 ‖ C2.
    Sm2(EcSecret),
}

/// Curve and secret scalar.
pub(crate) struct EcSecret {
    pub(crate) group: EcGroup,
    pub(crate) scalar: BigNum,
}

pub(crate) struct PrivateKey {
    pub(crate) pkv: i64,
    pub(crate) kind: Asymmetric,
    pub(crate) cipher: Cipher,
}

pub(crate) struct SharedKey {
    pub(crate) key_id: i64,
    pub(crate) cipher: Cipher,
    pub(crate) bytes: Box<[u8]>,
}

/// All keys of a keys file. Shows no key in any output.
#[derive(Default)]
pub struct KeyRing {
    /// Tells one ring's cached session keys from another's; 0 = the empty ring.
    pub(crate) serial: u64,
    /// Digest of all key material: what a key derived after a failed unwrap depends on, so that nobody outside can foresee it.
    pub(crate) secret: [u8; 32],
    private: Vec<PrivateKey>,
    shared: Vec<SharedKey>,
}

/// Why a keys file was refused. The text names the key by `pkv` or `key_id` and says what to change; it never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not TOML, or an unknown name in it.
    #[error("{0}")]
    Toml(String),
    /// A key that cannot be used.
    #[error("key {name}: {problem}")]
    Key {
        /// `pkv = 1` or `key_id = 7`.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// `private_key_file` cannot be read.
    #[error("key {name}: cannot read {file}: {error}")]
    File {
        /// Which key.
        name: String,
        /// The file as written in the keys file.
        file: String,
        /// Why.
        error: io::Error,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    pkv: Option<i64>,
    key_id: Option<i64>,
    r#type: String,
    private_key: Option<String>,
    private_key_file: Option<String>,
    key: Option<String>,
}

impl KeyRing {
    /// Reads a keys file; `read_file` gives the text of a `private_key_file` (the caller resolves the path and checks that
    /// others cannot read it).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(
        toml: &str,
        read_file: &mut dyn FnMut(&str) -> io::Result<String>,
    ) -> Result<Self, KeyError> {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        // The parser's own message quotes the line, which may be a key: give place and cause only.
        let file: File = toml::from_str(toml).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start).min(toml.len());
            let line = toml.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
            KeyError::Toml(format!("line {line}: {}", e.message()))
        })?;
        let mut ring = Self { serial: SERIAL.fetch_add(1, Ordering::Relaxed), ..Self::default() };
        let mut secret = Sha256::new();
        secret.update(toml.as_bytes());
        for row in file.key {
            ring.add(row, &mut |file| {
                let text = read_file(file)?;
                secret.update(text.as_bytes());
                Ok(text)
            })?;
        }
        ring.secret = secret.finish();
        Ok(ring)
    }

    fn add(
        &mut self,
        row: Row,
        read_file: &mut dyn FnMut(&str) -> io::Result<String>,
    ) -> Result<(), KeyError> {
        let name = match (row.pkv, row.key_id) {
            (Some(pkv), None) => format!("pkv = {pkv}"),
            (None, Some(id)) => format!("key_id = {id}"),
            _ => "?".to_owned(),
        };
        let bad = |problem: &str| KeyError::Key { name: name.clone(), problem: problem.to_owned() };
        match (row.pkv, row.key_id) {
            (Some(pkv), None) => {
                if self.private.iter().any(|key| key.pkv == pkv) {
                    return Err(bad("stands twice; give the newer one the next pkv"));
                }
                if row.key.is_some() {
                    return Err(bad(
                        "`key` belongs to key_id; use private_key or private_key_file",
                    ));
                }
                let text = match (row.private_key, row.private_key_file) {
                    (Some(text), None) => text,
                    (None, Some(file)) => read_file(&file).map_err(|error| KeyError::File {
                        name: name.clone(),
                        file,
                        error,
                    })?,
                    _ => return Err(bad("give either private_key or private_key_file")),
                };
                let (kind, cipher) = private_key(&row.r#type, text.trim()).map_err(|p| bad(&p))?;
                self.private.push(PrivateKey { pkv, kind, cipher });
            }
            (None, Some(key_id)) => {
                if self.shared.iter().any(|key| key.key_id == key_id) {
                    return Err(bad("stands twice; give the newer one the next key_id"));
                }
                let cipher = cipher(&row.r#type)
                    .ok_or_else(|| bad("type must be \"AES\" or \"SM4\" for a key_id"))?;
                let Some(text) = row.key else {
                    return Err(bad("`key` is missing: the key in base64"));
                };
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text.trim())
                    .map_err(|_| bad("`key` is not base64"))?;
                let fits = match cipher {
                    Cipher::Aes => matches!(bytes.len(), 16 | 24 | 32),
                    Cipher::Sm4 => bytes.len() == 16,
                };
                if !fits {
                    return Err(bad("the key must have 16, 24 or 32 bytes (SM4: 16)"));
                }
                self.shared.push(SharedKey { key_id, cipher, bytes: bytes.into() });
            }
            _ => return Err(bad("give each [[key]] either pkv (private key) or key_id (AES key)")),
        }
        Ok(())
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.private.len() + self.shared.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn private(&self, pkv: i64) -> Option<&PrivateKey> {
        self.private.iter().find(|key| key.pkv == pkv)
    }

    pub(crate) fn shared(&self, key_id: i64) -> Option<&SharedKey> {
        self.shared.iter().find(|key| key.key_id == key_id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("pkv", &self.private.iter().map(|key| key.pkv).collect::<Vec<_>>())
            .field("key_id", &self.shared.iter().map(|key| key.key_id).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn cipher(name: &str) -> Option<Cipher> {
    match name {
        "AES" => Some(Cipher::Aes),
        "SM4" => Some(Cipher::Sm4),
        _ => None,
    }
}

/// Reads one private key; the error is the problem in words.
fn private_key(kind: &str, text: &str) -> Result<(Asymmetric, Cipher), String> {
    const TYPES: &str = "type must be RSA, RSA/ECB/OAEPPadding, EC or SM2, a plus sign, then AES or SM4, such as \"RSA+AES\"";
    let (outer, inner) = kind.split_once('+').ok_or(TYPES)?;
    let cipher = cipher(inner).ok_or(TYPES)?;
    let key = match outer {
        "RSA" | "RSA/ECB/PKCS1Padding" | "RSA/None/PKCS1Padding" => {
            Asymmetric::RsaPkcs1(rsa(text)?)
        }
        "RSA/ECB/OAEPPadding" => Asymmetric::RsaOaep(rsa(text)?),
        "EC" => Asymmetric::Ecies(ec(text)?),
        "SM2" => Asymmetric::Sm2(sm2(text)?),
        _ => return Err(TYPES.to_owned()),
    };
    Ok((key, cipher))
}

fn pem(text: &str) -> Result<PKey<Private>, String> {
    PKey::private_key_from_pem_callback(text.as_bytes(), |_| Ok(0)).map_err(|_| {
        "not an unencrypted PEM private key; `openssl pkcs8 -topk8 -nocrypt` makes one".to_owned()
    })
}

fn rsa(text: &str) -> Result<Rsa<Private>, String> {
    let key = pem(text)?.rsa().map_err(|_| "the PEM holds no RSA key".to_owned())?;
    match key.size() {
        128..=1024 => Ok(key),
        bytes => Err(format!("RSA key of {} bits; use 2048 to 4096", bytes * 8)),
    }
}

fn ec(text: &str) -> Result<EcSecret, String> {
    let key = pem(text)?;
    if key.id() != Id::EC {
        return Err("the PEM holds no EC key".to_owned());
    }
    let key = key.ec_key().map_err(|_| "the PEM holds no EC key".to_owned())?;
    match key.group().curve_name() {
        Some(curve @ (Nid::X9_62_PRIME256V1 | Nid::SECP256K1)) => {
            let scalar = key.private_key().to_owned().map_err(|e| e.to_string())?;
            secret(curve, scalar)
        }
        _ => Err("the curve must be secp256r1 (P-256) or secp256k1".to_owned()),
    }
}

fn sm2(text: &str) -> Result<EcSecret, String> {
    const FORM: &str = "an SM2 private key is 64 hex digits";
    if text.len() > 64 || text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(FORM.to_owned());
    }
    secret(Nid::SM2, BigNum::from_hex_str(text).map_err(|_| FORM.to_owned())?)
}

fn secret(curve: Nid, mut scalar: BigNum) -> Result<EcSecret, String> {
    let group = EcGroup::from_curve_name(curve)
        .map_err(|_| "this OpenSSL was built without the curve".to_owned())?;
    let in_range = (|| {
        let mut context = BigNumContext::new()?;
        let mut order = BigNum::new()?;
        group.order(&mut order, &mut context)?;
        // Also proves that this OpenSSL can calculate on the curve: what can fail fails here, not at the first request.
        let mut point = EcPoint::new(&group)?;
        point.mul_generator2(&group, &scalar, &mut context)?;
        Ok::<_, openssl::error::ErrorStack>(
            scalar.num_bits() > 0 && !scalar.is_negative() && scalar < order,
        )
    })();
    match in_range {
        Ok(true) => {
            scalar.set_const_time();
            Ok(EcSecret { group, scalar })
        }
        _ => Err("the private key is not in the curve's range".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(key: &PKey<Private>) -> String {
        String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    fn rsa_pem(bits: u32) -> String {
        pem(&PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap())
    }

    fn ec_pem(curve: Nid) -> String {
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = openssl::ec::EcKey::generate(&group).unwrap();
        pem(&PKey::from_ec_key(key).unwrap())
    }

    fn read(toml: &str) -> Result<KeyRing, String> {
        KeyRing::parse(toml, &mut |file| match file {
            "rsa.pem" => Ok(rsa_pem(2048)),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
        .map_err(|error| error.to_string())
    }

    fn private(kind: &str, key: &str) -> Result<KeyRing, String> {
        read(&format!("[[key]]\npkv = 1\ntype = \"{kind}\"\nprivate_key = \"\"\"{key}\"\"\""))
    }

    #[test]
    fn every_kind_of_key_is_read() {
        let scalar = "237953d4b34c38a50047df941197f0196aabf846739a88c0afba5f375f6885d5";
        let rsa = rsa_pem(2048);
        for (kind, key) in [
            ("RSA+AES", &*rsa),
            ("RSA+SM4", &*rsa),
            ("RSA/ECB/OAEPPadding+AES", &*rsa),
            ("EC+AES", &*ec_pem(Nid::X9_62_PRIME256V1)),
            ("EC+AES", &*ec_pem(Nid::SECP256K1)),
            ("SM2+SM4", scalar),
        ] {
            assert_eq!(private(kind, key).map(|ring| ring.len()), Ok(1), "{kind}");
        }
        let both = "[[key]]\npkv = 3\ntype = \"RSA+AES\"\nprivate_key_file = \"rsa.pem\"\n\
                    [[key]]\nkey_id = 7\ntype = \"AES\"\nkey = \"MDEyMzQ1Njc4OWFiY2RlZg==\"";
        let ring = read(both).unwrap();
        assert!(ring.private(3).is_some() && ring.shared(7).is_some() && ring.private(7).is_none());
    }

    #[test]
    fn a_bad_key_is_named_and_never_shown() {
        let (rsa, ec) = (rsa_pem(2048), ec_pem(Nid::SECP384R1));
        for (toml, want) in [
            (
                format!("[[key]]\npkv = 1\ntype = \"EC+AES\"\nprivate_key = \"\"\"{rsa}\"\"\""),
                "no EC key",
            ),
            (
                format!("[[key]]\npkv = 1\ntype = \"EC+AES\"\nprivate_key = \"\"\"{ec}\"\"\""),
                "secp256r1",
            ),
            (
                format!("[[key]]\npkv = 1\ntype = \"RSA+AES\"\nprivate_key = \"\"\"{ec}\"\"\""),
                "no RSA key",
            ),
            (
                format!("[[key]]\npkv = 1\ntype = \"RSA\"\nprivate_key = \"\"\"{rsa}\"\"\""),
                "type must be",
            ),
            ("[[key]]\npkv = 1\ntype = \"RSA+AES\"\nprivate_key = \"SECRET\"".into(), "PEM"),
            ("[[key]]\npkv = 1\ntype = \"SM2+SM4\"\nprivate_key = \"SECRET\"".into(), "64 hex"),
            (
                format!(
                    "[[key]]\npkv = 1\ntype = \"SM2+SM4\"\nprivate_key = \"{}\"",
                    "f".repeat(64)
                ),
                "range",
            ),
            (
                format!(
                    "[[key]]\npkv = 1\ntype = \"SM2+SM4\"\nprivate_key = \"{}\"",
                    "0".repeat(64)
                ),
                "range",
            ),
            (
                "[[key]]\npkv = 1\ntype = \"RSA+AES\"\nprivate_key_file = \"no.pem\"".into(),
                "cannot read no.pem",
            ),
            ("[[key]]\npkv = 1\ntype = \"RSA+AES\"".into(), "either private_key or"),
            ("[[key]]\npkv = 1\nkey_id = 2\ntype = \"AES\"".into(), "either pkv"),
            ("[[key]]\nkey_id = 2\ntype = \"AES\"\nkey = \"SECRET=\"".into(), "not base64"),
            ("[[key]]\nkey_id = 2\ntype = \"AES\"\nkey = \"QUJD\"".into(), "16, 24 or 32"),
            ("[[key]]\npkv = 1\nprivat_key = \"SECRET\"".into(), "line 3: unknown field"),
            ("[[key]]\npkv = SECRET".into(), "line 2"),
            (
                "[[key]]\nkey_id = 2\ntype = \"AES\"\nkey = \"MDEyMzQ1Njc4OWFiY2RlZg==\"\n"
                    .repeat(2),
                "key_id = 2: stands twice",
            ),
        ] {
            let error = read(&toml).unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
            assert!(!error.contains("SECRET") && !error.contains("BEGIN"), "{error}");
        }
        let ring = private("RSA+AES", &rsa).unwrap();
        assert_eq!(format!("{ring:?}"), "KeyRing { pkv: [1], key_id: [], .. }");
    }
}
