//! One event as a row that a person can read.

use super::schema::COLUMNS;
use crate::facts::flag;
use crate::range::EventView;
use crate::shape::Shape;
use crate::shape::encode::Encoder;
use crate::sink::Context;
use event::record::{CodeRef, Verdict, flag as entry_flag, meta};
use event::{Code, EventType, Lang, Message, Place};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mysql_async::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Codes explained in `reason`; the rest is counted.
const REASONS_MAX: usize = 8;
/// Bytes of `raw` a rejected request keeps where the whole does not fit: quarantine has it all.
const RAW_BYTES_MAX: usize = 64 << 10;
/// What a row costs in a statement besides its values.
const ROW_BYTES: usize = COLUMNS.len() * 10;
/// Where `json` and `raw` stand in a row.
const JSON: usize = COLUMNS.len() - 2;
const RAW: usize = COLUMNS.len() - 1;

/// A row on its way.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Identity: lsn …
    pub(super) lsn: u64,
    /// … and index.
    pub(super) index: u32,
    /// Whether the event stands in the sink's books (a rejected one is a copy).
    pub(super) counts: bool,
    /// Came out of quarantine: replaces the row that said so.
    pub(super) redriven: bool,
    /// By [`COLUMNS`].
    pub(super) values: Vec<Value>,
}

impl Row {
    /// Bytes in a statement.
    pub(super) fn bytes(&self) -> usize {
        let value = |value: &Value| if let Value::Bytes(bytes) = value { bytes.len() } else { 0 };
        ROW_BYTES + self.values.iter().map(value).sum::<usize>()
    }

    /// Leaves out the parsed form, which the database does not take; `false` if there is none.
    pub(super) fn drop_json(&mut self) -> bool {
        match self.values.get_mut(JSON) {
            Some(json) if *json != Value::NULL => {
                *json = Value::NULL;
                true
            }
            _ => false,
        }
    }

    /// Makes the row as small as `bytes_max` where that loses nothing for good; `false` if it does not fit.
    pub(super) fn fit(&mut self, bytes_max: usize) -> bool {
        if self.bytes() > bytes_max {
            self.drop_json();
        }
        if self.bytes() > bytes_max
            && !self.counts
            && let Some(Value::Bytes(raw)) = self.values.get_mut(RAW)
        {
            let end = String::from_utf8_lossy(raw.get(..RAW_BYTES_MAX).unwrap_or(raw)).into_owned();
            *raw = format!("{end}…（已截断，全文在隔离区）").into_bytes();
        }
        self.bytes() <= bytes_max
    }
}

/// Makes rows of events.
pub(super) struct Rows {
    node: String,
    zone: TimeZone,
    encoder: Encoder,
    went: String,
    sample: f64,
    json: Vec<u8>,
}

impl Rows {
    /// For one sink.
    pub(super) fn new(context: &Context, sample: f64) -> Result<Self, String> {
        let zone = TimeZone::get(context.zone.name())
            .map_err(|error| format!("time zone {}: {error}", context.zone.name()))?;
        Ok(Self {
            node: context.node.clone(),
            zone,
            encoder: Encoder::new(Shape::Server, &context.node, context.fill.clone()),
            went: context.sinks.join(", "),
            sample,
            json: Vec::new(),
        })
    }

    /// Whether the event is stored.
    pub(super) fn wants(&self, event: &EventView<'_>) -> bool {
        wants(event, self.sample)
    }

