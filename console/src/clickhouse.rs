//! ClickHouse's HTTP interface, for reading alone: every statement runs `readonly`, within a time and a memory, with its values as
//! parameters. Dropping a call closes its connection, and that ends the statement: a page that is closed asks nothing any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_tls::HttpsConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::error::Problem;
use crate::settings::{Access, Settings};

/// Longest answer that is read whole, bytes; exports are streamed.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest sentence of the server that is passed on, characters.
const SENTENCE_CHARS_MAX: usize = 300;
/// Statements at once: a page asks for several, and more would only wait for each other's processors.
const AT_ONCE_MAX: usize = 4;
/// What the server may take beyond `max_execution_time` until its word arrives.
const GRACE: Duration = Duration::from_secs(5);
/// Whole numbers that a browser keeps exactly.
const EXACT_MAX: u64 = 1 << 53;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// ClickHouse's type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An answer, read whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows; whole numbers beyond 2^53 are text.
    pub rows: Vec<Vec<Value>>,
    /// Rows the server read for it.
    #[serde(skip)]
    pub rows_read: u64,
}

/// The way to it. Clones share connections and the limit on statements at once.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http<HttpsConnector<HttpConnector>, Full<Bytes>>,
    access: Arc<Access>,
    at_once: Arc<Semaphore>,
    timeout_s: u32,
    memory_bytes_max: u64,
}

#[derive(Deserialize)]
struct Whole {
    meta: Vec<Column>,
    data: Vec<Vec<Value>>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    rows_read: u64,
}

impl Client {
    /// `None` if none is set up.
    #[must_use]
    pub fn new(settings: &Settings) -> Option<Self> {
        let access = Arc::new(settings.clickhouse.clone()?);
        Some(Self {
            http: Http::builder(TokioExecutor::new()).build(HttpsConnector::new()),
            access,
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            timeout_s: settings.query_timeout_s,
            memory_bytes_max: settings.query_memory_bytes_max,
        })
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.access.database
    }

    /// Runs a statement and reads its answer.
    ///
    /// # Errors
    /// It takes too long or too much, the server is not there, or it refuses.
    pub async fn rows(&self, sql: &str, params: &[(String, String)]) -> Result<Answer, Problem> {
        let _one = self.at_once.acquire().await;
        let limit = Duration::from_secs(u64::from(self.timeout_s)) + GRACE;
        let asked = async {
            let answered = self.send(sql, params, "JSONCompact", true).await?;
            let body = Limited::new(answered.into_body(), ANSWER_BYTES_MAX).collect().await;
            body.map(http_body_util::Collected::to_bytes).map_err(|error| self.broken(&*error))
        };
        let started = Instant::now();
        let bytes = tokio::time::timeout(limit, asked).await.map_err(|_| self.too_slow())??;
        let whole: Whole = serde_json::from_slice(&bytes).map_err(|_| {
            tracing::warn!(
                elapsed_ms = started.elapsed().as_millis(),
                "ClickHouse broke an answer off"
            );
            refused(&String::from_utf8_lossy(
                bytes.get(bytes.len().saturating_sub(600)..).unwrap_or_default(),
            ))
        })?;
        let mut rows = whole.data;
        rows.iter_mut().flatten().for_each(exact);
        let rows_read = whole.statistics.map_or(0, |statistics| statistics.rows_read);
        Ok(Answer { columns: whole.meta, rows, rows_read })
    }

    /// Runs a statement whose rows are read as they come, a line of JSON each; the first two are names and types.
    ///
    /// # Errors
    /// As [`Client::rows`]; what fails after the first row ends the body with a line that is no JSON.
    pub async fn stream(
        &self,
        sql: &str,
        params: &[(String, String)],
    ) -> Result<Incoming, Problem> {
        let limit = Duration::from_secs(u64::from(self.timeout_s)) + GRACE;
        let asked = self.send(sql, params, "JSONCompactEachRowWithNamesAndTypes", false);
        let answered = tokio::time::timeout(limit, asked).await.map_err(|_| self.too_slow())??;
        Ok(answered.into_body())
    }

    async fn send(
        &self,
        sql: &str,
        params: &[(String, String)],
        format: &str,
        whole: bool,
    ) -> Result<Response<Incoming>, Problem> {
        let url = self.url(params, format, whole);
        let request = Request::post(url)
            .header("x-clickhouse-user", &self.access.user)
            .header("x-clickhouse-key", &self.access.password)
            .body(Full::new(Bytes::from(sql.to_owned())));
        let request = request.map_err(|_| {
            Problem::bad(
                "report.too_long",
                "筛选值太多，请减少后重试",
                "there are too many values in the filter: use fewer",
            )
        })?;
        let answered = self.http.request(request).await.map_err(|error| self.broken(&error))?;
        if answered.status() == StatusCode::OK {
            return Ok(answered);
        }
        let body = Limited::new(answered.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(refused(&String::from_utf8_lossy(&bytes)))
    }

    fn url(&self, params: &[(String, String)], format: &str, whole: bool) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("database", &self.access.database)
            .append_pair("default_format", format)
            .append_pair("max_execution_time", &self.timeout_s.to_string())
            .append_pair("max_memory_usage", &self.memory_bytes_max.to_string())
            .append_pair("cancel_http_readonly_queries_on_client_close", "1")
            .append_pair("output_format_json_quote_64bit_integers", "0")
            .append_pair("output_format_json_quote_denormals", "0")
            .append_pair("output_format_json_escape_forward_slashes", "0")
            .append_pair("wait_end_of_query", if whole { "1" } else { "0" })
            // 2: views bring settings of their own; nothing can be written either way.
            .append_pair("readonly", "2");
        for (name, value) in params {
            query.append_pair(&format!("param_{name}"), value);
        }
        format!("{}/?{}", self.access.url.trim_end_matches('/'), query.finish())
    }

