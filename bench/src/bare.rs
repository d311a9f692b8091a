//! The peer `bare`: the decode pipeline in a plain loop, without a server around it.
//!
//! What a good Rust programmer gets from well-known crates: form split, url-decode, crc, `base64-simd`, `flate2` with
//! zlib-rs and one reused inflater, `simdutf8`, one typed `serde_json` parse per event with every property's key and
//! value checked, and a copy of the event's bytes into a buffer. Thread CPU time.

use crate::corpus::{Case, Sample};
use base64_simd::{Out, STANDARD};
use rustix::time::{ClockId, clock_gettime};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::hint::black_box;

/// Inflated text of one request, at most.
const INFLATED_MAX: usize = 4 << 20;

/// Buffers, used again for every request.
pub struct Pipeline {
    text: Vec<u8>,
    packed: Vec<u8>,
    plain: Vec<u8>,
    out: Vec<u8>,
    inflate: flate2::Decompress,
}

impl Pipeline {
    /// With all memory it will need.
    pub fn new() -> Self {
        Self {
            text: Vec::new(),
            packed: vec![0; 1 << 20],
            plain: Vec::with_capacity(INFLATED_MAX),
            out: Vec::with_capacity(INFLATED_MAX),
            inflate: flate2::Decompress::new(false),
        }
    }

    /// Events that passed, or `None` if the request could not be read.
    pub fn decode(&mut self, form: &[u8]) -> Option<usize> {
        self.out.clear();
        let data = field(form, b"data_list").or_else(|| field(form, b"data"))?;
        url_decode(data, &mut self.text);
        let crc = field(form, b"crc")
            .or_else(|| field(form, b"ext").and_then(|ext| ext.strip_prefix(b"crc%3D")))?;
        let crc: i32 = std::str::from_utf8(crc).ok()?.parse().ok()?;
        if checksum(&self.text) != crc {
            return None;
        }
        let packed = STANDARD.decode(&self.text, Out::from_slice(&mut self.packed)).ok()?;
        let json: &[u8] = if field(form, b"gzip") == Some(b"1") {
            let (head, tail) = (10, packed.len().checked_sub(8)?);
            self.plain.clear();
            self.inflate.reset(false);
            let body = packed.get(head..tail)?;
            let finish = flate2::FlushDecompress::Finish;
            self.inflate.decompress_vec(body, &mut self.plain, finish).ok()?;
            let want = u32::from_le_bytes(packed.get(tail..tail + 4)?.try_into().ok()?);
            if crc32fast::hash(&self.plain) != want {
                return None;
            }
            &self.plain
        } else {
            packed
        };
        let out = &mut self.out;
        each(simdutf8::basic::from_utf8(json).ok()?, |event, bytes| {
            black_box(&event);
            out.extend_from_slice(b"{\"recv_time\":1760000000000,\"ip\":\"127.0.0.1\",\"event\":");
            out.extend_from_slice(bytes.as_bytes());
            out.extend_from_slice(b"}\n");
        })
    }
}

/// Works through `case` with `decode` for about `budget_ns`; returns CPU µs per request.
pub fn measure<R>(case: &Case, budget_ns: u64, mut decode: impl FnMut(&Sample) -> R) -> f64 {
    let start = thread_ns();
    let mut requests = 0u64;
    loop {
        for sample in &case.samples {
            black_box(decode(sample));
        }
        requests += case.samples.len() as u64;
        let used = thread_ns() - start;
        if used >= budget_ns {
            return used as f64 / requests as f64 / 1e3;
        }
    }
}

/// Tusk's decoding and checking of one request, without nginx and ring.
pub fn accept(
    sample: &Sample,
    now_ms: u64,
    config: &event::Config,
    scratch: &mut event::Scratch,
) -> u32 {
    let get = sample.get;
    let request = event::Request {
        method: if get { event::Method::Get } else { event::Method::Post },
        path: if get { b"/sa.gif" } else { b"/sa" },
        query: if get { &sample.form } else { b"project=default" },
        headers: event::Headers {
            user_agent: Some(sample.agent.as_bytes()),
            ..event::Headers::default()
        },
        body: if get { &[] } else { &sample.form },
        body_bytes: if get { 0 } else { sample.form.len() as u64 },
        client_ip: b"127.0.0.1",
        recv_ns: now_ms * 1_000_000,
        watch: event::Watch::default(),
    };
    let accepted = event::accept(&request, config, scratch);
    let mut heads = [[0; 8]; 5];
    black_box(accepted.sections(&mut heads));
    accepted.kept
}

/// CPU time of this thread, ns.
fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

fn field<'a>(form: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = form;
    loop {
        let end = memchr::memchr(b'&', rest).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if let Some(value) = part.strip_prefix(name).and_then(|part| part.strip_prefix(b"=")) {
            return Some(value);
        }
        rest = after.get(1..)?;
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Percent-decodes; a plus stays a plus.
fn url_decode(mut rest: &[u8], out: &mut Vec<u8>) {
    out.clear();
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        let digits =
            rest.get(at + 1).copied().and_then(hex).zip(rest.get(at + 2).copied().and_then(hex));
        if let Some((high, low)) = digits {
            out.push(high << 4 | low);
            rest = &rest[at + 3..];
        } else {
            out.push(b'%');
            rest = &rest[at + 1..];
        }
    }
    out.extend_from_slice(rest);
}

