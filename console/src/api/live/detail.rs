//! One event in three panes: what was sent, what was understood, what was stored.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State as Extract};
use event::{Code as Known, Lang, Message, Place};
use serde::Deserialize;
use serde_json::{Value, json};

use super::stream::row;
use crate::Shared;
use crate::api::blocking;
use crate::error::Problem;
use crate::guard::{Viewer, Who};
use crate::settings::Role;
use crate::tap::{Code, Event};

/// Which event.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Which {
    /// lsn of its record.
    pub(super) lsn: u64,
    /// Index in it.
    pub(super) index: u32,
}

/// Hides personal data from who may only look.
pub(super) fn mask(value: &mut Value, who: &Who) {
    if who.role < Role::Manage {
        crate::mask::texts(value);
    }
}

/// The event, as long as a page is open that could have shown it.
///
/// # Errors
/// 404.
pub(super) fn find(shared: &Shared, which: Which) -> Result<Arc<Event>, Problem> {
    shared.parts.live.hub.find(which.lsn, which.index).ok_or_else(|| {
        Problem::missing(
            "live.gone",
            "这条事件已不在内存中：实时页只保留最近的事件；到“用户细查”或事件分析里可以查到已入库的",
            "this event is no longer in memory: the live page keeps the latest only; what was stored is in the reports",
        )
    })
}

/// `GET /api/live/event?lsn=…&index=…`
pub(super) async fn event(
    Extract(shared): Extract<Arc<Shared>>,
    Viewer(who): Viewer,
    Query(which): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let event = find(&shared, which)?;
    let asked = Arc::clone(&event);
    let stored = blocking(&shared, move |shared| shared.backend.stored(&asked)).await;
    let json: Value = serde_json::from_str(&event.json).unwrap_or(Value::Null);
    let mut value = json!({
        "row": row(&event, &who),
        "sent": sent(&event),
        "understood": {
            "properties": properties(&event, &json),
            "messages": event.codes.iter().map(|code| message(&event, code)).collect::<Vec<_>>(),
            "time": {
                "sent_ms": event.sent_ms,
                "time_ms": event.time_ms,
                "recv_ms": event.recv_ms,
            },
        },
        "stored": {
            "identity": format!("{}-{:x}-{}", event.node, event.lsn, event.index),
            "node": event.node,
            "sinks": stored,
        },
        "json": event.json,
        "complete": json.is_object(),
    });
    mask(&mut value, &who);
    Ok(Json(value))
}

fn sent(event: &Event) -> Value {
    let [method, parameter, packing] = transport(&event.transport);
    json!({
        "method": method,
        "parameter": parameter,
        "packing": packing,
        "path": event.path,
        "ip": event.ip,
        "agent": event.agent,
        "wire_bytes": event.wire_bytes,
        "raw_bytes": event.raw.as_ref().map(|raw| raw.len()),
        "events": event.of,
        "crc": match event.codes.iter().find(|code| matches!(code.code.as_str(), "E110" | "E111")) {
            Some(_) => "differs",
            None => "ok",
        },
    })
}

/// The record's three letters as words.
fn transport(letters: &str) -> [&'static str; 3] {
    let mut letters = letters.chars();
    [
        match letters.next() {
            Some('G') => "GET",
            Some('P') => "POST",
            _ => "",
        },
        match letters.next() {
            Some('d') => "data",
            Some('l') => "data_list",
            Some('j') => "json",
            _ => "",
        },
        match letters.next() {
            Some('n') => "plain",
            Some('b') => "base64",
            Some('z') => "gzip",
            Some('1'..='5') => "encrypted",
            _ => "",
        },
    ]
}

/// Each member with value, type, expected type and the codes that name it.
fn properties(event: &Event, json: &Value) -> Vec<Value> {
    let Some(members) = json.as_object() else { return Vec::new() };
    let mut out = Vec::new();
    for (name, value) in members {
        if name == "properties" {
            continue;
        }
        out.push(property(event, &format!("/{name}"), name, value, "event"));
    }
    let own = members.get("properties").and_then(Value::as_object);
    for (name, value) in own.into_iter().flatten() {
        let pointer = format!("/properties/{}", name.replace('~', "~0").replace('/', "~1"));
        out.push(property(event, &pointer, name, value, "properties"));
    }
    out
}

