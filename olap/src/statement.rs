//! One statement, from the first byte of its request to the last of its answer, in a thread of its own.

use std::io::{self, Read};

use crate::chdb::{Class, Connection};
use crate::codec::{self, Encoding, unpack};
use crate::error::Exception;
use crate::server::{Options, Reply, Server};
use crate::sql::{self, Split};

/// How much of a body is looked at for the head of an INSERT before it has to be a long statement.
const HEAD_BYTES: u64 = 256 << 10;
/// Data goes to the engine in such pieces: each costs a copy and a hand-over.
const APPEND_BYTES: usize = 1 << 20;

/// Runs it and answers.
pub(crate) fn run(server: &Server, options: Options, source: impl Read, mut reply: Reply) {
    match statement(server, options, source, &mut reply) {
        Ok(()) => reply.finish(),
        Err(error) => reply.fail(&error),
    }
}

fn statement(
    server: &Server,
    mut options: Options,
    source: impl Read,
    reply: &mut Reply,
) -> Result<(), Exception> {
    let limit = server.settings.query_bytes_max;
    let mut source = unpack(Box::new(source), options.body).map_err(unreadable)?;
    if options.body_blocks {
        source = unpack(source, Encoding::Blocks).map_err(unreadable)?;
    }
    if let Some(boundary) = options.boundary.take() {
        let form = read_at_most(&mut source, limit)?;
        options.form(&form, &boundary)?;
        source = Box::new(io::empty());
    }
    let mut text = std::mem::take(&mut options.query).into_bytes();
    let mut split = sql::split(&text, false);
    // A statement in the URL may end there, with its data in the body, or go on in the body.
    if !matches!(split, Split::Insert(_)) && !options.reads_only {
        let mut body = Vec::new();
        source.by_ref().take(HEAD_BYTES).read_to_end(&mut body).map_err(unreadable)?;
        if !body.is_empty() {
            if !text.is_empty() {
                text.push(b'\n');
            }
            text.append(&mut body);
        }
        split = sql::split(&text, false);
        if !matches!(split, Split::Insert(_)) {
            text.append(&mut read_at_most(&mut source, limit.saturating_sub(text.len()))?);
            split = sql::split(&text, true);
        }
    }
    if sql::is_empty(&text) {
        return Err(Exception::new(62, "SYNTAX_ERROR", "Syntax error: Empty query"));
    }
    let mut session = session(server, &options)?;
    match split {
        Split::Insert(at) => insert(&mut session, &options, &text, &at, &mut source, reply),
        _ => query(&mut session, &options, &text, reply),
    }
}

/// A session with the settings of the request and of no other.
fn session(server: &Server, options: &Options) -> Result<Connection, Exception> {
    let mut session = server.engine.session(&options.mark)?;
    if !options.settings.is_empty() {
        let list: Vec<String> = options
            .settings
            .iter()
            .map(|(name, value)| format!("{name} = {}", sql::text(value)))
            .collect();
        session.run(&format!("SET {}", list.join(", ")))?;
    }
    if let Some(database) = &options.database {
        session.run(&format!("USE {}", sql::name(database)))?;
    }
    // Last: nothing can be set after it.
    let readonly = options.readonly.as_deref().filter(|level| *level != "0");
    match readonly {
        Some(level) => session.run(&format!("SET readonly = {}", sql::text(level)))?,
        None if options.reads_only => session.run("SET readonly = 2")?,
        None => return Ok(session),
    };
    Ok(session)
}

/// An insert whose data the client sends: by the append calls, as inline data is cut at its first NUL byte and reported as success.
fn insert(
    session: &mut Connection,
    options: &Options,
    text: &[u8],
    at: &sql::Insert,
    source: &mut dyn Read,
    reply: &mut Reply,
) -> Result<(), Exception> {
    let head = &text[..at.head];
    allow(session, &[head, b" VALUES"].concat())?;
    if sql::mentions(head, "INFILE") {
        return Err(no_files());
    }
    let mut insert = session.insert(head, &at.format, &options.parameters)?;
    let inline = &text[at.data..];
    if !inline.is_empty() {
        insert.append(inline)?;
    }
    let mut buffer = Vec::with_capacity(APPEND_BYTES);
    loop {
        buffer.clear();
        let mut piece = (&mut *source).take(APPEND_BYTES as u64);
        let read = piece.read_to_end(&mut buffer);
        if let Err(error) = read {
            insert.cancel();
            return Err(unreadable(error));
        }
        if buffer.is_empty() {
            break;
        }
        if reply.is_left() {
            insert.cancel();
            return Err(Exception::unknown("the client left"));
        }
        insert.append(&buffer)?;
    }
    let stats = insert.commit()?;
    reply.head(None, Some(stats));
    Ok(())
}

