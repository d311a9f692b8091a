//! Access logs of nginx that hold `$request_body`: one request a line.

use std::borrow::Cow;

/// A variable that tells something about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Address,
    TimeLocal,
    TimeIso,
    Seconds,
    AnyTime,
    Request,
    Method,
    Target,
    Path,
    Query,
    Agent,
    Body,
    Encoding,
    DryRun,
    Other,
}

impl Field {
    /// By nginx's name of the variable, or by a name that people give it in a JSON log.
    fn named(name: &str) -> Self {
        match name {
            "remote_addr" | "realip_remote_addr" | "ip" | "client" | "client_ip" | "clientip" => {
                Self::Address
            }
            "time_local" => Self::TimeLocal,
            "time_iso8601" => Self::TimeIso,
            "msec" => Self::Seconds,
            "time" | "timestamp" | "@timestamp" | "ts" => Self::AnyTime,
            "request" => Self::Request,
            "request_method" | "method" => Self::Method,
            "request_uri" | "url" => Self::Target,
            "uri" | "document_uri" | "path" => Self::Path,
            "args" | "query_string" => Self::Query,
            "http_user_agent" | "user_agent" | "agent" | "ua" => Self::Agent,
            "request_body" | "body" => Self::Body,
            "http_content_encoding" => Self::Encoding,
            "http_dry_run" => Self::DryRun,
            _ => Self::Other,
        }
    }
}

/// How nginx escaped the values (`log_format … escape=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Default,
    Json,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Value(Field),
}

/// A `log_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFormat {
    parts: Vec<Part>,
    escape: Escape,
}

/// One logged request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) method: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) address: Vec<u8>,
    pub(crate) agent: Vec<u8>,
    pub(crate) encoding: Vec<u8>,
    pub(crate) dry_run: Vec<u8>,
    /// ns since 1970; 0 if the line does not tell.
    pub(crate) time_ns: u64,
}

impl LogFormat {
    /// Reads a format as it stands in `nginx.conf`: the whole directive (`log_format main escape=json '…' '…';`) or its text alone.
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (format, escape) = match text.trim().strip_prefix("log_format") {
            Some(directive) if directive.starts_with([' ', '\t', '\n']) => joined(directive)?,
            _ => (text.to_owned(), Escape::Default),
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = format.as_str();
        while !rest.is_empty() {
            let Some(after) = rest.strip_prefix('$') else {
                let end = rest.find('$').unwrap_or(rest.len());
                parts.push(Part::Text(rest.as_bytes()[..end].to_vec()));
                rest = &rest[end..];
                continue;
            };
            let braced = after.strip_prefix('{').and_then(|after| after.split_once('}'));
            let (name, after) = braced.unwrap_or_else(|| {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !word(c)).unwrap_or(after.len());
                after.split_at(end)
            });
            if name.is_empty() {
                return Err(format!("the log format has a `$` without a name: {format}"));
            }
            if matches!(parts.last(), Some(Part::Value(_))) {
                return Err(format!(
                    "nothing stands between ${name} and the variable before it, so their values cannot be told apart"
                ));
            }
            parts.push(Part::Value(Field::named(name)));
            rest = after;
        }
        let has = |field| parts.contains(&Part::Value(field));
        if ![Field::Body, Field::Request, Field::Target, Field::Query].into_iter().any(has) {
            return Err(
                "the log format has neither $request_body nor $request: there are no events in such a log"
                    .to_owned(),
            );
        }
        Ok(Self { parts, escape })
    }

    /// The request a line tells of; `None` if the line does not fit.
    pub(crate) fn read(&self, line: &[u8]) -> Option<Logged> {
        let mut logged = Logged::default();
        let mut rest = line;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_slice())?,
                Part::Value(field) => {
                    let end = match parts.peek() {
                        Some(Part::Text(text)) => self.find(rest, text)?,
                        _ => rest.len(),
                    };
                    logged.set(*field, &self.plain(&rest[..end]))?;
                    rest = &rest[end..];
                }
            }
        }
        rest.trim_ascii().is_empty().then(|| logged.settled())
    }

    /// Where `text` stands in `line`, not inside an escape.
    fn find(&self, line: &[u8], text: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let at = from + memchr::memmem::find(&line[from..], text)?;
            let slashes = line[..at].iter().rev().take_while(|&&b| b == b'\\').count();
            if self.escape == Escape::None || slashes % 2 == 0 {
                return Some(at);
            }
            from = at + 1;
        }
    }

    fn plain<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        if value == b"-" {
            return Cow::Borrowed(b"");
        }
        if self.escape == Escape::None || memchr::memchr(b'\\', value).is_none() {
            return Cow::Borrowed(value);
        }
        Cow::Owned(unescaped(value, self.escape == Escape::Json))
    }
}

