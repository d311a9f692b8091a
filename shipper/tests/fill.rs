//! Columns filled from user agent and address, in both shapes, by a place file made here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{entry, span};
use event::record::{Builder, Entry, Record, flag as entry_flag, meta};
use shipper::facts::Fact;
use shipper::fill::{Fill, FillConfig, GeoLang};
use shipper::range::EventView;
use shipper::shape::Shape;
use shipper::shape::encode::Encoder;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
const WEB: &str = r#"{"event":"Buy","lib":{"$lib":"js"},"properties":{"$os":"mine"}}"#;
const APP: &str = r#"{"event":"Buy","lib":{"$lib":"iOS"},"properties":{}}"#;

/// The least of the MaxMind DB format: strings, maps and one network, 10.0.0.0/8 (maxmind.github.io/MaxMind-DB).
mod mmdb {
    fn text(out: &mut Vec<u8>, text: &str) {
        assert!(text.len() < 29);
        out.push(2 << 5 | u8::try_from(text.len()).unwrap());
        out.extend_from_slice(text.as_bytes());
    }

    fn map(out: &mut Vec<u8>, members: u8) {
        out.push(7 << 5 | members);
    }

    fn names(out: &mut Vec<u8>, zh: Option<&str>, en: &str) {
        map(out, 1);
        text(out, "names");
        map(out, 1 + u8::from(zh.is_some()));
        text(out, "en");
        text(out, en);
        if let Some(zh) = zh {
            text(out, "zh-CN");
            text(out, zh);
        }
    }

    pub(super) fn file() -> Vec<u8> {
        const NODES: u32 = 8;
        let mut out = Vec::new();
        // One node per bit of the address's first byte, 10 = 0b00001010; a record is three bytes.
        for bit in 0..NODES {
            let taken = if bit == NODES - 1 { NODES + 16 } else { bit + 1 };
            let one = 10_u8 >> (7 - bit) & 1 == 1;
            for record in if one { [NODES, taken] } else { [taken, NODES] } {
                out.extend_from_slice(&record.to_be_bytes()[1..]);
            }
        }
        out.extend_from_slice(&[0; 16]);
        map(&mut out, 3);
        text(&mut out, "country");
        names(&mut out, Some("中国"), "China");
        text(&mut out, "city");
        names(&mut out, None, "Hangzhou");
        text(&mut out, "subdivisions");
        out.extend_from_slice(&[1, 4]); // a list of one
        names(&mut out, Some("浙江"), "Zhejiang");

        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        map(&mut out, 9);
        let number = |out: &mut Vec<u8>, name: &str, kind: u8, value: u8| {
            text(out, name);
            out.extend_from_slice(&[kind << 5 | 1, value]);
        };
        number(&mut out, "node_count", 6, 8);
        number(&mut out, "record_size", 5, 24);
        number(&mut out, "ip_version", 5, 4);
        number(&mut out, "binary_format_major_version", 5, 2);
        text(&mut out, "binary_format_minor_version");
        out.push(5 << 5);
        text(&mut out, "build_epoch");
        out.extend_from_slice(&[1, 2, 7]); // a u64 of one byte
        text(&mut out, "database_type");
        text(&mut out, "Test-City");
        text(&mut out, "languages");
        out.extend_from_slice(&[0, 4]);
        text(&mut out, "description");
        map(&mut out, 0);
        out
    }
}

struct Geo(PathBuf);

