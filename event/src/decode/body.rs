//! A JSON body: events themselves, or an object with the form's names (`{"data_list":"…","gzip":1}`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::crc;

#[derive(Deserialize)]
struct Wrapper<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_list: Option<&'a RawValue>,
    #[serde(borrow)]
    crc: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

/// What a JSON body holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    /// Name for TRANSPORT, bytes, whether they are percent-encoded (never).
    pub(crate) values: [Option<(u8, &'a [u8], bool)>; 2],
    /// The checksum it states.
    pub(crate) crc: Option<i32>,
}

/// Reads a JSON body (`json` is trimmed). Text with escapes is undone into `out`.
pub(crate) fn read<'a>(json: &'a [u8], out: &'a mut Vec<u8>) -> Body<'a> {
    let itself = Body { values: [Some((b'j', json, false)), None], crc: None };
    // Reading the body twice is for those few that can be a wrapper; real events start otherwise.
    if json.first() != Some(&b'{') || memchr::memmem::find(json, b"\"data").is_none() {
        return itself;
    }
    let Ok(Wrapper { data, data_list, crc, r#type: None }) = serde_json::from_slice(json) else {
        return itself;
    };
    out.clear();
    let list = data_list.map(|raw| piece(raw, out));
    let one = data.map(|raw| piece(raw, out));
    let out: &'a [u8] = out;
    let place = |piece: Option<Piece<'a>>, name| {
        let bytes = match piece? {
            Piece::Sent(bytes) => bytes,
            Piece::Copied(from, to) => out.get(from..to)?,
        };
        (!bytes.is_empty()).then_some((name, bytes, false))
    };
    match [place(list, b'l'), place(one, b'd')] {
        [None, None] => itself,
        values => Body { values, crc: crc.and_then(number) },
    }
}

/// A number, or one in quotes.
fn number(raw: &RawValue) -> Option<i32> {
    crc::number(raw.get().trim_matches('"').as_bytes())
}

enum Piece<'a> {
    Sent(&'a [u8]),
    Copied(usize, usize),
}

fn piece<'a>(raw: &'a RawValue, out: &mut Vec<u8>) -> Piece<'a> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match serde_json::from_str(raw.get()) {
        Ok(Text(Cow::Borrowed(text))) => Piece::Sent(text.as_bytes()),
        Ok(Text(Cow::Owned(text))) => {
            let from = out.len();
            out.extend_from_slice(text.as_bytes());
            Piece::Copied(from, out.len())
        }
        Err(_) => Piece::Sent(raw.get().as_bytes()), // the events themselves, not packed as text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(json: &str) -> Vec<(char, String)> {
        let mut out = Vec::new();
        let body = read(json.as_bytes(), &mut out);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        body.values
            .into_iter()
            .flatten()
            .map(|(name, bytes, _)| (name as char, text(bytes)))
            .collect()
    }

    #[test]
    fn a_wrapper_is_told_from_an_event() {
        let one = |name, text: &str| vec![(name, text.to_owned())];
        assert_eq!(values(r#"{"data_list":"W10=","gzip":0}"#), one('l', "W10="));
        assert_eq!(values(r#"{"data":"a\/b\u003d"}"#), one('d', "a/b="));
        assert_eq!(values(r#"{"data":{"type":"track"}}"#), one('d', r#"{"type":"track"}"#));
        for event in [
            r#"{"type":"track","data":"x"}"#,
            r#"{"type":"track"}"#,
            r#"[{"data":"x"}]"#,
            r#"{"data":"#,
            r#"{"data":""}"#,
        ] {
            assert_eq!(values(event), one('j', event));
        }
        assert_eq!(values(r#"{"data":"\n1","data_list":"\n2"}"#).len(), 2);
    }

    #[test]
    fn its_checksum_is_a_number_or_text() {
        let crc = |json: &str| read(json.as_bytes(), &mut Vec::new()).crc;
        assert_eq!(crc(r#"{"data":"W10=","crc":-5}"#), Some(-5));
        assert_eq!(crc(r#"{"data":"W10=","crc":"7"}"#), Some(7));
        assert_eq!(crc(r#"{"data":"W10=","crc":1.5}"#), None);
    }
}
