//! One request on one connection, to look at an answer and to copy it.

use crate::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, sorted; without `date`.
    pub headers: Vec<(String, String)>,
    /// Body; a chunked one is left as it is.
    pub body: Vec<u8>,
}

impl Answer {
    /// Value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends `request` to `port` on loopback and reads the answer.
///
/// # Errors
/// If nothing listens, nothing comes within 10 s, or it is no HTTP.
pub fn send(port: u16, request: &[u8]) -> Result<Answer, Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    let (mut read, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut part)?;
        read.extend_from_slice(&part[..count]);
        let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") else {
            if count == 0 {
                return Err("the connection ended within the answer's head".into());
            }
            continue;
        };
        let mut answer = parse_head(&read[..end])?;
        let body = &read[end + 4..];
        let length = answer.header("content-length").and_then(|value| value.parse().ok());
        let done = match length {
            Some(length) => body.len() >= length,
            None if answer.header("transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
            None => answer.status == 204,
        };
        if done || count == 0 {
            answer.body = body.to_vec();
            return Ok(answer);
        }
    }
}

/// `GET path`, body as text.
///
/// # Errors
/// As [`send`].
pub fn get(port: u16, path: &str) -> Result<Answer, Error> {
    send(port, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

fn parse_head(head: &[u8]) -> Result<Answer, Error> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| name != "date")
        .collect();
    headers.sort();
    Ok(Answer { status: status.ok_or("no status line")?, headers, body: Vec::new() })
}
