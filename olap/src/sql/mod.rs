//! Just enough SQL to find where an INSERT ends and its data begins, and which format an answer is asked in. Pure and total: any
//! bytes give an answer in time linear in their number.
//!
//! What is allowed is never decided by this alone: the engine's own parser classifies a statement, and what that cannot see is looked
//! for in the raw text, see [`mentions`].

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word: keyword, name or number.
    Word,
    /// A quoted name.
    Name,
    /// A text in quotes or dollars.
    Text,
    /// One byte of anything else.
    Byte(u8),
}

/// So many texts in dollars or typographic quotes may stay open in one query before no more are looked for.
const SEARCHES: u8 = 64;

/// Tokens of a query as ClickHouse's lexer sees them, with places.
#[derive(Clone, Debug)]
struct Tokens<'q> {
    sql: &'q [u8],
    at: usize,
    /// Brackets open after the last token.
    depth: u32,
    /// A comment or text was not closed.
    cut: bool,
    /// Something that may be a text was not closed; it is none then.
    open: bool,
    /// Searches for the end of such texts that may still fail: each goes to the end of the query.
    searches: u8,
}

impl<'q> Tokens<'q> {
    fn new(sql: &'q [u8]) -> Self {
        Self { sql, at: 0, depth: 0, cut: false, open: false, searches: SEARCHES }
    }

    fn rest(&self) -> &'q [u8] {
        self.sql.get(self.at..).unwrap_or_default()
    }

    /// Passes what lies before the next token.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
            self.at += blanks;
            let rest = &rest[blanks..];
            if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!") {
                self.at += find(b"\n", rest).map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with(b"/*") {
                match find(b"*/", &rest[2..]) {
                    Some(end) => self.at += end + 4,
                    None => {
                        self.cut = true;
                        self.at = self.sql.len();
                    }
                }
            } else {
                return;
            }
        }
    }

    /// Length of a text that begins with a quote; all of it if it is not closed.
    fn quoted(&mut self, quote: u8) -> usize {
        let rest = self.rest();
        let mut at = 1;
        while let Some(byte) = rest.get(at) {
            match *byte {
                b'\\' => at += 2,
                byte if byte == quote => return at + 1,
                _ => at += 1,
            }
        }
        self.cut = true;
        rest.len()
    }

    /// Length of a text or name in typographic quotes, which know no escapes; `None` if it is not closed.
    fn typographic(&mut self) -> Option<(Token, usize)> {
        let rest = self.rest();
        let (token, end) = match rest.get(..3)? {
            b"\xe2\x80\x98" => (Token::Text, b"\xe2\x80\x99"),
            b"\xe2\x80\x9c" => (Token::Name, b"\xe2\x80\x9d"),
            _ => return None,
        };
        self.search(end, &rest[3..]).map(|at| (token, at + 6))
    }

    /// Length of `$tag$…$tag$`, if one begins here and is closed.
    fn dollars(&mut self) -> Option<usize> {
        let rest = self.rest();
        let tag = 2 + rest.get(1..)?.iter().take_while(|byte| is_word(**byte)).count();
        let mark = rest.get(..tag).filter(|mark| mark.ends_with(b"$"))?;
        self.search(mark, &rest[tag..]).map(|end| tag + end + tag)
    }

    /// [`find`], a limited number of times in vain.
    fn search(&mut self, part: &[u8], whole: &[u8]) -> Option<usize> {
        self.searches.checked_sub(1)?;
        let found = find(part, whole);
        if found.is_none() {
            self.searches -= 1;
            self.open = true;
        }
        found
    }
}

impl Iterator for Tokens<'_> {
    /// The token, where it begins and where it ends.
    type Item = (Token, usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks();
        let (rest, start) = (self.rest(), self.at);
        let first = *rest.first()?;
        let (token, length) = match first {
            b'\'' => (Token::Text, self.quoted(first)),
            b'"' | b'`' => (Token::Name, self.quoted(first)),
            b'$' => self.dollars().map_or((Token::Byte(first), 1), |length| (Token::Text, length)),
            0xe2 => self.typographic().unwrap_or((Token::Byte(first), 1)),
            _ if is_word(first) => (Token::Word, rest.iter().take_while(|b| is_word(**b)).count()),
            _ => (Token::Byte(first), 1),
        };
        match first {
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.at += length;
        Some((token, start, self.at))
    }
}

