use super::*;
use crate::disk::RealDisk;
use crate::facts::Fact;
use event::record::{Builder, CodeRef, Entry, Record, Span, Verdict, meta};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of this test's own.
pub(super) fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path =
        std::env::temp_dir().join(format!("tusk-columns-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn columns(conflict: Conflict) -> (Columns, Place) {
    let place = Place(folder("read"));
    (open(&place, conflict), place)
}

fn open(place: &Place, conflict: Conflict) -> Columns {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let fill = Fill::default();
    Columns::open(&disk, &place.0, "test", "edge-00c0ffee", fill, (conflict, 1000)).unwrap()
}

fn find(json: &[u8], text: &str) -> Span {
    let at = json.windows(text.len().max(1)).position(|window| window == text.as_bytes());
    at.map_or_else(Span::default, |at| Span { at: at as u32, len: text.len() as u32 })
}

/// Shows `json` as the event it is.
fn show<T>(columns: &mut Columns, json: &str, see: impl FnOnce(Row<'_>) -> T) -> T {
    let parsed: Json = serde_json::from_str(json).unwrap_or_default();
    let kind = EventType::from_name(parsed["type"].as_str().unwrap_or("track").as_bytes());
    let json = json.as_bytes();
    let text = |name: &str| find(json, parsed[name].as_str().unwrap_or_default());
    let mut builder = Builder::default();
    builder.meta(meta::PROJECT, b"shop", 64);
    builder.meta(meta::IP, b"203.0.113.9", 64);
    builder.meta(meta::USER_AGENT, b"agent", 64);
    let entry = Entry {
        json: Span { at: 0, len: json.len() as u32 },
        verdict: Verdict::Kept,
        kind: kind as u8,
        flags: 0,
        codes: 0,
        time_ms: 1,
        sent_ms: 1,
        dup_key: 0,
        event: text("event"),
        id: text("distinct_id"),
        project: Span::default(),
        lib: find(json, parsed["lib"]["$lib"].as_str().unwrap_or_default()),
        lib_version: Span::default(),
        app_version: Span::default(),
    };
    builder.bytes().extend_from_slice(json);
    builder.entry(&entry);
    let payload = builder.payload(&[]);
    let record = Record::parse(&payload).unwrap();
    let fact = Fact { session: 0xab, ..Fact::default() };
    let codes: [CodeRef<'_>; 0] = [];
    let (entry, json) = record.event(0).unwrap();
    let view = EventView {
        lsn: 1,
        index: 0,
        recv_ms: 1,
        fact: &fact,
        entry: &entry,
        json,
        record: &record,
        codes: &codes,
        request_codes: &codes,
    };
    see(columns.read(&view))
}

fn event(properties: &str) -> String {
    format!(r#"{{"distinct_id":"u1","event":"Buy","type":"track","properties":{properties}}}"#)
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The maps, and what is marked, as JSON.
fn maps(row: Row<'_>) -> Json {
    let mut out = json!({});
    for (name, value) in row.str() {
        out["str"][utf8(name)] = utf8(value).into();
    }
    for (name, value) in row.num() {
        out["num"][utf8(name)] = value.into();
    }
    for (name, members) in row.arr() {
        out["arr"][utf8(name)] = members.map(utf8).collect();
    }
    let conflicts: Vec<_> = row.conflicts().map(utf8).collect();
    assert_eq!(conflicts.is_empty(), !row.codes().contains(b"P203"));
    if !conflicts.is_empty() {
        out["conflicts"] = conflicts.into();
    }
    out
}

fn read(columns: &mut Columns, properties: &str) -> Json {
    show(columns, &event(properties), maps)
}

#[test]
fn presets_are_typed_and_the_rest_goes_to_the_maps() {
    let (mut columns, _place) = columns(Conflict::Convert);
    let json = r#"{"identities":{"$identity_login_id":"u\u0031","k":"v","k":"w"},"login_id":"u1","anonymous_id":"a1","_track_id":-77,
        "distinct_id":"u1","event":"Buy","type":"track","lib":{"$lib":"iOS","$lib_method":"code"},"properties":{"$lib":"iOS",
        "$os":"iOS","$screen_width":1080,"$wifi":true,"event_duration":1.5,"$event_duration":9,"price":12.5,"vip":true,
        "tags":["a","b\n",3,null],"when":"2026-05-01 10:00:00.123","nul":null,"deep":{"x":1},"deeper":[[1]],"bad-name":1,
        "$token":"secret","note":"\u4e2d\"","note":"twice"}}"#;
    show(&mut columns, json, |row| {
        assert_eq!(row.text(Preset::Os), b"iOS");
        assert_eq!(row.text(Preset::Lib), b"iOS");
        assert_eq!(row.text(Preset::LibMethod), b"code");
        assert_eq!(row.text(Preset::Ip), b"203.0.113.9");
        assert_eq!(row.text(Preset::UserAgent), b"agent");
        assert_eq!(row.text(Preset::SessionId), b"00c0ffee-ab");
        assert_eq!(row.number(Preset::ScreenWidth), Some(1080.0));
        assert_eq!(row.number(Preset::Wifi), Some(1.0));
        assert_eq!(row.number(Preset::EventDuration), Some(1.5));
        assert_eq!(row.number(Preset::IsBot), None);
        assert_eq!((row.id(), row.event()), (&b"u1"[..], &b"Buy"[..]));
        assert_eq!((row.login_id(), row.anonymous_id()), (&b"u1"[..], &b"a1"[..]));
        assert_eq!(row.track_id(), -77);
        let identities: Vec<_> = row.identities().map(|(k, v)| (utf8(k), utf8(v))).collect();
        assert_eq!(identities, [("$identity_login_id", "u1"), ("k", "v")]);
        let expected = json!({
            "str": {"when": "2026-05-01 10:00:00.123", "note": "中\""},
            "num": {"price": 12.5, "vip": 1.0},
            "arr": {"tags": ["a", "b\n", "3"]},
        });
        assert_eq!(maps(row), expected);
    });
}

#[test]
fn numbers_written_as_text_are_found_by_sums() {
    let (mut columns, _place) = columns(Conflict::Convert);
    assert_eq!(read(&mut columns, r#"{"price":12.5}"#), json!({"num": {"price": 12.5}}));
    let as_text =
        json!({"str": {"price": "12.50"}, "num": {"price": 12.5}, "conflicts": ["price"]});
    assert_eq!(read(&mut columns, r#"{"price":"12.50"}"#), as_text);
    let no_number = json!({"str": {"price": "free"}, "conflicts": ["price"]});
    assert_eq!(read(&mut columns, r#"{"price":"free"}"#), no_number);
    // And the other way round: text first.
    let first = json!({"str": {"level": "3"}, "num": {"level": 3.0}});
    assert_eq!(read(&mut columns, r#"{"level":"3"}"#), first);
    let then = json!({"str": {"level": "4.0"}, "num": {"level": 4.0}, "conflicts": ["level"]});
    assert_eq!(read(&mut columns, r#"{"level":4.0}"#), then);
}

#[test]
fn long_integers_keep_their_digits() {
    let (mut columns, _place) = columns(Conflict::Convert);
    let long = read(&mut columns, r#"{"order":1234567890123456789,"n":9007199254740992}"#);
    assert_eq!(long["str"], json!({"order": "1234567890123456789"}));
    assert_eq!(long["num"]["n"], 9_007_199_254_740_992.0);
    assert_eq!(long["num"]["order"], 1_234_567_890_123_456_789.0);
    assert_eq!(read(&mut columns, r#"{"huge":1e999}"#), json!({"str": {"huge": "1e999"}}));
}

#[test]
fn booleans_and_lists_of_another_type_are_kept_and_marked() {
    let (mut columns, _place) = columns(Conflict::Convert);
    read(&mut columns, r#"{"a":"x","b":true,"c":["x"],"d":1}"#);
    let other = read(&mut columns, r#"{"a":true,"b":"false","c":"y","d":["z"]}"#);
    let expected = json!({
        "str": {"a": "true", "b": "false", "c": "y"},
        "num": {"a": 1.0, "b": 0.0},
        "arr": {"d": ["z"]},
        "conflicts": ["a", "b", "c", "d"],
    });
    assert_eq!(other, expected);
}

#[test]
fn a_preset_of_another_type_is_converted_or_kept_under_its_name() {
    let (mut columns, _place) = columns(Conflict::Convert);
    let json = event(
        r#"{"$screen_width":"1080","$app_version":6,"$wifi":1,"$is_first_day":"true","$screen_height":"tall","$os":["x"],"$viewport_width":1e300}"#,
    );
    show(&mut columns, &json, |row| {
        assert_eq!(row.number(Preset::ScreenWidth), Some(1080.0));
        assert_eq!(row.text(Preset::AppVersion), b"6");
        assert_eq!(row.number(Preset::Wifi), Some(1.0));
        assert_eq!(row.number(Preset::IsFirstDay), Some(1.0));
        assert_eq!(row.number(Preset::ScreenHeight), None);
        let marked = maps(row);
        assert_eq!(marked["str"], json!({"$screen_height": "tall"}));
        assert_eq!(marked["arr"], json!({"$os": ["x"]}));
        assert_eq!(marked["num"]["$viewport_width"], 1e300);
        assert_eq!(marked["conflicts"].as_array().map(Vec::len), Some(7));
    });
}

#[test]
fn keep_converts_nothing_and_quarantine_refuses_what_cannot_be_converted() {
    let (mut columns, _place) = columns(Conflict::Keep);
    read(&mut columns, r#"{"price":1}"#);
    let kept = json!({"str": {"price": "2"}, "conflicts": ["price"]});
    assert_eq!(read(&mut columns, r#"{"price":"2"}"#), kept);
    let (mut columns, _place) = self::columns(Conflict::Quarantine);
    read(&mut columns, r#"{"price":1}"#);
    let refused = |columns: &mut Columns, properties: &str| {
        show(columns, &event(properties), |row| row.refused().map(str::to_owned))
    };
    assert_eq!(refused(&mut columns, r#"{"price":"2"}"#), None);
    let reason = refused(&mut columns, r#"{"price":"free"}"#).unwrap();
    assert_eq!(reason, "[P203] property price is text here and cannot become a number");
}

#[test]
fn properties_of_users_and_events_are_two_things_and_an_unset_teaches_nothing() {
    let (mut columns, _place) = columns(Conflict::Convert);
    read(&mut columns, r#"{"level":"gold"}"#);
    let unset =
        r#"{"type":"profile_unset","distinct_id":"u1","properties":{"level":true,"x":null}}"#;
    show(&mut columns, unset, |row| {
        assert_eq!(row.names().map(utf8).collect::<Vec<_>>(), ["level", "x"]);
        assert_eq!(maps(row), json!({}));
    });
    let set = r#"{"type":"profile_set","distinct_id":"u1","properties":{"level":3,"$city":"x"}}"#;
    let maps = show(&mut columns, set, maps);
    assert_eq!(maps, json!({"num": {"level": 3.0}, "str": {"$city": "x"}}));
}

#[test]
fn the_same_range_gives_the_same_columns_after_a_restart() {
    let place = Place(folder("again"));
    let range = [r#"{"a":"1","b":2}"#, r#"{"a":2,"b":"x"}"#, r#"{"b":"3","c":[]}"#, r#"{"c":1}"#];
    let pass = |columns: &mut Columns| range.map(|properties| read(columns, properties));
    let mut first = open(&place, Conflict::Convert);
    let seen = pass(&mut first);
    first.save().unwrap();
    assert_eq!(pass(&mut first), seen);
    assert_eq!(pass(&mut open(&place, Conflict::Convert)), seen);
}

/// Any JSON object: names are unique, nothing panics, and what serde reads of plain values is what stands in the maps.
#[test]
fn random_properties_read_as_serde_reads_them() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let texts = ["", "x", "12", "-0.5", "a\\\"b", "\\u4e2d", "tr\\nue", "007"];
    for _ in 0..2_000 {
        // Types anew each time, so that no value is of another type.
        let (mut columns, _place) = columns(Conflict::Convert);
        let members: Vec<String> = (0..random(12))
            .map(|n| {
                let value = match random(6) {
                    0 => random(u64::MAX).to_string(),
                    1 => format!("-{}.{}", random(1000), random(1000)),
                    2 => ["true", "false", "null"][random(3) as usize].to_owned(),
                    3 => format!("[\"{}\",{}]", texts[random(8) as usize], random(100)),
                    4 => "{\"x\":[1,\"}\"]}".to_owned(),
                    _ => format!("\"{}\"", texts[random(8) as usize]),
                };
                format!(" \"p{n}\" : {value} ")
            })
            .collect();
        let properties = format!("{{{}}}", members.join(","));
        let twin: Json = serde_json::from_str(&properties).unwrap();
        let seen = read(&mut columns, &properties);
        for (name, value) in twin.as_object().unwrap() {
            match value {
                Json::String(text) => assert_eq!(seen["str"][name], *text),
                Json::Number(number) => assert_eq!(seen["num"][name].as_f64(), number.as_f64()),
                Json::Bool(truth) => assert_eq!(seen["num"][name], f64::from(u8::from(*truth))),
                Json::Array(list) => assert_eq!(seen["arr"][name][0], list[0]),
                _ => assert!(seen["str"][name].is_null() && seen["num"][name].is_null()),
            }
        }
        let json = event(&properties);
        for cut in (0..json.len()).step_by(7).filter(|cut| json.is_char_boundary(*cut)) {
            show(&mut columns, &json[..cut], |row| _ = maps(row));
        }
    }
}
