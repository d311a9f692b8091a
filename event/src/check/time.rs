//! Event time: reading it, and correcting it for a wrong client clock.

use crate::json::to_i64;

/// The event time corrected for the client's clock, a pure function of four numbers, all in ms.
///
/// `flush_ms` is the client's clock when it sent the event, `recv_ms` ours when it came: their difference is how wrong
/// that clock is (the way in between is below the threshold). Returns `None` where nothing is to be corrected: the
/// difference is at most `threshold_ms`, the client did not say when it sent, or the result does not fit.
#[must_use]
pub fn corrected(
    time_ms: i64,
    flush_ms: Option<i64>,
    recv_ms: i64,
    threshold_ms: i64,
) -> Option<i64> {
    let skew = recv_ms.checked_sub(flush_ms?)?;
    if skew.unsigned_abs() <= threshold_ms.unsigned_abs() {
        None
    } else {
        time_ms.checked_add(skew)
    }
}

/// A time as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Milliseconds since 1970.
    Millis(i64),
    /// Was 10 digits, so seconds; given in ms.
    Seconds(i64),
    /// Not a time.
    Unreadable,
}

/// Reads a number's or a string's text: milliseconds, or seconds if it has exactly 10 digits (2001 to 2286).
pub(super) fn read(text: &[u8]) -> Sent {
    match to_i64(text) {
        Some(value @ 1_000_000_000..=9_999_999_999) => Sent::Seconds(value * 1000),
        // Up to the year 2286; beyond it is a time in microseconds or none at all.
        Some(value @ 0..=9_999_999_999_999) => Sent::Millis(value),
        _ => Sent::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000;

    #[test]
    fn only_clocks_beyond_the_threshold_are_corrected() {
        for (flush, recv, result) in [
            (None, T, None),
            (Some(T), T + 60_000, None),
            (Some(T), T - 60_000, None),
            (Some(T), T + 60_001, Some(T - 5 + 60_001)),
            (Some(T), T - 60_001, Some(T - 5 - 60_001)),
            (Some(i64::MIN), T, None),
            (Some(0), i64::MAX, None),
        ] {
            assert_eq!(corrected(T - 5, flush, recv, 60_000), result, "{flush:?} {recv}");
        }
    }

    #[test]
    fn ten_digits_are_seconds() {
        assert_eq!(read(b"1700000000"), Sent::Seconds(T));
        assert_eq!(read(b"1700000000000"), Sent::Millis(T));
        assert_eq!(read(b"1.7e12"), Sent::Millis(T));
        assert_eq!(read(b"1700000000000.7"), Sent::Millis(T));
        for text in ["", "now", "-1", "17000000000000000", "1700000000000 ", "1e400"] {
            assert_eq!(read(text.as_bytes()), Sent::Unreadable, "{text}");
        }
    }
}