/// An INSERT whose data follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// Length of the statement without `FORMAT` or `VALUES`.
    pub head: usize,
    /// Format of the data.
    pub format: String,
    /// Where data begins in what was given; that length if none of it was.
    pub data: usize,
}

/// What a text begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// An INSERT with data of the client.
    Insert(Insert),
    /// Anything else, also an INSERT of what a SELECT gives.
    Other,
    /// An INSERT so far; what comes decides.
    Open,
}

/// Looks at the beginning of a request: the whole of it if `complete`.
#[must_use]
pub fn split(text: &[u8], complete: bool) -> Split {
    let open = if complete { Split::Other } else { Split::Open };
    let mut tokens = Tokens::new(text);
    let word = |start: usize, end: usize| &text[start..end];
    match tokens.next() {
        None => return open,
        Some((Token::Word, start, end)) => {
            if end == text.len() && !complete {
                return Split::Open;
            }
            if !word(start, end).eq_ignore_ascii_case(b"INSERT") {
                return Split::Other;
            }
        }
        // What may become a comment.
        Some((Token::Byte(b'/' | b'-' | b'#'), _, end)) if end == text.len() => return open,
        Some(_) => return if tokens.cut || tokens.open { open } else { Split::Other },
    }
    // The target: a table may be called `format` or `values`.
    let mut named = false;
    while let Some((token, start, end)) = tokens.clone().next() {
        let keyword = ["INTO", "TABLE", "FUNCTION"];
        let is_keyword = token == Token::Word
            && keyword.iter().any(|k| word(start, end).eq_ignore_ascii_case(k.as_bytes()));
        match token {
            _ if !named && is_keyword => {}
            Token::Word | Token::Name if !named => named = true,
            Token::Byte(b'.') if named => named = false,
            _ => break,
        }
        tokens.next();
    }
    while let Some((token, start, end)) = tokens.next() {
        if tokens.cut || tokens.open && !complete {
            return open;
        }
        if token != Token::Word || tokens.depth > 0 {
            continue;
        }
        if end == text.len() && !complete {
            return Split::Open;
        }
        let word = word(start, end).to_ascii_uppercase();
        match word.as_slice() {
            b"SELECT" | b"WITH" | b"FROM" | b"INFILE" | b"WATCH" => return Split::Other,
            b"VALUES" => {
                let format = "Values".to_owned();
                return Split::Insert(Insert { head: start, format, data: end });
            }
            b"FORMAT" => {
                if let Some((format, end)) = format_after(&mut tokens.clone(), text) {
                    let data = data_after(text, end);
                    if data == text.len() && !complete {
                        return Split::Open;
                    }
                    return Split::Insert(Insert { head: start, format, data });
                }
            }
            _ => {}
        }
    }
    open
}

/// The name after the word FORMAT, and where it ends.
fn format_after(tokens: &mut Tokens<'_>, text: &[u8]) -> Option<(String, usize)> {
    match tokens.next() {
        Some((Token::Word, start, end)) => {
            Some((String::from_utf8_lossy(&text[start..end]).into_owned(), end))
        }
        _ => None,
    }
}

