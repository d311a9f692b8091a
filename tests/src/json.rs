//! A plain JSON reader that keeps every number as its text: the oracle that two texts mean the same.
//!
//! It shares nothing with the product's scanner on purpose.

use std::collections::BTreeMap;

/// A JSON value. Numbers are the text they were written as, so 9007199254740993 and 1.0 stay what they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number's own text.
    Number(String),
    /// A string; lone surrogates read as U+FFFD, as the product stores them.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object; member order means nothing.
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// Parses one whole text.
    ///
    /// # Errors
    /// Where and what, also for a name that occurs twice in one object.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value()?;
        reader.blank();
        if reader.at != text.len() {
            return Err(format!("text after the value at byte {}", reader.at));
        }
        Ok(value)
    }

    /// A member, by a path such as `/properties/price` (names without `/`).
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(self, |value, name| match value {
            Self::Map(members) => members.get(name),
            Self::List(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The string at a path.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.at(path)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of the number at a path.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<&str> {
        match self.at(path)? {
            Self::Number(text) => Some(text),
            _ => None,
        }
    }

    /// Takes a top-level member out.
    pub fn remove(&mut self, name: &str) -> Option<Self> {
        match self {
            Self::Map(members) => members.remove(name),
            _ => None,
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        let rest: String = self.text.get(self.at..).unwrap_or_default().chars().take(20).collect();
        Err(format!("{what} at byte {}: {rest:?}", self.at))
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blank();
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn value(&mut self) -> Result<Json, String> {
        self.blank();
        match self.peek() {
            Some(b'{') => self.map(),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                if self.take(b']') {
                    return Ok(Json::List(items));
                }
                loop {
                    items.push(self.value()?);
                    if self.take(b']') {
                        return Ok(Json::List(items));
                    }
                    if !self.take(b',') {
                        return self.wrong("no comma");
                    }
                }
            }
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.at += 1;
                }
                Ok(Json::Number(self.text.get(start..self.at).unwrap_or_default().to_owned()))
            }
            _ => {
                for (word, value) in
                    [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
                {
                    if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.wrong("no value")
            }
        }
    }

    fn map(&mut self) -> Result<Json, String> {
        self.at += 1;
        let mut members = BTreeMap::new();
        if self.take(b'}') {
            return Ok(Json::Map(members));
        }
        loop {
            self.blank();
            let name = self.string()?;
            if !self.take(b':') {
                return self.wrong("no colon");
            }
            let value = self.value()?;
            if members.insert(name.clone(), value).is_some() {
                return self.wrong(&format!("{name:?} twice"));
            }
            if self.take(b'}') {
                return Ok(Json::Map(members));
            }
            if !self.take(b',') {
                return self.wrong("no comma");
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if self.peek() != Some(b'"') {
            return self.wrong("no string");
        }
        self.at += 1;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let Some(next) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
                return self.wrong("string without end");
            };
            self.at += next.len_utf8();
            match next {
                '"' => return Ok(String::from_utf16_lossy(&units)),
                '\\' => {
                    let Some(kind) = self.peek() else { return self.wrong("escape without end") };
                    self.at += 1;
                    units.push(match kind {
                        b'n' => 10,
                        b't' => 9,
                        b'r' => 13,
                        b'b' => 8,
                        b'f' => 12,
                        b'"' | b'\\' | b'/' => u16::from(kind),
                        b'u' => {
                            let digits = self.text.get(self.at..self.at + 4).unwrap_or("-");
                            let Ok(unit) = u16::from_str_radix(digits, 16) else {
                                return self.wrong("bad \\u");
                            };
                            self.at += 4;
                            unit
                        }
                        _ => return self.wrong("bad escape"),
                    });
                }
                other => units.extend_from_slice(other.encode_utf16(&mut [0; 2])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn numbers_are_their_text_and_order_means_nothing() {
        let one = Json::parse(r#"{"a":9007199254740993,"b":[1.0,"\u4e00\ud83d\ude00"]}"#).unwrap();
        let two = Json::parse("{\"b\": [1.0, \"一😀\"], \"a\": 9007199254740993}").unwrap();
        assert_eq!(one, two);
        assert_ne!(one, Json::parse(r#"{"b":[1,"一😀"],"a":9007199254740993}"#).unwrap());
        assert_eq!(one.number("/a"), Some("9007199254740993"));
        assert_eq!(one.text("/b/1"), Some("一😀"));
    }

    #[test]
    fn refuses_what_is_not_json() {
        for bad in ["", "{", "[1,]", r#"{"a":1,"a":2}"#, "nul", "1 2", r#""\x""#, r#""\u12"#] {
            assert!(Json::parse(bad).is_err(), "{bad}");
        }
    }
}
