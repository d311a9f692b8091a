//! Text on a terminal: widths of Chinese text, colours, tables.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns a text takes; control characters take none.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` with what could steer a terminal made visible: control and bidirectional characters.
pub(crate) fn shown(text: &str) -> String {
    let harmless = |c: char| {
        !(c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    if text.chars().all(harmless) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmless(c) { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}

/// Exactly `columns` wide: cut with `…` or filled with blanks.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let mut out = if width(text) <= columns { text.to_owned() } else { cut(text, columns) };
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&out))));
    out
}

/// At least `columns` wide, never cut.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    fit(text, columns.max(width(text)))
}

fn cut(text: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut left = columns.saturating_sub(1);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Lines of at most `columns`, broken at blanks or between Chinese characters, never before a closing mark; every line but the
/// first starts with `indent`.
pub(crate) fn wrap(text: &str, columns: usize, indent: &str) -> String {
    let mut out = String::new();
    let (mut line, mut line_width) = (String::new(), 0);
    // The last place where the line may be broken, and whether it may be after the character before this one.
    let (mut good, mut after) = (None, false);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if after && !is_closing(c) {
            good = Some(line.len());
        }
        if line_width + wide > columns && line_width > width(indent) {
            let rest = line.split_off(good.unwrap_or(line.len()));
            let rest = rest.trim_start();
            out.push_str(line.trim_end());
            out.push('\n');
            line_width = width(indent) + width(rest);
            line = format!("{indent}{rest}");
            good = None;
            if c == ' ' && rest.is_empty() {
                after = false;
                continue;
            }
        }
        line.push(c);
        line_width += wide;
        after = c == ' ' || (wide == 2 && !matches!(c, '（' | '「' | '《' | '“'));
    }
    out.push_str(&line);
    out
}

/// Marks that cannot begin a line.
fn is_closing(c: char) -> bool {
    matches!(
        c,
        '，' | '。'
            | '、'
            | '：'
            | '；'
            | '）'
            | '」'
            | '》'
            | '”'
            | '？'
            | '！'
            | '｜'
            | ' '
            | ','
            | '.'
    )
}

/// Columns of the terminal behind stdout; `None` if it is no terminal, so nothing is cut for a pipe. At least 76:
/// below that lines break where the terminal breaks them.
pub(crate) fn columns() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col).max(76))
}

/// A colour, or rather what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Well.
    Good,
    /// Look at it.
    Warn,
    /// Wrong.
    Bad,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

/// Colours on or off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// On for a terminal that did not ask for none (`NO_COLOR`, `TERM=dumb`).
    pub(crate) fn for_stdout() -> Self {
        let asked_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(!asked_off && std::io::stdout().is_terminal())
    }

    /// Always off.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self(false)
    }

    /// The text in that tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        if !self.0 || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Rows as an aligned table; columns named in `right` are flush right. Two blanks between columns, none at line ends.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| width(cell)).collect();
    for row in rows {
        for (wide, cell) in widths.iter_mut().zip(row) {
            *wide = (*wide).max(width(cell));
        }
    }
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (i, (cell, &wide)) in row.iter().zip(&widths).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            if right.contains(&i) {
                line.extend(std::iter::repeat_n(' ', wide - width(cell)));
                line.push_str(cell);
            } else {
                line.push_str(&pad(cell, wide));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A size for people: `512 B`, `64.0 MiB`.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
    let mut value = size as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count with a comma at every third digit.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Local time of a millisecond stamp in this `strftime` form; `-` for an impossible one.
pub(crate) fn time(ms: i64, form: &str) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| "-".to_owned(),
        |stamp| stamp.to_zoned(jiff::tz::TimeZone::system()).strftime(form).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_text_takes_two_columns_and_is_cut_at_a_character() {
        assert_eq!(fit("提交订单", 10), "提交订单  ");
        assert_eq!(fit("提交订单", 6), "提交… ");
        assert_eq!(fit("abc", 2), "a…");
        assert_eq!(width(&fit("a提b交", 4)), 4);
    }

    #[test]
    fn wrapped_lines_stay_inside_and_lose_nothing() {
        let text = "[P201] 属性名不合法：只能用字母、数字、_ 和 $，不能以数字开头 ｜ rename order-id to order_id and send it again";
        for columns in 20..90 {
            let wrapped = wrap(text, columns, "    ");
            assert!(wrapped.lines().all(|line| width(line) <= columns), "{columns}\n{wrapped}");
            let squash = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(squash(&wrapped), squash(text));
        }
    }

    #[test]
    fn numbers_read_easily() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned)
        );
        assert_eq!(
            [0, 1023, 1024, 64 << 20, (1 << 30) - 1].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "64.0 MiB", "1.0 GiB"].map(str::to_owned)
        );
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(shown("订单"), "订单");
    }

    #[test]
    fn a_table_is_aligned_under_chinese_heads() {
        let rows = vec![vec!["N101".into(), "12".into()], vec!["提交".into(), "3".into()]];
        assert_eq!(table(&["code", "数量"], &rows, &[1]), "code  数量\nN101    12\n提交     3\n");
    }
}
