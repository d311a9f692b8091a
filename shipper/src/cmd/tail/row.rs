//! How one event looks: columns for people, one JSON object for programs.

use event::{Code, Lang, Message, Place};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shipper::tap::{TapCode, TapEvent};

use crate::term::{Paint, Tone, fit, pad, shown, time, wrap};
use crate::{Fail, lang::pick};

/// An event as it comes over the control socket; what this version does not know is passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    node: String,
    lsn: u64,
    index: u32,
    recv_ms: i64,
    time_ms: i64,
    project: String,
    kind: String,
    event: String,
    user: String,
    sdk: String,
    sdk_version: String,
    app_version: String,
    ip: String,
    verdict: String,
    duplicate: bool,
    codes: Vec<TapCode>,
    json: String,
}

impl From<&TapEvent> for Row {
    fn from(event: &TapEvent) -> Self {
        Self {
            node: event.node.clone(),
            lsn: event.lsn,
            index: event.index,
            recv_ms: event.recv_ms,
            time_ms: event.time_ms,
            project: event.project.clone(),
            kind: event.kind.clone(),
            event: event.event.clone(),
            user: event.user.clone(),
            sdk: event.sdk.clone(),
            sdk_version: event.sdk_version.clone(),
            app_version: event.app_version.clone(),
            ip: event.ip.clone(),
            verdict: event.verdict.to_owned(),
            duplicate: event.duplicate,
            codes: event.codes.clone(),
            json: event.json.clone(),
        }
    }
}

/// `--json`: the same facts, the stored event as JSON and not as text.
#[derive(Serialize)]
struct JsonLine<'a> {
    node: &'a str,
    lsn: u64,
    index: u32,
    recv_ms: i64,
    time_ms: i64,
    project: &'a str,
    kind: &'a str,
    event: &'a str,
    user: &'a str,
    sdk: &'a str,
    sdk_version: &'a str,
    app_version: &'a str,
    ip: &'a str,
    verdict: &'a str,
    duplicate: bool,
    codes: &'a [TapCode],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Row {
    /// One line of JSON; `data` is the stored event where it is JSON.
    pub(crate) fn json_line(&self) -> Result<String, Fail> {
        let json = one_line(&self.json);
        let line = JsonLine {
            node: &self.node,
            lsn: self.lsn,
            index: self.index,
            recv_ms: self.recv_ms,
            time_ms: self.time_ms,
            project: &self.project,
            kind: &self.kind,
            event: &self.event,
            user: &self.user,
            sdk: &self.sdk,
            sdk_version: &self.sdk_version,
            app_version: &self.app_version,
            ip: &self.ip,
            verdict: &self.verdict,
            duplicate: self.duplicate,
            codes: &self.codes,
            data: serde_json::from_str(&json).ok(),
        };
        let mut text =
            serde_json::to_string(&line).map_err(|error| Fail::new(error.to_string()))?;
        text.push('\n');
        Ok(text)
    }

    fn sdk(&self) -> String {
        if self.sdk.is_empty() { "-".into() } else { format!("{} {}", self.sdk, self.sdk_version) }
    }

    /// The event's name; a profile or item record has none and shows its type.
    fn name(&self) -> &str {
        [&self.event, &self.kind].into_iter().find(|text| !text.is_empty()).map_or("-", |text| text)
    }

    fn tone(&self) -> Tone {
        match self.verdict.as_str() {
            "kept" => Tone::Good,
            "problems" => Tone::Warn,
            _ => Tone::Bad,
        }
    }

    fn verdict(&self, lang: Lang) -> String {
        let word = match self.verdict.as_str() {
            "kept" => pick(lang, "✓ 入库", "✓ kept"),
            "problems" => pick(lang, "! 有问题", "! kept"),
            _ => pick(lang, "✗ 隔离", "✗ rejected"),
        };
        let mut text = word.to_owned();
        for (i, code) in self.codes.iter().enumerate() {
            if self.codes.iter().take(i).all(|earlier| earlier.code != code.code) {
                text.push(' ');
                text.push_str(&code.code);
            }
        }
        if self.duplicate && !text.contains("D001") {
            text.push_str(" D001");
        }
        text
    }
}

