//! Base64 as it arrives: the standard alphabet at full speed, what clients and gateways make of it after a repair.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding or not, and stray bits in the last digit: CryptoJS and others differ.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a text could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// A byte that is neither base64 nor repairable.
    NotBase64,
    /// One digit is left over: the end is missing.
    Cut,
}

/// What decoding had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing: as the standard says.
    Exact,
    /// Padding is missing. If the content turns out incomplete, the text was cut.
    Unpadded,
}

/// Decodes `text` into `out` (overwritten). Repairs blanks (a `+` that was taken for a blank), the URL-safe alphabet, `.` as
/// padding, line breaks and missing padding; `repaired` is scratch space for that.
pub(crate) fn decode(
    text: &[u8],
    repaired: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<Form, Error> {
    if let Some(form) = exact(text, out) {
        return Ok(form);
    }
    repair(text, repaired)?;
    if repaired.len() % 4 == 1 {
        return Err(Error::Cut);
    }
    exact(repaired, out).ok_or(Error::NotBase64)
}

fn exact(text: &[u8], out: &mut Vec<u8>) -> Option<Form> {
    let room = base64::decoded_len_estimate(text.len());
    // Keeping the old length avoids clearing the buffer again; what is left of the last request is overwritten or cut off.
    if out.len() < room {
        out.resize(room, 0);
    }
    // The vector decoder knows the standard's form alone, which nearly all SDKs send.
    let length = match base64_simd::STANDARD.decode(text, base64_simd::Out::from_slice(out)) {
        Ok(decoded) => decoded.len(),
        Err(_) => ENGINE.decode_slice(text, out).ok()?,
    };
    out.truncate(length);
    Some(if text.len().is_multiple_of(4) { Form::Exact } else { Form::Unpadded })
}

/// Puts the standard alphabet's form of `text` into `out`, without padding.
fn repair(text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.clear();
    let mut padding = false;
    for &byte in text {
        let digit = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => byte,
            b' ' | b'-' => b'+',
            b'_' => b'/',
            b'\r' | b'\n' | b'\t' => continue,
            b'=' | b'.' => {
                padding = true;
                continue;
            }
            _ => return Err(Error::NotBase64),
        };
        if padding {
            return Err(Error::NotBase64);
        }
        out.push(digit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn encode(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn both(text: &[u8]) -> (Result<Form, Error>, Vec<u8>) {
        let (mut repaired, mut out) = (Vec::new(), vec![7; 3]);
        let result = decode(text, &mut repaired, &mut out);
        (result, out)
    }

    /// Digit by digit, everything the repair allows; `None` where a byte is foreign or the end is cut.
    fn naive(text: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut bits, mut have, mut digits, mut padded) = (Vec::new(), 0u32, 0, 0, false);
        for &byte in text {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b' ' | b'-' => 62,
                b'/' | b'_' => 63,
                b'\r' | b'\n' | b'\t' => continue,
                b'=' | b'.' => {
                    padded = true;
                    continue;
                }
                _ => return None,
            };
            if padded {
                return None;
            }
            digits += 1;
            bits = bits << 6 | u32::from(value);
            have += 6;
            if have >= 8 {
                have -= 8;
                out.push((bits >> have) as u8);
                bits &= (1 << have) - 1;
            }
        }
        (digits % 4 != 1).then_some(out)
    }

    #[test]
    fn equals_the_naive_decoder() {
        let mut random = Random::new(3);
        for round in 0..60_000 {
            let bytes = random.bytes(48);
            let mut text = encode(&bytes).into_bytes();
            if round % 2 == 0 {
                for _ in 0..random.below(3) {
                    let (at, with) = (random.below(text.len().max(1)), random.below(12));
                    if let Some(byte) = text.get_mut(at) {
                        *byte = b" -_.=\r\n+/A%\x80"[with];
                    }
                }
            }
            let (result, out) = both(&text);
            match naive(&text) {
                Some(want) => assert_eq!((result.is_ok(), out), (true, want), "{text:?}"),
                None => assert!(result.is_err(), "{text:?}"),
            }
        }
    }

    #[test]
    fn repairs_what_clients_do() {
        let bytes = b"\xfb\xff\xfe\x00ab?>";
        let good = encode(bytes);
        for text in [
            good.replace('+', " "),
            good.replace('+', "-").replace('/', "_").replace('=', "."),
            good.trim_end_matches('=').to_owned(),
            format!("{}\r\n{}\n", &good[..4], &good[4..]),
        ] {
            assert_eq!(both(text.as_bytes()).1, bytes, "{text}");
        }
    }

    #[test]
    fn a_missing_end_is_told_from_a_foreign_byte() {
        assert_eq!(both(b"QUJD").0, Ok(Form::Exact));
        assert_eq!(both(b"QUI").0, Ok(Form::Unpadded));
        assert_eq!(both(b"QUJDR").0, Err(Error::Cut));
        assert_eq!(both(b"QU*D").0, Err(Error::NotBase64));
        assert_eq!(both(b"").0, Ok(Form::Exact));
    }
}
