//! What a request asks for besides its statement: URL, headers and fields of a form say the same things.

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use crate::chdb::Parameters;
use crate::codec::{Encoding, FormError, multipart};
use crate::error::Exception;

/// What servers know besides settings, and what has no meaning here.
const IGNORED: [&str; 15] = [
    "buffer_size",
    "client_protocol_version",
    "close_session",
    "framing",
    "http_headers_progress_interval_ms",
    "http_zlib_compression_level",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_timeout",
    "stacktrace",
    "wait_for_progress",
    "output_format_parallel_formatting",
    "http_write_exception_in_output_format",
];

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Whether the method promises to change nothing.
    pub(crate) reads_only: bool,
    /// The statement, or its beginning, from the URL or a form.
    pub(crate) query: String,
    /// The id the client gave, else the mark.
    pub(crate) query_id: String,
    /// By which a running statement is found.
    pub(crate) mark: String,
    /// User named in the URL.
    pub(crate) user: Option<String>,
    /// Password in the URL.
    pub(crate) password: Option<String>,
    /// Values of `{name:Type}`.
    pub(crate) parameters: Parameters,
    /// Settings of the engine, in the order they came; the last of a name counts.
    pub(crate) settings: Vec<(String, String)>,
    /// `readonly`, which has to be set after all others.
    pub(crate) readonly: Option<String>,
    /// Current database.
    pub(crate) database: Option<String>,
    /// Format of the answer where the statement names none.
    pub(crate) format: Option<String>,
    /// How the body came.
    pub(crate) body: Encoding,
    /// Whether it is in blocks under that.
    pub(crate) body_blocks: bool,
    /// Boundary of a form in it.
    pub(crate) boundary: Option<String>,
    /// How the answer goes.
    pub(crate) answer: Encoding,
    /// Whether to answer only when all is known.
    pub(crate) whole: bool,
}

impl Options {
    /// Of URL and headers.
    pub(crate) fn new(parts: &Parts, mark: String) -> Result<Self, Exception> {
        let header = |name: &str| text(&parts.headers, name);
        let body = header("content-encoding").unwrap_or_default();
        let body = Encoding::named(&body).ok_or_else(|| {
            let message = format!(
                "Content-Encoding {body} is not known here: use gzip, deflate, zstd or lz4"
            );
            Exception::new(89, "UNKNOWN_COMPRESSION_METHOD", &message)
        })?;
        let boundary = header("content-type").and_then(|kind| {
            let rest = kind.strip_prefix("multipart/form-data")?;
            let (_, boundary) = rest.split_once("boundary=")?;
            let boundary = boundary.split(';').next().unwrap_or_default();
            Some(boundary.trim().trim_matches('"').to_owned())
        });
        let mut options = Self {
            reads_only: parts.method == Method::GET,
            query: String::new(),
            query_id: mark.clone(),
            mark,
            user: None,
            password: None,
            parameters: Parameters::default(),
            settings: Vec::new(),
            readonly: None,
            database: header("x-clickhouse-database").filter(|name| !name.is_empty()),
            format: header("x-clickhouse-format").filter(|name| !name.is_empty()),
            body,
            body_blocks: false,
            boundary,
            answer: Encoding::Plain,
            whole: false,
        };
        let query = parts.uri.query().unwrap_or_default();
        let mut http_compression = false;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "enable_http_compression" => http_compression = value == "1",
                _ => options.take(&name, value.into_owned())?,
            }
        }
        if http_compression && options.answer == Encoding::Plain {
            options.answer = Encoding::accepted(&header("accept-encoding").unwrap_or_default());
        }
        Ok(options)
    }

    /// Takes the fields of a form.
    pub(crate) fn form(&mut self, body: &[u8], boundary: &str) -> Result<(), Exception> {
        let fields = multipart(body, boundary).map_err(|error| match error {
            FormError::Broken => Exception::new(36, "BAD_ARGUMENTS", &error.to_string()),
            FormError::File => Exception::new(48, "NOT_IMPLEMENTED", &error.to_string()),
        })?;
        fields.into_iter().try_for_each(|(name, value)| self.take(&name, value))
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Exception> {
        let some = |value: String| Some(value).filter(|value| !value.is_empty());
        match name {
            "query" => self.query.push_str(&value),
            "query_id" => {
                if let Some(id) =
                    some(value).filter(|id| id.bytes().all(|b| (b' '..=b'~').contains(&b)))
                {
                    self.query_id = id;
                }
            }
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "database" => self.database = some(value).or_else(|| self.database.take()),
            "default_format" => self.format = some(value).or_else(|| self.format.take()),
            "readonly" => self.readonly = Some(value),
            "decompress" => self.body_blocks = value == "1",
            "compress" if value == "1" => self.answer = Encoding::Blocks,
            "compress" => {}
            "wait_end_of_query" => self.whole = value == "1",
            "session_id" if !value.is_empty() => {
                let message = "session_id is not supported here: each request has a session of its own, so SET and temporary tables do \
                               not outlive it; put settings into the URL or the statement";
                return Err(Exception::new(48, "NOT_IMPLEMENTED", message));
            }
            "session_id" => {}
            _ if IGNORED.contains(&name) => {}
            _ => match name.strip_prefix("param_") {
                Some(name) => self.parameters.push(name.to_owned(), value),
                None if is_setting(name) => {
                    self.settings.retain(|(known, _)| known != name);
                    self.settings.push((name.to_owned(), value));
                }
                None => {
                    let message = format!(
                        "Setting {name:?} is neither a builtin setting nor started with the prefix 'param_'"
                    );
                    return Err(Exception::new(115, "UNKNOWN_SETTING", &message));
                }
            },
        }
        Ok(())
    }

    /// Whether the setting has another value than 0.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.settings.iter().any(|(known, value)| known == name && value != "0" && value != "false")
    }
}

/// A name that can stand in `SET` as it is.
fn is_setting(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