/// JSON whose blanks between values are no line ends: raw line ends cannot stand inside a JSON string.
pub(crate) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Columns the verdict has at least: a word and one or two codes.
const VERDICT: usize = 18;
/// Most messages shown under one event.
const MESSAGES_MAX: usize = 4;

/// Widths of the columns.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    lang: Lang,
    paint: Paint,
    /// Columns of the terminal; `None`: no terminal, nothing is cut or wrapped.
    columns: Option<usize>,
    time_form: &'static str,
    widths: [usize; 5],
}

impl Layout {
    /// Fits the columns to the terminal.
    pub(crate) fn new(lang: Lang, columns: Option<usize>, paint: Paint) -> Self {
        // time, project, SDK, event, user; what is left is the verdict's.
        let (time_form, mut widths) = match columns {
            Some(..=107) => ("%H:%M:%S", [8, 7, 13, 11, 8]),
            _ => ("%H:%M:%S.%3f", [12, 10, 18, 22, 18]),
        };
        if let Some(columns) = columns {
            let used = widths.iter().sum::<usize>() + 2 * widths.len() + VERDICT;
            let mut spare = columns.saturating_sub(used);
            for (i, share, most) in [(3, 2, 36), (4, 3, 44), (2, 4, 22), (1, 4, 16)] {
                let more = (spare / share).min(most - widths[i].min(most));
                widths[i] += more;
                spare -= more;
            }
        }
        Self { lang, paint, columns, time_form, widths }
    }

    fn cell(&self, column: usize, text: &str) -> String {
        let text = shown(text);
        match self.columns {
            Some(_) => fit(&text, self.widths[column]),
            None => pad(&text, self.widths[column]),
        }
    }

    /// Names of the columns.
    pub(crate) fn head(&self) -> String {
        let names = match self.lang {
            Lang::Zh => ["时间", "项目", "SDK", "事件", "用户", "结果"],
            Lang::En => ["time", "project", "SDK", "event", "user", "verdict"],
        };
        let mut line = String::new();
        for (i, name) in names.iter().take(5).enumerate() {
            line.push_str(&self.cell(i, name));
            line.push_str("  ");
        }
        line.push_str(names[5]);
        format!("{}\n", self.paint.tone(Tone::Faint, &line))
    }

    /// One event: its line, then what its codes mean.
    pub(crate) fn event(&self, row: &Row) -> String {
        let cells = [
            time(row.recv_ms, self.time_form),
            row.project.clone(),
            row.sdk(),
            row.name().to_owned(),
            row.user.clone(),
        ];
        let mut out = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let cell = self.cell(i, cell);
            match i {
                0 => out.push_str(&self.paint.tone(Tone::Faint, &cell)),
                3 => out.push_str(&self.paint.tone(Tone::Strong, &cell)),
                _ => out.push_str(&cell),
            }
            out.push_str("  ");
        }
        let verdict = shown(&row.verdict(self.lang));
        let verdict = match self.columns {
            Some(columns) => {
                let used = self.widths.iter().map(|width| width + 2).sum::<usize>();
                fit(&verdict, columns.saturating_sub(used).max(VERDICT)).trim_end().to_owned()
            }
            None => verdict,
        };
        out.push_str(&self.paint.tone(row.tone(), &verdict));
        out.push('\n');
        for code in row.codes.iter().take(MESSAGES_MAX) {
            out.push_str(&self.message(code, &row.app_version, row.tone()));
        }
        if let Some(more) = row.codes.len().checked_sub(MESSAGES_MAX + 1) {
            let more = more + 1;
            let text =
                pick(self.lang, format!("  └ 另有 {more} 个"), format!("  └ and {more} more"));
            out.push_str(&self.paint.tone(Tone::Faint, &text));
            out.push('\n');
        }
        out
    }

    /// What a code means, what to do, what was done with the event.
    pub(crate) fn message(&self, code: &TapCode, app_version: &str, tone: Tone) -> String {
        let text = message(code, app_version, self.lang);
        let text = match self.columns {
            Some(columns) => wrap(&format!("  └ {text}"), columns, "    "),
            None => format!("  └ {text}"),
        };
        let mut out = String::new();
        for line in text.lines() {
            out.push_str(&self.paint.tone(tone, line));
            out.push('\n');
        }
        out
    }
}

