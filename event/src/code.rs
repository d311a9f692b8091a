//! Codes: what can be wrong with an event or a request, as programs and people read it.
//!
//! The table is `event/codes.toml`; `docs/codes.md` is made from it. Codes never change their meaning.

use std::fmt::{self, Display, Write as _};

include!(concat!(env!("OUT_DIR"), "/codes.rs"));

/// What a code does to the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The event, or the whole request, goes to quarantine.
    Reject,
    /// The property is left out of typed columns; the rest of the event is stored.
    Drop,
    /// Stored and marked.
    Warn,
}

impl Severity {
    /// As it stands in `codes.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Drop => "drop",
            Self::Warn => "warn",
        }
    }
}

/// Language of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    #[default]
    En,
}

impl Lang {
    /// The language of a locale name such as `zh_CN.UTF-8` (the variable `LANG`); English unless it is Chinese.
    #[must_use]
    pub fn from_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Self::Zh } else { Self::En }
    }
}

/// The three sentences of a code in one language.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// What is wrong.
    pub wrong: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// What Tusk did with the event.
    pub did: &'static str,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code.
    pub code: Code,
    /// Its four characters.
    pub name: &'static str,
    /// What it does to the event.
    pub severity: Severity,
    /// The bound it stands for, with its default.
    pub limit: Option<&'static str>,
    /// Told to nobody outside: the sender sees K001.
    pub private: bool,
    /// Given by the shipper or the nginx module, never by a check of a request.
    pub inner: bool,
    /// Chinese.
    pub zh: Words,
    /// English.
    pub en: Words,
}

impl Code {
    /// Its row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &CODES[self as usize]
    }

    /// Its four characters, such as `N101`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// Its four characters as stored in a record.
    #[must_use]
    pub fn bytes(self) -> [u8; 4] {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.as_str().as_bytes());
        bytes
    }

    /// The code of four stored characters; `None` for one this version does not know.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
        let at = CODES.binary_search_by(|row| row.name.as_bytes().cmp(&bytes)).ok()?;
        Some(CODES[at].code)
    }

    /// What it does to the event.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.row().severity
    }

    /// Whether it sends the event to quarantine.
    #[must_use]
    pub fn rejects(self) -> bool {
        self.severity() == Severity::Reject
    }

    /// What the sender may see: itself, or K001 for the reasons inside an envelope.
    #[must_use]
    pub fn public(self) -> Self {
        if self.row().private { Self::K001 } else { self }
    }

    /// The bound it stands for, with its default.
    #[must_use]
    pub fn limit(self) -> Option<&'static str> {
        self.row().limit
    }

    /// What is wrong, in Chinese.
    #[must_use]
    pub fn zh(self) -> &'static str {
        self.row().zh.wrong
    }

    /// What is wrong, in English.
    #[must_use]
    pub fn en(self) -> &'static str {
        self.row().en.wrong
    }

    /// Its sentences in one language.
    #[must_use]
    pub fn words(self, lang: Lang) -> Words {
        match lang {
            Lang::Zh => self.row().zh,
            Lang::En => self.row().en,
        }
    }

    /// What to do, in one language.
    #[must_use]
    pub fn hint(self, lang: Lang) -> &'static str {
        self.words(lang).fix
    }
}

impl Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where something is wrong; what is empty is left out of the message. Text is taken as UTF-8 with JSON escapes undone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Event name.
    pub event: &'a str,
    /// JSON pointer, such as `/properties/price`.
    pub pointer: &'a str,
    /// `lib.$lib`.
    pub lib: &'a str,
    /// `lib.$lib_version`.
    pub lib_version: &'a str,
    /// The app's version.
    pub app_version: &'a str,
    /// What arrived.
    pub detail: &'a str,
}

/// A message in the house form:
/// `[code] what is wrong ｜ where ｜ what arrived ｜ what to do ｜ what Tusk did`.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The code; private ones are shown as they are: call [`Code::public`] for messages to a sender.
    pub code: Code,
    /// Language.
    pub lang: Lang,
    /// Where and what arrived.
    pub place: Place<'a>,
}

impl Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, place, zh) = (self.code.words(self.lang), &self.place, self.lang == Lang::Zh);
        write!(f, "[{}] {}", self.code, words.wrong)?;
        let mut parts = Parts { f, comma: if zh { "，" } else { ", " }, first: true };
        if !place.event.is_empty() {
            parts.put(if zh { "事件 " } else { "event " }, place.event)?;
        }
        if !place.pointer.is_empty() {
            match place.pointer.strip_prefix("/properties/") {
                Some(name) => parts.put(if zh { "属性 " } else { "property " }, name)?,
                None => parts.put(if zh { "位置 " } else { "at " }, place.pointer)?,
            }
        }
        if !place.lib.is_empty() {
            parts.put("", place.lib)?;
            if !place.lib_version.is_empty() {
                write!(parts.f, " {}", place.lib_version)?;
            }
        }
        if !place.app_version.is_empty() {
            parts.put(if zh { "App " } else { "app " }, place.app_version)?;
        }
        if !place.detail.is_empty() {
            write!(f, " ｜ {}", if zh { "收到 " } else { "got " })?;
            quoted(f, place.detail)?;
        }
        write!(f, " ｜ {} ｜ {}", words.fix, words.did)?;
        f.write_str(if zh { "。" } else { "." })
    }
}

/// The second part of a message: pieces joined by commas.
struct Parts<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    comma: &'static str,
    first: bool,
}

impl Parts<'_, '_> {
    fn put(&mut self, label: &str, text: &str) -> fmt::Result {
        self.f.write_str(if self.first { " ｜ " } else { self.comma })?;
        self.first = false;
        self.f.write_str(label)?;
        shown(self.f, text)
    }
}

/// Sent text in quotes.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    shown(f, text)?;
    f.write_char('"')
}

/// Sent text with control characters made visible, so that a client cannot write into a terminal or fake a log line.
fn shown(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') {
            write!(f, "{}", c.escape_unicode())?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
