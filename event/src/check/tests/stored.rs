//! What is stored, and which repairs and edits it has seen.

use super::*;

#[test]
fn byte_order_marks_and_blanks_are_skipped() {
    for (before, behind) in [("\u{feff}", ""), ("\r\n\t ", " \n"), (" \u{feff} \u{feff}", "")] {
        let got = one(format!("{before}{}{behind}", event("")));
        assert_eq!((got.codes.len(), got.json), (0, event("")));
    }
}

#[test]
fn emoji_of_the_mini_program_sdk_are_joined() {
    let sent = with(r#""a":"x?y""#).into_bytes();
    let at = sent.iter().position(|b| *b == b'?').unwrap();
    let cesu = |middle: &[u8]| [&sent[..at], middle, &sent[at + 1..]].concat();
    let got = one(cesu(b"\xed\xa0\xbd\xed\xb8\x80"));
    assert_eq!((got.codes.len(), got.json), (0, with(r#""a":"x😀y""#)));
    let got = one(cesu(b"\xed\xa0\xbd"));
    assert_eq!((&*got.codes[0], got.json), ("J007", with("\"a\":\"x\u{fffd}y\"")));
}

#[test]
fn half_an_emoji_becomes_a_replacement_character() {
    for (sent, stored) in [
        (r"x\ud83d", r"x\ufffd"),
        (r"\uDE00\ud83d\ude00\ud83d", r"\ufffd\ud83d\ude00\ufffd"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\ud83d\u0041", r"\ufffd\u0041"),
        (r"\ud800\udbff\uDC00", r"\ufffd\udbff\uDC00"),
        (r"\udfff\udc00", r"\ufffd\ufffd"),
        (r"\udbff\ue000\ud7ff", r"\ufffd\ue000\ud7ff"),
        (r"\udbff\udfff\uD800", r"\udbff\udfff\ufffd"),
    ] {
        let got = one(with(&format!(r#""a":"{sent}""#)));
        assert_eq!((&*got.codes.join(""), got.json), ("J007", with(&format!(r#""a":"{stored}""#))));
    }
}

#[test]
fn bytes_that_are_no_text_cost_one_event_and_are_kept() {
    let bad = |text: String| {
        let mut bytes = text.into_bytes();
        let at = bytes.iter().position(|b| *b == b'?').unwrap();
        bytes.splice(at..=at, *b"\xd6\xd0");
        bytes
    };
    let text = [
        b"[",
        event("").as_bytes(),
        b",",
        &bad(with(r#""a":"?""#)),
        b",",
        event("").as_bytes(),
        b"]",
    ]
    .concat();
    let setup = Setup::default();
    let mut out = Builder::default();
    let (mut scratch, mut envelopes) = (JsonScratch::default(), Envelopes::default());
    events(&text, &setup.context(), &mut scratch, &mut envelopes, &mut out).unwrap();
    let payload = out.payload(b"");
    let got: Vec<_> = Record::parse(&payload).unwrap().events().collect();
    assert_eq!(got[0].1, event("").as_bytes());
    assert_eq!((got[1].0.verdict, got[1].1), (Verdict::Rejected, &*bad(with(r#""a":"?""#))));
    assert_eq!((got[2].0.verdict, got[2].1), (Verdict::Kept, event("").as_bytes()));
}

#[test]
fn the_envelopes_flush_time_is_added_where_the_sdk_wrote_none() {
    let setup = Setup { flush_time: Some(NOW - 7), ..Setup::default() };
    let plain = event("");
    let added = format!(r#"{},"_flush_time":{}}}"#, &plain[..plain.len() - 1], NOW - 7);
    assert_eq!(setup.one(&plain).json, added);
    for old in ["1", "\"1\"", "null", "1779235199993", "17792351999930", "{\"a\":[]}"] {
        let sent = event(&format!(r#""_flush_time" : {old} ,"#));
        let got = setup.one(&sent);
        assert_eq!(got.json, sent, "{old}");
        assert_eq!((got.of(got.entry.event), got.of(got.entry.id)), ("Buy", "u1"));
    }
}

#[test]
fn the_servers_own_name_is_cut_out() {
    let cases = [
        (r#"{"_server":1,"type":"track"REST}"#, r#"{"type":"track"REST}"#),
        (r#"{"type":"track"REST,"_server":{"a":[1]}}"#, r#"{"type":"track"REST}"#),
        (r#"{"type":"track" , "_server" : "x" , REST2}"#, r#"{"type":"track" ,  REST2}"#),
        (r#"{"type":"track"REST , "_server" : "x" }"#, r#"{"type":"track"REST  }"#),
    ];
    let rest = format!(r#","event":"Buy","distinct_id":"u1","time":{NOW}"#);
    let fill = |s: &str| s.replace("REST2", &rest[1..]).replace("REST", &rest);
    for (sent, stored) in cases {
        let got = one(fill(sent));
        assert_eq!((&*got.codes.join(" "), &got.json), ("N010", &fill(stored)));
        assert_eq!((got.of(got.entry.event), got.of(got.entry.id)), ("Buy", "u1"));
        let setup = Setup { flush_time: Some(5), ..Setup::default() };
        let got = setup.one(fill(sent));
        let value: serde_json::Value = serde_json::from_str(&got.json).unwrap();
        assert_eq!(
            (&value["_flush_time"], value.get("_server")),
            (&5.into(), None),
            "{}",
            got.json
        );
        let both = fill(sent).replace(r#""event""#, r#""_flush_time":77,"event""#);
        let got = setup.one(both);
        let value: serde_json::Value = serde_json::from_str(&got.json).unwrap();
        assert_eq!(
            (&value["_flush_time"], value.get("_server")),
            (&77.into(), None),
            "{}",
            got.json
        );
        assert_eq!((got.of(got.entry.event), got.of(got.entry.id)), ("Buy", "u1"));
    }
}