/// The house message of a code, or the bare code where this version does not know it.
pub(crate) fn message(code: &TapCode, app_version: &str, lang: Lang) -> String {
    let known = code.code.as_bytes().try_into().ok().and_then(Code::from_bytes);
    let Some(known) = known else {
        return shown(&format!("[{}] {} {}", code.code, code.pointer, code.detail));
    };
    let place =
        Place { pointer: &code.pointer, app_version, detail: &code.detail, ..Place::default() };
    Message { code: known, lang, place }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::width;

    fn row(event: &str, user: &str, verdict: &str, codes: &[&str]) -> Row {
        let codes = codes.iter().map(|&code| TapCode {
            code: code.to_owned(),
            pointer: "/properties/order-id".to_owned(),
            detail: "order-id".to_owned(),
        });
        Row {
            recv_ms: 1_700_000_000_123,
            project: "商城".into(),
            sdk: "MiniProgram".into(),
            sdk_version: "1.22.8".into(),
            event: event.into(),
            user: user.into(),
            verdict: verdict.into(),
            codes: codes.collect(),
            ..Row::default()
        }
    }

    #[test]
    fn columns_stand_under_each_other_whatever_the_script() {
        for columns in [None, Some(80), Some(100), Some(132), Some(200)] {
            for lang in [Lang::Zh, Lang::En] {
                let layout = Layout::new(lang, columns, Paint::off());
                let verdict = |text: &str| {
                    let line = text.lines().next().unwrap();
                    let at = line.find(['✓', '✗', '!']).unwrap();
                    width(&line[..at])
                };
                let one = layout.event(&row("提交订单", "用户一号", "rejected", &["P201"]));
                let two = layout.event(&row("$pageview", "u1", "kept", &[]));
                assert_eq!(verdict(&one), verdict(&two), "{one}{two}");
                let last = if lang == Lang::Zh { "结果" } else { "verdict" };
                let head = layout.head();
                assert_eq!(width(&head[..head.find(last).unwrap()]), verdict(&one));
                if let Some(columns) = columns {
                    for line in one.lines().chain(two.lines()) {
                        assert!(width(line) <= columns, "{columns}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pipe_gets_whole_names() {
        let long = "a".repeat(90);
        let text = Layout::new(Lang::En, None, Paint::off()).event(&row(&long, &long, "kept", &[]));
        assert_eq!(text.matches(&long).count(), 2);
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn codes_are_explained_in_both_languages_and_the_rest_is_counted() {
        let codes = ["P201"; 7];
        let text =
            Layout::new(Lang::Zh, None, Paint::off()).event(&row("Buy", "u", "problems", &codes));
        assert!(text.contains("! 有问题 P201\n"), "{text}");
        assert!(text.contains("请改名") && text.contains("另有 3 个"), "{text}");
        let text =
            Layout::new(Lang::En, None, Paint::off()).event(&row("Buy", "u", "problems", &codes));
        assert!(text.contains("property order-id") && text.contains("and 3 more"), "{text}");
    }

    #[test]
    fn json_keeps_numbers_and_stays_on_one_line() {
        let row = Row { json: "{\"n\":\n9007199254740993}".into(), ..Row::default() };
        let line = row.json_line().unwrap();
        assert!(line.contains("9007199254740993") && line.matches('\n').count() == 1, "{line}");
        let row = Row { json: "{broken".into(), ..Row::default() };
        assert!(!row.json_line().unwrap().contains("\"data\""));
    }
}
