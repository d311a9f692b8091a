//! Each rule, example by example.

use super::*;

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
        (with(r#""$project":"other""#), "A001", "/properties/$project"),
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