/// Any other statement.
fn query(
    session: &mut Connection,
    options: &Options,
    text: &[u8],
    reply: &mut Reply,
) -> Result<(), Exception> {
    let class = allow(session, text)?;
    let format = sql::answer_format(text).or_else(|| options.format.clone());
    let format = format.unwrap_or_else(|| "TabSeparated".to_owned());
    let kind = kind(&format);
    let in_chunks = class == Class::Reads
        && kind != Kind::Whole
        && !options.whole
        && matches!(sql::first_word(text).as_str(), "SELECT" | "WITH")
        // What an answer has only once would come with each chunk.
        && !sql::mentions(text, "TOTALS")
        && !["extremes", "output_format_json_array_of_rows"]
            .iter()
            .any(|name| options.is_on(name) || sql::mentions(text, name));
    if in_chunks && chunks(session, options, text, &format, kind, reply)? {
        return Ok(());
    }
    let answer = session.query(text, &format, &options.parameters)?;
    reply.head(Some(&format), Some(answer.stats()));
    // Gone: there is nobody to tell.
    let _ = reply.answer(answer, 0);
    Ok(())
}

/// Answers as chunks come. False if there was none and a head has to come from elsewhere.
fn chunks(
    session: &mut Connection,
    options: &Options,
    text: &[u8],
    format: &str,
    kind: Kind,
    reply: &mut Reply,
) -> Result<bool, Exception> {
    let mut stream = session.stream(text, format, &options.parameters)?;
    let mut first = true;
    while let Some(chunk) = stream.chunk()? {
        let mut from = 0;
        if first {
            reply.head(Some(format), None);
        } else if kind == Kind::Headed {
            // Each chunk is a document of its own.
            from = codec::head_bytes(chunk.as_ref())
                .ok_or_else(|| Exception::unknown("the engine gave a chunk without its head"))?;
        }
        first = false;
        if reply.answer(chunk, from).is_err() {
            return Ok(true);
        }
    }
    if first && kind != Kind::Headed {
        reply.head(Some(format), None);
        return Ok(true);
    }
    Ok(!first)
}

/// How an answer can be cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Chunks can follow each other as they are.
    Plain,
    /// The head of all but the first has to go.
    Headed,
    /// Not at all: JSON, Parquet, all with names, all that is framed.
    Whole,
}

fn kind(format: &str) -> Kind {
    match format {
        "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" | "Raw" | "CSV" | "JSONEachRow"
        | "NDJSON" | "JSONLines" | "JSONCompactEachRow" | "JSONStringsEachRow" | "RowBinary"
        | "Native" | "LineAsString" => Kind::Plain,
        "RowBinaryWithNamesAndTypes" => Kind::Headed,
        _ => Kind::Whole,
    }
}

/// Whether it may run: what grants do not stop because the engine's client half does it, or what reaches beyond this request.
fn allow(session: &mut Connection, text: &[u8]) -> Result<Class, Exception> {
    let analysis = session.classify(text);
    let class = analysis.class();
    if let Some(name) = sql::reaching(text) {
        return Err(Exception::denied(&format!(
            "default: Not enough privileges. {name} reaches out of the data folder, which the embedded ClickHouse does not"
        )));
    }
    if analysis.statements > 1 && class != Class::Unknown {
        return Err(Exception::new(
            62,
            "SYNTAX_ERROR",
            "Syntax error: Multi-statements are not allowed",
        ));
    }
    match class {
        Class::Reads => {}
        Class::Writes if !sql::mentions(text, "INFILE") => {}
        Class::Writes => return Err(no_files()),
        // The engine words the error better, unless its two parsers disagree about a file.
        Class::Unknown if !["INFILE", "OUTFILE"].iter().any(|word| sql::mentions(text, word)) => {}
        Class::Unknown => return Err(no_files()),
        Class::Global | Class::Control => {
            let word = sql::first_word(text);
            if !matches!(word.as_str(), "SET" | "USE" | "KILL") {
                return Err(Exception::denied(&format!(
                    "default: Not enough privileges. The embedded ClickHouse works with tables only: no files, no SYSTEM, BACKUP or \
                     users; this {word} needs a ClickHouse server"
                )));
            }
        }
    }
    Ok(class)
}

fn no_files() -> Exception {
    Exception::denied(
        "default: Not enough privileges. The embedded ClickHouse reads and writes no files: send the data with the request",
    )
}

/// Reads what is left, and refuses more than `limit`.
fn read_at_most(source: &mut dyn Read, limit: usize) -> Result<Vec<u8>, Exception> {
    let mut out = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut out).map_err(unreadable)?;
    if out.len() > limit {
        let message = "Max query size exceeded (query_bytes_max); send data behind INSERT … FORMAT";
        return Err(Exception::new(62, "SYNTAX_ERROR", message));
    }
    Ok(out)
}

fn unreadable(error: io::Error) -> Exception {
    match error.kind() {
        io::ErrorKind::TimedOut => Exception::new(209, "SOCKET_TIMEOUT", &error.to_string()),
        _ => Exception::new(33, "CANNOT_READ_ALL_DATA", &format!("Cannot read the body: {error}")),
    }
}