    /// The event's row.
    pub(super) fn row(&mut self, event: &EventView<'_>) -> Row {
        let (json, entry) = (event.json, event.entry);
        let counts = event.fact.has(flag::KEPT);
        let text = |span: event::record::Span| unescape(span.of(json));
        let (name, platform) = (text(entry.event), text(entry.lib));
        let (sdk_version, version) = (text(entry.lib_version), text(entry.app_version));
        let place = Place {
            event: &name,
            lib: &platform,
            lib_version: &sdk_version,
            app_version: &version,
            ..Place::default()
        };
        let duplicate = event.fact.has(flag::DUPLICATE);
        let (codes, reason) = reasons(event, duplicate, place);
        let is_object = entry.flags & entry_flag::NOT_OBJECT == 0 && !json.is_empty();
        let raw = if json.is_empty() { event.record.raw } else { json };
        let lossy = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        self.json.clear();
        if is_object {
            self.encoder.encode(event, &mut self.json);
        }
        let result = match entry.verdict {
            _ if !counts => "rejected",
            Verdict::Problems => "problems",
            Verdict::Kept | Verdict::Rejected => "kept",
        };
        let values = vec![
            Value::from(self.node.as_str()),
            Value::UInt(event.lsn),
            Value::UInt(u64::from(event.index)),
            time(&self.zone, event.recv_ms),
            time(&self.zone, event.fact.time_ms),
            Value::from(short(&String::from_utf8_lossy(event.project()), 255)),
            Value::from(EventType::from_u8(entry.kind).as_str()),
            Value::from(short(&name, 255)),
            Value::from(short(&text(entry.id), 255)),
            Value::from(short(&platform, 64)),
            Value::from(short(&sdk_version, 64)),
            Value::from(short(&version, 64)),
            Value::from(short(&String::from_utf8_lossy(event.record.meta(meta::IP)), 64)),
            Value::from(result),
            Value::from(codes),
            Value::from(reason),
            Value::from(duplicate),
            Value::from(if counts { short(&self.went, 255) } else { "quarantine".to_owned() }),
            if is_object { lossy(&self.json) } else { Value::NULL },
            lossy(raw),
        ];
        let redriven = event.fact.has(flag::REDRIVEN);
        Row { lsn: event.lsn, index: event.index, counts, redriven, values }
    }
}

/// Whether an event is stored where a share of the users is: theirs, and whatever has something to say.
pub(super) fn wants(event: &EventView<'_>, sample: f64) -> bool {
    sample >= 1.0
        || !event.fact.has(flag::KEPT)
        || event.entry.verdict != Verdict::Kept
        || share(event.project(), event.entry.id.of(event.json)) < sample
}

/// A user's place in [0, 1), the same for ever and on every machine.
fn share(project: &[u8], user: &[u8]) -> f64 {
    let hash = crc32c::crc32c_append(crc32c::crc32c(project), b"\0");
    let hash = u64::from(crc32c::crc32c_append(hash, user));
    // A checksum of neighbours is not spread evenly; this is (the last step of SplitMix64).
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    f64::from((hash >> 32) as u32) / 4_294_967_296.0
}

/// Codes with blanks between, and a message a line.
fn reasons(event: &EventView<'_>, duplicate: bool, place: Place<'_>) -> (String, String) {
    let (mut codes, mut reason) = (String::new(), String::new());
    let all = event.codes.iter().chain(event.request_codes).map(Some);
    let mut count = 0;
    for code in all.chain(duplicate.then_some(None)) {
        let resend = CodeRef { index: 0, code: *b"D001", pointer: b"", detail: b"" };
        let code = code.unwrap_or(&resend);
        let name = String::from_utf8_lossy(&code.code).into_owned();
        if !codes.split(' ').any(|known| known == name) && codes.len() < 250 {
            codes.push_str(if codes.is_empty() { "" } else { " " });
            codes.extend(name.chars().filter(char::is_ascii_alphanumeric));
        }
        count += 1;
        if count > REASONS_MAX {
            continue;
        }
        if !reason.is_empty() {
            reason.push('\n');
        }
        let (pointer, detail) = (unescape(code.pointer), unescape(code.detail));
        match Code::from_bytes(code.code) {
            Some(code) => {
                let place = Place { pointer: &pointer, detail: &detail, ..place };
                _ = write!(reason, "{}", Message { code, lang: Lang::Zh, place });
            }
            None => _ = write!(reason, "[{name}] {pointer} {detail}"),
        }
    }
    if count > REASONS_MAX {
        _ = write!(reason, "\n另有 {} 个", count - REASONS_MAX);
    }
    // TEXT holds 65,535 bytes; eight messages of the longest names stay far below.
    (codes, short(&reason, 16_000))
}