/// Pieces of the directive put together.
fn joined(directive: &str) -> Result<(String, Escape), String> {
    let wrong = || {
        format!(
            "`log_format{directive}` is not a log_format as nginx reads it: log_format NAME [escape=…] '…' '…';"
        )
    };
    let mut rest = directive.trim().trim_end_matches(';').trim_end();
    // Its name.
    rest = rest.split_once([' ', '\t', '\n']).ok_or_else(wrong)?.1.trim_start();
    let mut escape = Escape::Default;
    if let Some(after) = rest.strip_prefix("escape=") {
        let (word, after) = after.split_once([' ', '\t', '\n']).ok_or_else(wrong)?;
        escape = match word {
            "default" => Escape::Default,
            "json" => Escape::Json,
            "none" => Escape::None,
            _ => return Err(wrong()),
        };
        rest = after.trim_start();
    }
    let mut text = String::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let Some(quote) = quote else { return Err(wrong()) };
        let mut chars = rest[1..].char_indices();
        let end = loop {
            match chars.next() {
                Some((at, c)) if c == quote => break at,
                Some((_, '\\')) => match chars.next() {
                    // As nginx's own reader: quotes and backslashes lose their backslash, t, r and n become blanks.
                    Some((_, c @ ('\'' | '"' | '\\'))) => text.push(c),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => return Err(wrong()),
                },
                Some((_, c)) => text.push(c),
                None => return Err(wrong()),
            }
        };
        rest = rest[1 + end + 1..].trim_start();
    }
    Ok((text, escape))
}

impl Logged {
    fn set(&mut self, field: Field, value: &[u8]) -> Option<()> {
        let place = match field {
            Field::Address => &mut self.address,
            Field::Agent => &mut self.agent,
            Field::Body => &mut self.body,
            Field::Method => &mut self.method,
            Field::Query => &mut self.query,
            Field::Encoding => &mut self.encoding,
            Field::DryRun => &mut self.dry_run,
            Field::Path => &mut self.path,
            Field::Request => {
                // Empty where nginx answered 400 before it had one.
                let mut words = value.split(|&b| b == b' ').filter(|word| !word.is_empty());
                self.method = words.next().unwrap_or_default().to_vec();
                self.target(words.next().unwrap_or_default());
                return Some(());
            }
            Field::Target => {
                self.target(value);
                return Some(());
            }
            Field::TimeLocal | Field::TimeIso | Field::Seconds | Field::AnyTime => {
                self.time_ns = time_ns(field, value)?;
                return Some(());
            }
            Field::Other => return Some(()),
        };
        // `$query_string` beside `$request` says the same twice; the first that has something counts.
        if place.is_empty() {
            *place = value.to_vec();
        }
        Some(())
    }

    fn target(&mut self, target: &[u8]) {
        let at = memchr::memchr(b'?', target).unwrap_or(target.len());
        self.path = target[..at].to_vec();
        self.query = target.get(at + 1..).unwrap_or_default().to_vec();
    }

    fn settled(mut self) -> Self {
        if self.method.is_empty() {
            self.method = if self.body.is_empty() { b"GET".to_vec() } else { b"POST".to_vec() };
        }
        self
    }

    /// Whether it brings something that looks like events.
    pub(crate) fn has_data(&self) -> bool {
        let form = |text: &[u8]| memchr::memmem::find(text, b"data").is_some();
        form(&self.query) || form(&self.body) || self.body.trim_ascii().starts_with(b"{")
    }
}

fn time_ns(field: Field, value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let local = || {
        let time = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", text).ok()?;
        time.to_timestamp().ok()
    };
    let iso = || text.parse::<jiff::Timestamp>().ok();
    let seconds = || {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let whole: u64 = whole.parse().ok().filter(|s| *s < 10_000_000_000)?;
        let ms: u64 = if part.is_empty() { 0 } else { format!("{part:0<3.3}").parse().ok()? };
        Some(whole * 1_000_000_000 + ms * 1_000_000)
    };
    let time = match field {
        Field::TimeLocal => local(),
        Field::TimeIso => iso(),
        Field::Seconds => return seconds(),
        _ => match seconds() {
            Some(ns) => return Some(ns),
            None => iso().or_else(local),
        },
    };
    u64::try_from(time?.as_nanosecond()).ok()
}

/// Reads a line that is one JSON object with the request's variables as members, whatever their order.
pub(crate) fn read_object(line: &[u8]) -> Option<Logged> {
    let text = String::from_utf8_lossy(line);
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).ok()?;
    let mut logged = Logged::default();
    let mut known = false;
    for (name, value) in &members {
        let field = Field::named(name);
        known |= matches!(field, Field::Body | Field::Request | Field::Target | Field::Query);
        match value {
            serde_json::Value::String(text) if text == "-" => {}
            serde_json::Value::String(text) => logged.set(field, text.as_bytes())?,
            serde_json::Value::Number(number) => {
                logged.set(field, number.to_string().as_bytes())?;
            }
            // A proxy that unpacked a JSON body.
            other if field == Field::Body => logged.set(field, other.to_string().as_bytes())?,
            _ => {}
        }
    }
    known.then(|| logged.settled())
}