/// The SDKs' hash (31 × hash + byte, 32 bits), 32 lanes at a time so that the compiler uses vector registers.
fn checksum(text: &[u8]) -> i32 {
    const LANES: usize = 32;
    let step = 31u32.wrapping_pow(LANES as u32);
    let mut lanes = [0u32; LANES];
    let (chunks, rest) = text.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &byte) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_mul(step).wrapping_add(u32::from(byte));
        }
    }
    let fold = |hash: u32, value: u32| hash.wrapping_mul(31).wrapping_add(value);
    let hash = lanes.into_iter().fold(0, fold);
    rest.iter().fold(hash, |hash, &byte| fold(hash, u32::from(byte))).cast_signed()
}

/// Parses an object or each element of an array once; the stream's offset gives the element's own bytes.
fn each<'a>(text: &'a str, mut event: impl FnMut(Event<'a>, &'a str)) -> Option<usize> {
    let text = text.trim_ascii();
    if text == "[]" {
        return Some(0);
    }
    let list = text.starts_with('[');
    let (mut rest, mut count) = (&text[usize::from(list)..], 0);
    loop {
        rest = rest.trim_ascii_start();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Event>();
        let parsed = stream.next()?.ok()?;
        let (bytes, after) = rest.split_at(stream.byte_offset());
        event(parsed, bytes);
        count += 1;
        rest = after.trim_ascii_start();
        if !list {
            return rest.is_empty().then_some(count);
        }
        match rest.as_bytes() {
            [b',', ..] => rest = &rest[1..],
            [b']'] => return Some(count),
            _ => return None,
        }
    }
}

/// All an event's top level and `lib` hold that a collector looks at; what is not listed is skipped by serde.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "parsing them is the work that is measured")]
struct Event<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    distinct_id: Cow<'a, str>,
    time: i64,
    properties: Properties,
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    anonymous_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    original_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    project: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
    #[serde(default)]
    _track_id: Option<i64>,
    #[serde(default)]
    _flush_time: Option<i64>,
    #[serde(default)]
    identities: Option<Properties>,
    #[serde(borrow, default)]
    lib: Option<Lib<'a>>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "parsing them is the work that is measured")]
struct Lib<'a> {
    #[serde(borrow, default, rename = "$lib")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "$lib_version")]
    version: Option<Cow<'a, str>>,
}

/// Number of properties whose key and value pass.
struct Properties(
    #[expect(dead_code, reason = "counting them is the work that is measured")] usize,
);

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Properties;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut passed = 0;
                while let Some((key, value)) = map.next_entry::<Key, Passes>()? {
                    passed += usize::from(key.0 && value.0);
                }
                Ok(Properties(passed))
            }
        }
        deserializer.deserialize_map(Count)
    }
}

/// Whether a key is letters, digits, `_` and `$`, at most 100, not starting with a digit.
struct Key(bool);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Check;
        impl Visitor<'_> for Check {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                let legal = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'$';
                let first = key.bytes().next().is_some_and(|c| !c.is_ascii_digit());
                Ok(Key(first && key.len() <= 100 && key.bytes().all(legal)))
            }
        }
        deserializer.deserialize_str(Check)
    }
}

/// Whether a value is a scalar or a list of scalars, strings at most 8,192 bytes.
struct Passes(bool);

impl<'de> Deserialize<'de> for Passes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Check;
        impl<'de> Visitor<'de> for Check {
            type Value = Passes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Passes, E> {
                Ok(Passes(true))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Passes, E> {
                Ok(Passes(true))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Passes, E> {
                Ok(Passes(true))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Passes, E> {
                Ok(Passes(true))
            }
            fn visit_unit<E>(self) -> Result<Passes, E> {
                Ok(Passes(false))
            }
            fn visit_str<E>(self, text: &str) -> Result<Passes, E> {
                Ok(Passes(text.len() <= 8192))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Passes, A::Error> {
                let mut passes = true;
                while let Some(value) = list.next_element::<Passes>()? {
                    passes &= value.0;
                }
                Ok(Passes(passes))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Passes, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Passes(false))
            }
        }
        deserializer.deserialize_any(Check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Damage, case};

    const NOW_MS: u64 = 1_760_000_000_000;

    /// Tusk keeps what is intact; a wrong crc alone is remarked upon, not rejected.
    #[test]
    fn tusk_keeps_every_intact_event() {
        let (config, mut scratch) = (event::Config::default(), event::Scratch::new());
        for name in ["a", "b", "c", "d"] {
            for sample in case(name, NOW_MS).samples {
                let intact = matches!(sample.damage, None | Some(Damage::Crc));
                let want = if intact { sample.events as u32 } else { 0 };
                let kept = accept(&sample, NOW_MS, &config, &mut scratch);
                assert_eq!(kept, want, "{name} {:?}", sample.damage);
            }
        }
    }

    /// A pipeline that drops events would be a cheap one.
    #[test]
    fn takes_every_intact_event_and_no_damaged_one() {
        let mut pipeline = Pipeline::new();
        for name in ["a", "b", "c", "d"] {
            for sample in case(name, NOW_MS).samples {
                let want = sample.damage.is_none().then_some(sample.events);
                assert_eq!(pipeline.decode(&sample.form), want, "{name} {:?}", sample.damage);
            }
        }
    }

    #[test]
    fn damage_is_of_every_kind() {
        let kinds: Vec<Damage> =
            case("d", NOW_MS).samples.iter().filter_map(|s| s.damage).collect();
        for kind in [Damage::Base64, Damage::Cut, Damage::Crc, Damage::Gzip] {
            assert!(kinds.contains(&kind), "no sample of case d is damaged by {kind:?}");
        }
    }
}
