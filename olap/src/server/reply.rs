//! An answer under way: a head, then pieces through a bounded channel, so that a slow client slows its statement and nothing else.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use super::{Options, Piece};
use crate::chdb::{Answer, Stats};
use crate::codec::{Encoding, Packer};
use crate::error::Exception;

/// A body; its error breaks the connection.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Pieces that may wait.
const PIECES: usize = 4;
/// Bytes of a piece that has to be packed.
const PIECE_BYTES: usize = 1 << 20;
/// How long what was sent before a break has to leave: hyper drops what it holds when a body fails.
const BREAK_AFTER: Duration = Duration::from_millis(50);

/// What comes before the first byte.
#[derive(Debug)]
pub(super) struct Head {
    status: u16,
    code: Option<u32>,
    format: Option<String>,
    stats: Option<Stats>,
    encoding: Encoding,
    tag: String,
}

#[derive(Debug)]
enum Part {
    Data(Piece),
    /// The answer ends too early: the connection is broken so that no client takes it for whole.
    Break,
}

/// The writing end, in the statement's thread.
#[derive(Debug)]
pub(crate) struct Reply {
    head: Option<oneshot::Sender<Head>>,
    parts: Sender<Part>,
    packer: Option<Packer>,
    encoding: Encoding,
    tag: String,
    limit: Duration,
    runtime: Handle,
}

/// Learns that nobody reads the answer any more.
#[derive(Debug)]
pub(crate) struct Gone(Sender<Part>);

impl Gone {
    /// Waits for it.
    pub(super) async fn wait(self) {
        self.0.closed().await;
    }
}

/// The client is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left;

impl Reply {
    /// A reply and where its parts come out.
    pub(super) fn channel(
        options: &Options,
        limit: Duration,
    ) -> (Self, oneshot::Receiver<Head>, Pieces) {
        let (head, head_out) = oneshot::channel();
        let (parts, parts_out) = channel(PIECES);
        let reply = Self {
            head: Some(head),
            parts,
            packer: None,
            encoding: options.answer,
            tag: tag(&options.mark),
            limit,
            runtime: Handle::current(),
        };
        (reply, head_out, Pieces(parts_out))
    }

    /// For [`Gone::wait`].
    pub(super) fn gone(&self) -> Gone {
        Gone(self.parts.clone())
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_left(&self) -> bool {
        self.parts.is_closed()
    }

    /// Sends the head, once.
    pub(crate) fn head(&mut self, format: Option<&str>, stats: Option<Stats>) {
        self.begin(200, None, format, stats);
    }

    fn begin(
        &mut self,
        status: u16,
        code: Option<u32>,
        format: Option<&str>,
        stats: Option<Stats>,
    ) {
        let Some(head) = self.head.take() else { return };
        self.packer = Packer::new(self.encoding).ok();
        let format = format.map(str::to_owned);
        let (encoding, tag) = (self.encoding, self.tag.clone());
        // Whoever waited for it is gone: the next part finds out.
        let _ = head.send(Head { status, code, format, stats, encoding, tag });
    }

    /// Sends bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Left> {
        for piece in bytes.chunks(PIECE_BYTES) {
            let packer = self.packer.as_mut().ok_or(Left)?;
            let packed = packer.pack(piece).map_err(|_| Left)?;
            self.send(packed.into())?;
        }
        Ok(())
    }

    /// Sends an answer of the engine from `from` on, without a copy if it goes as it is.
    pub(crate) fn answer(&mut self, answer: Answer, from: usize) -> Result<(), Left> {
        if self.encoding == Encoding::Plain {
            let bytes = Bytes::from_owner(answer);
            return self.send(bytes.slice(from.min(bytes.len())..));
        }
        self.bytes(answer.as_ref().get(from..).unwrap_or_default())
    }

    fn send(&self, piece: Piece) -> Result<(), Left> {
        if piece.is_empty() {
            return Ok(());
        }
        self.part(Part::Data(piece))
    }

    /// A client that takes nothing for the limit is as good as gone.
    fn part(&self, part: Part) -> Result<(), Left> {
        let sent = self.runtime.block_on(tokio::time::timeout(self.limit, self.parts.send(part)));
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(Left),
        }
    }

    /// Ends a whole answer.
    pub(crate) fn finish(mut self) {
        if let Some(end) = self.packer.take().and_then(|packer| packer.finish().ok()) {
            let _ = self.send(end.into());
        }
    }

    /// Ends with an error: as status and text if nothing was sent, else in the form servers since 25.11 use, and with a broken
    /// connection.
    pub(crate) fn fail(mut self, error: &Exception) {
        let text = format!("{error}\n");
        if self.head.is_some() {
            // Read by people and by clients that did not expect an encoding; blocks were asked for by one that does.
            if self.encoding != Encoding::Blocks {
                self.encoding = Encoding::Plain;
            }
            self.begin(error.status(), Some(error.code), None, None);
            let _ = self.bytes(text.as_bytes());
            return self.finish();
        }
        let tag = &self.tag;
        let block = format!(
            "\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n",
            text.len()
        );
        if self.bytes(block.as_bytes()).is_ok() {
            let _ = self.part(Part::Break);
        }
    }
}

