//! An event's problems as codes of its record.

use super::Context;
use super::element::{Element, Part, Problem};
use crate::json::unescape;
use crate::record::{Builder, CodeRef};
use crate::{Code, Severity};

/// Appends the event's codes to `out`, the deciding ones first; gives how many.
#[inline(always)]
pub(super) fn write_codes(
    index: u32,
    text: &[u8],
    element: &Element,
    found: &mut [Problem],
    pointer: &mut Vec<u8>,
    context: &Context<'_>,
    out: &mut Builder,
) -> u32 {
    if found.is_empty() && element.problems.list.is_empty() {
        return 0;
    }
    write_codes_slow(index, text, element, found, pointer, context, out)
}

#[cold]
#[inline(never)]
fn write_codes_slow(
    index: u32,
    text: &[u8],
    element: &Element,
    found: &mut [Problem],
    pointer: &mut Vec<u8>,
    context: &Context<'_>,
    out: &mut Builder,
) -> u32 {
    found.sort_by_key(|problem| match problem.code.severity() {
        Severity::Reject => 0,
        Severity::Drop => 1,
        Severity::Warn => 2,
    });
    // Over the request's budget each event keeps its first code only, so that every verdict has its reason.
    let room = context.limits.codes_max.saturating_sub(out.code_count()).max(1) as usize;
    let all = found.iter().chain(&element.problems.list);
    let mut count = 0;
    for problem in all.take(room) {
        let name = text.get(problem.name.0 as usize..problem.name.1 as usize).unwrap_or_default();
        write_pointer(pointer, problem.part, name);
        let detail = text.get(problem.detail.0 as usize..problem.detail.1 as usize);
        let (mut code, mut detail) = (problem.code, detail.unwrap_or_default());
        if context.inside_envelope && code.rejects() && code.as_str().starts_with('J') {
            // What decrypts to bad JSON must look like any other envelope that does not open.
            (code, detail) = (Code::K506, problem.code.as_str().as_bytes());
            pointer.clear();
        }
        out.code(CodeRef { index, code: code.bytes(), pointer, detail });
        count += 1;
    }
    let total = found.len() + element.problems.list.len();
    if element.problems.more || total > room {
        out.code(CodeRef { index, code: Code::L004.bytes(), pointer: b"", detail: b"" });
        count += 1;
    }
    count
}

/// A JSON pointer to a problem's place.
fn write_pointer(pointer: &mut Vec<u8>, part: Part, name: &[u8]) {
    pointer.clear();
    let parent = match part {
        Part::Event => return,
        Part::Field(field) => {
            pointer.push(b'/');
            pointer.extend_from_slice(field.pointer().as_bytes());
            return;
        }
        Part::Top => "/",
        Part::Properties => "/properties/",
        Part::Identities => "/identities/",
    };
    pointer.extend_from_slice(parent.as_bytes());
    let name = unescape(name);
    for byte in &name[..name.len().min(256)] {
        match byte {
            b'~' => pointer.extend_from_slice(b"~0"),
            b'/' => pointer.extend_from_slice(b"~1"),
            byte => pointer.push(*byte),
        }
    }
}
