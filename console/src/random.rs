//! Unguessable names.

/// 32 random bytes in hex.
///
/// # Errors
/// The system has no randomness.
pub fn token() -> Result<String, String> {
    let mut bytes = [0; 32];
    openssl::rand::rand_bytes(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether two secrets are equal, in a time that tells nothing of where they differ. Hashed first, so that the length tells nothing
/// either.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    let (a, b) = (openssl::sha::sha256(a.as_bytes()), openssl::sha::sha256(b.as_bytes()));
    openssl::memcmp::eq(&a, &b)
}
