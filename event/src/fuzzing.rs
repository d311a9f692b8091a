//! Doors into the decoders for `fuzz/`; the feature `fuzzing` opens them. No part of the interface.

use crate::decode::form::Params;
use crate::decode::gunzip::Gunzip;
use crate::decode::url::Plus;
use crate::decode::{base64, crc, url};

/// Percent-decoding; `blanks`: a plus is a blank.
#[must_use]
pub fn url_decode(raw: &[u8], blanks: bool) -> Vec<u8> {
    let plus = if blanks { Plus::Blank } else { Plus::Plus };
    url::decode(raw, plus, &mut Vec::new()).to_vec()
}

/// The parameters of a form: data, data_list, crc, ext, project, token, info_id.
#[must_use]
pub fn params(text: &[u8]) -> [Option<&[u8]>; 7] {
    let Params { data, data_list, crc, ext, project, token, info_id } = Params::parse(text);
    [data, data_list, crc, ext, project, token, info_id]
}

/// Base64 with all repairs; `None` if it is none.
#[must_use]
pub fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    base64::decode(text, &mut Vec::new(), &mut out).ok().map(|_| out)
}

/// Gunzip up to `limit` bytes; `None` if it is damaged, cut or larger.
#[must_use]
pub fn gunzip(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    Gunzip::default().unpack(bytes, limit, &mut out).ok().map(|()| out)
}

/// The SDKs' checksum.
#[must_use]
pub fn checksum(text: &[u8]) -> i32 {
    crc::hash(text)
}
