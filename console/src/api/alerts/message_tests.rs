use super::*;

const NOW: i64 = 1_795_600_000_123;

fn line(n: usize) -> Line {
    Line {
        key: format!("rejected|shop|E{n}"),
        rule: "rejected".into(),
        state: if n.is_multiple_of(2) { "firing" } else { "resolved" },
        project: "shop".into(),
        subject: format!("E{n}"),
        since_ms: NOW,
        text: Text::new(format!("事件 E{n} 被拒"), format!("event E{n} rejected")),
    }
}

fn make(kind: Kind, secret: &str, lines: usize) -> Request {
    let lines: Vec<Line> = (0..lines).map(line).collect();
    request(kind, ("https://robot.example/send?key=k", secret), &lines, ("n-1", true), NOW).unwrap()
}

// The expected signatures were made with Python's hmac, from each vendor's own description.
#[test]
fn each_kind_is_signed_as_it_documents() {
    let ding = make(Kind::Dingtalk, "SECabc", 1);
    let want = "https://robot.example/send?key=k&timestamp=1795600000123&sign=YdcYqnTZHfzjoh0yRNTNBqsI%2F0jWhE2oMj15%2BW8bEBc%3D";
    assert_eq!(ding.url, want);
    let feishu: Value = serde_json::from_str(&make(Kind::Feishu, "abc", 1).body).unwrap();
    assert_eq!(feishu["timestamp"], "1795600000");
    assert_eq!(feishu["sign"], "DMQlR9ArE8+6beu8jQKHlf8e0mv1vWKMM/MXra+Ega4=");
    assert_eq!(feishu["msg_type"], "text");
    let generic = make(Kind::Generic, "abc", 1);
    let mac = hmac("abc", &format!("1795600000.{}", generic.body)).unwrap();
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(generic.headers[1], ("x-tusk-signature", format!("sha256={hex}")));
    assert_eq!(generic.headers[0].1, "1795600000");
    for kind in [Kind::Generic, Kind::Wecom, Kind::Dingtalk, Kind::Feishu] {
        let plain = make(kind, "", 1);
        assert_eq!(plain.url, "https://robot.example/send?key=k");
        assert!(plain.headers.is_empty() && !plain.body.contains("sign"));
    }
}

#[test]
fn a_long_list_is_cut_and_counted() {
    let generic: Value = serde_json::from_str(&make(Kind::Generic, "", 50).body).unwrap();
    assert_eq!(generic["alerts"].as_array().unwrap().len(), LINES_MAX);
    assert_eq!(generic["more"], 30);
    assert_eq!(generic["alerts"][1]["state"], "resolved");
    assert_eq!(generic["alerts"][0]["zh"], "事件 E0 被拒");
    let wecom: Value = serde_json::from_str(&make(Kind::Wecom, "", 50).body).unwrap();
    let text = wecom["text"]["content"].as_str().unwrap();
    assert!(text.len() <= 2048 && text.ends_with("另有 30 条，见“告警”页面"), "{text}");
    let long = Line { text: Text::new("长".repeat(300), "x"), ..line(0) };
    let cut = super::text(&vec![long; 5], 3, "n", true);
    assert!(cut.len() <= 2048 && cut.contains("另有 6 条"), "{cut}");
}

#[test]
fn a_chat_that_answers_200_and_says_no_has_not_taken_it() {
    for (kind, status, body, good) in [
        (Kind::Generic, 204, "", true),
        (Kind::Generic, 500, "x", false),
        (Kind::Wecom, 200, r#"{"errcode":0,"errmsg":"ok"}"#, true),
        (Kind::Wecom, 200, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#, false),
        (Kind::Dingtalk, 200, r#"{"errcode":310000,"errmsg":"sign not match"}"#, false),
        (Kind::Feishu, 200, r#"{"code":0,"msg":"success"}"#, true),
        (Kind::Feishu, 200, r#"{"StatusCode":0}"#, true),
        (Kind::Feishu, 200, r#"{"code":19021,"msg":"sign match fail"}"#, false),
        (Kind::Feishu, 200, "<html>", false),
    ] {
        assert_eq!(taken(kind, status, body).is_ok(), good, "{kind:?} {body}");
    }
}
