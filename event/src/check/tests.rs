//! The rules, example by example.

use super::*;
use crate::record::{Entry, Record, Verdict, flag};

/// 2026-05-20 00:00:00 UTC, ms.
const NOW: i64 = 1_779_235_200_000;

/// What came out for one event.
struct Got {
    entry: Entry,
    json: String,
    codes: Vec<String>,
    pointers: Vec<String>,
    details: Vec<String>,
}

impl Got {
    fn of<'a>(&'a self, span: crate::record::Span) -> &'a str {
        std::str::from_utf8(span.of(self.json.as_bytes())).unwrap()
    }
}

/// A context to vary.
struct Setup {
    limits: Limits,
    project: Project,
    projects: Option<Projects>,
    url: (&'static [u8], &'static [u8]),
    flush_time: Option<i64>,
    inside_envelope: bool,
    followed: Vec<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            project: Project::default(),
            projects: None,
            url: (b"", b""),
            flush_time: None,
            inside_envelope: false,
            followed: Vec::new(),
        }
    }
}

impl Setup {
    fn context(&self) -> Context<'_> {
        Context {
            limits: &self.limits,
            recv_ms: NOW,
            flush_time: self.flush_time,
            url_project: self.url.0,
            url_token: self.url.1,
            project: &self.project,
            projects: self.projects.as_ref(),
            dup_hash_key: [1, 2],
            inside_envelope: self.inside_envelope,
            followed: &self.followed,
        }
    }

    fn try_run(&self, text: &[u8]) -> Result<(Vec<Got>, Envelopes), Fault> {
        let (mut scratch, mut envelopes) = (JsonScratch::default(), Envelopes::default());
        let mut out = Builder::default();
        let count = events(text, &self.context(), &mut scratch, &mut envelopes, &mut out)?;
        let payload = out.payload(b"");
        let record = Record::parse(&payload).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let got: Vec<Got> = (0u32..)
            .zip(record.events())
            .map(|(index, (entry, json))| {
                let of = || record.codes().filter(move |code| code.index == index);
                assert_eq!(of().count(), entry.codes as usize);
                Got {
                    entry,
                    json: text(json),
                    codes: of().map(|code| text(&code.code)).collect(),
                    pointers: of().map(|code| text(code.pointer)).collect(),
                    details: of().map(|code| text(code.detail)).collect(),
                }
            })
            .collect();
        assert_eq!(got.len(), count as usize);
        Ok((got, envelopes))
    }

    fn run(&self, text: impl AsRef<[u8]>) -> Vec<Got> {
        self.try_run(text.as_ref()).unwrap().0
    }

    fn one(&self, text: impl AsRef<[u8]>) -> Got {
        let mut got = self.run(text);
        assert_eq!(got.len(), 1);
        got.remove(0)
    }
}

fn one(text: impl AsRef<[u8]>) -> Got {
    Setup::default().one(text)
}

/// A good event with `more` members in front (`"a":1,`).
fn event(more: &str) -> String {
    format!(
        r#"{{{more}"type":"track","event":"Buy","distinct_id":"u1","time":{NOW},"properties":{{}}}}"#
    )
}

/// A good event with these properties.
fn with(properties: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Buy","distinct_id":"u1","time":{NOW},"properties":{{{properties}}}}}"#
    )
}