/// Text of a JSON string without its quotes.
fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if raw.contains(&b'\\') {
        let quoted = [b"\"", raw, b"\""].concat();
        if let Ok(text) = serde_json::from_slice::<String>(&quoted) {
            return Cow::Owned(text);
        }
    }
    String::from_utf8_lossy(raw)
}

/// At most `limit` characters; what was cut ends with `…`.
fn short(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text.chars().take(limit - 1).chain(['…']).collect(),
    }
}

/// A moment on the wall clock; NULL where the database's calendar does not reach.
fn time(zone: &TimeZone, ms: i64) -> Value {
    let Ok(moment) = Timestamp::from_millisecond(ms) else { return Value::NULL };
    let at = zone.to_datetime(moment);
    let small = |n: i8| u8::try_from(n).unwrap_or_default();
    match u16::try_from(at.year()) {
        Ok(year @ 1000..=9999) => Value::Date(
            year,
            small(at.month()),
            small(at.day()),
            small(at.hour()),
            small(at.minute()),
            small(at.second()),
            u32::try_from(at.subsec_nanosecond() / 1000).unwrap_or_default(),
        ),
        _ => Value::NULL,
    }
}

/// The wall clock of a moment for a comparison in SQL.
pub(super) fn moment(zone: &TimeZone, ms: i64) -> Value {
    time(zone, ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_users_is_that_share_and_always_the_same() {
        let users: Vec<String> = (0..20_000).map(|n| format!("user_{n}")).collect();
        let taken = |sample: f64| {
            users.iter().filter(|user| share(b"shop", user.as_bytes()) < sample).count()
        };
        assert_eq!((taken(0.0), taken(1.0)), (0, users.len()));
        for percent in [1, 10, 50] {
            let got = taken(f64::from(percent) / 100.0);
            let want = users.len() * percent as usize / 100;
            assert!(got.abs_diff(want) < 40 + want / 10, "{percent} %: {got} of {want}");
        }
        // Fixed for ever: machines of different versions take the same users.
        assert!((share(b"shop", b"user_1") - share(b"shop", b"user_1")).abs() < f64::EPSILON);
        assert_ne!(share(b"shop", b"user_1"), share(b"other", b"user_1"));
    }

    #[test]
    fn text_is_cut_by_characters_and_says_so() {
        assert_eq!(short("订单😀", 3), "订单😀");
        assert_eq!(short("订单😀😀", 3), "订单…");
        assert_eq!(unescape(br"\u8ba2\u5355 \ud83d\ude00"), "订单 😀");
        // Half a surrogate is no text; it stays as it was written.
        assert_eq!(unescape(br"\ud83d"), r"\ud83d");
    }

    #[test]
    fn moments_stand_on_the_wall_clock_of_the_zone() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let ms = 1_795_537_800_123;
        assert_eq!(time(&zone, ms), Value::Date(2026, 11, 25, 0, 30, 0, 123_000));
        for ms in [i64::MIN, i64::MAX, -62_000_000_000_000] {
            assert_eq!(time(&zone, ms), Value::NULL, "{ms}");
        }
    }

    #[test]
    fn a_row_too_large_gives_up_the_parsed_form_first() {
        let mut values = vec![Value::NULL; COLUMNS.len()];
        values[JSON] = Value::from("j".repeat(100_000));
        values[RAW] = Value::from("r".repeat(100_000));
        let row = Row { lsn: 1, index: 0, counts: true, redriven: false, values };
        let mut fits = row.clone();
        assert!(fits.fit(150_000) && fits.values[JSON] == Value::NULL);
        assert!(!row.clone().fit(90_000), "what counts is never cut");
        let mut copy = Row { counts: false, ..row };
        assert!(copy.fit(90_000));
        assert!(matches!(&copy.values[RAW], Value::Bytes(raw) if raw.ends_with("隔离区）".as_bytes())));
    }
}
