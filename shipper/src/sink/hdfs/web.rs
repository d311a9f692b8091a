//! HDFS over HTTP (WebHDFS), where a firewall lets nothing else through. No hsync there: a file is whole when its upload was answered
//! with 201, and as durable as DataNodes make a closed block.

use super::fs::{Create, Stat, remote};
use crate::sink::folder::Item;
use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pieces on their way to a DataNode.
const PIECES: usize = 4;

pub(super) struct Web {
    /// `host:port` of the NameNode.
    authority: String,
    user: String,
}

pub(super) struct WebWriter {
    pieces: Option<mpsc::Sender<Bytes>>,
    answer: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Deserialize)]
struct Statuses {
    #[serde(rename = "FileStatuses")]
    all: StatusList,
}

#[derive(Deserialize)]
struct StatusList {
    #[serde(rename = "FileStatus")]
    list: Vec<Status>,
}

#[derive(Deserialize)]
struct OneStatus {
    #[serde(rename = "FileStatus")]
    one: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    path_suffix: String,
    length: u64,
    r#type: String,
    owner: String,
    permission: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "RemoteException")]
    of: RemoteException,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteException {
    java_class_name: Option<String>,
    exception: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Done {
    boolean: bool,
}

impl Web {
    pub(super) fn new(authority: &str, user: &str) -> Self {
        Self { authority: authority.to_owned(), user: user.to_owned() }
    }

    fn target(&self, path: &str, query: &str) -> String {
        let mut target = format!("http://{}/webhdfs/v1", self.authority);
        for name in path.split('/').skip(1) {
            // A path keeps `=`, and a blank is not `+` there.
            let name: String = byte_serialize(name.as_bytes()).collect();
            _ = write!(target, "/{}", name.replace('+', "%20").replace("%3D", "="));
        }
        let user: String = byte_serialize(self.user.as_bytes()).collect();
        _ = write!(target, "?{query}&user.name={user}");
        target
    }

    async fn ask(&self, method: Method, path: &str, query: &str) -> io::Result<Bytes> {
        let answer = send(method, &self.target(path, query), Empty::new()).await?;
        whole(answer).await
    }

    pub(super) async fn list(&self, folder: &str) -> io::Result<Vec<Item>> {
        let body = self.ask(Method::GET, folder, "op=LISTSTATUS").await?;
        let statuses: Statuses = json(&body)?;
        let item = |one: Status| Item {
            dir: one.r#type == "DIRECTORY",
            name: one.path_suffix,
            bytes: one.length,
        };
        Ok(statuses.all.list.into_iter().map(item).collect())
    }

    pub(super) async fn stat(&self, path: &str) -> io::Result<Stat> {
        let body = self.ask(Method::GET, path, "op=GETFILESTATUS").await?;
        let OneStatus { one } = json(&body)?;
        let mode = u32::from_str_radix(&one.permission, 8).unwrap_or_default();
        Ok(Stat { bytes: one.length, owner: one.owner, mode })
    }

    pub(super) async fn mkdirs(&self, folder: &str) -> io::Result<()> {
        let body = self.ask(Method::PUT, folder, "op=MKDIRS&permission=755").await?;
        done(&body, "the NameNode refused it")
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to: String = byte_serialize(to.as_bytes()).collect();
        let query = format!("op=RENAME&destination={to}&renameoptions=NONE");
        // With options: an exception that says why, instead of `false`; and no answer but 200.
        self.ask(Method::PUT, from, &query).await.map(|_| ())
    }

    pub(super) async fn delete(&self, path: &str) -> io::Result<()> {
        // `false`: it was gone.
        self.ask(Method::DELETE, path, "op=DELETE&recursive=false").await.map(|_| ())
    }

    pub(super) async fn create(&self, path: &str, how: Create) -> io::Result<WebWriter> {
        let mut query = format!("op=CREATE&overwrite={}&createparent=false", how.overwrite);
        if let Some(replication) = how.replication {
            _ = write!(query, "&replication={replication}");
        }
        if let Some(bytes) = how.block_bytes {
            _ = write!(query, "&blocksize={bytes}");
        }
        let answer = send(Method::PUT, &self.target(path, &query), Empty::new()).await?;
        let place = location(answer).await?;
        let (pieces, receiver) = mpsc::channel(PIECES);
        let answer = tokio::spawn(async move {
            whole(send(Method::PUT, &place, Pieces(receiver)).await?).await.map(|_| ())
        });
        Ok(WebWriter { pieces: Some(pieces), answer: Some(answer) })
    }

    pub(super) async fn read(&self, path: &str, at: u64, bytes: usize) -> io::Result<Bytes> {
        if self.stat(path).await?.bytes <= at {
            return Ok(Bytes::new());
        }
        let query = format!("op=OPEN&offset={at}&length={bytes}");
        let answer = send(Method::GET, &self.target(path, &query), Empty::new()).await?;
        let place = location(answer).await?;
        whole(send(Method::GET, &place, Empty::new()).await?).await
    }
}

impl WebWriter {
    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        let sent = match &self.pieces {
            Some(pieces) => pieces.send(piece).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { self.close().await.and(Err(ended_early())) }
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.pieces = None;
        let Some(answer) = &mut self.answer else { return Err(ended_early()) };
        let said = answer.await.unwrap_or_else(|_| Err(ended_early()));
        self.answer = None;
        said
    }
}

impl Drop for WebWriter {
    fn drop(&mut self) {
        // A dropped sender alone would look like the end of a whole file.
        if let Some(answer) = &self.answer {
            answer.abort();
        }
    }
}

fn ended_early() -> io::Error {
    io::Error::other("the DataNode ended the upload early")
}

/// A body that comes in pieces.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// An answer whose body is still on its connection.
struct Answer {
    response: Response<Incoming>,
    _connection: Connection,
}

/// What moves the bytes of one request; ends with its owner.
struct Connection(JoinHandle<hyper::Result<()>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send<B>(method: Method, target: &str, body: B) -> io::Result<Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let uri: Uri = target.parse().map_err(io::Error::other)?;
    if uri.scheme_str() != Some("http") {
        return Err(io::Error::other(format!("{target}: only plain http is supported here")));
    }
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let stream = TcpStream::connect(&host).await.map_err(|error| {
        io::Error::other(format!(
            "{host} is not reached ({error}): is it running, and is the address right?"
        ))
    })?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = Connection(tokio::spawn(connection));
    let request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header("host", &host)
        .header("content-type", "application/octet-stream")
        .body(body)
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(Answer { response, _connection: connection })
}

/// The body of an answer that is no error.
async fn whole(answer: Answer) -> io::Result<Bytes> {
    let status = answer.response.status();
    let body = answer.response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(failure(status, &body)) }
}

fn failure(status: StatusCode, body: &[u8]) -> io::Error {
    match serde_json::from_slice::<Failure>(body) {
        Ok(Failure { of }) => {
            remote(of.java_class_name.as_deref().unwrap_or(&of.exception), &of.message)
        }
        Err(_) => io::Error::other(format!(
            "HTTP {status}: not WebHDFS? sink.hdfs.url wants the NameNode's HTTP address here"
        )),
    }
}

/// Where a redirect leads.
async fn location(answer: Answer) -> io::Result<String> {
    if answer.response.status() != StatusCode::TEMPORARY_REDIRECT {
        let body = whole(answer).await?;
        return Err(io::Error::other(format!("no redirect to a DataNode, {} bytes", body.len())));
    }
    let place = answer.response.headers().get("location").and_then(|place| place.to_str().ok());
    place.map(str::to_owned).ok_or_else(|| io::Error::other("a redirect without a place"))
}

fn json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|error| io::Error::other(format!("WebHDFS said {error}")))
}

fn done(body: &[u8], otherwise: &str) -> io::Result<()> {
    let Done { boolean } = json(body)?;
    if boolean { Ok(()) } else { Err(io::Error::other(otherwise.to_owned())) }
}
