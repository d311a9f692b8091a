//! Stored bytes: the SDK's own, with the few edits the contract allows.

use super::element::{Element, Place};
use super::names::Field;
use crate::record::Span;

/// Edits of one event's bytes, at most one of each kind. Positions are those of the text read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edits {
    /// `_server` with one comma, cut out.
    cut: Option<Place>,
    /// `_flush_time` to add before the closing brace at this position.
    flush: Option<(u32, i64)>,
    /// The new member needs a comma in front.
    comma: bool,
}

impl Edits {
    /// What has to change in `element`: its `_server` goes if `server_out`, and the envelope's `flush_time` comes in where the
    /// SDK wrote none of its own (what it meant stays as it is: docs/decisions/0001-flush-time.md).
    #[inline(always)]
    pub(super) fn of(
        text: &[u8],
        element: &Element,
        server_out: bool,
        flush_time: Option<i64>,
    ) -> Self {
        let mut edits = Self::default();
        if server_out && let Some(server) = element.server {
            edits.cut = Some(with_comma(text, server));
        }
        if let Some(time) = flush_time
            && element.object
            && element.repeated.is_none()
            && element.get(Field::FlushTime).end == 0
        {
            edits.comma = element.has_members(edits.cut.is_some());
            edits.flush = Some((element.end - 1, time));
        }
        edits
    }

    /// Appends the event's bytes to `out`; gives where they are.
    #[inline(always)]
    pub(super) fn store(&self, text: &[u8], element: &Element, out: &mut Vec<u8>) -> Span {
        let at = out.len();
        let sent = &text[element.at as usize..element.end as usize];
        if self.cut.is_none() && self.flush.is_none() {
            out.extend_from_slice(sent);
        } else {
            self.store_edited(text, element, out);
        }
        let to_u32 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { at: to_u32(at), len: to_u32(out.len() - at) }
    }

    #[inline(never)]
    fn store_edited(&self, text: &[u8], element: &Element, out: &mut Vec<u8>) {
        let mut from = element.at;
        if let Some(cut) = self.cut {
            out.extend_from_slice(&text[from as usize..cut.at as usize]);
            from = cut.end;
        }
        if let Some((close, time)) = self.flush {
            out.extend_from_slice(&text[from as usize..close as usize]);
            from = close;
            let name: &[u8] = if self.comma { b",\"_flush_time\":" } else { b"\"_flush_time\":" };
            out.extend_from_slice(name);
            out.extend_from_slice(decimal(time, &mut [0; 20]));
        }
        out.extend_from_slice(&text[from as usize..element.end as usize]);
    }

    /// Where `place` of the text read is in the stored bytes, relative to the event's first.
    #[inline(always)]
    pub(super) fn moved(&self, element: &Element, at: u32, end: u32) -> Span {
        if end == 0 {
            return Span::default();
        }
        let mut shift = i64::from(element.at);
        if let Some(cut) = self.cut
            && at >= cut.end
        {
            shift += i64::from(cut.end - cut.at);
        }
        Span { at: u32::try_from(i64::from(at) - shift).unwrap_or(0), len: end - at }
    }
}

/// A member with the comma behind it, or the one before it if it is the last.
fn with_comma(text: &[u8], member: Place) -> Place {
    let blank = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let mut end = member.end as usize;
    while text.get(end).is_some_and(|byte| blank(*byte)) {
        end += 1;
    }
    if text.get(end) == Some(&b',') {
        return Place { at: member.at, end: u32::try_from(end + 1).unwrap_or(member.end) };
    }
    let mut at = member.at as usize;
    while at > 0 && blank(text[at - 1]) {
        at -= 1;
    }
    match at.checked_sub(1).and_then(|before| text.get(before)) {
        Some(b',') => Place { at: u32::try_from(at - 1).unwrap_or(member.at), end: member.end },
        _ => member,
    }
}

/// `value` in decimal, written into `space`.
fn decimal(value: i64, space: &mut [u8; 20]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = space.len();
    loop {
        at -= 1;
        space[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        space[at] = b'-';
    }
    &space[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_by_the_standard_library() {
        for value in [0, 7, -1, 1_700_000_000_000, i64::MAX, i64::MIN] {
            assert_eq!(decimal(value, &mut [0; 20]), value.to_string().as_bytes());
        }
    }
}
