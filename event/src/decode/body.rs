//! A JSON body: events themselves, or an object with the form's names (`{"data_list":"…","gzip":1}`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Wrapper<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_list: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
}

/// The values in a JSON body (`json` is trimmed): name for TRANSPORT, bytes, not percent-encoded. Text with escapes is undone
/// into `out`.
pub(crate) fn values<'a>(
    json: &'a [u8],
    out: &'a mut Vec<u8>,
) -> [Option<(u8, &'a [u8], bool)>; 2] {
    let itself = [Some((b'j', json, false)), None];
    // Reading the body twice is for those few that can be a wrapper; real events start otherwise.
    if json.first() != Some(&b'{') || memchr::memmem::find(json, b"\"data").is_none() {
        return itself;
    }
    let Ok(Wrapper { data, data_list, r#type: None }) = serde_json::from_slice(json) else {
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
        values => values,
    }
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

    fn read(json: &str) -> Vec<(char, String)> {
        let mut out = Vec::new();
        let values = values(json.as_bytes(), &mut out);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        values.into_iter().flatten().map(|(name, bytes, _)| (name as char, text(bytes))).collect()
    }

    #[test]
    fn a_wrapper_is_told_from_an_event() {
        let one = |name, text: &str| vec![(name, text.to_owned())];
        assert_eq!(read(r#"{"data_list":"W10=","gzip":0}"#), one('l', "W10="));
        assert_eq!(read(r#"{"data":"a\/b\u003d"}"#), one('d', "a/b="));
        assert_eq!(read(r#"{"data":{"type":"track"}}"#), one('d', r#"{"type":"track"}"#));
        for event in [
            r#"{"type":"track","data":"x"}"#,
            r#"{"type":"track"}"#,
            r#"[{"data":"x"}]"#,
            r#"{"data":"#,
            r#"{"data":""}"#,
        ] {
            assert_eq!(read(event), one('j', event));
        }
        assert_eq!(read(r#"{"data":"\n1","data_list":"\n2"}"#).len(), 2);
    }
}