    fn broken(&self, error: &dyn std::error::Error) -> Problem {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        tracing::warn!(reason, "ClickHouse did not answer");
        let embedded = self.access.embedded;
        let (zh, en) = if embedded {
            (
                "内置 ClickHouse 没有应答，正在启动或重启；稍后重试，或运行 tusk check 查看",
                "the embedded ClickHouse does not answer: it may be starting; try again, or look at tusk check",
            )
        } else {
            (
                "ClickHouse 没有应答；请检查它的地址与状态",
                "ClickHouse does not answer: check its address and that it is up",
            )
        };
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "clickhouse.down",
            format!("{zh}（{reason}）"),
            format!("{en} ({reason})"),
        )
    }

    fn too_slow(&self) -> Problem {
        slow(Some(self.timeout_s))
    }
}

fn slow(limit_s: Option<u32>) -> Problem {
    let (zh, en) = limit_s.map_or((String::new(), String::new()), |limit| {
        (format!(" {limit} 秒"), format!(" {limit} s"))
    });
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "report.timeout",
        format!("查询超过时限{zh}，已停止；请缩短日期范围或减少分组"),
        format!(
            "it took more than its time{en} and was stopped: shorten the range or use fewer groups"
        ),
    )
}

/// What the server said, for people.
fn refused(said: &str) -> Problem {
    let at = said.find("Code: ").unwrap_or(0);
    let said = said.get(at..).unwrap_or_default();
    let code: u32 = said
        .strip_prefix("Code: ")
        .and_then(|rest| rest.split('.').next()?.parse().ok())
        .unwrap_or(0);
    match code {
        159 => slow(None),
        241 => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "report.memory",
            "查询占用内存过多，已停止；请缩短日期范围或减少分组",
            "it took too much memory and was stopped: shorten the range or use fewer groups",
        ),
        60 | 81 => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "clickhouse.empty",
            "ClickHouse 里还没有表；第一批数据入库时会自动建好",
            "ClickHouse has no tables yet: they are made with the first delivery",
        ),
        193 | 194 | 516 => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "clickhouse.login",
            "ClickHouse 拒绝了用户名或密码；请检查配置",
            "ClickHouse refused user or password: check the settings",
        ),
        26 | 27 | 36 | 38 | 41 | 53 | 457 => Problem::bad(
            "report.bad_value",
            sentence("参数值不对", said),
            sentence("a value cannot be read", said),
        ),
        _ => {
            tracing::warn!(code, said, "ClickHouse refused a statement");
            Problem::new(
                StatusCode::BAD_GATEWAY,
                "clickhouse.refused",
                sentence("ClickHouse 报错", said),
                sentence("ClickHouse refused", said),
            )
        }
    }
}

fn sentence(what: &str, said: &str) -> String {
    let line = said.lines().next().unwrap_or_default();
    format!("{what}: {}", line.chars().take(SENTENCE_CHARS_MAX).collect::<String>())
}

/// A browser would round larger whole numbers.
fn exact(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if whole.is_some_and(|whole| whole > EXACT_MAX) {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(exact),
        Value::Object(members) => members.values_mut().for_each(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_a_browser_would_round_are_text() {
        let mut value = json!([
            9_007_199_254_740_992_u64,
            9_007_199_254_740_993_u64,
            -9_007_199_254_740_993_i64,
            1.5,
            [18_446_744_073_709_551_615_u64]
        ]);
        exact(&mut value);
        let want = json!([
            9_007_199_254_740_992_u64,
            "9007199254740993",
            "-9007199254740993",
            1.5,
            ["18446744073709551615"]
        ]);
        assert_eq!(value, want);
    }

    #[test]
    fn what_the_server_says_becomes_something_to_do() {
        let code = |said: &str| refused(said).code;
        assert_eq!(code("Code: 159. DB::Exception: Timeout exceeded"), "report.timeout");
        assert_eq!(
            code("[[1,2],\r\n__exception__\r\nCode: 241. DB::Exception: Memory"),
            "report.memory"
        );
        assert_eq!(code("Code: 60. DB::Exception: Unknown table"), "clickhouse.empty");
        assert_eq!(code("nonsense"), "clickhouse.refused");
        assert!(refused(&"x".repeat(10_000)).text.en.len() < 400);
    }
}
