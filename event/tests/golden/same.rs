//! Equality of JSON by meaning: order of members and spelling of strings do not count, numbers do to the last digit.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Compares a JSON array with one JSON text per event. `enveloped`: the envelope's `flush_time` has become each event's
/// `_flush_time`, which what was sent does not have or has otherwise.
pub(crate) fn events(sent: &str, got: &[String], enveloped: bool) -> Result<(), String> {
    let sent: Vec<&RawValue> = serde_json::from_str(sent).map_err(|e| e.to_string())?;
    if sent.len() != got.len() {
        return Err(format!("{} events sent, {} kept", sent.len(), got.len()));
    }
    for (index, (sent, got)) in sent.iter().zip(got).enumerate() {
        let got: &RawValue =
            serde_json::from_str(got).map_err(|e| format!("event {index}: {e}"))?;
        let path = &mut format!("{index}");
        if enveloped && got.get().starts_with('{') {
            let (mut sent, mut got) = (members(sent.get())?, members(got.get())?);
            sent.remove("_flush_time");
            got.remove("_flush_time");
            object(&sent, &got, path)?;
        } else {
            value(sent.get(), got.get(), path)?;
        }
    }
    Ok(())
}

fn value(a: &str, b: &str, path: &mut String) -> Result<(), String> {
    let differ = || Err(format!("at {path}: sent {a}, got {b}"));
    match (a.as_bytes()[0], b.as_bytes()[0]) {
        (b'{', b'{') => object(&members(a)?, &members(b)?, path),
        (b'[', b'[') => {
            let parse = |text| serde_json::from_str::<Vec<&RawValue>>(text).unwrap();
            let (a, b) = (parse(a), parse(b));
            if a.len() != b.len() {
                return Err(format!("at {path}: {} and {} members", a.len(), b.len()));
            }
            a.iter().zip(&b).try_for_each(|(a, b)| value(a.get(), b.get(), path))
        }
        (b'"', b'"') => {
            let text = |json| serde_json::from_str::<String>(json).map_err(|e| e.to_string());
            if text(a)? == text(b)? { Ok(()) } else { differ() }
        }
        _ if a == b => Ok(()),
        // The other program writes floats in its own way; integers must agree to the digit.
        _ if [a, b].iter().all(|n| n.contains(['.', 'e', 'E']))
            && a.parse::<f64>().is_ok()
            && a.parse::<f64>() == b.parse::<f64>() =>
        {
            Ok(())
        }
        _ => differ(),
    }
}

type Members = BTreeMap<String, Box<RawValue>>;

fn object(a: &Members, b: &Members, path: &mut String) -> Result<(), String> {
    if !a.keys().eq(b.keys()) {
        return Err(format!("at {path}: names {:?} and {:?}", a.keys(), b.keys()));
    }
    for (name, one) in a {
        let length = path.len();
        path.push('/');
        path.push_str(name);
        value(one.get(), b[name].get(), path)?;
        path.truncate(length);
    }
    Ok(())
}

fn members(text: &str) -> Result<Members, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}
