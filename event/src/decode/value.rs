//! The value of `data` or `data_list` to JSON text. The content decides how it was packed; what the request says about it
//! (`gzip=…`) is often wrong.

use super::url::{self, Plus};
use super::{base64, crc, gunzip};
use crate::Code;

/// Buffers of one value; each is overwritten by the next.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    url: Vec<u8>,
    again: Vec<u8>,
    repaired: Vec<u8>,
    bytes: Vec<u8>,
    inflated: Vec<u8>,
}

impl Buffers {
    /// Gives back memory above `keep_bytes` a buffer.
    pub(crate) fn trim(&mut self, keep_bytes: usize) {
        for buffer in [
            &mut self.url,
            &mut self.again,
            &mut self.repaired,
            &mut self.bytes,
            &mut self.inflated,
        ] {
            if buffer.capacity() > keep_bytes {
                *buffer = Vec::new();
            }
        }
    }
}

/// How a value was packed; the byte stands in META's TRANSPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Packing {
    /// JSON text.
    Plain = b'n',
    /// Base64.
    Base64 = b'b',
    /// Base64 of gzip.
    Gzip = b'z',
}

/// A value, opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// JSON text; nothing about it is checked yet.
    pub(crate) json: &'a [u8],
    /// How it came.
    pub(crate) packing: Packing,
    /// Whether the checksum agrees; `true` if there is none.
    pub(crate) crc_agrees: bool,
    /// Base64 without padding: if the JSON turns out to end early, the value was cut.
    pub(crate) unpadded: bool,
}

/// How a value is to be unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The value stands percent-encoded in a query or form (not in a JSON body).
    pub(crate) encoded: bool,
    /// The checksum the request states.
    pub(crate) crc: Option<i32>,
    /// Largest text after gunzip, in bytes.
    pub(crate) inflated_bytes_max: usize,
}

/// Opens a value.
///
/// # Errors
/// The E-code that says where it broke.
pub(crate) fn open<'b>(
    raw: &'b [u8],
    options: Options,
    gunzip: &mut gunzip::Gunzip,
    buffers: &'b mut Buffers,
) -> Result<Text<'b>, Code> {
    let Buffers { url, again, repaired, bytes, inflated } = buffers;
    let text = text(raw, options.encoded, url, again);
    let crc_agrees = options.crc.is_none_or(|crc| agrees(text, crc));
    let trimmed = trim(text);
    if is_json(trimmed) {
        let packing = Packing::Plain;
        return Ok(Text { json: trimmed, packing, crc_agrees, unpadded: false });
    }
    let unpadded = match base64::decode(trimmed, repaired, bytes) {
        Ok(form) => form == base64::Form::Unpadded,
        Err(base64::Error::Cut) => return Err(Code::E105),
        Err(base64::Error::NotBase64) => return Err(Code::E103),
    };
    if !gunzip::is_gzip(bytes) {
        let packing = Packing::Base64;
        return Ok(Text { json: bytes, packing, crc_agrees, unpadded });
    }
    match gunzip.unpack(bytes, options.inflated_bytes_max, inflated) {
        Ok(()) => Ok(Text { json: inflated, packing: Packing::Gzip, crc_agrees, unpadded }),
        Err(gunzip::Error::Cut) if unpadded => Err(Code::E105),
        Err(gunzip::Error::Cut) => Err(Code::E107),
        Err(gunzip::Error::Damaged) => Err(Code::E104),
        Err(gunzip::Error::TooLarge) => Err(Code::E106),
    }
}

/// Undoes the percent-encoding, as often as it was done (clients behind a proxy encode twice), at most three times.
fn text<'b>(
    raw: &'b [u8],
    encoded: bool,
    url: &'b mut Vec<u8>,
    again: &'b mut Vec<u8>,
) -> &'b [u8] {
    if !encoded {
        return raw;
    }
    let lead = lead(raw);
    if is_json(lead) {
        // Not encoded at all (then `%` and `+` are themselves), or by a browser, which leaves `{` and `+` as they are in a
        // query but encodes `"`.
        if memchr::memmem::find(raw, b"%22").is_none() {
            return raw;
        }
        return url::decode(raw, Plus::Plus, url);
    }
    if !is_encoded_json(lead) {
        let once = url::decode(raw, Plus::Plus, url);
        // Base64 has no `%`: one that is left was encoded twice.
        if memchr::memchr(b'%', once).is_none() {
            return once;
        }
        return twice(once, Plus::Plus, again);
    }
    let once = url::decode(raw, Plus::Blank, url);
    if is_json(trim(once)) { once } else { twice(once, Plus::Blank, again) }
}

#[cold]
fn twice<'b>(once: &'b [u8], plus: Plus, again: &'b mut Vec<u8>) -> &'b [u8] {
    let mut third = Vec::new();
    let second = url::decode(once, plus, again);
    if is_json(trim(second)) || memchr::memchr(b'%', second).is_none() {
        return if second.len() == once.len() { once } else { again };
    }
    let length = url::decode(second, plus, &mut third).len();
    third.truncate(length);
    if third.is_empty() {
        return if second.len() == once.len() { once } else { again };
    }
    *again = third;
    again
}

