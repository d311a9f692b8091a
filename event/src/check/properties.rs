//! Members of `properties` and `identities`.

use super::element::{Element, Part};
use super::names::{self, Field, NO_FIELD, Tag};
use super::{EventType, ids};
use crate::json::{Kind, Memo, Name, ScanMemory, Scanner, Step, chars, exceeds, unescape};
use crate::{Code, Limits};

/// What the values of a record's properties may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Text, number, boolean, list of text.
    Plain,
    /// As [`Rule::Plain`], and the ids that protocol 2.0 keeps in the properties.
    Schema,
    /// Numbers.
    Increment,
    /// Lists of text.
    Append,
    /// Anything: only the names count.
    Unset,
}

impl Rule {
    /// The rule of a record type.
    pub(super) fn of(kind: EventType, schema: bool) -> Self {
        match kind {
            EventType::ProfileIncrement => Self::Increment,
            EventType::ProfileAppend => Self::Append,
            EventType::ProfileUnset => Self::Unset,
            _ if schema => Self::Schema,
            _ => Self::Plain,
        }
    }
}

/// Length from which a number's text may be above ±9e15.
const LONG_NUMBER_BYTES: usize = 16;

/// Reads the properties at `at`: checks names and values, finds the properties the checks need.
#[inline(never)]
pub(super) fn read(
    scanner: &mut Scanner<'_>,
    at: usize,
    depth: u32,
    limits: &Limits,
    element: &mut Element,
    memo: &mut Memo<256>,
) -> Step {
    scanner.object_like(at, depth, memo, tag_of, |scanner, name, known, at| {
        let (end, kind, fault) = value(scanner, name, at, depth, limits)?;
        judge(scanner, name, known, (at, end, kind), fault, limits, element);
        Ok(end)
    })
}

/// Reads the properties at `at` once more by another rule and replaces what was found by the first.
#[cold]
#[inline(never)]
pub(super) fn read_again(
    text: &[u8],
    at: usize,
    limits: &Limits,
    element: &mut Element,
    rule: Rule,
    memory: &mut ScanMemory,
) {
    element.problems.list.retain(|problem| problem.part != Part::Properties);
    let mut scanner = Scanner::new(text, u32::MAX, memory);
    // The text has been read before, so this cannot fail.
    let _ = scanner.object(at, 2, |scanner, name, at| {
        let (end, kind, mut fault) = value(scanner, name, at, 2, limits)?;
        let raw = scanner.raw(name);
        if raw != IS_LOGIN_ID {
            fault = by_rule(rule, kind, fault);
        }
        if rule != Rule::Schema || !is_schema_id(raw) {
            let known = if name.escaped { None } else { tag_of(scanner, name) };
            judge(scanner, name, known, (at, end, kind), fault, limits, element);
        }
        Ok(end)
    });
}

/// The tag of a property's name, if the name is legal but for its length.
#[inline(always)]
fn tag_of(scanner: &Scanner<'_>, name: Name) -> Option<Tag> {
    let raw = scanner.raw(name);
    let legal = scanner.is_name(name) && !names::is_reserved(raw);
    legal.then(|| names::property_tag(raw))
}

/// Reads a property's value; gives its end, its kind and what is wrong with it.
#[inline(always)]
fn value(
    scanner: &mut Scanner<'_>,
    name: Name,
    at: usize,
    depth: u32,
    limits: &Limits,
) -> Step<(usize, Kind, Option<Code>)> {
    Ok(match scanner.byte(at) {
        b'"' => {
            let (close, escaped) = scanner.string(at)?;
            let long = close - at > limits.string_chars_max as usize
                && is_long(scanner.text(), name, (at + 1, close), escaped, limits);
            let kind = if escaped { Kind::Escaped } else { Kind::Text };
            (close + 1, kind, long.then_some(Code::P205))
        }
        b'[' => {
            let (end, fault) = list(scanner, at, depth + 1, limits)?;
            (end, Kind::List, fault)
        }
        b'{' => (scanner.skip(at, depth + 1)?, Kind::Object, Some(Code::P204)),
        _ => {
            let (end, kind) = scanner.scalar(at)?;
            let fault = match kind {
                Kind::Null => Some(Code::P202),
                Kind::Exponent => over(scanner.text(), at, end, limits),
                _ if end - at >= LONG_NUMBER_BYTES => over(scanner.text(), at, end, limits),
                _ => None,
            };
            (end, kind, fault)
        }
    })
}

/// Remarks upon a property, or remembers it if the checks need it. `known` is the tag of a name that is legal but for its
/// length.
#[inline(always)]
fn judge(
    scanner: &Scanner<'_>,
    name: Name,
    known: Option<Tag>,
    (at, end, kind): (usize, usize, Kind),
    fault: Option<Code>,
    limits: &Limits,
    element: &mut Element,
) {
    let legal = match known {
        Some(_) => name.end - name.at <= limits.key_chars_max as usize,
        None => name.escaped && names::is_legal(&unescape(scanner.raw(name)), limits.key_chars_max),
    };
    if !legal {
        element.problems.add(Code::P201, Part::Properties, name, (name.at, name.end));
        return;
    }
    if let Some(code) = fault {
        element.problems.add(code, Part::Properties, name, (at, end));
    }
    if kind.is_text()
        && let Some(tag) = known
        && tag != NO_FIELD
    {
        element.set(tag, scanner.seen(at, end, kind));
    }
}

