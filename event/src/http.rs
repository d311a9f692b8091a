//! HTTP/1.1 as text: reading one raw request, writing one into a record's RAW section. What is written here reads back here.

use std::borrow::Cow;

use crate::{Headers, Method, Request, Watch};

/// One raw request, taken apart.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    /// Method.
    pub method: Method,
    /// Path without the query.
    pub path: &'a [u8],
    /// Query without `?`.
    pub query: &'a [u8],
    /// The headers that matter.
    pub headers: Headers<'a>,
    /// Body, de-chunked.
    pub body: Cow<'a, [u8]>,
    /// Size the whole body has or should have; larger than the body if it was cut.
    pub body_bytes: u64,
}

impl Parsed<'_> {
    /// The request as [`crate::accept`] takes it, with what the wire does not tell.
    #[must_use]
    pub fn request<'r>(&'r self, client_ip: &'r [u8], recv_ns: u64) -> Request<'r> {
        Request {
            method: self.method,
            path: self.path,
            query: self.query,
            headers: self.headers,
            body: &self.body,
            body_bytes: self.body_bytes,
            client_ip,
            recv_ns,
            watch: Watch::default(),
        }
    }
}

/// Why bytes are not an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The first line is not `METHOD target HTTP/1.x`.
    #[error(
        "the first line is not an HTTP request line such as `POST /sa?project=default HTTP/1.1`"
    )]
    RequestLine,
    /// Another method than GET, HEAD, POST, OPTIONS.
    #[error("the method is none of GET, POST, HEAD, OPTIONS")]
    Method,
    /// A header line without a colon.
    #[error("header line {0} has no colon")]
    Header(usize),
    /// A `Content-Length` that is no number.
    #[error("Content-Length is not a number")]
    Length,
    /// A chunk header that is none.
    #[error("the chunked body is damaged at byte {0} of the body")]
    Chunk(usize),
}

/// Reads one request: head, blank line, body as on the wire (`Transfer-Encoding: chunked` too). Lines may end in LF alone. A body
/// shorter than `Content-Length` is one that was cut; bytes after it are ignored.
///
/// # Errors
/// [`HttpError`] if it is not a request.
pub fn parse(raw: &[u8]) -> Result<Parsed<'_>, HttpError> {
    let (line, mut rest) = split_line(raw);
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HttpError::RequestLine);
    };
    if !version.starts_with(b"HTTP/") {
        return Err(HttpError::RequestLine);
    }
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"OPTIONS" => Method::Options,
        _ => return Err(HttpError::Method),
    };
    let target = origin_form(target);
    let (path, query) = match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &[][..]),
    };
    let mut headers = Headers::default();
    let (mut length, mut chunked) = (None, false);
    for number in 2.. {
        let (line, after) = split_line(rest);
        rest = after;
        if line.is_empty() {
            break;
        }
        let at = memchr::memchr(b':', line).ok_or(HttpError::Header(number))?;
        let (name, value) = (&line[..at], line[at + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            length = Some(number.ok_or(HttpError::Length)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = value.to_ascii_lowercase().ends_with(b"chunked");
        } else if let Some(place) = header(&mut headers, name) {
            *place = place.or(Some(value));
        }
    }
    let body = if chunked { Cow::Owned(unchunk(rest)?) } else { Cow::Borrowed(rest) };
    let body = match (body, length) {
        (Cow::Borrowed(body), Some(length)) if (length as usize) < body.len() => {
            Cow::Borrowed(&body[..length as usize])
        }
        (body, _) => body,
    };
    let had = body.len() as u64;
    let body_bytes = if chunked { had } else { length.unwrap_or(had).max(had) };
    Ok(Parsed { method, path, query, headers, body, body_bytes })
}

fn header<'h, 'a>(headers: &'h mut Headers<'a>, name: &[u8]) -> Option<&'h mut Option<&'a [u8]>> {
    let Headers { content_type, content_encoding, user_agent, host, origin, dry_run, verdict } =
        headers;
    [
        (&b"content-type"[..], content_type),
        (b"content-encoding", content_encoding),
        (b"user-agent", user_agent),
        (b"host", host),
        (b"origin", origin),
        (b"dry-run", dry_run),
        (b"x-tusk-verdict", verdict),
    ]
    .into_iter()
    .find_map(|(known, place)| name.eq_ignore_ascii_case(known).then_some(place))
}

/// A line without its end, and what follows.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', text) {
        Some(at) => (text[..at].strip_suffix(b"\r").unwrap_or(&text[..at]), &text[at + 1..]),
        None => (text, &[]),
    }
}

/// `http://host/path` (as proxies send it) without scheme and host.
fn origin_form(target: &[u8]) -> &[u8] {
    for scheme in [&b"http://"[..], b"https://"] {
        if let Some(rest) = target.strip_prefix(scheme) {
            return memchr::memchr2(b'/', b'?', rest).map_or(b"/", |at| &rest[at..]);
        }
    }
    target
}

fn unchunk(wire: &[u8]) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    let mut rest = wire;
    loop {
        let place = HttpError::Chunk(wire.len() - rest.len());
        let (line, after) = split_line(rest);
        let size = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().filter(|text| text.len() <= 8);
        let size = size.and_then(|text| usize::from_str_radix(text, 16).ok()).ok_or(place)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(after.get(..size).ok_or(place)?);
        let (end, after) = split_line(&after[size..]);
        if !end.is_empty() {
            return Err(place);
        }
        rest = after;
    }
}

