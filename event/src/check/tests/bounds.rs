//! Hostile sizes: bounded in time, memory and codes.

use super::*;

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

#[test]
fn nothing_is_allocated_once_warm() {
    let batch: Vec<_> = (0..50).map(|i| event(&format!("\"_track_id\":{i},"))).collect();
    let texts = [
        event(""),
        format!("[{}]", batch.join(",")),
        with(r#""a":"\u4e2d\"","b":["x","y"],"$app_version":"1","n":1.5e3,"big":9007199254740993"#),
        with(r#""a-b":1,"c":null,"d":{"e":[[]]},"f":"\ud83d""#),
        event(r#""_server":1,"project":"other","token":"x","time":0,"#),
        record("profile_increment", r#","properties":{"a":"1"}"#),
        r#"[{"ekey":"k","pkv":1,"payloads":["p","q"],"flush_time":5},7,{}]"#.into(),
        "[{},".into(),
    ];
    let setup = Setup { flush_time: Some(NOW), ..Setup::default() };
    let (mut scratch, mut envelopes) = (JsonScratch::default(), Envelopes::default());
    let mut out = Builder::default();
    let mut round = || {
        for text in &texts {
            out.clear(1 << 20);
            envelopes.clear(1 << 20);
            scratch.shrink(1 << 20);
            let _ =
                events(text.as_bytes(), &setup.context(), &mut scratch, &mut envelopes, &mut out);
        }
    };
    round();
    let counted = allocation_counter::measure(round);
    assert_eq!(counted.count_total, 0);
}