fn property(event: &Event, pointer: &str, name: &str, value: &Value, place: &str) -> Value {
    let inside = |code: &&Code| {
        let rest = code.pointer.strip_prefix(pointer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let codes: Vec<&Code> = event.codes.iter().filter(inside).collect();
    let is = kind(value);
    let expected = expected(name);
    let rejects = |code: &&Code| known(&code.code).is_some_and(Known::rejects);
    let rule = if codes.iter().any(rejects) {
        "bad"
    } else if !codes.is_empty() {
        "warn"
    } else if expected.is_some_and(|expected| expected != is && is != "null") {
        "type"
    } else if expected.is_some() {
        "preset"
    } else {
        "own"
    };
    json!({
        "name": name,
        "place": place,
        "value": value,
        "type": is,
        "expected": expected,
        "rule": rule,
        "codes": codes.iter().map(|code| &code.code).collect::<Vec<_>>(),
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// The type SDKs give a member of this name.
fn expected(name: &str) -> Option<&'static str> {
    Some(match name {
        "time" | "_flush_time" | "_track_id" | "$screen_width" | "$screen_height"
        | "$timezone_offset" | "$event_duration" | "$viewport_width" | "$viewport_height"
        | "$viewport_position" | "$page_x" | "$page_y" | "event_duration" => "number",
        "$is_first_day" | "$is_first_time" | "$wifi" | "$resume_from_background"
        | "$is_login_id" | "time_free" => "bool",
        "identities" | "lib" | "properties" => "object",
        "type" | "event" | "distinct_id" | "original_id" | "anonymous_id" | "login_id"
        | "project" | "token" | "map_id" | "user_id" | "item_type" | "item_id" | "$lib"
        | "$lib_version" | "$lib_method" | "$lib_detail" | "$app_version" | "$app_name"
        | "$app_id" | "$os" | "$os_version" | "$model" | "$brand" | "$manufacturer"
        | "$carrier" | "$network_type" | "$device_id" | "$city" | "$province" | "$country"
        | "$ip" | "$browser" | "$browser_version" | "$url" | "$url_path" | "$title"
        | "$referrer" | "$referrer_host" | "$latest_referrer" | "$latest_referrer_host"
        | "$latest_traffic_source_type" | "$latest_search_keyword" | "$latest_landing_page"
        | "$utm_source" | "$utm_medium" | "$utm_campaign" | "$utm_content" | "$utm_term"
        | "$screen_name" | "$element_id" | "$element_type" | "$element_content"
        | "$element_path" | "$element_position" | "$scene" | "$event_session_id" => "text",
        _ => return None,
    })
}

fn known(code: &str) -> Option<Known> {
    Known::from_bytes(code.as_bytes().try_into().ok()?)
}

/// A code in the house form, in both languages.
pub(super) fn message(event: &Event, code: &Code) -> Value {
    let Some(known) = known(&code.code) else {
        return json!({"code": code.code, "zh": code.code, "en": code.code});
    };
    let place = Place {
        event: &event.event,
        pointer: &code.pointer,
        lib: &event.sdk,
        lib_version: &event.sdk_version,
        app_version: &event.app_version,
        detail: &code.detail,
    };
    let text = |lang| Message { code: known, lang, place }.to_string();
    json!({
        "code": code.code,
        "pointer": code.pointer,
        "severity": known.severity().as_str(),
        "zh": text(Lang::Zh),
        "en": text(Lang::En),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_knows_its_type_and_what_is_wrong_with_it() {
        let json = r#"{"type":"track","distinct_id":7,"properties":{"price":"12.5","a/b":1,"$wifi":"yes","tags":["x"]}}"#;
        let event = Event {
            event: "<img src=x onerror=alert(1)>".into(),
            json: json.into(),
            codes: vec![
                Code { code: "P201".into(), pointer: "/properties/a~1b".into(), ..Code::default() },
                Code { code: "N101".into(), pointer: "/event".into(), detail: "\u{202e}x".into() },
            ],
            ..Event::default()
        };
        let all = properties(&event, &serde_json::from_str(json).unwrap());
        let of = |name: &str| all.iter().find(|property| property["name"] == name).unwrap();
        assert_eq!(of("distinct_id")["rule"], "type");
        assert_eq!((&of("price")["type"], &of("price")["rule"]), (&json!("text"), &json!("own")));
        assert_eq!(of("a/b")["codes"], json!(["P201"]));
        assert_eq!((&of("$wifi")["expected"], &of("$wifi")["rule"]), (&json!("bool"), &json!("type")));
        assert_eq!(of("tags")["type"], "list");
        let message = message(&event, &event.codes[1]);
        for lang in ["zh", "en"] {
            let text = message[lang].as_str().unwrap();
            assert_eq!(text.matches(" ｜ ").count(), 4, "{text}");
            assert!(text.starts_with("[N101] ") && !text.contains('\u{202e}'), "{text}");
        }
    }
}
