//! A small HTTP/1.1 client that shows the bytes: what a test sends is what goes on the wire.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long any read or write may take before the test fails.
const IO_LIMIT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, values as sent, in the order sent.
    pub headers: Vec<(String, String)>,
    /// Body, de-chunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// First header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection, kept alive between requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_with_limit(address, IO_LIMIT)
    }

    /// Connects; every later read or write may take `limit`.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn open_with_limit(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// A broken connection or an answer that is not HTTP.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        self.write(&message(method, target, headers, body))?;
        self.answer(method == "HEAD")
    }

    /// Reads one answer; `head` says that it has no body.
    ///
    /// # Errors
    /// A broken connection or an answer that is not HTTP.
    pub fn answer(&mut self, head: bool) -> io::Result<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {line:?}")))?;
        let mut answer = Answer { status, ..Answer::default() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            answer.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if status == 100 {
            return self.answer(head);
        }
        if head || status == 204 || status == 304 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line()?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                let start = answer.body.len();
                answer.body.resize(start + size, 0);
                self.stream.read_exact(answer.body.get_mut(start..).unwrap_or_default())?;
                self.line()?;
                if size == 0 {
                    return Ok(answer);
                }
            }
        }
        match answer.header("content-length").map(str::parse) {
            Some(length) => {
                answer.body.resize(length.map_err(io::Error::other)?, 0);
                self.stream.read_exact(&mut answer.body)?;
            }
            None => {
                self.stream.read_to_end(&mut answer.body)?;
            }
        }
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

/// The bytes of one request. `Host` is always sent, `Content-Length` whenever the method has a body.
#[must_use]
pub fn message(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    if method == "POST" || method == "PUT" || !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// GET on a connection of its own.
///
/// # Panics
/// If there is no answer.
#[track_caller]
#[must_use]
pub fn get(address: SocketAddr, target: &str) -> Answer {
    send(address, "GET", target, &[], b"")
}

/// GET that may find nobody there.
#[must_use]
pub fn try_get(address: SocketAddr, target: &str) -> Option<Answer> {
    let headers = [("Connection", "close")];
    Connection::open(address).ok()?.request("GET", target, &headers, b"").ok()
}

/// POST on a connection of its own.
///
/// # Panics
/// If there is no answer.
#[track_caller]
pub fn post(address: SocketAddr, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    send(address, "POST", target, headers, body)
}

/// Any request on a connection of its own.
///
/// # Panics
/// If there is no answer.
#[track_caller]
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut all = vec![("Connection", "close")];
    all.extend_from_slice(headers);
    let answer = Connection::open(address).and_then(|mut c| c.request(method, target, &all, body));
    answer.unwrap_or_else(|error| panic!("{method} {target}: no answer: {error}"))
}

/// Percent-encodes a form value.
#[must_use]
pub fn escape(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len() * 3 / 2);
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}