/// Sixteen letters of the mark's: a tag has to differ between answers, so that stored text cannot look like an exception.
fn tag(mark: &str) -> String {
    let hash = std::collections::hash_map::RandomState::new();
    let number = std::hash::BuildHasher::hash_one(&hash, mark);
    (0..16)
        .map(|at| char::from(b'a' + u8::try_from((number >> (4 * at)) & 15).unwrap_or(0)))
        .collect()
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Pieces(Receiver<Part>);

impl Pieces {
    fn body(self) -> Body {
        let next = |mut parts: Receiver<Part>| async move {
            match parts.recv().await? {
                Part::Data(piece) => Some((Ok(Frame::data(piece)), parts)),
                Part::Break => {
                    tokio::time::sleep(BREAK_AFTER).await;
                    Some((Err(io::Error::other("the statement failed")), parts))
                }
            }
        };
        StreamBody::new(stream::unfold(self.0, next)).boxed_unsync()
    }
}

/// The answer to a statement.
pub(super) fn response(head: Head, pieces: Pieces, id: &str, timezone: &str) -> Response<Body> {
    let format = head.format.as_deref().unwrap_or_default();
    let mut builder = Response::builder()
        .status(head.status)
        .header("Content-Type", content_type(format))
        .header("X-ClickHouse-Server-Display-Name", "tusk-olap")
        .header("X-ClickHouse-Query-Id", id)
        .header("X-ClickHouse-Timezone", timezone)
        .header("X-ClickHouse-Exception-Tag", &head.tag);
    if !format.is_empty() {
        builder = builder.header("X-ClickHouse-Format", format);
    }
    if let Some(code) = head.code {
        builder = builder.header("X-ClickHouse-Exception-Code", code);
    }
    if let Some(name) = head.encoding.name() {
        builder = builder.header("Content-Encoding", name);
    }
    if let Some(stats) = head.stats {
        let Stats { read_rows, read_bytes, written_rows, written_bytes } = stats;
        let summary = format!(
            "{{\"read_rows\":\"{read_rows}\",\"read_bytes\":\"{read_bytes}\",\"written_rows\":\"{written_rows}\",\
             \"written_bytes\":\"{written_bytes}\"}}"
        );
        builder = builder.header("X-ClickHouse-Summary", summary);
    }
    built(builder.body(pieces.body()))
}

/// A text without a statement.
pub(super) fn plain(status: u16, text: &'static str) -> Response<Body> {
    let builder = Response::builder()
        .status(status)
        .header("Content-Type", "text/plain; charset=UTF-8")
        .header("X-ClickHouse-Server-Display-Name", "tusk-olap");
    built(builder.body(full(Bytes::from_static(text.as_bytes()))))
}

/// An error before a statement began.
pub(super) fn exception(error: &Exception, id: &str) -> Response<Body> {
    let mut builder = Response::builder()
        .status(error.status())
        .header("Content-Type", "text/plain; charset=UTF-8")
        .header("X-ClickHouse-Server-Display-Name", "tusk-olap")
        .header("X-ClickHouse-Query-Id", id)
        .header("X-ClickHouse-Exception-Code", error.code);
    if error.status() == 401 {
        builder = builder.header("WWW-Authenticate", "Basic realm=\"ClickHouse server HTTP API\"");
    }
    built(builder.body(full(format!("{error}\n").into())))
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Only a header that cannot be one fails: a query id with strange letters.
fn built(response: Result<Response<Body>, hyper::http::Error>) -> Response<Body> {
    response.unwrap_or_else(|_| {
        let mut response =
            Response::new(full(Bytes::from_static(b"an answer without its headers\n")));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

fn content_type(format: &str) -> &'static str {
    match format {
        "JSON"
        | "JSONCompact"
        | "JSONStrings"
        | "JSONColumns"
        | "JSONColumnsWithMetadata"
        | "JSONObjectEachRow" => "application/json; charset=UTF-8",
        "JSONEachRow" | "NDJSON" | "JSONLines" | "JSONCompactEachRow" | "JSONStringsEachRow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "TabSeparated"
        | "TSV"
        | "TabSeparatedWithNames"
        | "TSVWithNames"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes" => "text/tab-separated-values; charset=UTF-8",
        "XML" => "application/xml; charset=UTF-8",
        "Parquet"
        | "ORC"
        | "Avro"
        | "Arrow"
        | "ArrowStream"
        | "Native"
        | "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "MsgPack" => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}
