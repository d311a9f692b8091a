//! An error as ClickHouse words it: `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.

use std::fmt;

/// An exception of the engine, or one of ours in its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Its number; clients decide by it.
    pub code: u32,
    text: String,
}

impl Exception {
    /// One of ours; `name` is the engine's name of that number.
    #[must_use]
    pub fn new(code: u32, name: &str, message: &str) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {message}. ({name})") }
    }

    /// Something that has no number of its own.
    #[must_use]
    pub fn unknown(message: &str) -> Self {
        Self::new(1002, "UNKNOWN_EXCEPTION", message)
    }

    /// A statement that is not allowed here.
    #[must_use]
    pub fn denied(message: &str) -> Self {
        Self::new(497, "ACCESS_DENIED", message)
    }

    /// The engine's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim_end();
        let digits = text.split_once("Code: ").map_or("", |(_, rest)| rest);
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
        match digits.parse() {
            Ok(code) => Self { code, text: text.to_owned() },
            Err(_) => Self::unknown(text),
        }
    }

    /// The status a ClickHouse server answers this with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.code {
            REQUIRED_PASSWORD => 401,
            192 | 193 | 497 | 512 | 516 => 403,
            6
            | 8
            | 15
            | 25..=27
            | 36
            | 38
            | 41
            | 44
            | 53
            | 62
            | 69
            | 72
            | 117
            | 376
            | 427
            | 441
            | 675
            | 676 => 400,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 511 => 404,
            159 => 408,
            381 => 411,
            307 => 413,
            415 => 415,
            48 => 501,
            // The last is ours: a server says 500 for too many statements, but "come again" is what it means.
            76 | 209 | 202 => 503,
            _ => 500,
        }
    }
}

/// No password where one is needed.
pub(crate) const REQUIRED_PASSWORD: u32 = 194;

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Exception {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_text_keeps_its_number() {
        let seen = Exception::parse("Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)\n");
        assert_eq!((seen.code, seen.status()), (60, 404));
        assert_eq!(seen.to_string(), "Code: 60. DB::Exception: no table. (UNKNOWN_TABLE)");
        assert_eq!(Exception::parse("Code: 241, e.what() = x").code, 241);
        assert_eq!(Exception::parse("boom").code, 1002);
        let own = Exception::denied("no");
        assert_eq!(own.to_string(), "Code: 497. DB::Exception: no. (ACCESS_DENIED)");
    }
}