/// Blanks up to and with one line end belong to the statement; so does a `;` that nothing follows on its line.
fn data_after(text: &[u8], end: usize) -> usize {
    let blanks = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| matches!(**byte, b' ' | b'\t' | 0x0c)).count()
    };
    let mut at = blanks(end);
    if text.get(at) == Some(&b';') {
        let after = blanks(at + 1);
        if matches!(text.get(after), None | Some(b'\r' | b'\n')) {
            at = after;
        }
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// Functions and table functions that reach files, programs or other queries, and that the engine gives to everybody.
const REACHING: [&str; 5] = ["file", "catboostevaluate", "executable", "eval", "disk"];
/// Sources of dictionaries that stay inside.
const INSIDE: [&str; 2] = ["clickhouse", "null"];

/// The first name in it that reaches out of the data folder, to be refused with a better message than the kernel's. This is not what
/// keeps SQL inside.
#[must_use]
pub fn reaching(sql: &[u8]) -> Option<String> {
    let mut before: [Option<String>; 2] = [None, None];
    for (token, start, end) in Tokens::new(sql) {
        let [last, open] = &before;
        let is_open = token == Token::Byte(b'(');
        if let Some(name) =
            last.as_ref().filter(|name| is_open && REACHING.contains(&name.as_str()))
        {
            return Some(name.clone());
        }
        let name = match token {
            Token::Word => Some(String::from_utf8_lossy(&sql[start..end]).to_ascii_lowercase()),
            Token::Name => Some(unquoted(&sql[start..end])),
            _ => None,
        };
        if let (Some("source"), Some(kind)) = (open.as_deref(), &name)
            && last.as_deref() == Some("(")
            && !INSIDE.contains(&kind.as_str())
        {
            return Some(format!("SOURCE({kind})"));
        }
        let this = if is_open { Some("(".to_owned()) } else { name };
        before = [this, before[0].take()];
    }
    None
}

/// A quoted name without quotes and escapes, in small letters.
fn unquoted(name: &[u8]) -> String {
    let inner = name.get(1..name.len().saturating_sub(1)).unwrap_or_default();
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let code = std::str::from_utf8(&digits).ok();
                out.extend(code.and_then(|code| u8::from_str_radix(code, 16).ok()));
            }
            Some(byte) => out.push(byte),
            None => {}
        }
    }
    String::from_utf8_lossy(&out).to_ascii_lowercase()
}

/// The `FORMAT X` a query ends with, before its SETTINGS.
#[must_use]
pub fn answer_format(sql: &[u8]) -> Option<String> {
    let mut found = None;
    let mut tokens = Tokens::new(sql);
    let mut settings = false;
    while let Some((token, start, end)) = tokens.next() {
        let word = &sql[start..end];
        if token == Token::Word && tokens.depth == 0 {
            if word.eq_ignore_ascii_case(b"FORMAT") {
                if let Some((name, _)) = format_after(&mut tokens.clone(), sql) {
                    tokens.next();
                    (found, settings) = (Some(name), false);
                    continue;
                }
            } else if word.eq_ignore_ascii_case(b"SETTINGS") {
                settings = true;
            }
        }
        // Anything but settings after it: it was a name, as in `SELECT format x FROM t`.
        if !settings && token != Token::Byte(b';') {
            found = None;
        }
    }
    found
}

/// The first word in capitals, behind comments and brackets; empty if there is none.
#[must_use]
pub fn first_word(sql: &[u8]) -> String {
    let word = Tokens::new(sql).find(|(token, ..)| *token != Token::Byte(b'('));
    match word {
        Some((Token::Word, start, end)) => {
            String::from_utf8_lossy(&sql[start..end]).to_ascii_uppercase()
        }
        _ => String::new(),
    }
}

/// Whether nothing stands in it but blanks, comments and `;`.
#[must_use]
pub fn is_empty(sql: &[u8]) -> bool {
    let mut tokens = Tokens::new(sql);
    tokens.all(|(token, ..)| token == Token::Byte(b';')) && !tokens.cut
}

/// Whether `word` stands anywhere in the raw text, whatever surrounds it: for refusals and for the careful way, where a false hit
/// does no harm and a miss would.
#[must_use]
pub fn mentions(sql: &[u8], word: &str) -> bool {
    sql.windows(word.len().max(1)).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// A text literal.
#[must_use]
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for char in value.chars() {
        if matches!(char, '\\' | '\'') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('\'');
    out
}

/// A quoted name.
#[must_use]
pub fn name(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('`');
    for char in value.chars() {
        if matches!(char, '\\' | '`') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('`');
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Where `part` begins in `whole`.
pub(crate) fn find(part: &[u8], whole: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
