//! Verdicts as JSON, for whoever asked: in the answer of the edge, on the command line.

use std::io::Write as _;

use crate::Code;
use crate::Lang;
use crate::record::{Builder, CodeRef, Verdict};

/// Most codes told in one answer.
const TOLD: usize = 100;

/// Writes `{"received":3,"kept":2,"rejected":[{"index":1,"code":"N101","pointer":"/event","hint":"…","hint_en":"…"}]}` to `out`
/// (overwritten). What is kept but has a problem follows as `"problems"` of the same form; a code of the whole request has no
/// `index`. Codes that would tell why an envelope did not open all read K001.
pub fn json(record: &Builder, out: &mut Vec<u8>) {
    out.clear();
    let view = record.view();
    put(out, format_args!("{{\"received\":{},\"kept\":{}", record.count(), record.kept()));
    let is_rejected = |index: u32| {
        let event = usize::try_from(index).ok().and_then(|index| view.event(index));
        event.is_some_and(|(entry, _)| entry.verdict == Verdict::Rejected)
    };
    for (name, rejected) in [("rejected", true), ("problems", false)] {
        let mut told = 0;
        for code in record.codes() {
            let Some(known) = Code::from_bytes(code.code) else { continue };
            if is_rejected(code.index) != rejected || (rejected && !known.rejects()) {
                continue;
            }
            put(out, format_args!("{}", if told == 0 { ",\"" } else { "," }));
            if told == 0 {
                put(out, format_args!("{name}\":["));
            }
            one(&code, known.public(), out);
            told += 1;
            if told == TOLD {
                break;
            }
        }
        if told > 0 {
            out.push(b']');
        } else if rejected {
            out.extend_from_slice(b",\"rejected\":[]");
        }
    }
    out.push(b'}');
}

/// Writes what the SDKs' debug mode shows to its developer: the first reason, as `{"type":"INVALID_EVENT","reason":"[N101] …",…}`.
pub(crate) fn debug(record: &Builder, out: &mut Vec<u8>) {
    out.clear();
    let first = record
        .codes()
        .find_map(|code| Some((code, Code::from_bytes(code.code)?)).filter(|(_, c)| c.rejects()));
    let Some((code, known)) = first else {
        out.extend_from_slice(b"{\"type\":\"INVALID_EVENT\"}");
        return;
    };
    let known = known.public();
    let index = if code.index == CodeRef::REQUEST { 0 } else { code.index };
    put(out, format_args!("{{\"type\":\"INVALID_EVENT\",\"reason\":\"[{known}] "));
    for piece in [known.en(), "; ", known.hint(Lang::En)] {
        text(piece.as_bytes(), out);
    }
    put(out, format_args!("\",\"record\":{index},\"detail\":"));
    one(&code, known, out);
    out.push(b'}');
}

fn one(code: &CodeRef<'_>, known: Code, out: &mut Vec<u8>) {
    out.push(b'{');
    if code.index != CodeRef::REQUEST {
        put(out, format_args!("\"index\":{},", code.index));
    }
    put(out, format_args!("\"code\":\"{known}\""));
    if !code.pointer.is_empty() && known != Code::K001 {
        out.extend_from_slice(b",\"pointer\":\"");
        text(code.pointer, out);
        out.push(b'"');
    }
    put(out, format_args!(",\"severity\":\"{}\"", known.severity().as_str()));
    for (name, lang, colon) in [("hint", Lang::Zh, "："), ("hint_en", Lang::En, ": ")] {
        put(out, format_args!(",\"{name}\":\""));
        for piece in [known.words(lang).wrong, colon, known.hint(lang)] {
            text(piece.as_bytes(), out);
        }
        out.push(b'"');
    }
    out.push(b'}');
}

/// Sent text inside a JSON string: bytes that are no UTF-8 and control characters become `?`.
fn text(sent: &[u8], out: &mut Vec<u8>) {
    for chunk in sent.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
                c if c.is_control() => out.push(b'?'),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.push(b'?');
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}
