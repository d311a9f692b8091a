//! Single decoders against naive twins.

use event::fuzzing;
use std::io::Read as _;

/// Pairs and percent-encoding equal a decoder that goes byte by byte.
pub(super) fn form(data: &[u8]) {
    for blanks in [false, true] {
        let want = naive_url(data, blanks);
        assert!(fuzzing::url_decode(data, blanks) == want, "url_decode(blanks = {blanks})");
    }
    assert_eq!(fuzzing::checksum(data), naive_checksum(data), "checksum");
    let names: [&[u8]; 7] =
        [b"data", b"data_list", b"crc", b"ext", b"project", b"token", b"info_id"];
    let mut want: [Option<&[u8]>; 7] = [None; 7];
    for pair in data.split(|&byte| byte == b'&') {
        // No name we look for is longer than 64 bytes, however it is encoded.
        let Some(at) = pair.iter().take(64).position(|&byte| byte == b'=') else { continue };
        let name = naive_url(pair[..at].trim_ascii_start(), false);
        if let Some(i) = names.iter().position(|known| *known == name) {
            want[i] = want[i].or(Some(&pair[at + 1..]));
        }
    }
    assert_eq!(fuzzing::params(data), want, "params");
}

fn naive_url(raw: &[u8], blanks: bool) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(&byte) = raw.get(at) {
        at += 1;
        out.push(match (byte, hex(raw.get(at)), hex(raw.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                (high * 16 + low) as u8
            }
            (b'+', ..) if blanks => b' ',
            _ => byte,
        });
    }
    out
}

/// Java's `String.hashCode` where the text is UTF-8; elsewhere only that there is one.
fn naive_checksum(text: &[u8]) -> i32 {
    match std::str::from_utf8(text) {
        Ok(text) => text
            .encode_utf16()
            .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit))),
        Err(_) => fuzzing::checksum(text),
    }
}

/// Base64 and its repairs equal a decoder that goes digit by digit; what was encoded comes back.
pub(super) fn base64(data: &[u8]) {
    assert!(fuzzing::base64_decode(data) == naive_base64(data), "not as the naive decoder");
    use ::base64::Engine as _;
    let text = ::base64::engine::general_purpose::STANDARD.encode(data);
    assert!(fuzzing::base64_decode(text.as_bytes()).as_deref() == Some(data), "round trip");
}

fn naive_base64(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut have, mut digits, mut padded) = (Vec::new(), 0u32, 0, 0u64, false);
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

/// Largest text that `gunzip` gives here; small, so that mutation reaches the limit.
const INFLATED_MAX: usize = 256 << 10;

/// Gunzip gives what flate2's own reader gives, never more than the limit; what was packed comes back.
pub(super) fn gunzip(data: &[u8]) {
    let got = fuzzing::gunzip(data, INFLATED_MAX);
    let mut want = Vec::new();
    let read = flate2::bufread::GzDecoder::new(data)
        .take(INFLATED_MAX as u64 + 1)
        .read_to_end(&mut want)
        .is_ok();
    match got {
        Some(got) => assert!(read && got == want, "accepted what the reader refuses"),
        // The reader checks the header's own checksum too, and both stop at the limit.
        None => assert!(!read || want.len() > INFLATED_MAX, "refused what the reader accepts"),
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    if std::io::Write::write_all(&mut encoder, data).is_ok()
        && let Ok(packed) = encoder.finish()
    {
        assert!(fuzzing::gunzip(&packed, data.len()).as_deref() == Some(data), "round trip");
    }
}
