//! Frames of HTTP/2 by hand, to reset one stream of a connection that goes on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::open;

/// Frames of HTTP/2 by hand, to reset one stream of a connection that goes on.
pub(super) struct H2(TcpStream);

impl H2 {
    pub(super) fn connect(port: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut h2 = Self(open(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        h2.frame(4, 0, 0, b"");
        h2
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).unwrap();
    }

    pub(super) fn post(&mut self, stream: u32, body: &[u8]) {
        // :method POST, :scheme http, :path /sa, :authority h.
        let mut head = vec![0x83, 0x86, 0x44, 3];
        head.extend(b"/sa");
        head.extend([0x41, 1, b'h']);
        self.frame(1, 4, stream, &head);
        self.frame(0, 1, stream, body);
    }

    /// First byte of the next answer's header block: 0x88 is the status 200.
    pub(super) fn answer(&mut self) -> (u32, u8) {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).unwrap();
            if head[3] == 1 {
                return (u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload[0]);
            }
        }
    }
}