/// Writes `request` to `out` (overwritten) as HTTP/1.1 text of at most `limit` bytes. `Content-Length` is the length the body had
/// on the wire, so that a reader sees what is missing.
pub fn write(request: &Request<'_>, limit: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(match request.method {
        Method::Get => b"GET ",
        Method::Head => b"HEAD ",
        Method::Post => b"POST ",
        Method::Options => b"OPTIONS ",
    });
    word(if request.path.is_empty() { b"/" } else { request.path }, out);
    if !request.query.is_empty() {
        out.push(b'?');
        word(request.query, out);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let headers = &request.headers;
    for (name, value) in [
        (&b"Host"[..], headers.host),
        (b"User-Agent", headers.user_agent),
        (b"Content-Type", headers.content_type),
        (b"Content-Encoding", headers.content_encoding),
        (b"Origin", headers.origin),
        (b"Dry-Run", headers.dry_run),
    ] {
        if let Some(value) = value {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend(value.iter().map(|&byte| if byte < b' ' { b' ' } else { byte }));
            out.extend_from_slice(b"\r\n");
        }
    }
    if request.method == Method::Post || request.body_bytes > 0 {
        out.extend_from_slice(b"Content-Length: ");
        crate::decode::put_decimal(request.body_bytes.max(request.body.len() as u64), out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    let room = limit.saturating_sub(out.len());
    out.extend_from_slice(request.body.get(..room).unwrap_or(request.body));
    out.truncate(limit);
}

/// A part of the request line: blanks and control characters, which nginx lets pass in places, become escapes.
fn word(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|&byte| byte > b' ' && byte != 0x7f) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        if byte > b' ' && byte != 0x7f {
            out.push(byte);
        } else {
            let digit = |n: u8| b"0123456789ABCDEF"[usize::from(n)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "POST /sa?project=p HTTP/1.1\r\nHost: h\r\nuser-agent:  UA \r\nDry-Run: true\r\nContent-Length: 6\r\n\r\ndata=x";

    #[test]
    fn a_request_is_taken_apart() {
        let parsed = parse(POST.as_bytes()).unwrap();
        assert_eq!(
            (parsed.method, parsed.path, parsed.query),
            (Method::Post, &b"/sa"[..], &b"project=p"[..])
        );
        assert_eq!(parsed.headers.user_agent, Some(&b"UA"[..]));
        assert_eq!((&*parsed.body, parsed.body_bytes), (&b"data=x"[..], 6));
        let lf = POST.replace("\r\n", "\n");
        assert_eq!(&*parse(lf.as_bytes()).unwrap().body, b"data=x");
    }

    #[test]
    fn a_cut_body_is_seen_and_a_long_one_is_cut() {
        let short = parse(&POST.as_bytes()[..POST.len() - 2]).unwrap();
        assert_eq!((&*short.body, short.body_bytes), (&b"data"[..], 6));
        let long = format!("{POST}GET / HTTP/1.1");
        assert_eq!(&*parse(long.as_bytes()).unwrap().body, b"data=x");
    }

    #[test]
    fn chunks_are_joined() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let read = |body: &str| {
            parse(format!("{head}{body}").as_bytes()).map(|parsed| parsed.body.into_owned())
        };
        assert_eq!(read("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), Ok(b"abcde".to_vec()));
        assert_eq!(read("3\r\nabcd\r\n0\r\n\r\n"), Err(HttpError::Chunk(0)));
        assert_eq!(read("3\r\nabc\r\nzz\r\n"), Err(HttpError::Chunk(8)));
        assert_eq!(read("ffffffffffffffff\r\n"), Err(HttpError::Chunk(0)));
        assert_eq!(read("9\r\nabc"), Err(HttpError::Chunk(0)));
    }

    #[test]
    fn other_things_are_refused() {
        for (raw, error) in [
            ("", HttpError::RequestLine),
            ("hello", HttpError::RequestLine),
            ("GET /", HttpError::RequestLine),
            ("GET / FTP/1.1\r\n\r\n", HttpError::RequestLine),
            ("PUT / HTTP/1.1\r\n\r\n", HttpError::Method),
            ("GET / HTTP/1.1\r\nnocolon\r\n\r\n", HttpError::Header(2)),
            ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", HttpError::Length),
        ] {
            assert_eq!(parse(raw.as_bytes()).unwrap_err(), error, "{raw}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        let parsed = parse(POST.as_bytes()).unwrap();
        write(&parsed.request(b"1.2.3.4", 0), usize::MAX, &mut out);
        let again = parse(&out).unwrap();
        assert_eq!(
            (again.path, again.query, &*again.body),
            (parsed.path, parsed.query, &*parsed.body)
        );
        assert_eq!(again.headers.dry_run, Some(&b"true"[..]));
        write(&parsed.request(b"", 0), out.len() - 3, &mut out);
        let cut = parse(&out).unwrap();
        assert_eq!((cut.body.len(), cut.body_bytes), (3, 6));
        let odd = Request { query: b"a b\nc", path: b"", ..parsed.request(b"", 0) };
        write(&odd, usize::MAX, &mut out);
        assert_eq!(parse(&out).unwrap().query, b"a%20b%0Ac");
    }
}