/// A record of another type.
fn record(kind: &str, more: &str) -> String {
    format!(r#"{{"type":"{kind}","distinct_id":"u1","time":{NOW}{more}}}"#)
}

#[test]
fn a_good_event_is_kept_as_sent() {
    let text = format!(
        r#"{{"identities":{{"$identity_cookie_id":"c1"}},"distinct_id":"u1","lib":{{"$lib":"js","$lib_method":"code","$lib_version":"1.27.10","$app_version":"3.1"}},"properties":{{"price":9.50,"名":"苹果"}},"type":"track","event":"Buy","time":{NOW},"_track_id":-123456789,"_flush_time":{NOW}}}"#
    )
    .replace("名", "name");
    let got = one(&text);
    assert_eq!((got.entry.verdict, &got.codes[..]), (Verdict::Kept, &[][..]));
    assert_eq!(got.json, text);
    let e = &got.entry;
    assert_eq!((got.of(e.event), got.of(e.id), got.of(e.project)), ("Buy", "u1", ""));
    assert_eq!(
        (got.of(e.lib), got.of(e.lib_version), got.of(e.app_version)),
        ("js", "1.27.10", "3.1")
    );
    assert_eq!((e.time_ms, e.sent_ms, e.kind), (NOW, NOW, EventType::Track as u8));
    assert_eq!(e.flags, flag::TRACK_ID);
    assert_ne!(e.dup_key, 0);
}

#[test]
fn each_rule_gives_its_code_at_its_place() {
    let long = "x".repeat(8193);
    let list = vec!["\"x\""; 501].join(",");
    let track = |id: &str, name: &str| {
        format!(r#"{{"type":"track"{name}{id},"time":{NOW},"properties":{{}}}}"#)
    };
    let buy = r#","event":"Buy""#;
    for (text, codes, pointer) in [
        // shape
        ("5".into(), "J003", ""),
        (r#""x""#.into(), "J003", ""),
        ("[1]".into(), "J003", ""),
        ("[null]".into(), "J003", ""),
        ("[[{}]]".into(), "J003", ""),
        (event(r#""time":1,"#), "J005", "/time"),
        (event(r#""a":1,"b":2,"a":1,"#), "J005", "/a"),
        (event(r#""t\u0069me":1,"#), "J005", "/time"),
        (event(r#""a/b~c":1,"a\/b~c":1,"#), "J005", "/a~1b~0c"),
        (with(&format!(r#""a":{}1{}"#, "[".repeat(31), "]".repeat(31))), "J002 P204", ""),
        (with(r#""a":1e999"#), "J004 P207", ""),
        // type
        (r#"{"distinct_id":"u1","time":1779235200000}"#.into(), "N104", "/type"),
        (record("", ""), "N104", "/type"),
        (record("Track", ""), "N103", "/type"),
        // ids
        (track("", buy), "I402", "/distinct_id"),
        (track(r#","distinct_id":"""#, buy), "I402", "/distinct_id"),
        (track(r#","distinct_id":null"#, buy), "I402", "/distinct_id"),
        (track(r#","distinct_id":"undefined""#, buy), "I401", "/distinct_id"),
        (track(r#","distinct_id":"NULL""#, buy), "I401", "/distinct_id"),
        (track(r#","distinct_id":0"#, buy), "I401", "/distinct_id"),
        (track(r#","distinct_id":42"#, buy), "", ""),
        (track(r#","distinct_id":true"#, buy), "I404", "/distinct_id"),
        (track(r#","distinct_id":["a"]"#, buy), "I404", "/distinct_id"),
        (track(&format!(r#","distinct_id":"{}""#, "x".repeat(255)), buy), "", ""),
        (track(&format!(r#","distinct_id":"{}""#, "x".repeat(256)), buy), "I403", "/distinct_id"),
        // event names
        (track(r#","distinct_id":"u""#, ""), "N102", "/event"),
        (track(r#","distinct_id":"u""#, r#","event":"""#), "N102", "/event"),
        (track(r#","distinct_id":"u""#, r#","event":"提交订单""#), "N101", "/event"),
        (track(r#","distinct_id":"u""#, r#","event":"1st""#), "N101", "/event"),
        (track(r#","distinct_id":"u""#, r#","event":"time""#), "N101", "/event"),
        (track(r#","distinct_id":"u""#, r#","event":5"#), "N101", "/event"),
        (track(r#","distinct_id":"u""#, r#","event":"B\u0075y""#), "", ""),
        (
            track(r#","distinct_id":"u""#, &format!(r#","event":"{}""#, "x".repeat(101))),
            "N101",
            "/event",
        ),
        // other types
        (record("track_signup", r#","event":"$SignUp","properties":{}"#), "I405", "/original_id"),
        (
            record("track_signup", r#","event":"$SignUp","original_id":"u1""#),
            "I406",
            "/original_id",
        ),
        (record("track_signup", r#","event":"$SignUp","original_id":"a1""#), "", ""),
        (record("track_id_bind", r#","event":"$BindID""#), "I407", "/identities"),
        (
            record(
                "track_id_unbind",
                r#","event":"$UnbindID","identities":{"$identity_email":""}"#,
            ),
            "I407 I408",
            "/identities",
        ),
        (
            record("track_id_bind", r#","event":"$BindID","identities":{"$identity_email":"a@b"}"#),
            "",
            "",
        ),
        (
            record("profile_set", r#","identities":{"$identity_login_id":"undefined"}"#),
            "I408",
            "/identities/$identity_login_id",
        ),
        (record("profile_set", r#","event":"","project":"","properties":{"a":1}"#), "", ""),
        (record("profile_increment", r#","properties":{"a":1,"b":"1"}"#), "P210", "/properties/b"),
        (record("profile_increment", r#","properties":{"a":1,"$is_login_id":true}"#), "", ""),
        (record("profile_append", r#","properties":{"a":["x"],"b":"x"}"#), "P211", "/properties/b"),
        (record("profile_append", r#","properties":{"a":["x"],"$is_login_id":true}"#), "", ""),
        (record("profile_append", r#","properties":{"a":[1]}"#), "P211", "/properties/a"),
        (record("profile_unset", r#","properties":{"a":true,"b":null,"c":""}"#), "", ""),
        (record("profile_delete", ""), "", ""),
        (
            format!(
                r#"{{"type":"item_set","item_type":"book","item_id":"0","time":{NOW},"properties":{{"a":1}}}}"#
            ),
            "",
            "",
        ),
        (
            format!(r#"{{"type":"item_delete","item_type":"book","item_id":7,"time":{NOW}}}"#),
            "",
            "",
        ),
        (format!(r#"{{"type":"item_set","item_id":"1","time":{NOW}}}"#), "I409", "/item_type"),
        (format!(r#"{{"type":"item_set","item_type":"book","time":{NOW}}}"#), "I409", "/item_id"),
        (
            format!(r#"{{"type":"item_set","item_type":"a b","item_id":"1","time":{NOW}}}"#),
            "I409",
            "/item_type",
        ),
        // protocol 2.0
        (
            format!(
                r#"{{"version":"2.0","type":"track","schema":"events","event":"Buy","time":{NOW},"properties":{{"user_id":5,"identities":{{"$identity_login_id":"u"}},"distinct_id":"u"}}}}"#
            ),
            "",
            "",
        ),
        (
            format!(
                r#"{{"version":"2.0","type":"track","schema":"item_event","event":"Stock","time":{NOW},"properties":{{}}}}"#
            ),
            "",
            "",
        ),
        (
            format!(
                r#"{{"version":"2.0","type":"profile_set","schema":"users","id":5,"time":{NOW},"properties":{{}}}}"#
            ),
            "",
            "",
        ),
        (
            format!(
                r#"{{"version":"2.0","type":"profile_set","schema":"users","time":{NOW},"properties":{{}}}}"#
            ),
            "I410",
            "/id",
        ),
        (
            format!(
                r#"{{"version":"2.0","type":"detail_set","schema":"d","id":"0","time":{NOW},"properties":{{}}}}"#
            ),
            "",
            "",
        ),
        // properties
        (record("profile_set", r#","properties":[]"#), "", ""),
        (record("profile_set", r#","properties":null"#), "", ""),
        (record("profile_set", r#","properties":[1]"#), "P209", "/properties"),
        (record("profile_set", r#","properties":"x""#), "P209", "/properties"),
        (with(r#""order-id":1"#), "P201", "/properties/order-id"),
        (with(r#""":1"#), "P201", "/properties/"),
        (with(r#""user_id":1"#), "P201", "/properties/user_id"),
        (with(r#""a\/b":1"#), "P201", "/properties/a~1b"),
        (with(r#""\u0061b":1"#), "", ""),
        (with(&format!(r#""{}":1"#, "k".repeat(100))), "", ""),
        (
            with(&format!(r#""{}":1"#, "k".repeat(101))),
            "P201",
            &format!("/properties/{}", "k".repeat(101)),
        ),
        (with(r#""a":null"#), "P202", "/properties/a"),
        (with(r#""a":{"b":1}"#), "P204", "/properties/a"),
        (with(r#""a":["x",{"b":1}]"#), "P204", "/properties/a"),
        (with(r#""a":["x",["y"]]"#), "P204", "/properties/a"),
        (with(r#""a":["x",1]"#), "P208", "/properties/a"),
        (with(&format!(r#""a":"{long}""#)), "P205", "/properties/a"),
        (with(&format!(r#""app_crashed_reason":"{long}""#)), "", ""),
        (with(&format!(r#""a":"{}""#, "汉".repeat(8192))), "", ""),
        (with(&format!(r#""a":["{long}"]"#)), "P205", "/properties/a"),
        (with(&format!(r#""a":[{list}]"#)), "P206", "/properties/a"),
        (with(r#""a":9000000000000000"#), "", ""),
        (with(r#""a":9007199254740993"#), "P207", "/properties/a"),
        (with(r#""a":-9.1e15"#), "P207", "/properties/a"),
        (with(r#""a":0.12345678901234567890"#), "", ""),
        (with(r#""a":true,"b":"x","c":["x"],"d":-1.5e3"#), "", ""),
        // names of the server
        (event(r#""_server":{"lsn":1},"#), "N010", "/_server"),
        // time
        (r#"{"type":"track","event":"Buy","distinct_id":"u1"}"#.into(), "T001", "/time"),
        (
            r#"{"type":"track","event":"Buy","distinct_id":"u1","time":"now"}"#.into(),
            "T002",
            "/time",
        ),
        (r#"{"type":"track","event":"Buy","distinct_id":"u1","time":{}}"#.into(), "T002", "/time"),
        (
            r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1779235200}"#.into(),
            "T004",
            "/time",
        ),
        (
            r#"{"type":"track","event":"Buy","distinct_id":"u1","time":"1779235200000"}"#.into(),
            "",
            "",
        ),
        (
            r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1778371199999}"#.into(),
            "T301",
            "/time",
        ),
        (
            r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1778371200000}"#.into(),
            "",
            "",
        ),
        (
            r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1779238800001}"#.into(),
            "T303",
            "/time",
        ),
        // project
        (event(r#""project":"other","#), "A001", "/project"),
        (event(r#""project":"default","#), "", ""),
        (with(r#""$project":"other""#), "A001", "/project"),
    ] {
        let got = one(&text);
        assert_eq!(got.codes.join(" "), codes, "{text}");
        if let Some(first) = got.pointers.first() {
            assert_eq!(first, pointer, "{text}");
        }
        let rejected = got
            .codes
            .iter()
            .any(|c| Code::from_bytes(c.as_bytes().try_into().unwrap()).unwrap().rejects());
        let verdict = match (rejected, got.codes.is_empty()) {
            (true, _) => Verdict::Rejected,
            (_, true) => Verdict::Kept,
            _ => Verdict::Problems,
        };
        assert_eq!(got.entry.verdict, verdict, "{text}");
        if rejected {
            let sent = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(&text);
            assert_eq!(got.json, sent, "rejected events keep their bytes");
        }
    }
}

#[test]
fn one_bad_event_costs_one_event() {
    let text = format!("[{},17,{},{}]", event(""), event(r#""a":1,"a":2,"#), event(""));
    let got = Setup::default().run(&text);
    let verdicts: Vec<_> = got.iter().map(|g| g.entry.verdict).collect();
    use Verdict::{Kept, Rejected};
    assert_eq!(verdicts, [Kept, Rejected, Rejected, Kept]);
    assert_eq!(got[1].entry.flags & flag::NOT_OBJECT, flag::NOT_OBJECT);
}

#[test]
fn a_text_that_is_not_json_leaves_nothing_behind() {
    for (text, code) in [
        ("", Code::J008),
        ("   ", Code::J008),
        ("{", Code::J008),
        (r#"[{"a":1},{"b""#, Code::J008),
        ("[{}] x", Code::J001),
        ("{'a':1}", Code::J001),
        ("[{},]", Code::J001),
        ("[{\"a\":\"\n\"}]", Code::J001),
        ("nul", Code::J008),
        ("[{\"a\":01}]", Code::J001),
        (r#"[{"a":"\x"}]"#, Code::J001),
    ] {
        let setup = Setup::default();
        let (mut scratch, mut envelopes) = (JsonScratch::default(), Envelopes::default());
        let mut out = Builder::default();
        let mut go = |text: &str, out: &mut Builder| {
            events(text.as_bytes(), &setup.context(), &mut scratch, &mut envelopes, out)
        };
        go(&event(""), &mut out).unwrap();
        let before = out.payload(b"");
        let text = if text.starts_with('[') {
            text.replacen('[', &format!("[{},{{\"ekey\":\"e\",\"payloads\":[]}},", event("")), 1)
        } else {
            text.into()
        };
        assert_eq!(go(&text, &mut out).unwrap_err().code, code, "{text}");
        assert_eq!(out.payload(b""), before);
        assert!(envelopes.list().is_empty());
    }
}

#[test]
fn bad_json_inside_an_envelope_has_one_code() {
    let setup = Setup { inside_envelope: true, ..Setup::default() };
    for text in ["", "{", "[{}] x", "garbage"] {
        assert_eq!(setup.try_run(text.as_bytes()).err().unwrap().code, Code::K506);
    }
    for (text, reason) in
        [("5".to_owned(), "J003"), (event(r#""time":1,"#), "J005"), (with(r#""a":1e999"#), "J004")]
    {
        let got = setup.one(text);
        assert_eq!((&*got.codes[0], &*got.pointers[0], &*got.details[0]), ("K506", "", reason));
    }
}

#[test]
fn byte_order_marks_and_blanks_are_skipped() {
    for (before, behind) in [("\u{feff}", ""), ("\r\n\t ", " \n"), (" \u{feff} \u{feff}", "")] {
        let got = one(format!("{before}{}{behind}", event("")));
        assert_eq!((got.codes.len(), got.json), (0, event("")));
    }
}

#[test]
fn an_empty_list_has_no_events() {
    assert!(Setup::default().run("[]").is_empty());
    assert!(Setup::default().run(" [ ] ").is_empty());
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
fn the_envelopes_flush_time_is_set_and_replaced() {
    let setup = Setup { flush_time: Some(NOW - 7), ..Setup::default() };
    let plain = event("");
    let added = format!(r#"{},"_flush_time":{}}}"#, &plain[..plain.len() - 1], NOW - 7);
    assert_eq!(setup.one(&plain).json, added);
    for old in ["1", "\"1\"", "null", "1779235199993", "17792351999930", "{\"a\":[]}"] {
        let got = setup.one(event(&format!(r#""_flush_time" : {old} ,"#)));
        assert_eq!(got.json, event(&format!(r#""_flush_time" : {} ,"#, NOW - 7)), "{old}");
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
            (&5.into(), None),
            "{}",
            got.json
        );
        assert_eq!((got.of(got.entry.event), got.of(got.entry.id)), ("Buy", "u1"));
    }
}

#[test]
fn a_wrong_clock_is_corrected_and_both_times_are_kept() {
    let two_hours = 2 * 3_600_000;
    let text = format!(
        r#"{{"type":"track","event":"Buy","distinct_id":"u1","time":{},"_flush_time":{}}}"#,
        NOW + two_hours - 5,
        NOW + two_hours
    );
    let got = one(&text);
    assert_eq!((&*got.codes.join(" "), &got.json), ("T302", &text));
    assert_eq!((got.entry.time_ms, got.entry.sent_ms), (NOW - 5, NOW + two_hours - 5));
    assert_eq!(got.entry.flags & flag::TIME_CORRECTED, flag::TIME_CORRECTED);
    // The envelope's word counts more than the event's.
    let setup = Setup { flush_time: Some(NOW), ..Setup::default() };
    assert_eq!(setup.one(&text).codes.join(" "), "T303");
}

#[test]
fn time_free_counts_only_where_the_project_allows_it() {
    let projects = |free| {
        Projects::parse(&format!("[[project]]\nname = \"default\"\ntime_free = {free}\n")).ok()
    };
    let old = r#"{"type":"track","event":"Buy","distinct_id":"u1","time":1500000000000,"time_free":FREE}"#;
    for (allowed, free, codes) in [
        (true, "true", ""),
        (false, "true", "T301"),
        (true, "null", "T301"),
        (true, "false", "T301"),
    ] {
        let setup = Setup { projects: projects(allowed), ..Setup::default() };
        assert_eq!(setup.one(old.replace("FREE", free)).codes.join(" "), codes, "{allowed} {free}");
    }
}

#[test]
fn the_effective_project_and_token_are_the_events_then_the_urls_then_the_locations() {
    let projects = Projects::parse(
        "[[project]]\nname = \"shop\"\ntokens = [\"t1\", \"t2\"]\n[[project]]\nname = \"open\"\n",
    );
    let mut setup = Setup {
        projects: projects.ok(),
        project: Project::parse("shop").unwrap(),
        ..Setup::default()
    };
    for (url, more, property, codes) in [
        ((&b""[..], &b"t1"[..]), "", "", ""),
        ((b"", b""), "", "", "A002"),
        ((b"shop", b"t2"), "", "", ""),
        ((b"shop", b"t3"), "", "", "A002"),
        ((b"none", b"t1"), "", "", "A001"),
        ((b"open", b""), "", "", ""),
        ((b"shop", b""), r#""token":"t1","#, "", ""),
        ((b"shop", b"t1"), r#""token":"no","#, "", "A002"),
        ((b"shop", b"t1"), r#""token":"","#, "", ""),
        ((b"shop", b"t1"), r#""project":"open","#, "", ""),
        ((b"open", b""), r#""project":"shop","#, "", "A002"),
        ((b"open", b""), "", r#""$project":"shop","$token":"t2""#, ""),
        ((b"open", b""), r#""project":"open","#, r#""$project":"shop""#, ""),
        ((b"shop", b"t1"), r#""project":"..\/etc","#, "", "A001"),
        ((b"open", b""), r#""project":"sh\u006fp","token":"t1","#, "", ""),
    ] {
        setup.url = url;
        let text = format!(
            r#"{{{more}"type":"track","event":"Buy","distinct_id":"u1","time":{NOW},"properties":{{{property}}}}}"#
        );
        let got = setup.one(&text);
        assert_eq!(got.codes.join(" "), codes, "{url:?} {more} {property}");
        if more.contains("token") {
            assert!(got.details.iter().all(|d| !d.contains("no")), "tokens stand in no record");
        }
    }
    let any = Setup { project: Project::Any, ..Setup::default() };
    assert_eq!(any.one(event(r#""project":"new_one","#)).codes.len(), 0);
    assert_eq!(any.one(event(r#""project":"a/b","#)).codes.join(" "), "A001");
}

#[test]
fn envelopes_are_handed_over_and_not_judged() {
    let text = r#"[{"ekey":"a\/b","pkv":3,"payloads":["p\/1","p2",5],"flush_time":17},{"key_id":"7","nc":1,"payload":"pp"}]"#;
    let (got, envelopes) = Setup::default().try_run(text.as_bytes()).unwrap();
    assert!(got.is_empty());
    let [first, second] = envelopes.list() else { panic!("two envelopes") };
    assert_eq!(
        (envelopes.ekey(first), first.pkv, first.key_id, first.flush_time),
        (&b"a/b"[..], Some(3), None, Some(17))
    );
    assert_eq!(envelopes.payloads(first).collect::<Vec<_>>(), [&b"p/1"[..], b"p2", b""]);
    assert_eq!((first.len(), first.single, second.single), (3, false, true));
    assert_eq!((envelopes.ekey(second), second.pkv, second.key_id), (&b""[..], None, Some(7)));
    assert_eq!(envelopes.payloads(second).collect::<Vec<_>>(), [b"pp"]);
    // Never again inside one: such an element is an event without a type.
    let inside = Setup { inside_envelope: true, ..Setup::default() };
    let (got, envelopes) = inside.try_run(text.as_bytes()).unwrap();
    assert_eq!((got.len(), envelopes.list().len()), (2, 0));
}

#[test]
fn resends_share_a_key_and_nothing_else_does() {
    let key = |text: &str| one(text).entry.dup_key;
    let base = event(r#""_track_id":5,"#);
    assert_eq!(key(&base), key(&event(r#""a":1,"_track_id":5,"#)));
    assert_eq!(key(&event("")), 0);
    for other in [
        event(r#""_track_id":6,"#),
        event(r#""_track_id":-5,"#),
        base.replace("Buy", "Pay"),
        base.replace("\"u1\"", "\"u2\""),
        base.replace("track\"", "profile_set\""),
        base.replace(&NOW.to_string(), &(NOW + 1).to_string()),
        base.replace("{\"_t", "{\"project\":\"default2\",\"_t"),
    ] {
        assert_ne!(key(&other), key(&base), "{other}");
    }
}

#[test]
fn server_sdks_are_told_from_clients() {
    for (lib, server) in [
        ("Java", true),
        ("python", true),
        ("Golang", true),
        ("Node", true),
        ("php", true),
        ("DotNET", true),
        ("Ruby", true),
        ("js", false),
        ("iOS", false),
        ("Android", false),
        ("MiniProgram", false),
        ("", false),
    ] {
        let got = one(event(&format!(r#""lib":{{"$lib":"{lib}"}},"#)));
        assert_eq!(got.entry.flags & flag::SERVER_SDK != 0, server, "{lib}");
    }
    let got = one(event(r#""lib":{"$lib":"x","$lib_method":"tools"},"#));
    assert_ne!(got.entry.flags & flag::SERVER_SDK, 0);
}

#[test]
fn a_followed_id_is_seen() {
    let setup = Setup { followed: vec![watch_hash("用户".as_bytes())], ..Setup::default() };
    for (id, seen) in [("用户", true), (r"\u7528\u6237", true), ("u1", false)] {
        let (mut scratch, mut out) = (JsonScratch::default(), Builder::default());
        let text = event("").replace("u1", id);
        events(
            text.as_bytes(),
            &setup.context(),
            &mut scratch,
            &mut Envelopes::default(),
            &mut out,
        )
        .unwrap();
        assert_eq!(scratch.follows, seen, "{id}");
    }
}

#[test]
fn too_many_events_cost_the_request_its_events() {
    let limits = Limits { events_max: 3, ..Limits::default() };
    let setup = Setup { limits, ..Setup::default() };
    assert_eq!(setup.run("[1,2,3]").len(), 3);
    assert_eq!(setup.try_run(b"[1,2,3,4]").err().unwrap().code, Code::L003);
}

#[test]
fn a_thousand_problems_do_not_write_a_thousand_codes() {
    let many: String = (0..1000).map(|i| format!("\"a-{i}\":1,")).collect();
    let got = one(with(&many[..many.len() - 1]));
    assert_eq!((got.codes.len(), &**got.codes.last().unwrap()), (33, "L004"));
    let text = format!("[{}]", vec![with(r#""a-b":1,"c-d":null"#); 2000].join(","));
    let got = Setup::default().run(text);
    assert!(got.iter().all(|g| g.codes[0] == "P201"));
    assert!(got.iter().map(|g| g.codes.len()).sum::<usize>() < 1000 + 2 * 2000 + 2);
}

#[test]
fn a_hundred_thousand_levels_cost_one_event() {
    const LEVELS: usize = 100_000;
    let lists = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let objects = format!("{}1{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
    let mixed = format!("{}1{}", "[{\"a\":".repeat(LEVELS), "}]".repeat(LEVELS));
    for nest in [&lists, &objects, &mixed] {
        for bad in [with(&format!("\"a\":{nest}")), event(&format!("\"a\":{nest},"))] {
            let text = format!("[{},{bad},{}]", event(""), event(""));
            let got = Setup::default().run(&text);
            assert_eq!((&*got[1].codes[0], &got[1].json), ("J002", &bad));
            assert_eq!((got[0].codes.len(), got[2].codes.len()), (0, 0));
        }
    }
    let got = Setup::default().run(&lists);
    assert_eq!(got[0].codes.join(" "), "J003 J002");
}

#[test]
fn ten_megabytes_of_anything_take_bounded_time() {
    const BYTES: usize = 10 << 20;
    let started = std::time::Instant::now();
    let fill = |piece: &str| piece.repeat(BYTES / piece.len());
    let names: String = (0..BYTES / 12).map(|i| format!("\"n{i:06}\":1,")).collect();
    let same = fill("\"name\":1,");
    let escaped: String = (0..BYTES / 20).map(|i| format!("\"\\u0061{i:06}\":1,")).collect();
    for text in [
        fill("["),
        fill("{\"a\":"),
        fill("[]"),
        fill("\""),
        fill("\\"),
        fill("1"),
        fill(" "),
        fill("\u{feff}"),
        format!("[{}1]", fill("1,")),
        format!("[{}{{}}]", fill("{},")),
        format!("\"{}", fill("\\\"")),
        format!("\"{}\"", fill("\\ud83d")),
        format!("[{}]", fill("9")),
        format!("[1e{}]", fill("9")),
        format!("{{\"time\":\"{}\"}}", fill("0")),
        format!("{{\"distinct_id\":\"{}\"}}", fill("\\u4e2d")),
        format!("{{{}\"z\":1}}", names),
        format!("{{{}\"z\":1}}", same),
        format!("{{{}\"z\":1}}", escaped),
        with(&same[..same.len() - 1]),
        with(&format!("\"a\":[{}1]", fill("[],"))),
        event(&format!("\"identities\":{{{}\"z\":1}},", names)),
    ] {
        let _ = Setup::default().try_run(text.as_bytes());
    }
    for bytes in [&b"\xff"[..], b"a\xff", b"\xed\xa0\xbd\xed\xb8\x80", b"\xed\xa0\xbd"] {
        let text = [b"{\"a\":\"", &bytes.repeat(BYTES / bytes.len())[..], b"\"}"].concat();
        let _ = Setup::default().try_run(&text);
    }
    // 260 MB of text: some seconds in this profile on a slow machine; anything quadratic would take hours.
    let took = started.elapsed();
    assert!(took.as_secs() < 120, "{took:?}");
}