fn unescaped(value: &[u8], json: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = &rest[at..];
        let hex = |from: usize, to: usize| {
            let digits = std::str::from_utf8(escape.get(from..to)?).ok()?;
            u32::from_str_radix(digits, 16).ok()
        };
        let (byte, length) = match escape.get(1) {
            Some(b'x') if !json => match hex(2, 4) {
                Some(byte) => (byte as u8, 4),
                None => (b'\\', 1),
            },
            Some(b'u') if json => match hex(2, 6) {
                // nginx writes control characters alone this way.
                Some(code @ 0..=0x7f) => (code as u8, 6),
                _ => (b'\\', 1),
            },
            Some(b'n') if json => (b'\n', 2),
            Some(b'r') if json => (b'\r', 2),
            Some(b't') if json => (b'\t', 2),
            Some(b'b') if json => (8, 2),
            Some(b'f') if json => (12, 2),
            Some(&byte @ (b'"' | b'\\' | b'/')) => (byte, 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &escape[length..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = r#"log_format main '$remote_addr - $remote_user [$time_local] "$request" '
        '$status $body_bytes_sent "$http_referer" "$http_user_agent" "$request_body"';"#;

    #[test]
    fn a_directive_reads_the_lines_nginx_writes_with_it() {
        let format = LogFormat::parse(MAIN).unwrap();
        let line = br#"203.0.113.9 - - [25/Nov/2026:12:30:00 +0800] "POST /sa?project=shop HTTP/1.1" 200 2 "-" "Mozilla/5.0 (\x22x\x22)" "gzip=1&data_list=H4%3D\x5C\xE8""#;
        let logged = format.read(line).unwrap();
        assert_eq!(
            logged,
            Logged {
                method: b"POST".to_vec(),
                path: b"/sa".to_vec(),
                query: b"project=shop".to_vec(),
                body: b"gzip=1&data_list=H4%3D\\\xe8".to_vec(),
                address: b"203.0.113.9".to_vec(),
                agent: b"Mozilla/5.0 (\"x\")".to_vec(),
                time_ns: 1_795_581_000 * 1_000_000_000,
                ..Logged::default()
            }
        );
        for cut in 0..line.len() {
            // Some cuts fit no more, some are shorter requests; none panics.
            let _ = format.read(&line[..cut]);
        }
        assert_eq!(format.read(b"garbage"), None);
        assert_eq!(format.read(br#"1.2.3.4 - - [never] "GET / HTTP/1.1" 200 2 "-" "-" "-""#), None);
    }

    #[test]
    fn json_escapes_are_undone_in_both_ways_to_read_them() {
        let format = LogFormat::parse(
            r#"log_format j escape=json '{"time":"$time_iso8601","m":"$request_method",'
               '"url":"$request_uri","body":"$request_body"}';"#,
        )
        .unwrap();
        let line = br#"{"time":"2026-11-25T12:30:00+08:00","m":"POST","url":"/sa","body":"{\"type\":\"track\",\"a\":\"\\\"\u001f\n\"}"}"#;
        let logged = format.read(line).unwrap();
        assert_eq!(logged.body, b"{\"type\":\"track\",\"a\":\"\\\"\x1f\n\"}");
        assert_eq!(logged.time_ns, 1_795_581_000 * 1_000_000_000);
        let object = read_object(line).unwrap();
        assert_eq!((object.body, object.time_ns), (logged.body, logged.time_ns));
        assert_eq!(read_object(br#"{"type":"track","event":"x"}"#), None);
    }

    #[test]
    fn a_format_that_cannot_work_is_refused() {
        for (text, want) in [
            ("$remote_addr $status", "neither $request_body"),
            ("$request$request_body", "cannot be told apart"),
            ("$ $request_body", "without a name"),
            ("log_format main $request_body", "is not a log_format"),
            ("log_format main 'unclosed", "is not a log_format"),
        ] {
            let error = LogFormat::parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(LogFormat::parse("${msec}|$request_body").is_ok());
    }

    #[test]
    fn seconds_have_any_number_of_decimals() {
        let time = |text: &str| time_ns(Field::AnyTime, text.as_bytes());
        assert_eq!(time("1700000000.5"), Some(1_700_000_000_500_000_000));
        assert_eq!(time("1700000000"), Some(1_700_000_000_000_000_000));
        assert_eq!(time("2023-11-14T22:13:20Z"), Some(1_700_000_000_000_000_000));
        assert_eq!(time("14/Nov/2023:22:13:20 +0000"), Some(1_700_000_000_000_000_000));
        assert_eq!(time("yesterday"), None);
    }
}
