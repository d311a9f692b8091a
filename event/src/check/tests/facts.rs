//! What is known of an event beside its bytes: time, project, keys, envelopes.

use super::*;

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
fn an_empty_list_has_no_events() {
    assert!(Setup::default().run("[]").is_empty());
    assert!(Setup::default().run(" [ ] ").is_empty());
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
fn a_strict_project_rejects_events_outside_the_time_window() {
    let projects = Projects::parse(
        "[[project]]\nname = \"default\"\ntime_strict = true\n[[project]]\nname = \"easy\"\n",
    );
    let setup = Setup { projects: projects.ok(), ..Setup::default() };
    let at = |time: &str| {
        format!(r#"{{"type":"track","event":"Buy","distinct_id":"u1"{time},"properties":{{}}}}"#)
    };
    for (time, codes) in [
        (format!(r#","time":{NOW}"#), ""),
        (r#","time":1500000000000"#.into(), "T304 T301"),
        (format!(r#","time":{}"#, NOW + 3_600_001), "T304 T303"),
        (String::new(), "T304 T001"),
        (r#","time":"soon""#.into(), "T304 T002"),
        (r#","time":1500000000000,"project":"easy""#.into(), "T301"),
    ] {
        let got = setup.one(at(&time));
        assert_eq!(got.codes.join(" "), codes, "{time}");
        assert_eq!(got.entry.verdict == Verdict::Rejected, codes.starts_with("T304"));
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
fn a_followed_device_is_seen_whoever_is_logged_in() {
    let setup = Setup { followed: vec![watch_hash(b"d-1")], ..Setup::default() };
    for (more, seen) in [
        (r#""anonymous_id":"d-1","#, true),
        (r#""login_id" : "d-1","#, true),
        (r#""anonymous_id":"d-11","#, false),
        (r#""anonymous_id":7,"#, false),
        ("", false),
    ] {
        let (mut scratch, mut out) = (JsonScratch::default(), Builder::default());
        let envelopes = &mut Envelopes::default();
        events(event(more).as_bytes(), &setup.context(), &mut scratch, envelopes, &mut out)
            .unwrap();
        assert_eq!(scratch.follows, seen, "{more}");
    }
}

#[test]
fn a_fault_shows_the_text_around_it() {
    let setup = Setup::default();
    let (mut scratch, mut out) = (JsonScratch::default(), Builder::default());
    for (text, near) in [
        ("{'a':1}", "{'a':1}"),
        (r#"[{"name":"汉汉汉汉汉汉汉汉汉汉" "#, "汉汉汉汉汉汉汉\" "),
        ("", ""),
    ] {
        let context = setup.context();
        events(text.as_bytes(), &context, &mut scratch, &mut Envelopes::default(), &mut out)
            .unwrap_err();
        assert_eq!(String::from_utf8_lossy(&scratch.near), near, "{text}");
    }
}
