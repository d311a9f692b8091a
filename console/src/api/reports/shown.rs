//! A statement to be read and copied: its values stand in it. It is never run by us; what we run has parameters.

use analytics::report::Part;

/// The statement with its values as literals.
pub(super) fn whole(part: &Part) -> String {
    let mut out = String::with_capacity(part.sql.len() + 64);
    let mut rest = part.sql.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let value = behind.split_once('}').and_then(|(mark, after)| {
            let (name, kind) = mark.split_once(':')?;
            let (_, value) = part.params.iter().find(|(known, _)| known == name)?;
            Some((literal(kind, value), after))
        });
        if let Some((value, after)) = value {
            out.push_str(&value);
            rest = after;
        } else {
            out.push('{');
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

fn literal(kind: &str, value: &str) -> String {
    // A parameter's backslashes are written already.
    let quoted = || format!("'{}'", value.replace('\'', "\\'"));
    match kind {
        "String" => quoted(),
        "Date" => format!("toDate({})", quoted()),
        _ if kind.starts_with("Array(") && value != "[]" => value.to_owned(),
        _ if kind.starts_with("Array(") => format!("CAST([], '{kind}')"),
        _ => format!("CAST({}, '{kind}')", quoted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_their_parameters_were() {
        let part = Part {
            name: "rows".to_owned(),
            sql: "SELECT map{} WHERE a = {v1:String} AND day >= {from:Date} AND has({v2:Array(String)}, x) LIMIT {limit:UInt64}".to_owned(),
            params: [("v1", "it's \\\\"), ("from", "2026-05-01"), ("v2", "['a','b']"), ("limit", "10")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        };
        assert_eq!(
            whole(&part),
            "SELECT map{} WHERE a = 'it\\'s \\\\' AND day >= toDate('2026-05-01') AND has(['a','b'], x) LIMIT CAST('10', 'UInt64')"
        );
    }
}
