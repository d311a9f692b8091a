//! How fast the JSON stage is beside serde_json, in one process: `cargo test --release -p event speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::*;
use crate::testing::Random;

/// Few enough to stay in the cache, where a request that was just unpacked is too.
const EVENTS: u32 = 300;

const TITLES: [&str; 3] = ["首页 - 优选商城", "商品详情 | 蓝牙耳机 Pro", "购物车（3）"];

/// An event as the Android SDK sends it, 1.1 KB.
fn app_event(random: &mut Random) -> String {
    let (n, id) = (random.below(9_000_000), random.next());
    format!(
        r#"{{"_track_id":{},"time":{},"type":"track","distinct_id":"user_{n}","anonymous_id":"{id:016x}","identities":{{"$identity_android_id":"{id:016x}","$identity_login_id":"user_{n}"}},"lib":{{"$lib":"Android","$lib_version":"6.8.3","$app_version":"5.12.0","$lib_method":"code","$lib_detail":"com.example.mall.ui.ProductActivity##onCreate##ProductActivity.java##{}"}},"event":"ViewProduct","properties":{{"$lib":"Android","$lib_version":"6.8.3","$os":"Android","$os_version":"14","$brand":"HUAWEI","$manufacturer":"HUAWEI","$model":"ALN-AL00","$screen_width":1080,"$screen_height":2400,"$carrier":"中国移动","$app_id":"com.example.mall","$app_name":"优选商城","$app_version":"5.12.0","$device_id":"{id:016x}","$timezone_offset":-480,"$network_type":"WIFI","$wifi":true,"$is_first_day":false,"$screen_name":"com.example.mall.ui.ProductActivity","$title":"{}","$event_duration":{}.{},"product_id":"{n}","product_name":"蓝牙耳机 Pro","price":{}.5,"city":"杭州","tags":["新品","包邮"]}},"_flush_time":1779235199013}}"#,
        random.next() as i32,
        1_779_235_000_000u64 + random.next() % 100_000,
        random.below(900),
        TITLES[random.below(3)],
        random.below(60),
        random.below(999),
        random.below(900),
    )
}

/// The fields and the deep walk of the yardstick: six fields, every property's name and value.
#[derive(serde::Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    event: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    distinct_id: std::borrow::Cow<'a, str>,
    time: i64,
    #[serde(rename = "_track_id")]
    track_id: Option<i64>,
    properties: Properties,
}

#[derive(Default)]
struct Properties(u32);

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Properties;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("properties")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut good = 0;
                while let Some(name) = map.next_key::<Name>()? {
                    let value = map.next_value::<Value>()?;
                    good += u32::from(value.0 && name.0);
                }
                Ok(Properties(good))
            }
        }
        reader.deserialize_map(Walk)
    }
}

/// Whether a name is legal.
struct Name(bool);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Check;
        impl Visitor<'_> for Check {
            type Value = Name;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                let good = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'$';
                let first = name.bytes().next().is_some_and(|c| !c.is_ascii_digit());
                Ok(Name(first && name.len() <= 100 && name.bytes().all(good)))
            }
        }
        reader.deserialize_str(Check)
    }
}

/// Whether a value is one the protocol allows.
struct Value(bool);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value(text.len() <= 8192))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
                Ok(Value(true))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
                Ok(Value(true))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
                Ok(Value(true))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
                Ok(Value(true))
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value(false))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut good = true;
                while let Some(value) = list.next_element::<Value>()? {
                    good &= value.0;
                }
                Ok(Value(good))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value(false))
            }
        }
        reader.deserialize_any(Walk)
    }
}

fn by_serde(text: &[u8]) -> usize {
    let text = simdutf8::basic::from_utf8(text).unwrap();
    let mut count = 0;
    let mut one = |event: Event<'_>| {
        black_box((event.kind, &event.event, &event.distinct_id, event.time, event.track_id));
        assert!(event.properties.0 > 5);
        count += 1;
    };
    // As the baseline does: one typed parse per element, so that each element's bytes are known.
    let Some(mut rest) = text.strip_prefix('[') else {
        one(serde_json::from_str(text).unwrap());
        return count;
    };
    while !rest.is_empty() {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Event<'_>>();
        one(stream.next().unwrap().unwrap());
        let end = stream.byte_offset();
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    count
}

#[test]
#[ignore = "a measurement: run it alone, in the release profile"]
fn json_stage_beside_serde_json() {
    let mut random = Random::new(5);
    let singles: Vec<_> = (0..EVENTS).map(|_| app_event(&mut random)).collect();
    let batches: Vec<_> = (0..EVENTS / 50)
        .map(|_| {
            let events: Vec<_> = (0..50).map(|_| app_event(&mut random)).collect();
            format!("[{}]", events.join(","))
        })
        .collect();
    let (limits, project) = (Limits::default(), Project::default());
    let context = Context {
        limits: &limits,
        recv_ms: 1_779_235_199_020,
        flush_time: None,
        url_project: b"",
        url_token: b"",
        project: &project,
        projects: None,
        dup_hash_key: [1, 2],
        inside_envelope: false,
        followed: &[],
    };
    let (mut scratch, mut envelopes) = (JsonScratch::default(), Envelopes::default());
    let mut out = Builder::default();
    let mut scan = crate::json::ScanMemory::default();
    let (mut element, mut memos) = (Element::default(), Memos::default());
    for (name, texts) in [("1 event", &singles), ("50 events", &batches)] {
        let bytes: usize = texts.iter().map(String::len).sum();
        let mut best = [Duration::MAX; 3];
        for _ in 0..100 {
            for (row, best) in best.iter_mut().enumerate() {
                let started = Instant::now();
                for text in texts {
                    let text = text.as_bytes();
                    match row {
                        0 => drop(black_box(by_serde(text))),
                        1 => {
                            simdutf8::basic::from_utf8(text).unwrap();
                            let mut scanner = Scanner::new(text, 32, &mut scan);
                            let mut one =
                                |s: &mut Scanner<'_>, p| element.read(s, p, &limits, &mut memos);
                            if text[0] == b'[' {
                                scanner.list(0, 0, &mut one).unwrap();
                            } else {
                                one(&mut scanner, 0).unwrap();
                            }
                        }
                        _ => {
                            out.clear(1 << 20);
                            let count =
                                events(text, &context, &mut scratch, &mut envelopes, &mut out);
                            assert_eq!(count.unwrap(), out.kept());
                        }
                    }
                }
                *best = (*best).min(started.elapsed());
            }
        }
        let us = |d: Duration| d.as_secs_f64() * 1e6 / f64::from(EVENTS);
        println!(
            "{name}: {} B/event; serde_json {:.3} us, scan {:.3} us ({:.2}), scan + rules + record {:.3} us ({:.2})",
            bytes / EVENTS as usize,
            us(best[0]),
            us(best[1]),
            us(best[1]) / us(best[0]),
            us(best[2]),
            us(best[2]) / us(best[0]),
        );
    }
}
