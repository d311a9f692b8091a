//! What the lines of a file are.

use super::Format;
use super::blocks::lines;
use super::nginx::{self, LogFormat, Logged};
use memchr::memmem;

/// Lines looked at to tell the format.
const LOOKED_AT: usize = 50;

/// Log formats that are common where `$request_body` is logged; of those that fit as many lines the first counts.
const KNOWN: [&str; 10] = [
    "$request_body",
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$request_body""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for" "$request_body""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$request_body" "$http_x_forwarded_for""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$request_body" "$http_referer" "$http_user_agent""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$request_body" "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_body"#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for" $request_body"#,
];

/// How lines are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// An event (or a list of them) a line, as the logging consumers of server SDKs write it.
    Json,
    /// A request a line, by this format.
    Nginx(LogFormat),
    /// A request a line, as a JSON object of nginx's variables.
    NginxJson,
}

impl Lines {
    /// By what was asked for and, where that leaves it open, by the first lines; `None` while there is nothing to look at.
    ///
    /// # Errors
    /// A sentence: the log format is wrong, or the lines fit nothing known.
    pub(crate) fn choose(
        format: Format,
        log_format: Option<&str>,
        block: &[u8],
    ) -> Result<Option<Self>, String> {
        match (format, log_format) {
            (Format::Json, _) => return Ok(Some(Self::Json)),
            (_, Some(text)) => return LogFormat::parse(text).map(|f| Some(Self::Nginx(f))),
            (Format::Auto | Format::Nginx, None) => {}
        }
        let blank = |line: &[u8]| line.trim_ascii().is_empty();
        let first: Vec<&[u8]> =
            lines(block).map(|(line, _)| line).filter(|l| !blank(l)).take(LOOKED_AT).collect();
        if first.is_empty() {
            return Ok(None);
        }
        let mut best = (0, None);
        let mut offer = |fits: &dyn Fn(&[u8]) -> bool, lines: Self| {
            let number = first.iter().filter(|line| fits(line)).count();
            if number > best.0 {
                best = (number, Some(lines));
            }
        };
        if format == Format::Auto {
            offer(&|line| is_event(line), Self::Json);
        }
        let has_data = |logged: Option<Logged>| logged.is_some_and(|logged| logged.has_data());
        offer(&|line| !is_event(line) && has_data(nginx::read_object(line)), Self::NginxJson);
        for text in KNOWN {
            let known = LogFormat::parse(text)?;
            let whole = text == "$request_body";
            let fits = |line: &[u8]| {
                let form = || line.contains(&b'=') && !line.contains(&b' ') && !is_event(line);
                (!whole || form()) && has_data(known.read(line))
            };
            offer(&fits, Self::Nginx(known.clone()));
        }
        let sample: String = String::from_utf8_lossy(first.first().copied().unwrap_or_default())
            .chars()
            .take(120)
            .collect();
        best.1.map(Some).ok_or_else(|| {
            format!(
                "the lines are neither events nor a log that holds $request_body in a known format; give --format json, \
                 or --log-format with the log_format of that nginx. The first line begins: {}",
                sample.escape_debug()
            )
        })
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Nginx(_) | Self::NginxJson => "nginx",
        }
    }
}

/// Whether a line is an event, a list, an envelope or a body that wraps some.
fn is_event(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let has = |name: &str| memmem::find(line, name.as_bytes()).is_some();
    match line.first() {
        Some(b'[') => true,
        Some(b'{') => {
            let event = has("\"type\"") && (has("\"distinct_id\"") || has("\"item_id\""));
            (event || has("\"payload") || has("\"data\"") || has("\"data_list\""))
                && !has("\"request_body\"")
                && !has("\\\"type\\\"")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<Option<Lines>, String> {
        Lines::choose(Format::Auto, None, text.as_bytes())
    }

    #[test]
    fn each_kind_of_file_is_told_by_its_lines() {
        let event = r#"{"type":"track","distinct_id":"u","event":"Buy"}"#;
        assert_eq!(name(event), Ok(Some(Lines::Json)));
        assert_eq!(name(&format!("\n\ngarbage\n{event}\n{event}")), Ok(Some(Lines::Json)));
        assert_eq!(name("\n \n"), Ok(None));
        assert_eq!(
            name(r#"{"request_body":"data=e30%3D","request":"POST /sa HTTP/1.1"}"#),
            Ok(Some(Lines::NginxJson))
        );
        let head = r#"1.2.3.4 - - [25/Nov/2026:12:30:00 +0800] "POST /sa HTTP/1.1" 200 2 "-" "ua""#;
        let chosen = |line: String| match name(&line).unwrap().unwrap() {
            Lines::Nginx(format) => {
                KNOWN.iter().position(|k| LogFormat::parse(k).unwrap() == format)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(chosen("gzip=1&data_list=H4sI%3D".into()), Some(0));
        assert_eq!(chosen(format!(r#"{head} "data=e30%3D""#)), Some(1));
        assert_eq!(chosen(format!(r"{head} data=e30%3D")), Some(8));
        assert_eq!(chosen(format!(r#"{head} "-" "data=e30%3D""#)), Some(2));
        assert_eq!(chosen(format!(r#"{head} "data=e30%3D" "5.6.7.8""#)), Some(3));
        assert_eq!(chosen(head.replace("POST /sa", "GET /sa.gif?data=e30%3D")), Some(6));
    }

    #[test]
    fn what_nobody_knows_is_said_with_the_line() {
        let error = name("hello world\n").unwrap_err();
        assert!(error.contains("--log-format") && error.contains("hello world"), "{error}");
        assert!(Lines::choose(Format::Nginx, Some("$status"), b"").is_err());
    }
}