impl Geo {
    fn new(bytes: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tusk-fill-{}-{number}.mmdb", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Geo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn encode(shape: Shape, fill: &Fill, json: &str, ip: &str, change: fn(&mut Entry)) -> String {
    let mut builder = Builder::default();
    builder.meta(meta::PROJECT, b"shop", 64);
    builder.meta(meta::IP, ip.as_bytes(), 64);
    builder.meta(meta::USER_AGENT, CHROME.as_bytes(), 1024);
    let payload = builder.payload(b"");
    let record = Record::parse(&payload).unwrap();
    let mut entry = entry(json.as_bytes(), 0, "Buy", "");
    for lib in ["js", "iOS"] {
        if json.contains(&format!("\"{lib}\"")) {
            entry.lib = span(json.as_bytes(), lib);
        }
    }
    change(&mut entry);
    let fact = Fact::default();
    let view = EventView {
        lsn: 0,
        index: 0,
        recv_ms: 5,
        fact: &fact,
        entry: &entry,
        json: json.as_bytes(),
        record: &record,
        codes: &[],
        request_codes: &[],
    };
    let mut out = Vec::new();
    Encoder::new(shape, "n-00000001", fill.clone()).encode(&view, &mut out);
    serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    String::from_utf8(out).unwrap()
}

fn same(_: &mut Entry) {}

#[test]
fn a_web_event_gets_its_browser_and_its_place() {
    let file = Geo::new(&mmdb::file());
    let config = FillConfig { geo_file: Some(file.0.clone()), ..FillConfig::default() };
    let fill = Fill::open(&config).unwrap();
    let server = encode(Shape::Server, &fill, WEB, "10.1.2.3", same);
    let filled = r#""geo":{"country":"中国","province":"浙江","city":"Hangzhou"},"ua_parsed":{"browser":"Chrome","browser_version":"120.0.0.0","os":"Linux","is_bot":false},"enrich":{"geo":"Test-City-7","ua":"woothee-0.13.0"}}}"#;
    assert!(server.ends_with(filled), "{server}");

    let flat = encode(Shape::Flat, &fill, WEB, "10.1.2.3", same);
    let filled = r#""properties":{"$os":"mine","$ip":"10.1.2.3","$country":"中国","$province":"浙江","$city":"Hangzhou","$browser":"Chrome","$browser_version":"120.0.0.0","$is_bot":false}"#;
    assert!(flat.contains(filled), "{flat}");

    let english = FillConfig { geo_lang: GeoLang::English, ..config };
    let english = encode(Shape::Server, &Fill::open(&english).unwrap(), APP, "10.9.9.9", same);
    assert!(english.contains(r#""geo":{"country":"China","province":"Zhejiang","city":"Hangzhou"},"enrich":{"geo":"Test-City-7"}"#), "{english}");
}

const APP_IP: &str =
    r#"{"event":"Buy","lib":{"$lib":"iOS"},"properties":{"a":1,"$ip":"10.1.2.3"}}"#;
const PHP: &str = r#"{"event":"Buy","lib":{"$lib":"php"},"properties":{"$user_agent":"Mozilla\/5.0 (X11; Linux x86_64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/120.0.0.0 Safari\/537.36"}}"#;

#[test]
fn what_the_sdk_sent_comes_before_what_the_request_tells() {
    let file = Geo::new(&mmdb::file());
    let config = FillConfig { geo_file: Some(file.0.clone()), ..FillConfig::default() };
    let fill = Fill::open(&config).unwrap();
    let server_sdk = |entry: &mut Entry| entry.flags |= entry_flag::SERVER_SDK;
    // The peer lies elsewhere; the user's own address is known all the same.
    for change in [same as fn(&mut Entry), server_sdk] {
        let server = encode(Shape::Server, &fill, APP_IP, "11.1.2.3", change);
        assert!(server.contains(r#""geo":{"country":"中国""#), "{server}");
        let flat = encode(Shape::Flat, &fill, APP_IP, "11.1.2.3", change);
        assert!(flat.contains(r#""$ip":"10.1.2.3","$country":"中国""#), "{flat}");
        assert!(!flat.contains(r#""$ip":"11.1.2.3""#), "{flat}");
    }
    let server = encode(Shape::Server, &fill, PHP, "10.1.2.3", server_sdk);
    assert!(server.contains(r#""ua_parsed":{"browser":"Chrome""#), "{server}");
    assert!(!server.contains("geo"), "the peer is the customer's server: {server}");
    let flat = encode(Shape::Flat, &fill, PHP, "10.1.2.3", server_sdk);
    assert!(flat.contains(r#""$is_bot":false"#) && !flat.contains("$ip"), "{flat}");

    let off = FillConfig { ip: false, bot: false, ..config };
    let flat = encode(Shape::Flat, &Fill::open(&off).unwrap(), WEB, "10.1.2.3", same);
    assert!(!flat.contains("$ip") && !flat.contains("$is_bot"), "{flat}");
    assert!(flat.contains("$country") && flat.contains("$browser"), "{flat}");
}

/// An ip2region file of one range, 203.0.0.0 to 203.0.255.255.
fn xdb() -> Vec<u8> {
    let text = "中国|0|浙江省|杭州市|电信".as_bytes();
    let mut bytes = vec![0; 256 + 256 * 256 * 8];
    bytes[0] = 2;
    bytes[2] = 1;
    bytes[4..8].copy_from_slice(&7_u32.to_le_bytes());
    let at = bytes.len() as u32;
    bytes.extend_from_slice(text);
    let entry = bytes.len() as u32;
    for number in [203_u32 << 24, 203 << 24 | 0xffff] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&at.to_le_bytes());
    let vector = 256 + (203 << 8) * 8;
    bytes[vector..vector + 4].copy_from_slice(&entry.to_le_bytes());
    bytes[vector + 4..vector + 8].copy_from_slice(&(entry + 14).to_le_bytes());
    bytes
}

#[test]
fn an_ip2region_file_tells_the_place_too() {
    let mut file = Geo::new(&xdb());
    let named = file.0.with_extension("xdb");
    std::fs::rename(&file.0, &named).unwrap();
    file.0 = named;
    let config = FillConfig { geo_file: Some(file.0.clone()), ..FillConfig::default() };
    let fill = Fill::open(&config).unwrap();
    for ip in ["203.0.113.9", "::ffff:203.0.113.9"] {
        let server = encode(Shape::Server, &fill, APP, ip, same);
        assert!(server.contains(r#""geo":{"country":"中国","province":"浙江省","city":"杭州市"},"enrich":{"geo":"ip2region-7"}"#), "{server}");
    }
    for ip in ["204.0.113.9", "2001:db8::1", ""] {
        assert!(!encode(Shape::Server, &fill, APP, ip, same).contains("geo"));
    }
    std::fs::write(&file.0, "short").unwrap();
    let problem = Fill::open(&config).unwrap_err();
    assert!(problem.contains(".xdb: 5 bytes are no ip2region file"), "{problem}");
}

#[test]
fn nothing_is_told_of_servers_apps_and_unknown_addresses() {
    let file = Geo::new(&mmdb::file());
    let config = FillConfig { geo_file: Some(file.0.clone()), ..FillConfig::default() };
    let fill = Fill::open(&config).unwrap();
    let server_sdk = |entry: &mut Entry| entry.flags |= entry_flag::SERVER_SDK;
    for (fill, json, ip, change) in [
        (&fill, WEB, "10.1.2.3", server_sdk as fn(&mut Entry)),
        (&fill, APP, "11.1.2.3", same),
        (&fill, APP, "no address", same),
        (
            &Fill::open(&FillConfig { user_agent: false, bot: false, ..FillConfig::default() })
                .unwrap(),
            WEB,
            "10.1.2.3",
            same,
        ),
    ] {
        let server = encode(Shape::Server, fill, json, ip, change);
        assert!(
            !server.contains("geo") && !server.contains("ua_parsed") && !server.contains("enrich"),
            "{server}"
        );
        let flat = encode(Shape::Flat, fill, json, ip, change);
        assert!(!flat.contains("$country") && !flat.contains("$browser"), "{flat}");
    }
}

#[test]
fn a_file_that_is_no_place_file_is_named_with_what_to_give() {
    let file = Geo::new(b"no database");
    let config = FillConfig { geo_file: Some(file.0.clone()), ..FillConfig::default() };
    let problem = Fill::open(&config).unwrap_err();
    assert!(problem.contains(".mmdb") && problem.contains("give a MaxMind DB file"), "{problem}");
}
