//! Which boot of the machine this is.

use crate::RingError;
use std::fmt;

/// The kernel's random id of a boot. A lock left in a file by an earlier boot has no owner that could be found dead,
/// so a ring never outlives its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

/// The id of this boot.
///
/// # Errors
/// [`RingError::BootId`] if `/proc` is not mounted or holds something else.
pub fn boot_id() -> Result<BootId, RingError> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(RingError::BootId)?;
    parse(text.trim()).ok_or_else(|| {
        RingError::BootId(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a UUID"))
    })
}

fn parse(text: &str) -> Option<BootId> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    (digits.len() == 32).then_some(BootId(number.to_be_bytes()))
}

impl fmt::Display for BootId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_one_id_for_this_boot() {
        let id = boot_id().unwrap();
        assert_eq!(id, boot_id().unwrap());
        assert_eq!(id.to_string().len(), 32);
    }

    #[test]
    fn other_text_is_no_boot_id() {
        assert!(parse("").is_none());
        assert!(parse("12").is_none());
        assert!(parse("zzzzzzzz-0000-0000-0000-000000000000").is_none());
        assert!(parse("00000000-0000-0000-0000-0000000000ff").is_some());
    }
}
