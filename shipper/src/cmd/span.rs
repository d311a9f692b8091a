//! Times such as `30m` on the command line.

use std::time::Duration;

use crate::Fail;

/// Reads `45s`, `30m`, `12h`, `7d`.
///
/// # Errors
/// [`Fail`] naming the option.
pub(crate) fn parse(option: &str, text: &str) -> Result<Duration, Fail> {
    let wrong =
        || Fail::new(format!("{option}: `{text}` is not a time; write 45s, 30m, 12h or 7d"));
    let (digits, unit_s) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        Some(b'd') => (&text[..text.len() - 1], 86_400),
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(number.checked_mul(unit_s).ok_or_else(wrong)?))
}

/// The moment that long ago, ms since 1970.
///
/// # Errors
/// As [`parse`].
pub(crate) fn ago_ms(option: &str, text: &str) -> Result<i64, Fail> {
    let back = i64::try_from(parse(option, text)?.as_millis()).unwrap_or(i64::MAX);
    Ok(jiff::Timestamp::now().as_millisecond().saturating_sub(back))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_everything_else_is_refused() {
        assert_eq!(parse("--since", "2h").unwrap(), Duration::from_secs(7200));
        for text in ["", "5", "m", "-1s", "1.5h", "5 m", "分", "99999999999999999999d"] {
            assert!(parse("--since", text).is_err(), "{text}");
        }
    }
}