/// `raw` from its first significant byte on, still encoded.
fn lead(raw: &[u8]) -> &[u8] {
    let mut rest = raw;
    loop {
        rest = match rest {
            [b' ' | b'\t' | b'\r' | b'\n' | b'+', after @ ..] => after,
            [0xef, 0xbb, 0xbf, after @ ..] => after,
            [b'%', b'2', b'0', after @ ..] => after,
            [b'%', b'0', b'9' | b'a' | b'A' | b'd' | b'D', after @ ..] => after,
            [
                b'%',
                b'E' | b'e',
                b'F' | b'f',
                b'%',
                b'B' | b'b',
                b'B' | b'b',
                b'%',
                b'B' | b'b',
                b'F' | b'f',
                after @ ..,
            ] => after,
            _ => return rest,
        }
    }
}

/// `text` without byte order mark and blanks around it.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    text.strip_prefix(b"\xef\xbb\xbf").map_or(text, <[u8]>::trim_ascii_start)
}

/// Whether a trimmed text is JSON rather than base64: `{` and `[` are not in base64's alphabet.
pub(crate) fn is_json(text: &[u8]) -> bool {
    matches!(text, [b'{' | b'[', ..])
}

/// `%7B`, `%5B`, or those with the `%` encoded once more (`%257B`).
fn is_encoded_json(text: &[u8]) -> bool {
    let digits = match text {
        [b'%', b'2', b'5', digits @ ..] | [b'%', digits @ ..] => digits,
        _ => return false,
    };
    matches!(digits, [b'7' | b'5', b'B' | b'b', ..])
}

fn agrees(text: &[u8], crc: i32) -> bool {
    crc::hash(text) == crc || repaired_agrees(text, crc)
}

/// The checksum was made before a blank took the place of a `+`, or before someone added white space.
#[cold]
fn repaired_agrees(text: &[u8], crc: i32) -> bool {
    let trimmed = trim(text);
    if is_json(trimmed) || !trimmed.contains(&b' ') {
        return trimmed.len() != text.len() && crc::hash(trimmed) == crc;
    }
    let plus: Vec<u8> = trimmed.iter().map(|&b| if b == b' ' { b'+' } else { b }).collect();
    crc::hash(&plus) == crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(raw: &str) -> Result<(String, Packing), Code> {
        let options = Options { encoded: true, crc: None, inflated_bytes_max: 1000 };
        let mut buffers = Buffers::default();
        open(raw.as_bytes(), options, &mut gunzip::Gunzip::default(), &mut buffers)
            .map(|text| (String::from_utf8(text.json.to_vec()).unwrap(), text.packing))
    }

    #[test]
    fn content_decides() {
        // {"a":"?>~ +"} in base64 holds both `+` and `/`.
        for (raw, want, packing) in [
            ("eyJhIjoiPz5+ICsifQ%3D%3D", r#"{"a":"?>~ +"}"#, Packing::Base64),
            ("eyJhIjoiPz5%2BICsifQ%3d%3d", r#"{"a":"?>~ +"}"#, Packing::Base64),
            ("eyJhIjoiPz5%252BICsifQ%253D%253D", r#"{"a":"?>~ +"}"#, Packing::Base64),
            ("eyJhIjoiPz5%25252BICsifQ", r#"{"a":"?>~ +"}"#, Packing::Base64),
            ("eyJhIjoiPz5 ICsifQ==", r#"{"a":"?>~ +"}"#, Packing::Base64),
            ("eyJhIjoiPz5-ICsifQ..", r#"{"a":"?>~ +"}"#, Packing::Base64),
            ("%EF%BB%BF%20%7B%22a%22%3A%22+%2B%22%7D", r#"{"a":" +"}"#, Packing::Plain),
            ("%257B%2522a%2522%253A1%257D", r#"{"a":1}"#, Packing::Plain),
            ("%25257B%252522a%252522%25253A1%25257D", r#"{"a":1}"#, Packing::Plain),
            (r#"{"a":"+100%41"}"#, r#"{"a":"+100%41"}"#, Packing::Plain),
            ("{%22a%22:%22+%41%22}", r#"{"a":"+A"}"#, Packing::Plain),
            ("%5B%5D", "[]", Packing::Plain),
        ] {
            assert_eq!(opened(raw), Ok((want.to_owned(), packing)), "{raw}");
        }
    }

    #[test]
    fn each_way_to_break_has_its_code() {
        assert_eq!(opened("hello*"), Err(Code::E103));
        assert_eq!(opened("eyJhI"), Err(Code::E105));
        assert_eq!(opened("H4sIAAAAAAAAA"), Err(Code::E105)); // one digit left over
        assert_eq!(opened("H4sIAAAAAAAA"), Err(Code::E107));
        assert_eq!(opened("H4sIAAAAAAAAAP8="), Err(Code::E104));
    }

    #[test]
    fn the_checksum_is_that_of_the_text_before_encoding() {
        let mut buffers = Buffers::default();
        let mut agrees = |raw: &str, crc: i32| {
            let options = Options { encoded: true, crc: Some(crc), inflated_bytes_max: 1000 };
            let text = open(raw.as_bytes(), options, &mut gunzip::Gunzip::default(), &mut buffers);
            text.unwrap().crc_agrees
        };
        let crc = crc::hash(b"eyJhIjoiPz5+ICsifQ==");
        assert!(agrees("eyJhIjoiPz5%2BICsifQ%3D%3D", crc));
        assert!(agrees("eyJhIjoiPz5 ICsifQ==", crc));
        assert!(!agrees("eyJhIjoiPz5%2BICsifQ%3D%3D", crc + 1));
        assert!(agrees("%7B%22%E4%B8%AD%22%3A1%7D", crc::hash("{\"中\":1}".as_bytes())));
    }
}