/// Server SDKs put this mark, `true` or `false`, among the properties of every record, whatever its type.
const IS_LOGIN_ID: &[u8] = b"$is_login_id";

/// What a rule other than [`Rule::Plain`] says to a value.
fn by_rule(rule: Rule, kind: Kind, fault: Option<Code>) -> Option<Code> {
    match rule {
        Rule::Unset => None,
        Rule::Increment if !kind.is_number() => Some(Code::P210),
        Rule::Append if kind != Kind::List || matches!(fault, Some(Code::P208 | Code::P204)) => {
            Some(Code::P211)
        }
        _ => fault,
    }
}

/// Ids that protocol 2.0 keeps inside the properties.
fn is_schema_id(name: &[u8]) -> bool {
    matches!(name, b"user_id" | b"distinct_id" | b"identities")
}

/// Whether a text has more characters than allowed; crash reports have twice the room, as in the SDKs.
#[cold]
#[inline(never)]
fn is_long(
    text: &[u8],
    name: Name,
    (at, end): (usize, usize),
    escaped: bool,
    limits: &Limits,
) -> bool {
    let room = if &text[name.at..name.end] == b"app_crashed_reason" { 2 } else { 1 };
    chars(&text[at..end], escaped) > limits.string_chars_max as usize * room
}

/// The code of a number above the bound.
#[cold]
#[inline(never)]
fn over(text: &[u8], at: usize, end: usize, limits: &Limits) -> Option<Code> {
    exceeds(&text[at..end], limits.number_abs_max).then_some(Code::P207)
}

/// Reads a list property; gives its end and the worst thing about it.
#[inline(never)]
fn list(
    scanner: &mut Scanner<'_>,
    at: usize,
    depth: u32,
    limits: &Limits,
) -> Step<(usize, Option<Code>)> {
    let (mut count, mut nested, mut other, mut long) = (0u32, false, false, false);
    let end = scanner.list(at, depth, |scanner, at| {
        count = count.saturating_add(1);
        match scanner.byte(at) {
            b'"' => {
                let (close, escaped) = scanner.string(at)?;
                long |= close - at > limits.string_chars_max as usize
                    && chars(&scanner.text()[at + 1..close], escaped)
                        > limits.string_chars_max as usize;
                Ok(close + 1)
            }
            b'{' | b'[' => {
                nested = true;
                scanner.skip(at, depth + 1)
            }
            _ => {
                other = true;
                Ok(scanner.scalar(at)?.0)
            }
        }
    })?;
    let fault = if nested {
        Some(Code::P204)
    } else if other {
        Some(Code::P208)
    } else if count > limits.list_items_max {
        Some(Code::P206)
    } else if long {
        Some(Code::P205)
    } else {
        None
    };
    Ok((end, fault))
}

/// Reads `identities`: counts the good ones, remarks upon the others.
#[inline(never)]
pub(super) fn identities(
    scanner: &mut Scanner<'_>,
    at: usize,
    depth: u32,
    limits: &Limits,
    element: &mut Element,
) -> Step {
    scanner.object(at, depth, |scanner, name, at| {
        let (end, kind) = scanner.value(at, depth + 1)?;
        let text = scanner.text();
        let good = kind.is_text()
            && name.at < name.end
            && ids::check(text, scanner.seen(at, end, kind), limits.id_chars_max).is_ok();
        if good {
            element.identities += 1;
        } else {
            element.problems.add(Code::I408, Part::Identities, name, (at, end));
        }
        Ok(end)
    })
}

/// The ids of a protocol 2.0 record inside its properties: `distinct_id`, else `user_id`, else whether there are
/// `identities`.
#[cold]
#[inline(never)]
pub(super) fn schema_id(
    text: &[u8],
    at: usize,
    memory: &mut ScanMemory,
) -> (Option<crate::json::Value>, bool) {
    let mut scanner = Scanner::new(text, u32::MAX, memory);
    let (mut distinct, mut user, mut identities) = (None, None, false);
    let _ = scanner.object(at, 2, |scanner, name, at| {
        let (end, kind) = scanner.value(at, 3)?;
        let value = scanner.seen(at, end, kind);
        match &text[name.at..name.end] {
            b"distinct_id" => distinct = Some(value),
            b"user_id" => user = Some(value),
            b"identities" => identities = kind == Kind::Object && value.end - value.at > 2,
            _ => {}
        }
        Ok(end)
    });
    (distinct.or(user), identities)
}

/// Whether a value stands for "no properties": absent, null, or PHP's empty list.
pub(super) fn are_absent(text: &[u8], value: crate::json::Value) -> bool {
    match value.kind {
        Kind::Missing | Kind::Null => true,
        Kind::List => {
            value
                .of(text)
                .iter()
                .all(|byte| matches!(byte, b'[' | b']' | b' ' | b'\t' | b'\r' | b'\n'))
                && value.of(text).iter().filter(|byte| **byte == b'[').count() == 1
        }
        _ => false,
    }
}

/// Where the properties object of an element starts, if it has one.
pub(super) fn start(element: &Element) -> Option<usize> {
    let value = element.get(Field::Properties);
    (value.kind == Kind::Object).then_some(value.at as usize)
}
