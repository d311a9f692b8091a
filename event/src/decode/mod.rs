//! From the bytes on the wire to JSON text: form, percent-encoding, base64, gzip, checksum.
//!
//! Each step reads a slice and appends to a buffer that its caller reuses; none of them allocates once the buffers have grown.

pub(crate) mod base64;
pub(crate) mod body;
pub(crate) mod crc;
pub(crate) mod form;
pub(crate) mod gunzip;
pub(crate) mod url;
pub(crate) mod value;

/// Appends `number` in decimal.
pub(crate) fn put_decimal(number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
